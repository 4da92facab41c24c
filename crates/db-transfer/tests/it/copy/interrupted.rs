//! A copy that is stopped leaves nothing behind.

use std::fs::{self, File};
use std::sync::atomic::{AtomicU64, Ordering};

use db_core::{Engine, Interrupt};
use db_testkit::TestDb;
use db_transfer::Phase;
use db_transfer::copy::{BoxError, Copy, CopyError, Endpoint};

use super::support::{copied, endpoint, lines, tables};

const ROWS: &str = "
CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT NOT NULL UNIQUE, b INTEGER REFERENCES b);
CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a);
INSERT INTO b SELECT value, NULL FROM generate_series(1, 20000);
INSERT INTO a SELECT value, 'row ' || value, value FROM generate_series(1, 20000);
";

fn source(engine: Engine) -> TestDb {
    let db = TestDb::new(engine);
    let sql = match engine {
        Engine::Sqlite => ROWS.replace(
            "FROM generate_series(1, 20000)",
            "FROM (WITH RECURSIVE s (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s \
             WHERE value < 20000) SELECT value FROM s)",
        ),
        Engine::Postgres => ROWS
            .replace(", b INTEGER REFERENCES b", ", b INTEGER")
            .replace(
                "generate_series(1, 20000)",
                "generate_series(1, 20000) value",
            ),
    };
    db.connect().execute(&sql);
    db
}

/// How many times a stop falls at another moment.
const MOMENTS: u64 = 12;

fn stopped(from: Engine, to: Engine) {
    let source = source(from);
    let target = TestDb::new(to);
    let mut stops = 0;
    for moment in 1..=MOMENTS {
        let interrupt = Interrupt::default();
        let seen = AtomicU64::new(0);
        let done = Copy::new(endpoint(&source), endpoint(&target))
            .interrupt(interrupt.clone())
            .on_progress(|progress| {
                let at = seen.fetch_add(1, Ordering::Relaxed) + 1;
                // The first moments fall into the load, the others into the proof.
                let phase = if moment % 2 == 0 {
                    Phase::Copy
                } else {
                    Phase::Prove
                };
                if progress.phase == phase && at >= moment / 2 {
                    interrupt.interrupt().unwrap();
                }
            })
            .run();
        match done {
            Err(CopyError::Interrupted) => stops += 1,
            Ok(_) => panic!("nothing has stopped it at {moment}"),
            Err(other) => panic!("{other}"),
        }
        match target.path() {
            Some(path) => {
                assert!(!path.exists());
                let folder = path.parent().unwrap();
                assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "nothing stays");
            }
            None => assert!(tables(&target).is_empty(), "{:?}", tables(&target)),
        }
    }
    assert_eq!(stops, MOMENTS);
    assert_eq!(copied(&source, &target).rows, 40_000);
}

#[test]
fn into_sqlite_it_leaves_no_file() {
    stopped(Engine::Sqlite, Engine::Sqlite);
}

#[test]
fn into_postgres_it_is_undone_postgres() {
    stopped(Engine::Sqlite, Engine::Postgres);
}

#[test]
fn out_of_postgres_it_leaves_no_file_postgres() {
    stopped(Engine::Postgres, Engine::Sqlite);
}

#[test]
fn a_proof_that_fails_leaves_nothing_postgres() {
    for target in [TestDb::sqlite(), TestDb::postgres()] {
        let source = source(Engine::Sqlite);
        // Somebody changes a row between the load and the proof.
        let tamper = |place: &Endpoint| -> Result<String, BoxError> {
            assert_eq!(place.engine(), target.engine());
            Err("the money does not add up".into())
        };
        let done = Copy::new(endpoint(&source), endpoint(&target))
            .invariant(tamper)
            .run();
        let Err(CopyError::ProofFailed(report)) = done else {
            panic!("{done:?}");
        };
        assert_eq!(report.failures, ["the money does not add up"]);
        match target.path() {
            Some(path) => assert!(!path.exists()),
            None => assert!(tables(&target).is_empty()),
        }
    }
}

