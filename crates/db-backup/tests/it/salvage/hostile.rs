//! Files that were made to keep a salvage busy or to have it run something, and what lies beside one
//! after a crash.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use db_backup::Error;
use db_backup::salvage::{self, Options, Report};
use db_core::Interrupt;
use db_testkit::TestDb;

use super::world::{PAGE, World, found, salvage_file};

/// A salvage that has not ended by then would not end.
const PATIENCE: Duration = Duration::from_mins(2);

/// Salvages, and gives up after some minutes: then it is `Interrupted`.
fn patiently(database: &Path) -> Result<Report, Error> {
    let interrupt = Interrupt::default();
    let options = Options {
        database: database.to_owned(),
        to: database.with_file_name("salvaged.db"),
        key: None,
        by_sql: false,
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watchdog = scope.spawn(|| {
            let start = std::time::Instant::now();
            while !done.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            if !done.load(Ordering::Relaxed) {
                interrupt.interrupt().unwrap();
            }
        });
        let report = salvage::salvage(&options, &interrupt, &mut |_| {});
        done.store(true, Ordering::Relaxed);
        watchdog.thread().unpark();
        report
    })
}

fn checksum(sum: (u32, u32), bytes: &[u8], is_big: bool) -> (u32, u32) {
    bytes
        .chunks_exact(8)
        .fold(sum, |(mut first, mut second), pair| {
            let word = |at: usize| {
                let bytes: [u8; 4] = pair[at..at + 4].try_into().unwrap();
                if is_big {
                    u32::from_be_bytes(bytes)
                } else {
                    u32::from_le_bytes(bytes)
                }
            };
            first = first.wrapping_add(word(0)).wrapping_add(second);
            second = second.wrapping_add(word(4)).wrapping_add(first);
            (first, second)
        })
}

/// Changes a log, and makes its checksums right again.
fn forge(log: &mut [u8], change: impl Fn(usize, &mut [u8])) {
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let is_big = word(log, 0) & 1 == 1;
    let mut sum = (word(log, 24), word(log, 28));
    for (number, frame) in log[32..].chunks_exact_mut(24 + PAGE).enumerate() {
        change(number, frame);
        sum = checksum(sum, &frame[..8], is_big);
        sum = checksum(sum, &frame[24..], is_big);
        frame[16..20].copy_from_slice(&sum.0.to_be_bytes());
        frame[20..24].copy_from_slice(&sum.1.to_be_bytes());
    }
}

/// A database whose last commit is in its log.
fn with_log(world: &World) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let mut conn = world.db.connect();
    conn.execute("INSERT INTO players (id, name) VALUES (100000, 'T999999: in the log')");
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("damaged.db");
    let path = world.db.path().unwrap();
    fs::write(&database, fs::read(path).unwrap()).unwrap();
    let log = fs::read(path.with_file_name("test.db-wal")).unwrap();
    (folder, database, log)
}

