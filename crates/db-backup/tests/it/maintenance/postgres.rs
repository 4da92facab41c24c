//! What only PostgreSQL does.

use std::time::Duration;

use db_backup::maintenance::{Options, Report, Task, run};
use db_core::{Access, Conn, Connection, DatabaseUrl};
use db_testkit::{TestDb, wait_until};
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

#[derive(diesel::QueryableByName)]
struct Setting {
    #[diesel(sql_type = diesel::sql_types::Text)]
    value: String,
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
fn what_is_under_construction_or_not_valid_is_no_damage() {
    let db = with_table();
    db.connect().execute(
        "CREATE TABLE child (id bigint);
         INSERT INTO child VALUES (1);
         ALTER TABLE child ADD CONSTRAINT of_t FOREIGN KEY (id) REFERENCES t NOT VALID",
    );
    std::thread::scope(|scope| {
        // An index that waits for an older transaction before it may be valid. That ends, whatever fails below.
        let mut old = db.connect();
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t");
        let builder = scope.spawn(|| {
            db.connect()
                .execute("CREATE INDEX CONCURRENTLY slow ON t (line)");
        });
        wait_until("an index that is built", || count(&db, INVALID) > 0);
        let report = done(&db, &[Task::Check]);
        assert!(!report.has_damage(), "{report:#?}");
        let notes = report.tasks[0].notes.join("\n");
        assert!(notes.contains("index slow is not valid"), "{notes}");
        assert!(
            notes.contains("constraint of_t on child is NOT VALID"),
            "{notes}"
        );
        old.execute("COMMIT");
        builder.join().unwrap();
    });
    // One that nobody builds any more is a finding.
    db.connect()
        .execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'slow'::regclass");
    assert!(done(&db, &[Task::Check]).has_damage());
}

#[test]
fn foreign_keys_of_partitioned_tables_are_counted() {
    let db = TestDb::postgres();
    db.connect().execute(
        "CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE parts (id int REFERENCES parent, day int) PARTITION BY RANGE (day);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
         INSERT INTO parent VALUES (1);
         INSERT INTO parts VALUES (1, 1);
         CREATE TABLE base (id int REFERENCES parent);
         CREATE TABLE heir () INHERITS (base);
         INSERT INTO heir VALUES (7);",
    );
    // The key of a table is not that of its heirs.
    assert!(!done(&db, &[Task::Check]).has_damage());
    db.connect()
        .execute("SET session_replication_role = replica; INSERT INTO parts VALUES (2, 2)");
    let report = done(&db, &[Task::Check]);
    assert!(
        report.tasks[0].findings[0].starts_with("1 rows break the foreign key"),
        "{report:#?}"
    );
}

#[test]
fn a_role_that_sees_a_part_of_the_rows_vouches_for_none() {
    let db = TestDb::postgres();
    let role = format!("sees_less_{}", std::process::id());
    db.connect().execute(&format!(
        "CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE child (id int REFERENCES parent, owner text);
         CREATE TABLE open (id int REFERENCES parent);
         SET session_replication_role = replica;
         INSERT INTO child VALUES (9, 'somebody else');
         ALTER TABLE child ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON child USING (owner = current_user);
         CREATE ROLE {role} LOGIN PASSWORD 'pw';
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    let url = db.url();
    let (_, server) = url.split_once('@').unwrap();
    let url = DatabaseUrl::parse(&format!("postgres://{role}:pw@{server}")).unwrap();
    let options = Options {
        tasks: vec![Task::Check],
        wait: Duration::from_secs(10),
    };
    let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
    let report = run(&mut connection, &options, &mut |_| {}).unwrap();
    let task = &report.tasks[0];
    assert!(task.findings.is_empty(), "{report:#?}");
    assert_eq!(task.skipped.len(), 1, "{report:#?}");
    assert!(task.skipped[0].object.contains("child"), "{report:#?}");
    assert!(
        task.skipped[0].reason.contains("row-level security"),
        "{report:#?}"
    );
    // Behind a pooler the session is another's next.
    let Conn::Postgres(c) = connection.conn() else {
        unreachable!()
    };
    let mut setting = |name: &str| {
        let query = format!("current_setting('{name}')");
        let value: String = sql_query(format!("SELECT {query} AS value"))
            .get_result::<Setting>(c)
            .unwrap()
            .value;
        value
    };
    assert_eq!(setting("row_security"), "on");
    assert_eq!(setting("transaction_isolation"), "read committed");
    drop(connection);
    db.connect()
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
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
