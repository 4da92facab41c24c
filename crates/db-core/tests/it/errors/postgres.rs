//! PostgreSQL's SQLSTATEs, each provoked on a server, and what their texts are classified as.

use db_core::{Connection, Error, ErrorKind};
use db_testkit::TestDb;
use diesel::sql_types::{Bool, Integer, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use crate::support::{batch_fails, fails, open, open_url, postgres, run};

const SCHEMA: &str = "
    CREATE TABLE u (
        id INT CONSTRAINT pk_u PRIMARY KEY,
        n VARCHAR(3) NOT NULL CONSTRAINT uq_u_n UNIQUE,
        age INT CONSTRAINT ck_u_age CHECK (age > 0),
        during INT4RANGE, CONSTRAINT ex_u_during EXCLUDE USING gist (during WITH &&)
    );
    CREATE TABLE k (u INT CONSTRAINT fk_k_u REFERENCES u (id) ON DELETE RESTRICT);
    CREATE TYPE mood AS ENUM ('glad');
    INSERT INTO u VALUES (1, 'a', 1, '[1,5)'), (2, 'b', 1, NULL);
    INSERT INTO k VALUES (1);";

#[derive(QueryableByName)]
struct Pid {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[derive(QueryableByName)]
struct Waits {
    #[diesel(sql_type = Bool)]
    waits: bool,
}

#[derive(QueryableByName)]
struct Database {
    #[diesel(sql_type = Text)]
    name: String,
}

fn prepared() -> (TestDb, Connection) {
    let db = TestDb::postgres();
    let mut connection = open(&db);
    run(&mut connection, SCHEMA);
    (db, connection)
}

fn pid(connection: &mut Connection) -> i32 {
    let found = sql_query("SELECT pg_backend_pid() AS pid").get_result::<Pid>(postgres(connection));
    found.unwrap().pid
}

/// Returns when the backend waits for a lock.
fn until_it_waits(connection: &mut Connection, pid: i32) {
    let query = "SELECT count(*) = 1 AS waits FROM pg_stat_activity
                 WHERE pid = $1 AND wait_event_type = 'Lock'";
    while !sql_query(query)
        .bind::<Integer, _>(pid)
        .get_result::<Waits>(postgres(connection))
        .unwrap()
        .waits
    {
        std::thread::yield_now();
    }
}

/// SQLSTATE, a statement that gets it, and its kind.
const WRONG: &[(&str, &str, ErrorKind)] = &[
    (
        "23505",
        "INSERT INTO u VALUES (3, 'a', 1)",
        ErrorKind::Constraint,
    ),
    (
        "23505",
        "INSERT INTO u VALUES (1, 'c', 1)",
        ErrorKind::Constraint,
    ),
    ("23503", "INSERT INTO k VALUES (9)", ErrorKind::Constraint),
    ("23001", "DELETE FROM u WHERE id = 1", ErrorKind::Constraint),
    (
        "23502",
        "INSERT INTO u VALUES (3, NULL, 1)",
        ErrorKind::Constraint,
    ),
    (
        "23514",
        "INSERT INTO u VALUES (3, 'c', 0)",
        ErrorKind::Constraint,
    ),
    (
        "23P01",
        "INSERT INTO u VALUES (3, 'c', 1, '[2,3)')",
        ErrorKind::Constraint,
    ),
    (
        "22001",
        "INSERT INTO u VALUES (3, 'long', 1)",
        ErrorKind::InvalidValue,
    ),
    ("22003", "SELECT 2147483647 + 1", ErrorKind::InvalidValue),
    (
        "22003",
        "SELECT '99999999999'::INT",
        ErrorKind::InvalidValue,
    ),
    ("22P02", "SELECT 'x'::INT", ErrorKind::InvalidValue),
    ("22P02", "SELECT 'sad'::mood", ErrorKind::InvalidValue),
    ("22P02", "SELECT '{'::JSONB", ErrorKind::InvalidValue),
    ("22007", "SELECT 'x'::TIMESTAMPTZ", ErrorKind::InvalidValue),
    (
        "22008",
        "SELECT '2025-13-40'::TIMESTAMPTZ",
        ErrorKind::InvalidValue,
    ),
    ("22012", "SELECT 1 / 0", ErrorKind::InvalidValue),
    (
        "22021",
        "SELECT convert_from('\\xff', 'UTF8')",
        ErrorKind::InvalidValue,
    ),
    (
        "21000",
        "SELECT (SELECT id FROM u)",
        ErrorKind::InvalidValue,
    ),
    (
        "21000",
        "INSERT INTO u VALUES (5, 'e', 1), (5, 'e', 1)
             ON CONFLICT (id) DO UPDATE SET age = 2",
        ErrorKind::InvalidValue,
    ),
    ("42P01", "SELECT * FROM nope", ErrorKind::Statement),
    ("42703", "SELECT nope FROM u", ErrorKind::Statement),
    ("42883", "SELECT nope(1)", ErrorKind::Statement),
    ("42601", "SELEC 1", ErrorKind::Statement),
    ("42601", "SELECT 'open", ErrorKind::Statement),
    ("42P07", "CREATE TABLE u ()", ErrorKind::AlreadyExists),
    (
        "42701",
        "ALTER TABLE u ADD COLUMN n TEXT",
        ErrorKind::AlreadyExists,
    ),
    (
        "42702",
        "SELECT id FROM u JOIN u AS v ON TRUE",
        ErrorKind::Statement,
    ),
    ("42803", "SELECT n, count(*) FROM u", ErrorKind::Statement),
    (
        "42804",
        "UPDATE u SET age = 'x'::TEXT",
        ErrorKind::Statement,
    ),
    (
        "42P10",
        "INSERT INTO u VALUES (1, 'a', 1) ON CONFLICT (age) DO NOTHING",
        ErrorKind::Statement,
    ),
    (
        "P0001",
        "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$",
        ErrorKind::Other,
    ),
];

#[test]
fn statements_that_one_connection_can_get_wrong() {
    let (_db, mut connection) = prepared();
    for &(code, sql, kind) in WRONG {
        let error = fails(&mut connection, sql);
        assert_eq!(error.kind(), kind, "{code}: {error}\n{sql}");
        assert!(!error.is_retryable(), "{code}");
    }
    run(&mut connection, "INSERT INTO u VALUES (6, 'f', 1)");
}

/// Whatever is bound, the error is of the value, is not run again, and does not show it.
#[test]
fn a_bound_value_decides_nothing_and_is_not_shown() {
    let (_db, mut connection) = prepared();
    let card = "4111111111111111";
    for value in [
        card.to_owned(),
        format!("deadlock detected {card}"),
        format!("terminating connection due to {card}"),
        format!("\" could not serialize access {card} \""),
        format!("canceling statement due to lock timeout {card}"),
        format!("FATAL:  server closed the connection unexpectedly {card}"),
    ] {
        for cast in [
            "CAST($1 AS integer)",
            "CAST($1 AS double precision)",
            "CAST($1 AS timestamptz)",
            "CAST($1 AS mood)",
            "CAST($1 AS jsonb)",
            "CAST($1 AS uuid)",
            "CAST($1 AS inet)",
            "CAST($1 AS int[])",
            "CAST($1 AS int4range)",
            "decode($1, 'hex')",
            "now() AT TIME ZONE $1",
            "to_date($1, 'Month')",
            "to_tsquery($1 || ' & (')",
        ] {
            let query = format!("SELECT count(*) = 1 AS waits FROM (SELECT {cast}) AS t(x)");
            let error = sql_query(format!("{query} WHERE x IS NOT NULL"))
                .bind::<Text, _>(&value)
                .get_result::<Waits>(postgres(&mut connection))
                .map(|row| row.waits);
            let Err(error) = error else { continue };
            let error = Error::from(error);
            assert!(!error.is_retryable(), "{cast}: {}", error.in_full());
            assert_ne!(
                error.kind(),
                ErrorKind::ConnectionLost,
                "{cast}: {}",
                error.in_full()
            );
            assert!(!error.to_string().contains(card), "{cast}: {error}");
            assert!(!error.message().contains(card), "{cast}: {error}");
        }
    }
    let error = sql_query("SELECT CAST($1 AS integer) AS pid")
        .bind::<Text, _>("4111 x")
        .get_result::<Pid>(postgres(&mut connection))
        .map(|row| row.pid)
        .unwrap_err();
    let error = Error::from(error);
    assert_eq!(error.kind(), ErrorKind::InvalidValue);
    assert_eq!(
        error.to_string(),
        "invalid input syntax for type integer: \"…\""
    );
    let whole = "invalid input syntax for type integer: \"4111 x\"";
    assert_eq!(
        (error.detail(), error.told().as_str()),
        (Some(whole), whole)
    );
}

#[test]
fn transactions_know_their_state() {
    let (_db, mut connection) = prepared();
    run(&mut connection, "BEGIN READ ONLY");
    let error = fails(&mut connection, "UPDATE u SET age = 2");
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "25006: {error}");
    let error = fails(&mut connection, "SELECT 1");
    assert_eq!(
        error.kind(),
        ErrorKind::TransactionAborted,
        "25P02: {error}"
    );
    run(&mut connection, "ROLLBACK; BEGIN");
    let error = fails(&mut connection, "VACUUM");
    assert_eq!(error.kind(), ErrorKind::Statement, "25001: {error}");
    run(&mut connection, "ROLLBACK; BEGIN");
    let error = fails(&mut connection, "ROLLBACK TO SAVEPOINT nope");
    assert_eq!(error.kind(), ErrorKind::Statement, "3B001: {error}");
    run(&mut connection, "ROLLBACK");
}

#[test]
fn conflicts_are_to_be_tried_again() {
    let (db, mut one) = prepared();
    let mut two = open(&db);
    run(
        &mut one,
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM u",
    );
    run(&mut two, "UPDATE u SET age = 5 WHERE id = 1");
    let error = fails(&mut one, "UPDATE u SET age = 6 WHERE id = 1");
    assert_eq!(error.kind(), ErrorKind::Serialization, "40001: {error}");
    assert!(error.is_retryable());
    run(&mut one, "ROLLBACK");

    // Write skew: each reads what the other writes, and the second COMMIT is refused.
    let serializable = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT sum(age) FROM u";
    run(&mut one, serializable);
    run(&mut two, serializable);
    run(&mut one, "UPDATE u SET age = 7 WHERE id = 1");
    run(&mut two, "UPDATE u SET age = 7 WHERE id = 2");
    run(&mut one, "COMMIT");
    let error = fails(&mut two, "COMMIT");
    assert_eq!(
        error.kind(),
        ErrorKind::Serialization,
        "40001 at COMMIT: {error}"
    );
    assert_eq!(error.at_commit().kind(), ErrorKind::Serialization);
}

#[test]
fn locks_time_out_and_deadlocks_are_broken() {
    let (db, mut one) = prepared();
    let mut two = open(&db);
    run(&mut two, "BEGIN; UPDATE u SET age = 5 WHERE id = 1");
    run(&mut one, "SET lock_timeout = '20ms'");
    let waiting = "UPDATE u SET age = 6 WHERE id = 1";
    let error = fails(&mut one, waiting);
    assert_eq!(error.kind(), ErrorKind::LockTimeout, "55P03: {error}");
    assert!(error.is_retryable());
    let error = fails(&mut one, "SELECT * FROM u WHERE id = 1 FOR UPDATE NOWAIT");
    assert_eq!(
        error.kind(),
        ErrorKind::LockTimeout,
        "55P03 NOWAIT: {error}"
    );
    run(
        &mut one,
        "SET lock_timeout = 0; SET statement_timeout = '20ms'",
    );
    let error = fails(&mut one, waiting);
    assert_eq!(error.kind(), ErrorKind::StatementTimeout, "57014: {error}");
    assert!(!error.is_retryable());
    run(&mut one, "SET statement_timeout = 0");
    run(&mut two, "ROLLBACK");

    run(
        &mut one,
        "SET deadlock_timeout = '20ms'; BEGIN; UPDATE u SET age = 7 WHERE id = 1",
    );
    run(
        &mut two,
        "SET deadlock_timeout = '20ms'; BEGIN; UPDATE u SET age = 7 WHERE id = 2",
    );
    let attempt = |connection: &mut Connection, id: u8| {
        let update = format!("UPDATE u SET age = 8 WHERE id = {id}");
        let done = sql_query(update)
            .execute(postgres(connection))
            .map_err(Error::from);
        run(connection, "ROLLBACK");
        done
    };
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| attempt(&mut two, 1));
        (attempt(&mut one, 2), other.join().unwrap())
    });
    let error = first.and(second).expect_err("one of them was the victim");
    assert_eq!(error.kind(), ErrorKind::Deadlock, "40P01: {error}");
    assert!(error.is_retryable());
}