#[test]
fn a_row_that_changes_on_its_way_is_noticed_postgres() {
    let (source, target) = (source(Engine::Sqlite), TestDb::postgres());
    let changed = AtomicU64::new(0);
    let done = Copy::new(endpoint(&source), endpoint(&target))
        .workers(1)
        .on_progress(|progress| {
            if progress.phase == Phase::Prove && changed.fetch_add(1, Ordering::Relaxed) == 0 {
                // `b` is read after `a`, and `a` is being read: both are loaded.
                target
                    .connect()
                    .execute("UPDATE b SET a = 77 WHERE id = 20000");
            }
        })
        .run();
    let Err(CopyError::ProofFailed(report)) = done else {
        panic!("{done:?}");
    };
    assert_eq!(report.failures, ["b: the rows are not the same"]);
    assert!(tables(&target).is_empty());
    assert_eq!(
        lines(
            &source,
            "SELECT CAST(count(*) AS TEXT) AS line FROM b WHERE a IS NULL"
        ),
        ["20000"]
    );
}

/// A database that a copy has left, with a row that may or may not be the copy's.
fn left_behind(note: &str) -> TestDb {
    let target = TestDb::postgres();
    target.connect().execute(&format!(
        "CREATE TABLE live (id int); INSERT INTO live VALUES (1); \
         CREATE TABLE __db_migrate_copy (step bigint GENERATED ALWAYS AS IDENTITY, undo text NOT NULL); \
         INSERT INTO __db_migrate_copy (undo) VALUES ('DROP TABLE IF EXISTS live CASCADE'), ('{note}')"
    ));
    target
}

#[test]
fn a_database_that_is_in_use_is_not_undone_postgres() {
    let source = source(Engine::Sqlite);
    for (note, undo) in [
        // Nobody asked for it.
        ("-- rows 0 1 \"live\"", false),
        // Somebody has written since.
        ("-- rows 0 7 \"live\"", true),
        ("-- rows 0 1 \"other\"", true),
        // It needs the migrations.
        ("-- migrated", true),
    ] {
        let target = left_behind(note);
        let done = Copy::new(endpoint(&source), endpoint(&target))
            .undo_leftovers(undo)
            .run();
        assert!(
            matches!(done, Err(CopyError::Leftovers(_))),
            "{note}: {done:?}"
        );
        assert_eq!(tables(&target), ["__db_migrate_copy", "live"], "{note}");
        let rows = "SELECT count(*)::text AS line FROM live";
        assert_eq!(lines(&target, rows), ["1"]);
    }
    let target = left_behind("-- rows 0 1 \"live\"");
    let done = Copy::new(endpoint(&source), endpoint(&target))
        .undo_leftovers(true)
        .run()
        .unwrap();
    assert!(done.undone_before);
    assert_eq!(tables(&target), ["a", "b"]);
}

/// What a run would take away is said before, and is all there afterwards.
#[test]
fn a_dry_run_says_what_would_be_undone_postgres() {
    let source = source(Engine::Sqlite);
    let target = left_behind("-- rows 0 1 \"live\"");
    let dry = |undo| {
        Copy::new(endpoint(&source), endpoint(&target))
            .undo_leftovers(undo)
            .dry_run(true)
            .run()
    };
    assert!(matches!(dry(false), Err(CopyError::Leftovers(_))));
    let report = dry(true).unwrap();
    assert_eq!(
        report.would_undo,
        [
            "DROP TABLE IF EXISTS live CASCADE",
            "DROP TABLE \"__db_migrate_copy\""
        ]
    );
    assert!(!report.undone_before);
    assert_eq!(tables(&target), ["__db_migrate_copy", "live"]);
    // What somebody has written since is refused as a run refuses it.
    let used = left_behind("-- rows 0 7 \"live\"");
    let refused = Copy::new(endpoint(&source), endpoint(&used))
        .undo_leftovers(true)
        .dry_run(true)
        .run();
    assert!(
        matches!(refused, Err(CopyError::Leftovers(_))),
        "{refused:?}"
    );
}

