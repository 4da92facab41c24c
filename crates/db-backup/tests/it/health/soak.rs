//! Whoever is well is not called ill, however much is done, and the log stays small beside readers that overlap.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use db_backup::health::{AlertRule, BackupAges, CheckResult, HealthMonitor, State};
use db_backup::{BackupOptions, LocalStore, Source, VerifyOptions, create, drill};
use db_core::{Clock as _, Database, DatabaseUrl, Engine, Error, SystemClock};
use db_testkit::{TestDb, both_engines, size, wait_until};

use super::{OF_SERVER, World, is_well, migrate, number, patient};

/// Two that write some hundred rows a second, and three that read for half a second each, a third of it apart, so that
/// at no time nobody reads.
const WRITERS: u64 = 2;
const PAUSE: Duration = Duration::from_millis(10);
const READERS: u32 = 3;
const READ: Duration = Duration::from_millis(500);

/// Players, and bets that stay.
const PLAYERS: u64 = 1_000;
const BETS: u64 = 10_000;

/// How often the monitor looks: never in step with who reads.
const LOOK_EVERY: Duration = Duration::from_millis(290);

/// What the log may grow to, in bytes.
const LARGEST_LOG: u64 = 256 << 20;

/// How often maintenance is done, and a backup made and restored on trial.
const OPERATE_EVERY: Duration = Duration::from_secs(30);

/// Ends all threads, whichever fails.
struct Ender<'a>(&'a AtomicBool);

impl Drop for Ender<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Service {
    database: Database,
    over: AtomicBool,
    writes: AtomicU64,
    reads: AtomicU64,
}

impl Service {
    fn execute(&self, sql: &str) {
        let done = self
            .database
            .write(|conn| Ok::<_, Error>(conn.batch_execute(sql)?));
        done.unwrap();
    }

    fn writes(&self) {
        let _ender = Ender(&self.over);
        while !self.over.load(Ordering::Relaxed) {
            let n = self.writes.fetch_add(1, Ordering::Relaxed);
            let player = n % PLAYERS;
            self.execute(&format!(
                "UPDATE players SET name = '{n:0>2000}' WHERE id = {player};
                 INSERT INTO bets VALUES ({n}, {player}, 5);
                 DELETE FROM bets WHERE id = {n} - {BETS}"
            ));
            thread::park_timeout(PAUSE);
        }
    }