#[test]
fn a_cancelled_statement_and_a_killed_connection_are_told_apart() {
    let (db, mut one) = prepared();
    let (mut two, mut watcher) = (open(&db), open(&db));
    run(&mut two, "BEGIN; UPDATE u SET age = 5 WHERE id = 1");
    let victim = pid(&mut one);
    for (stop, kind) in [
        ("pg_cancel_backend", ErrorKind::Cancelled),
        ("pg_terminate_backend", ErrorKind::ConnectionLost),
    ] {
        let error = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| fails(&mut one, "UPDATE u SET age = 6 WHERE id = 1"));
            until_it_waits(&mut watcher, victim);
            run(&mut watcher, &format!("SELECT {stop}({victim})"));
            waiting.join().unwrap()
        });
        assert_eq!(error.kind(), kind, "{stop}: {error}");
        assert!(!error.is_retryable());
    }
    // 08003: whoever goes on with it learns the same, and at COMMIT that nothing is known.
    let error = fails(&mut one, "COMMIT");
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    assert_eq!(error.at_commit().kind(), ErrorKind::OutcomeUnknown);
}

#[test]
fn an_idle_transaction_loses_its_connection() {
    let (db, mut one) = prepared();
    let mut watcher = open(&db);
    let victim = pid(&mut one);
    run(
        &mut one,
        "SET idle_in_transaction_session_timeout = '20ms'; BEGIN",
    );
    let gone = "SELECT count(*) = 0 AS waits FROM pg_stat_activity WHERE pid = $1";
    while !sql_query(gone)
        .bind::<Integer, _>(victim)
        .get_result::<Waits>(postgres(&mut watcher))
        .unwrap()
        .waits
    {
        std::thread::yield_now();
    }
    let error = fails(&mut one, "SELECT 1");
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "25P03: {error}");
}