#[test]
fn a_log_that_claims_billions_of_pages_costs_what_it_holds() {
    let world = World::new(4);
    let (_folder, database, mut log) = with_log(&world);
    let beside = database.with_file_name("damaged.db-wal");
    // The last commit says that the database has so many pages.
    forge(&mut log, |_, frame| {
        if frame[4..8] != [0; 4] {
            frame[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        }
    });
    fs::write(&beside, &log).unwrap();
    let report = patiently(&database).unwrap();
    assert!(u64::from(report.pages) < 10_000, "{report:#?}");
    let target = database.with_file_name("salvaged.db");
    assert!(found(&target)["players"].contains(&999_999));
    fs::remove_file(target).unwrap();
    // And one of its pages is the last that there can be.
    forge(&mut log, |number, frame| {
        if number == 0 {
            frame[..4].copy_from_slice(&(u32::MAX - 1).to_be_bytes());
        }
    });
    fs::write(&beside, &log).unwrap();
    patiently(&database).unwrap();
}

#[test]
fn what_is_no_definition_is_never_run() {
    let db = TestDb::sqlite();
    let mut conn = db.connect();
    conn.execute(
        "PRAGMA journal_mode = DELETE;
         CREATE TABLE good (id INTEGER PRIMARY KEY, line TEXT);
         INSERT INTO good VALUES (1, 'T000001: kept');
         CREATE INDEX idx_good ON good (line);
         CREATE VIEW seen AS SELECT line FROM good;
         PRAGMA writable_schema = ON;",
    );
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c";
    for (kind, name, root, sql) in [
        (
            "table",
            "endless",
            2,
            format!("CREATE TABLE endless AS {endless}"),
        ),
        (
            "table",
            "virtual",
            2,
            "CREATE VIRTUAL TABLE virtual USING fts5(a)".to_owned(),
        ),
        (
            "table",
            "passing",
            2,
            "CREATE TEMP TABLE passing(a)".to_owned(),
        ),
        ("table", "other", 2, "CREATE TABLE good2(a)".to_owned()),
        ("index", "walk", 3, "CREATE TABLE walk(a)".to_owned()),
        (
            "trigger",
            "fleeting",
            0,
            "CREATE TEMP TRIGGER fleeting AFTER DELETE ON good BEGIN SELECT 1; END".to_owned(),
        ),
    ] {
        conn.execute(&format!(
            "INSERT INTO sqlite_schema VALUES ('{kind}', '{name}', '{name}', {root}, '{sql}')"
        ));
    }
    drop(conn);
    let report = patiently(db.path().unwrap()).unwrap();
    let failed: Vec<&str> = report.failed.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        failed,
        ["endless", "virtual", "passing", "other", "walk", "fleeting"],
        "{report:#?}"
    );
    let found = found(&db.path().unwrap().with_file_name("salvaged.db"));
    assert!(found["good"].contains(&1));
    assert!(!found.contains_key("good2") && !found.contains_key("passing"));
}

#[test]
fn a_transaction_that_did_not_end_is_rolled_back() {
    let db = TestDb::sqlite();
    let mut conn = db.connect();
    conn.execute(&format!(
        "PRAGMA page_size = {PAGE};
         PRAGMA journal_mode = DELETE;
         CREATE TABLE accounts (id INTEGER PRIMARY KEY, line TEXT NOT NULL);
         INSERT INTO accounts
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         SELECT i, printf('T%06d: before', i) FROM n;
         PRAGMA cache_size = 5;"
    ));
    let path = db.path().unwrap();
    let before = fs::read(path).unwrap();
    // More than fits into the cache, so that it is in the file before it is committed.
    conn.execute(
        "BEGIN; UPDATE accounts SET line = printf('T%06d: halfway, and longer than it was', id + 1000);
         INSERT INTO accounts SELECT id + 1000, line FROM accounts",
    );
    let journal = path.with_file_name("test.db-journal");
    let (halfway, journal) = (fs::read(path).unwrap(), fs::read(journal).unwrap());
    assert_ne!(halfway, before);
    conn.execute("ROLLBACK");
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("damaged.db");
    let beside = folder.path().join("damaged.db-journal");
    let salvaged_by = |journal: &[u8], by_sql: bool| {
        fs::write(&database, &halfway).unwrap();
        fs::write(&beside, journal).unwrap();
        let salvaged = salvage_file(&database, by_sql).unwrap();
        fs::remove_file(folder.path().join("salvaged.db")).unwrap();
        assert_eq!(
            fs::read(&beside).unwrap(),
            journal,
            "the journal was written"
        );
        salvaged
    };
    let salvaged = |journal: &[u8]| salvaged_by(journal, false);
    let whole = salvaged(&journal);
    let told = whole.report.journal.as_deref().unwrap();
    assert!(told.starts_with("rolled back: "), "{told}");
    assert_eq!(whole.found["accounts"], (1..=500).collect());
    assert!(
        whole.report.is_whole() && whole.report.damage.is_empty(),
        "{:#?}",
        whole.report
    );
    // SQLite does the same where it reads the file.
    fs::write(&database, &halfway).unwrap();
    let by_sqlite = salvage_file(&database, true).unwrap();
    assert_eq!(by_sqlite.found["accounts"], (1..=500).collect());
    fs::remove_file(folder.path().join("salvaged.db")).unwrap();
    // A byte that is not as it was written ends what is believed.
    let mut torn = journal.clone();
    // SQLite sums every two hundredth byte only.
    let summed = 512 + 4 + PAGE - 200;
    torn[summed] ^= 0xff;
    let torn = salvaged(&torn);
    let told = torn.report.journal.as_deref().unwrap();
    assert_eq!(
        told,
        "rolled back: 0 pages of a transaction that did not end, as far as it is whole"
    );
    let mut damaged = journal.clone();
    damaged[..8].fill(0x55);
    let damaged = salvaged(&damaged);
    assert!(
        damaged
            .report
            .journal
            .unwrap()
            .starts_with("not used: it is damaged")
    );
    // How a transaction ends that keeps its journal.
    let mut ended = journal.clone();
    ended[..28].fill(0);
    assert_eq!(salvaged(&ended).report.journal, None);
    // One that belongs to a transaction in several files, whose common journal is gone: it has ended.
    let gone = salvaged(&with_super(&journal, b"/nowhere/at/all-mj0123456789"));
    assert!(gone.report.journal.unwrap().contains("in all of its files"));
    // One whose common journal is there is rolled back here, and kept from SQLite, which would open
    // that: then it is not said to be.
    let common = folder.path().join("common-mj0123456789");
    fs::write(&common, "x").unwrap();
    let together = with_super(&journal, common.to_str().unwrap().as_bytes());
    for (by_sql, begin) in [(false, "rolled back: "), (true, "not used: it names")] {
        let told = salvaged_by(&together, by_sql).report.journal.unwrap();
        assert!(told.starts_with(begin), "{by_sql}: {told}");
        assert_eq!(fs::read(&common).unwrap(), b"x");
    }
}