    fn reads(&self, after: Duration) {
        let _ender = Ender(&self.over);
        let began = Instant::now();
        while began.elapsed() < after {
            thread::park_timeout(after.saturating_sub(began.elapsed()));
        }
        while !self.over.load(Ordering::Relaxed) {
            let since = Instant::now();
            let read = self.database.read(|conn| {
                let first = number(conn, "SELECT count(*) AS n FROM players")?;
                while since.elapsed() < READ {
                    let again = number(conn, "SELECT count(*) AS n FROM players")?;
                    assert_eq!(again, first);
                    thread::park_timeout(PAUSE);
                }
                Ok::<_, Error>(())
            });
            read.unwrap();
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// All players, and as many bets as there always are.
fn fill(db: &TestDb) {
    let players = rows(PLAYERS, |id| format!("({id}, 'somebody')"));
    let bets = rows(BETS, |n| format!("({n}, {}, 5)", n % PLAYERS));
    let mut conn = db.connect();
    conn.execute(&format!("INSERT INTO players VALUES {players}"));
    conn.execute(&format!("INSERT INTO bets VALUES {bets}"));
    drop(conn);
    if db.engine() == Engine::Postgres {
        // A server counts rows as new when the session has told of them, which may be after an ANALYZE.
        let told = "SELECT n_tup_ins AS n FROM pg_stat_user_tables WHERE relname = 'bets'";
        wait_until("the server has counted the rows", || {
            number(&mut db.connect().conn(), told)
                .unwrap()
                .unsigned_abs()
                >= BETS
        });
    }
}

fn rows(count: u64, each: impl Fn(u64) -> String) -> String {
    (0..count).map(each).collect::<Vec<_>>().join(", ")
}

/// What whoever operates it has a timer for: maintenance, a backup, and its restore on trial.
fn operate(db: &TestDb, store: &LocalStore) {
    db.connect().execute(match db.engine() {
        Engine::Sqlite => "ANALYZE",
        Engine::Postgres => "VACUUM (ANALYZE)",
    });
    let source = Source {
        url: DatabaseUrl::parse(&db.url()).unwrap(),
        key: None,
    };
    let manifest = create(&source, store, &BackupOptions::new(), &mut |_| ()).unwrap();
    let mut verify = VerifyOptions::new();
    if db.engine() == Engine::Postgres {
        verify = verify.with_server(source.url);
    }
    drill(store, &manifest, &verify, &mut |_| {}).unwrap();
}

both_engines! {
    /// `BITCRAPS_TEST_SOAK_SECONDS` makes it last; a day is the promise.
    #[expect(clippy::print_stdout, reason = "the figure of a long run")]
    fn what_is_well_raises_no_alarm(db: TestDb) {
        let lasts = Duration::from_secs(size("SOAK_SECONDS", 4));
        migrate(&db);
        fill(&db);
        let service = Service {
            database: db.database(),
            over: AtomicBool::new(false),
            writes: AtomicU64::new(BETS),
            reads: AtomicU64::new(0),
        };
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalStore::new(folder.path().join("backups")));
        operate(&db, &store);

        let world = World::new();
        let url = DatabaseUrl::parse(&db.url()).unwrap();
        let target = world.target(&db.url()).with_database(service.database.clone());
        let ages = Arc::clone(&store);
        let examiner = world
            .examiner(target, patient())
            .with_backups(move || Ok(BackupAges::of(&*ages, &url, SystemClock.now())?));
        let engine = db.engine();
        let alarms = Arc::new(Mutex::new(Vec::new()));
        let note = |alarms: &Arc<Mutex<Vec<String>>>| {
            let alarms = Arc::clone(alarms);
            move |what: &str, result: &CheckResult| {
                let is_others = engine == Engine::Postgres && OF_SERVER.contains(&&*result.name);
                if !is_others && !is_well(engine, result) {
                    alarms.lock().unwrap().push(format!("{what}: {result:?}"));
                }
            }
        };
        let (changed, alerted) = (note(&alarms), note(&alarms));
        let monitor = HealthMonitor::of(examiner)
            .every(LOOK_EVERY)
            .expensive_every(Some(OPERATE_EVERY.min(lasts / 4)))
            .on_change(move |_, result| changed("changed", result))
            .on_alert(AlertRule::usual(), move |alert| alerted(&alert.rule.name, &alert.result))
            .start()
            .unwrap();

        let began = Instant::now();
        let (mut backups, mut largest_log) = (0_u32, 0);
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| service.writes());
            }
            for reader in 0..READERS {
                let service = &service;
                scope.spawn(move || service.reads(READ * reader / READERS));
            }
            let _ender = Ender(&service.over);
            let between = OPERATE_EVERY.min(lasts / 2);
            // A thread that fails ends the others, and is told at once.
            while began.elapsed() < lasts && !service.over.load(Ordering::Relaxed) {
                if began.elapsed() >= between * (backups + 1) {
                    operate(&db, &store);
                    backups += 1;
                }
                if let Some(path) = db.path() {
                    // `stat`, never open.
                    let log = fs::metadata(format!("{}-wal", path.display()));
                    largest_log = log.map_or(largest_log, |log| largest_log.max(log.len()));
                }
                thread::park_timeout(PAUSE);
            }
        });
        let (cheap, expensive) = monitor.rounds();
        let state = monitor.state();
        drop(monitor);
        println!(
            "{:.0} s: {} writes, {} reads, {backups} backups restored on trial, {cheap} looks, {expensive} of them at \
             the data, the log had at most {:.1} MiB",
            began.elapsed().as_secs_f64(),
            service.writes.load(Ordering::Relaxed) - BETS,
            service.reads.load(Ordering::Relaxed),
            f64::from(u32::try_from(largest_log >> 10).unwrap()) / 1024.0,
        );
        assert_eq!(*alarms.lock().unwrap(), Vec::<String>::new());
        assert!(cheap > 1 && expensive > 0 && backups > 0);
        assert!(engine == Engine::Postgres || state == State::Ok);
        assert!(largest_log <= LARGEST_LOG, "the log grew to {largest_log} bytes");
    }
}