#[test]
fn limits_of_the_server_have_their_kinds() {
    let (_db, mut connection) = prepared();
    run(
        &mut connection,
        "SET temp_file_limit = '64kB'; SET work_mem = '64kB'",
    );
    let sort = "SELECT count(*) FROM (SELECT g FROM generate_series(1, 200000) g
                ORDER BY md5(g::TEXT) OFFSET 1) s";
    let error = fails(&mut connection, sort);
    assert_eq!(error.kind(), ErrorKind::DiskFull, "53400: {error}");
    run(
        &mut connection,
        "SET max_stack_depth = '100kB';
         CREATE FUNCTION deeper(INT) RETURNS INT LANGUAGE plpgsql AS
             'BEGIN RETURN deeper($1 + 1); END'",
    );
    let error = fails(&mut connection, "SELECT deeper(1)");
    assert_eq!(error.kind(), ErrorKind::Statement, "54001: {error}");
}

/// A role that goes with the test, whose name no other database's test has.
struct Role {
    name: String,
    admin: Connection,
}

impl Role {
    fn new(mut admin: Connection, attributes: &str) -> Self {
        let database = sql_query("SELECT current_database()::TEXT AS name")
            .get_result::<Database>(postgres(&mut admin))
            .unwrap();
        let name = format!("role_{}", database.name);
        run(
            &mut admin,
            &format!("CREATE ROLE {name} PASSWORD 'right' {attributes}"),
        );
        Self { name, admin }
    }

