//! What only PostgreSQL does.

use std::time::Duration;

use db_backup::maintenance::{Options, Report, Task, run};
use db_core::Conn;
use db_testkit::TestDb;
use diesel::dsl::sql;
use diesel::sql_types::BigInt;
use diesel::{RunQueryDsl, sql_query};

use super::{done, open};

fn with_table() -> TestDb {
    let db = TestDb::postgres();
    db.connect().execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, line text);
         CREATE UNIQUE INDEX \"I\" ON t (line);
         INSERT INTO t SELECT n, 'line ' || n FROM generate_series(1, 2000) n;",
    );
    db
}

fn impatient(db: &TestDb, task: Task) -> Report {
    let options = Options {
        tasks: vec![task],
        wait: Duration::from_millis(300),
    };
    run(&mut open(db), &options, &mut |_| {}).unwrap()
}

fn count(db: &TestDb, query: &str) -> i64 {
    let mut conn = db.connect();
    let Conn::Postgres(c) = conn.conn() else {
        unreachable!()
    };
    sql::<BigInt>(query).get_result(c).unwrap()
}

const INVALID: &str = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";

#[test]
fn a_table_that_is_locked_is_skipped_and_told() {
    let db = with_table();
    db.connect().execute("CREATE TABLE other (id int)");
    let mut locker = db.connect();
    locker.execute("BEGIN; LOCK TABLE t IN SHARE MODE");
    for task in [Task::Vacuum, Task::Analyze] {
        let report = impatient(&db, task);
        assert!(report.is_busy(), "{report:#?}");
        assert_eq!(report.tasks[0].skipped[0].object, "public.t");
        assert_eq!(report.tasks[0].steps, 1);
    }
    locker.execute("COMMIT");
    assert!(!impatient(&db, Task::Vacuum).is_busy());
}

#[test]
fn what_a_failed_reindex_leaves_is_dropped() {
    let db = with_table();
    // An old transaction keeps the new index from taking its place.
    let mut old = db.connect();
    old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t");
    let report = impatient(&db, Task::Reindex);
    assert!(report.is_busy(), "{report:#?}");
    old.execute("COMMIT");
    let report = impatient(&db, Task::Reindex);
    assert!(!report.is_busy(), "{report:#?}");
    assert_eq!(count(&db, INVALID), 0);
    // One that somebody else left, as a killed server process does.
    let mut conn = db.connect();
    conn.execute(
        "CREATE INDEX i_ccnew ON t (line);
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i_ccnew'::regclass;
         CREATE INDEX mine ON t (line);
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'mine'::regclass;",
    );
    let report = impatient(&db, Task::Check);
    assert_eq!(report.tasks[0].findings.len(), 2, "{report:#?}");
    let report = impatient(&db, Task::Reindex);
    assert!(
        report.tasks[0].notes[0].contains("dropped public.i_ccnew"),
        "{report:#?}"
    );
    // What is not named like a leftover is built anew, and valid by that.
    assert_eq!(count(&db, INVALID), 0);
    assert_eq!(
        count(
            &db,
            "SELECT count(*) FROM pg_class WHERE relname IN ('mine', 'I')"
        ),
        2
    );
}

#[test]
fn writers_go_on_while_indexes_are_built() {
    let db = with_table();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut conn = db.connect();
            conn.execute("SET lock_timeout = '30s'");
            for n in 0..300 {
                conn.execute(&format!("INSERT INTO t VALUES ({}, 'new {n}')", 10_000 + n));
            }
        });
        let report = done(&db, &[Task::Reindex, Task::Vacuum, Task::Optimize]);
        assert!(!report.has_damage() && !report.is_busy(), "{report:#?}");
        writer.join().unwrap();
    });
    assert_eq!(count(&db, "SELECT count(*) FROM t"), 2_300);
    assert_eq!(count(&db, INVALID), 0);
}

#[test]
fn amcheck_is_used_where_it_is() {
    let db = with_table();
    let report = done(&db, &[Task::Check]);
    assert!(report.tasks[0].notes[0].contains("CREATE EXTENSION amcheck"));
    db.connect().execute("CREATE EXTENSION amcheck");
    let report = done(&db, &[Task::Check]);
    assert!(!report.has_damage() && report.tasks[0].notes.is_empty());
    assert!(report.tasks[0].steps > 100, "{report:#?}");
    // An index that lacks an entry of its table: the catalog is told to forget one.
    let mut conn = db.connect();
    conn.execute(
        "UPDATE pg_index SET indisready = false, indisvalid = false
         WHERE indexrelid = '\"I\"'::regclass;
         INSERT INTO t VALUES (5000, 'missing');
         UPDATE pg_index SET indisready = true, indisvalid = true
         WHERE indexrelid = '\"I\"'::regclass;",
    );
    let report = done(&db, &[Task::Check, Task::Vacuum]);
    assert!(report.has_damage(), "{report:#?}");
    assert!(report.tasks[0].findings[0].contains("\"I\""), "{report:#?}");
    let Conn::Postgres(c) = conn.conn() else {
        unreachable!()
    };
    sql_query("REINDEX TABLE t").execute(c).unwrap();
    assert!(!done(&db, &[Task::Check]).has_damage());
}
