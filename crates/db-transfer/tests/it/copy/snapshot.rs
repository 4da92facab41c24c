//! Writers of the source go on, or are held off.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use db_core::Engine;
use db_testkit::{TestConn, TestDb};
use db_transfer::copy::Copy;
use db_transfer::{OnWait, Phase};

use super::support::{endpoint, lines};

/// Two tables whose sums have to agree.
fn source(engine: Engine) -> TestDb {
    let db = TestDb::new(engine);
    let mut conn = db.connect();
    if engine == Engine::Sqlite {
        conn.execute("PRAGMA journal_mode = WAL");
    }
    conn.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, n BIGINT); CREATE TABLE b (id INTEGER PRIMARY KEY, n BIGINT)");
    let rows: Vec<String> = (1..=5000).map(|id| format!("({id}, 1000)")).collect();
    for table in ["a", "b"] {
        conn.execute(&format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
    }
    db
}

fn writers_go_on(engine: Engine) {
    let source = source(engine);
    for target in [TestDb::sqlite(), TestDb::postgres()] {
        let (over, moved) = (AtomicBool::new(false), AtomicI64::new(0));
        let report = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut conn = source.connect();
                for id in (1..=5000).cycle() {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    conn.execute(&format!(
                        "BEGIN; UPDATE a SET n = n - 1 WHERE id = {id}; UPDATE b SET n = n + 1 WHERE id = {id}; COMMIT"
                    ));
                    moved.fetch_add(1, Ordering::Relaxed);
                }
            });
            let before = AtomicI64::new(0);
            let report = Copy::new(endpoint(&source), endpoint(&target))
                .on_progress(|progress| {
                    if progress.phase == Phase::Copy {
                        before.store(moved.load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                })
                .run();
            // Writes happened after rows had begun to go over.
            while moved.load(Ordering::Relaxed) <= before.load(Ordering::Relaxed) + 1 {
                std::thread::yield_now();
            }
            over.store(true, Ordering::Relaxed);
            report.unwrap()
        });
        assert_eq!(report.rows, 10_000);
        let sum = "SELECT CAST((SELECT sum(n) FROM a) + (SELECT sum(n) FROM b) AS TEXT) AS line";
        assert_eq!(lines(&target, sum), ["10000000"]);
    }
}

fn locked_until_the_proof(engine: Engine) {
    let source = source(engine);
    let target = TestDb::new(if engine == Engine::Sqlite {
        Engine::Postgres
    } else {
        Engine::Sqlite
    });
    let (estimates, tried) = (AtomicI64::new(0), AtomicI64::new(0));
    let refused = || {
        let mut conn = source.connect();
        let wait = if engine == Engine::Sqlite {
            "PRAGMA busy_timeout = 50"
        } else {
            "SET lock_timeout = 50"
        };
        conn.execute(wait);
        let write = conn.conn().batch_execute("UPDATE a SET n = 0");
        write.is_err()
    };
    let report = Copy::new(endpoint(&source), endpoint(&target))
        .lock_source(true)
        .on_estimate(|estimate| {
            assert_eq!(estimate.rows, 10_000);
            assert!(estimate.locked > Duration::ZERO);
            estimates.fetch_add(1, Ordering::Relaxed);
        })
        .on_progress(|progress| {
            if progress.phase == Phase::Prove && tried.fetch_add(1, Ordering::Relaxed) == 0 {
                assert!(refused(), "the source can be written during the proof");
            }
        })
        // What has to be true of the data is the last part of the proof.
        .invariant(|_| {
            assert!(refused(), "the source can be written before the proof is done");
            Ok("nobody has written".to_owned())
        })
        .run()
        .unwrap();
    assert!(report.checked.contains(&"nobody has written".to_owned()));
    assert!(report.source_locked && tried.load(Ordering::Relaxed) > 0);
    assert_eq!(estimates.load(Ordering::Relaxed), 1);
    source.connect().execute("UPDATE a SET n = 0");
}

#[test]
fn writers_go_on_and_the_copy_is_of_one_moment_from_sqlite_and_postgres() {
    writers_go_on(Engine::Sqlite);
    writers_go_on(Engine::Postgres);
}

#[test]
fn a_locked_source_takes_no_write_until_the_proof_sqlite_or_postgres() {
    locked_until_the_proof(Engine::Sqlite);
    locked_until_the_proof(Engine::Postgres);
}

/// Copies while somebody holds a lock, who lets go of it when that is told; returns what was.
fn told(from: &TestDb, (to, locks): (&TestDb, bool), holder: TestConn) -> String {
    let holder = Arc::new(Mutex::new((holder, Vec::new())));
    let seen = Arc::clone(&holder);
    let on_wait = OnWait::new(move |who| {
        let mut held = seen.lock().unwrap();
        held.0.execute("ROLLBACK");
        held.1.push(who.to_owned());
    });
    let copy = Copy::new(endpoint(from), endpoint(to)).on_wait(on_wait);
    copy.lock_source(locks).run().unwrap();
    let told = &holder.lock().unwrap().1;
    told.join(", ")
}

#[test]
fn a_copy_tells_for_whom_it_waits_sqlite_or_postgres() {
    for (engine, lock, who) in [
        (
            Engine::Sqlite,
            "BEGIN IMMEDIATE",
            "another program that writes to the database",
        ),
        (
            Engine::Postgres,
            "SET application_name = 'the other'; BEGIN; LOCK TABLE a IN ROW EXCLUSIVE MODE",
            " of the other (",
        ),
    ] {
        let (from, to) = (source(engine), TestDb::sqlite());
        let mut writer = from.connect();
        writer.execute(lock);
        let told = told(&from, (&to, true), writer);
        assert!(told.contains(who), "{told}");
    }
    // A file that is there and empty is replaced by the copy, for which nobody may have it open.
    let (from, to) = (source(Engine::Sqlite), TestDb::sqlite());
    to.connect().execute("PRAGMA journal_mode = DELETE; VACUUM");
    let mut reader = to.connect();
    reader.execute("BEGIN; SELECT count(*) FROM sqlite_schema");
    let told = told(&from, (&to, false), reader);
    assert_eq!(told, "another program that has the database open");
}