    /// The database's URL with this role and a password.
    fn url(&self, db: &TestDb, password: &str) -> String {
        let url = db.url();
        let (_, rest) = url.split_once("://").unwrap();
        let (_, place) = rest.rsplit_once('@').unwrap();
        format!("postgres://{}:{password}@{place}", self.name)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let owned = format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name);
        // A failed test must show its own failure.
        drop(self.admin.conn().batch_execute(&owned));
    }
}

#[test]
fn what_a_role_may_not_do_is_forbidden() {
    let (db, mut connection) = prepared();
    run(
        &mut connection,
        "CREATE TABLE own (owner TEXT); ALTER TABLE own ENABLE ROW LEVEL SECURITY;
         CREATE POLICY mine ON own USING (owner = current_user)",
    );
    let role = Role::new(connection, "LOGIN");
    let mut connection = open(&db);
    run(
        &mut connection,
        &format!(
            "GRANT INSERT, SELECT ON own TO {0}; SET ROLE {0}",
            role.name
        ),
    );
    for (sql, code) in [
        ("SELECT * FROM u", "42501"),
        ("DROP TABLE u", "42501 owner"),
        (
            "INSERT INTO own VALUES ('someone')",
            "42501 row level security",
        ),
        ("COPY u TO '/tmp/never'", "42501 file"),
    ] {
        let error = batch_fails(&mut connection, sql);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{code}: {error}");
    }
}

#[test]
fn a_connection_that_is_refused_says_why() {
    let (db, connection) = prepared();
    let role = Role::new(connection, "LOGIN CONNECTION LIMIT 0");
    let refused = |url: &str| open_url(url).err().map(|e| (e.kind(), e.to_string()));
    let url = role.url(&db, "right");
    let (kind, said) = refused(&url).unwrap();
    assert_eq!(kind, ErrorKind::TooManyConnections, "53300: {said}");

    let (kind, said) = refused(&role.url(&db, "wrong-secret")).unwrap();
    assert_eq!(kind, ErrorKind::Authentication, "28P01: {said}");
    assert!(!said.contains("wrong-secret"), "{said}");

    let (before, _) = db
        .url()
        .rsplit_once('/')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let (kind, said) = refused(&format!("{before}/no_such_database")).unwrap();
    assert_eq!(kind, ErrorKind::DatabaseMissing, "3D000: {said}");

    let (kind, said) = refused("postgres://u@127.0.0.1:1/d").unwrap();
    assert_eq!(kind, ErrorKind::Unavailable, "refused: {said}");

    // 08006: whoever answers there hangs up.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://u@{}/d?sslmode=disable",
        listener.local_addr().unwrap()
    );
    let (kind, said) = std::thread::scope(|scope| {
        scope.spawn(|| drop(listener.accept().unwrap()));
        refused(&url).unwrap()
    });
    assert_eq!(kind, ErrorKind::Unavailable, "08006: {said}");
}
