//! Faults that both engines can have.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db_backup::health::{BackupAges, Examiner, Limit, Selection, Space, State, metrics};
use db_core::{Clock, Engine, Error, SystemClock};
use db_migrate::{Migrator, Source};
use db_testkit::{TestDb, both_engines};

use super::{
    BETS, INDEX, PLAYERS, World, assert_healthy, find, flips, migrate, migration, migrator,
    patient, patient_of, young,
};

/// A clock that says what it is set to.
#[derive(Clone)]
struct Stands(Arc<Mutex<DateTime<Utc>>>);

impl Clock for Stands {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

fn wait(long: Duration) {
    let began = Instant::now();
    while began.elapsed() < long {
        thread::park_timeout(long.saturating_sub(began.elapsed()));
    }
}

both_engines! {
    fn a_healthy_database_raises_no_alarm(db: TestDb) {
        let (_, examiner) = patient_of(&db);
        for _ in 0..20 {
            assert_healthy(&examiner);
        }
        let report = examiner.examine(&Selection::All);
        assert!(report.is_healthy() && report.refused.is_none());
        assert_eq!(report.results.len(), examiner.names().len());
        let document = serde_json::to_value(report.document()).unwrap();
        assert_eq!(document["connectivity"], serde_json::json!({"ok": true, "error": null}));
        for part in ["tables", "indexes"] {
            assert_eq!(document[part], serde_json::json!({"ok": true, "missing": []}));
        }
        assert_eq!(document["overall_healthy"], true);
    }

    fn an_index_that_is_dropped_is_named(db: TestDb) {
        let (_, examiner) = patient_of(&db);
        let found = flips(&examiner, ("indexes", State::Fail),
            || db.connect().execute("DROP INDEX idx_bets_player_id"),
            || db.connect().execute(INDEX),
        );
        assert_eq!(found.names, ["idx_bets_player_id"]);
        assert_eq!(found.measured(metrics::INDEXES_MISSING), Some(1.0));
    }

    fn a_table_that_is_dropped_is_named_without_its_index(db: TestDb) {
        let (_, examiner) = patient_of(&db);
        let found = flips(&examiner, ("tables", State::Fail),
            || db.connect().execute("DROP TABLE bets"),
            || db.connect().execute(&format!("{BETS}; {INDEX}")),
        );
        assert_eq!(found.names, ["bets"]);
    }

    fn a_column_that_was_added_by_hand_is_drift(db: TestDb) {
        let (_, examiner) = patient_of(&db);
        let found = flips(&examiner, ("drift", State::Warn),
            || db.connect().execute("ALTER TABLE bets ADD COLUMN note TEXT"),
            || db.connect().execute("ALTER TABLE bets DROP COLUMN note"),
        );
        assert!(found.names.iter().any(|name| name.contains("bets.note")), "{found:?}");
    }

    fn a_pending_migration_wants_attention(db: TestDb) {
        let (world, _) = patient_of(&db);
        let more = || Migrator::new(Source::rust(vec![
            migration("20250901120000_players", PLAYERS),
            migration("20250901120001_bets", BETS),
            migration("20250901120002_index", INDEX),
            migration("20250901120003_more", "CREATE TABLE more (id BIGINT PRIMARY KEY)"),
        ]));
        let examiner = world.examiner(world.target(&db.url()), patient()).with_migrator(more());
        let report = examiner.examine(&Selection::Cheap);
        let found = find(&report, "migrations");
        assert_eq!((found.state, &*found.names), (State::Warn, &["20250901120003_more".to_owned()][..]));
        assert_eq!(found.measured(metrics::MIGRATIONS_PENDING), Some(1.0));
        assert_eq!(find(&report, "tables").state, State::Ok);
        assert_eq!(report.state(), State::Warn);
        let done = more().run(db.connect().conn());
        assert!(done.unwrap().is_success());
        assert_healthy(&examiner);
    }

    fn a_database_without_any_migration_lacks_its_tables(db: TestDb) {
        db.connect().execute("CREATE TABLE unrelated (id INTEGER)");
        let world = World::new();
        let examiner = world.examiner(world.target(&db.url()), patient());
        let report = examiner.examine(&Selection::Cheap);
        let tables = find(&report, "tables");
        assert_eq!(tables.state, State::Fail, "{report:#?}");
        if db.engine() == Engine::Sqlite {
            assert_eq!(tables.names, ["bets", "players"]);
        }
        assert_eq!(find(&report, "migrations").state, State::Warn);
    }

    fn a_row_without_its_parent_is_counted(db: TestDb) {
        let (_, examiner) = patient_of(&db);
        let off = match db.engine() {
            Engine::Sqlite => "PRAGMA foreign_keys = OFF",
            Engine::Postgres => "SET session_replication_role = replica",
        };
        let found = flips(&examiner, ("foreign_keys", State::Fail),
            || db.connect().execute(&format!("{off}; INSERT INTO bets VALUES (1, 99, 5), (2, 98, 5)")),
            || db.connect().execute("DELETE FROM bets"),
        );
        assert_eq!(found.measured(metrics::ORPHANS), Some(2.0), "{found:?}");
        assert!(found.names[0].contains("bets to players"), "{found:?}");
    }

    fn a_disk_that_fills_up(db: TestDb) {
        let (world, _) = patient_of(&db);
        // On a server that is elsewhere only this folder can be seen.
        let folder = tempfile::tempdir().unwrap();
        let target = world.target(&db.url()).with_place(folder.path());
        let examiner = world.examiner(target, patient());
        let free = |percent: u64| {
            let mut space = world.space.lock().unwrap();
            *space = Space { free: percent << 30, ..*space };
        };
        flips(&examiner, ("disk", State::Warn), || free(8), || free(50));
        let found = flips(&examiner, ("disk", State::Fail), || free(5), || free(50));
        assert_eq!(found.measured(metrics::DISK_FREE_RATIO), Some(0.05));
        assert!(found.observed.contains("5.0 GiB of 100 GiB free (5 %)"), "{found:?}");
    }

    /// As on a busy machine: what changes meanwhile is newer than the look's beginning, and not of the future.
    fn a_look_that_takes_long_is_no_clock_that_went_back(db: TestDb) {
        const LONG: Duration = Duration::from_millis(300);
        migrate(&db);
        let mut limits = patient();
        limits.clock_back = Limit::new(LONG / 3, Duration::from_hours(1));
        let (world, database) = (World::new(), db.database());
        let examiner = world.examiner(world.target(&db.url()), limits).with_backups(move || {
            wait(LONG);
            let insert = "INSERT INTO players VALUES (1, 'somebody')";
            database.write(|conn| Ok::<_, Error>(conn.batch_execute(insert)?))?;
            Ok(young())
        });
        let report = examiner.examine(&Selection::Named(vec!["clock".to_owned()]));
        let clock = find(&report, "clock");
        assert_eq!(clock.state, State::Ok, "{clock:?}");
        assert_eq!(clock.measured(metrics::CLOCK_BACK), Some(0.0));
    }

    /// The ages of a bucket may take minutes: what a clock was set back by is not made up for by then.
    fn a_clock_that_goes_back_by_less_than_a_look_lasts(db: TestDb) {
        const BACK: Duration = Duration::from_millis(400);
        migrate(&db);
        let mut limits = patient();
        limits.clock_back = Limit::new(BACK / 4, Duration::from_hours(1));
        let stands = Stands(Arc::new(Mutex::new(SystemClock.now())));
        let target = World::new().target(&db.url());
        let examiner = Examiner::new(target)
            .with_limits(limits)
            .with_clock(stands.clone())
            .with_migrator(migrator())
            .with_backups(|| {
                wait(2 * BACK);
                Ok(young())
            });
        let before = examiner.examine(&Selection::Named(vec!["connectivity".to_owned()]));
        assert!(before.is_healthy(), "{before:#?}");
        *stands.0.lock().unwrap() -= BACK;
        let report = examiner.examine(&Selection::Named(vec!["clock".to_owned()]));
        let clock = find(&report, "clock");
        assert_eq!(clock.state, State::Warn, "{clock:?}");
        let by = clock.measured(metrics::CLOCK_BACK).unwrap();
        assert!(by >= BACK.as_secs_f64(), "{clock:?}");
        // A server's clock, which does not stand, is further off.
        let is_far = db.engine() == Engine::Postgres;
        assert!(is_far || clock.observed.ends_with("off the last look"), "{clock:?}");
    }

    fn a_clock_that_goes_back(db: TestDb) {
        let (world, examiner) = patient_of(&db);
        let set = |offset| *world.offset.lock().unwrap() = offset;
        let found = flips(&examiner, ("clock", State::Fail),
            || set(TimeDelta::hours(-1)),
            || set(TimeDelta::zero()),
        );
        assert!(found.measured(metrics::CLOCK_BACK).unwrap() > 3_500.0);
        // One that looks for the first time sees it as well.
        set(TimeDelta::hours(-1));
        let fresh = world.examiner(world.target(&db.url()), patient());
        let report = fresh.examine(&Selection::Cheap);
        assert_eq!(find(&report, "clock").state, State::Fail);
    }

    fn backups_that_are_old_or_fail(db: TestDb) {
        let (world, examiner) = patient_of(&db);
        let young = young();
        let set = |ages| *world.ages.lock().unwrap() = ages;
        let ago = |hours| Some(SystemClock.now() - TimeDelta::hours(hours));
        let cure = || set(young);
        for (check, state, ages) in [
            ("backup", State::Warn, BackupAges { last_backup: ago(3), ..young }),
            ("backup", State::Fail, BackupAges { last_backup: ago(25), ..young }),
            ("backup", State::Fail, BackupAges { last_backup: None, ..young }),
            ("backup", State::Warn, BackupAges { failures: 1, ..young }),
            ("restore_drill", State::Warn, BackupAges { last_verified_restore: ago(25), ..young }),
            ("restore_drill", State::Fail, BackupAges { last_verified_restore: None, ..young }),
            ("restore_drill", State::Warn, BackupAges { failed: 1, ..young }),
        ] {
            flips(&examiner, (check, state), || set(ages), cure);
        }
    }
}

#[test]
fn a_store_that_cannot_be_asked_is_no_old_backup() {
    let db = TestDb::sqlite();
    let (world, _) = patient_of(&db);
    let examiner =
        Examiner::new(world.target(&db.url())).with_backups(|| Err("the bucket is gone".into()));
    let report = examiner.examine(&Selection::Cheap);
    let found = find(&report, "backup");
    assert_eq!(
        (found.state, &*found.observed),
        (State::Unknown, "the bucket is gone")
    );
}

/// All of its processes stopped: the kernel takes connections, and nobody answers.
#[test]
fn a_server_that_stands_still_postgres() {
    let server = db_testkit::cluster(&[]);
    let world = World::new();
    let url = server.url();
    let done = migrator().run(
        db_core::Connection::open(
            &db_core::DatabaseUrl::parse(&url).unwrap(),
            db_core::Access::ReadWrite,
        )
        .unwrap()
        .conn(),
    );
    assert!(done.unwrap().is_success());
    let examiner = world.examiner(world.target(&url), patient());
    let state = || {
        let report = examiner.examine(&Selection::Cheap);
        find(&report, "connectivity").state
    };
    assert_eq!(state(), State::Ok);
    let frozen = server.freeze().unwrap();
    assert_eq!(state(), State::Fail);
    drop(frozen);
    assert_eq!(state(), State::Ok);
}