/// A dry run makes nothing beside a file, and names what a killed copy has left there.
#[test]
fn a_dry_run_touches_nothing_beside_a_file() {
    let (source, target) = (source(Engine::Sqlite), TestDb::sqlite());
    let path = target.path().unwrap();
    let folder = path.parent().unwrap();
    let touched = || fs::metadata(folder).unwrap().modified().unwrap();
    let dry = || {
        Copy::new(endpoint(&source), endpoint(&target))
            .dry_run(true)
            .run()
    };
    let before = touched();
    assert_eq!(dry().unwrap().would_undo, [""; 0]);
    assert_eq!(touched(), before);
    let name = path.file_name().unwrap().to_str().unwrap();
    let remains = folder.join(format!(".{name}.copying"));
    fs::create_dir(&remains).unwrap();
    let lock = File::create(remains.join("lock")).unwrap();
    let before = touched();
    let report = dry().unwrap();
    assert_eq!(report.would_undo, [format!("remove {}", remains.display())]);
    assert_eq!(touched(), before);
    // One that is under way holds the lock.
    lock.lock().unwrap();
    assert!(matches!(dry(), Err(CopyError::Locked)));
}

#[test]
fn a_session_that_held_the_lock_and_is_gone_fails_the_copy_postgres() {
    let (source, target) = (source(Engine::Sqlite), TestDb::postgres());
    let ended = AtomicU64::new(0);
    let done = Copy::new(endpoint(&source), endpoint(&target))
        .on_progress(|progress| {
            if progress.phase == Phase::Prove && ended.fetch_add(1, Ordering::Relaxed) == 0 {
                target.connect().execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                     AND classid = 1650680930 AND objid = 1668247673",
                );
            }
        })
        .run();
    assert!(matches!(done, Err(CopyError::Database { .. })), "{done:?}");
    assert!(tables(&target).is_empty());
}

#[test]
fn a_log_of_another_file_is_not_replayed_onto_the_new_one() {
    let source = source(Engine::Sqlite);
    for suffix in ["-wal", "-journal"] {
        for late in [false, true] {
            let target = TestDb::sqlite();
            let log = format!("{}{suffix}", target.path().unwrap().display());
            if !late {
                fs::write(&log, "pages of another file").unwrap();
            }
            let done = Copy::new(endpoint(&source), endpoint(&target))
                .on_progress(|progress| {
                    if progress.phase == Phase::Prove {
                        fs::write(&log, "pages of another file").unwrap();
                    }
                })
                .run();
            assert!(matches!(done, Err(CopyError::NotEmpty { .. })), "{done:?}");
            assert!(!target.path().unwrap().exists());
        }
    }
}

#[test]
fn a_file_that_was_empty_is_looked_at_again_before_it_is_replaced() {
    let source = source(Engine::Sqlite);
    for mode in ["delete", "wal"] {
        for filled in [false, true] {
            let target = TestDb::sqlite();
            let path = target.path().unwrap();
            let pragma = format!("PRAGMA journal_mode = {mode}; VACUUM");
            target.connect().execute(&pragma);
            assert!(path.exists());
            let done = Copy::new(endpoint(&source), endpoint(&target))
                .on_progress(|progress| {
                    if progress.phase == Phase::Prove && filled {
                        target
                            .connect()
                            .execute("CREATE TABLE IF NOT EXISTS other (id INTEGER)");
                    }
                })
                .run();
            if filled {
                assert!(matches!(done, Err(CopyError::NotEmpty { .. })), "{done:?}");
                assert_eq!(tables(&target), ["other"]);
            } else {
                assert_eq!(done.unwrap().rows, 40_000, "{mode}");
                assert!(tables(&target).contains(&"a".to_owned()));
            }
        }
    }
}

/// A dry run into SQLite works in a folder among those of other programs.
#[test]
fn what_a_killed_dry_run_has_left_goes_with_the_next() {
    let [left, used] = ["left", "used"].map(|name| {
        let name = format!("bitcraps-copy-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        File::create(folder.join("lock")).unwrap();
        folder
    });
    let lock = File::open(used.join("lock")).unwrap();
    lock.try_lock().unwrap();
    let (from, to) = (source(Engine::Sqlite), TestDb::sqlite());
    let dry = Copy::new(endpoint(&from), endpoint(&to)).dry_run(true);
    dry.run().unwrap();
    assert!(!left.exists() && used.exists());
    fs::remove_dir_all(&used).unwrap();
}