/// A journal of a transaction in several files, which this one holds together.
fn with_super(journal: &[u8], name: &[u8]) -> Vec<u8> {
    let mut together = journal.to_vec();
    together.extend(u32::to_be_bytes(
        0x4000_0000 / u32::try_from(PAGE).unwrap() + 1,
    ));
    together.extend(name);
    together.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
    together.extend(
        name.iter()
            .map(|b| u32::from(*b))
            .sum::<u32>()
            .to_be_bytes(),
    );
    together.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    together
}

#[test]
fn an_interrupt_ends_it_and_leaves_nothing() {
    let world = World::new(20);
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("damaged.db");
    fs::write(&database, &world.bytes).unwrap();
    for stop_at in [1, 20, 60] {
        let interrupt = Interrupt::default();
        let options = Options {
            database: database.clone(),
            to: folder.path().join("salvaged.db"),
            key: None,
            by_sql: false,
        };
        let stopped = salvage::salvage(&options, &interrupt, &mut |progress| {
            if progress.done == stop_at {
                drop(interrupt.interrupt());
            }
        });
        assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn what_a_dead_salvage_left_is_taken_away_and_nothing_else() {
    let world = World::new(1);
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("damaged.db");
    fs::write(&database, &world.bytes).unwrap();
    let make = |name: &str, file: &str| {
        let left = folder.path().join(name);
        fs::create_dir(&left).unwrap();
        fs::write(left.join(file), "x").unwrap();
        left
    };
    let left = make(".salvage-a1B2c3", "damaged.db");
    let others = [
        make(".salvage-a1B2c4", "photos.zip"),
        make(".salvage-old", "damaged.db"),
    ];
    let at_work = make(".salvage-a1B2c5", "salvaged.db");
    let lock = fs::File::open(&at_work).unwrap();
    lock.try_lock().unwrap();
    patiently(&database).unwrap();
    assert!(!left.exists());
    assert!(at_work.exists() && others.iter().all(|other| other.exists()));
}
