//! What one closure leaves behind is gone before the next.

use std::time::Duration;

use db_core::{Access, Connection, Error, ErrorKind, TlsMode};
use diesel::RunQueryDsl;

use super::{execute, number, open, open_with, raw, word};

const PID: &str = "SELECT pg_backend_pid()::bigint AS value";

/// What a session keeps that the next closure must not find: to make it, to look for it, and what
/// a new session shows.
const LEFTOVERS: &[(&str, &str, &str)] = &[
    (
        "SET application_name = 'changed'",
        "SELECT current_setting('application_name') AS value",
        "bitcraps-db",
    ),
    (
        "SELECT set_config('app.tenant', '7', false)",
        "SELECT coalesce(nullif(current_setting('app.tenant', true), ''), '-') AS value",
        "-",
    ),
    (
        "SET statement_timeout = 1",
        "SELECT current_setting('statement_timeout') AS value",
        "1min",
    ),
    (
        "SET TIME ZONE 'Europe/Berlin'",
        "SELECT current_setting('TimeZone') AS value",
        "UTC",
    ),
    (
        "SET default_transaction_read_only = off",
        "SELECT current_setting('default_transaction_read_only') AS value",
        "on",
    ),
    (
        "SET ROLE pg_monitor",
        "SELECT (current_user = session_user)::text AS value",
        "true",
    ),
    (
        "SELECT pg_advisory_lock(17)",
        "SELECT count(*)::text AS value FROM pg_locks
         WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        "0",
    ),
    (
        "LISTEN news",
        "SELECT count(*)::text AS value FROM pg_listening_channels()",
        "0",
    ),
    (
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT count(*)::text AS value FROM pg_cursors WHERE is_holdable",
        "0",
    ),
    (
        "CREATE TEMP TABLE left_over (a int)",
        "SELECT count(*)::text AS value FROM pg_class WHERE relname = 'left_over'",
        "0",
    ),
];

#[test]
fn a_write_leaves_nothing_behind() {
    for how in [How::Ends, How::Fails] {
        for (make, look, expected) in LEFTOVERS {
            let (_db, database) = open_with(|o| {
                o.max_connections(1)
                    .statement_timeout(Duration::from_mins(1))
            });
            let pid = database.read(|conn| number(conn, PID)).unwrap();
            let result: Result<(), Error> = database.write(|conn| {
                execute(conn, make)?;
                match how {
                    How::Ends => Ok(()),
                    How::Fails => execute(conn, "SELECT 1/0"),
                }
            });
            assert_eq!(result.is_ok(), how == How::Ends, "{make}");
            let (found, after) = database
                .read(|conn| Ok::<_, Error>((word(conn, look)?, number(conn, PID)?)))
                .unwrap();
            assert_eq!(found, *expected, "{make}");
            assert_eq!(pid, after, "{make}: the connection was not kept");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Ends,
    Fails,
}

#[test]
fn a_setting_that_a_trigger_made_is_gone() {
    let (db, database) = open_with(|o| o.max_connections(1));
    db.connect().execute(
        "CREATE TABLE t (a int);
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM set_config('app.tenant', '7', false); RETURN NEW; END $$;
         CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();",
    );
    database
        .write(|conn| execute(conn, "INSERT INTO t VALUES (1)"))
        .unwrap();
    let look = "SELECT coalesce(nullif(current_setting('app.tenant', true), ''), '-') AS value";
    assert_eq!(database.read(|conn| word(conn, look)).unwrap(), "-");
}

#[test]
fn one_statement_that_sets_something_is_undone() {
    let (_db, database) = open_with(|o| o.max_connections(1));
    database
        .read_one(|conn| execute(conn, "SELECT set_config('app.tenant', '7', false)"))
        .unwrap();
    let look = "SELECT coalesce(nullif(current_setting('app.tenant', true), ''), '-') AS value";
    assert_eq!(database.read_one(|conn| word(conn, look)).unwrap(), "-");
}

#[test]
fn prepared_statements_outlive_the_reset() {
    let (_db, database) = open_with(|o| o.max_connections(1));
    let prepared = "SELECT count(*) AS value FROM pg_prepared_statements";
    for _ in 0..3 {
        let one: i32 = database
            .write(|conn| {
                execute(conn, "SET app.tenant = '7'")?;
                diesel::select(abs(-1))
                    .get_result(raw(conn))
                    .map_err(|e| Error::classify(db_core::Engine::Postgres, &e))
            })
            .unwrap();
        assert_eq!(one, 1);
    }
    assert_eq!(database.read(|conn| number(conn, prepared)).unwrap(), 1);
}

// A typed query, which Diesel prepares once; SQL as text it never does.
diesel::define_sql_function!(fn abs(x: diesel::sql_types::Integer) -> diesel::sql_types::Integer);

#[test]
fn behind_a_pooler_nothing_is_prepared_and_limits_are_local() {
    let (_db, database) = open_with(|o| {
        o.max_connections(1)
            .transaction_pooler(true)
            .statement_timeout(Duration::from_millis(200))
    });
    database
        .read(|conn| {
            let _: i32 = diesel::select(abs(-1)).get_result(raw(conn)).unwrap();
            Ok::<_, Error>(())
        })
        .unwrap();
    let prepared = "SELECT count(*) AS value FROM pg_prepared_statements";
    assert_eq!(database.read(|conn| number(conn, prepared)).unwrap(), 0);
    let slow = database.read(|conn| execute(conn, "SELECT pg_sleep(60)"));
    assert_eq!(slow.unwrap_err().kind(), ErrorKind::StatementTimeout);
    let slow = database.read_one(|conn| execute(conn, "SELECT pg_sleep(60)"));
    assert_eq!(slow.unwrap_err().kind(), ErrorKind::StatementTimeout);
}

#[test]
fn limits_hold_and_the_url_goes_before_them() {
    let db = db_testkit::TestDb::postgres();
    let url = format!("{}?options=-c%20lock_timeout%3D7s", db.url());
    let options = super::options(&url)
        .lock_timeout(Duration::from_secs(3))
        .idle_in_transaction_timeout(Duration::from_secs(4));
    let database = db_core::Database::open(&options).unwrap();
    let settings = database
        .read(|conn| {
            word(
                conn,
                "SELECT concat_ws(' ', current_setting('lock_timeout'),
                     current_setting('idle_in_transaction_session_timeout'),
                     current_setting('statement_timeout')) AS value",
            )
        })
        .unwrap();
    assert_eq!(settings, "7s 4s 30s");
}

#[test]
fn the_password_does_not_show() {
    let (db, database) = open();
    let url = db.url();
    let (_, rest) = url.split_once("://").unwrap();
    let password = rest
        .split_once('@')
        .and_then(|(user, _)| user.split_once(':'))
        .map_or("no password at all", |(_, password)| password);
    let shown = format!("{database:?} {:?}", super::options(&url));
    assert!(!shown.contains(&format!(":{password}@")), "{shown}");
}

#[test]
fn a_configured_connection_demands_what_the_database_would() {
    let db = db_testkit::TestDb::postgres();
    let config = super::options(&db.url());
    Connection::open_configured(&config, Access::ReadWrite).unwrap();
    // The servers of the tests speak no TLS.
    let strict = config.tls_mode(TlsMode::VerifyFull);
    let error = Connection::open_configured(&strict, Access::ReadWrite).unwrap_err();
    assert!(error.message().contains("SSL"), "{error}");
}

#[test]
fn a_transaction_that_a_single_read_began_does_not_stay() {
    let (db, database) = open_with(|o| o.max_connections(1));
    let mut outside = db.connect();
    for sql in [
        "BEGIN",
        "SELECT 1; START TRANSACTION",
        "BEGIN READ WRITE; CREATE TABLE x (); COMMIT",
    ] {
        let error = database.read_one(|conn| execute(conn, sql)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Statement, "{sql}: {error}");
        let open = "SELECT count(*) AS value FROM pg_stat_activity
             WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        // A session that was closed is still listed for a moment.
        crate::database::until("no transaction is left open", || {
            number(&mut outside.conn(), open).unwrap() == 0
        });
    }
}

#[test]
fn a_setting_that_a_view_made_is_gone_at_the_next_transaction() {
    let (db, database) = open_with(|o| o.max_connections(1));
    db.connect()
        .execute("CREATE VIEW v AS SELECT set_config('app.tenant', '7', false) AS value");
    let made = database.read_one(|conn| word(conn, "SELECT value FROM v"));
    assert_eq!(made.unwrap(), "7");
    let look = "SELECT coalesce(nullif(current_setting('app.tenant', true), ''), '-') AS value";
    assert_eq!(database.read(|conn| word(conn, look)).unwrap(), "-");
}

#[test]
fn a_role_that_a_trigger_took_is_laid_down() {
    let (db, database) = open_with(|o| o.max_connections(1));
    db.connect().execute(
        "CREATE TABLE t (a int);
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM set_config('role', 'pg_monitor', false); RETURN NULL; END $$;
         CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();",
    );
    database
        .write(|conn| execute(conn, "INSERT INTO t VALUES (1)"))
        .unwrap();
    let look = "SELECT (current_user = session_user)::text AS value";
    assert_eq!(database.read(|conn| word(conn, look)).unwrap(), "true");
}

/// Diesel counts on the statements that it has prepared.
#[test]
fn a_session_whose_prepared_statements_were_touched_ends() {
    for sql in [
        "PREPARE p AS SELECT 1",
        "DEALLOCATE ALL",
        "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
    ] {
        let (_db, database) = open_with(|o| o.max_connections(1));
        let typed = |conn: &mut db_core::Conn<'_>| -> Result<i32, Error> {
            diesel::select(abs(-1))
                .get_result(raw(conn))
                .map_err(|e| Error::classify(db_core::Engine::Postgres, &e))
        };
        assert_eq!(database.read(typed).unwrap(), 1);
        database.write(|conn| execute(conn, sql)).unwrap();
        assert_eq!(database.read(typed).unwrap(), 1, "{sql}");
        let prepared = "SELECT count(*) AS value FROM pg_prepared_statements WHERE name = 'p'";
        assert_eq!(database.read(|conn| number(conn, prepared)).unwrap(), 0);
    }
}

#[test]
fn a_limit_below_a_millisecond_is_one_and_none_is_none() {
    let (_db, database) = open_with(|o| o.statement_timeout(Duration::from_micros(1)));
    let sleep = |seconds: &str| format!("SELECT pg_sleep({seconds})");
    let slow = database.read(|conn| execute(conn, &sleep("60")));
    assert_eq!(slow.unwrap_err().kind(), ErrorKind::StatementTimeout);
    let none = db_core::TransactionOptions::default().statement_timeout(Duration::ZERO);
    database
        .read_with(&none, |conn| execute(conn, &sleep("0.05")))
        .unwrap();
}

/// Behind a pooler the process that was ours when connecting may serve somebody else.
#[test]
fn closing_behind_a_pooler_cancels_nobody() {
    let (db, database) = open_with(|o| o.transaction_pooler(true));
    let lock = "SELECT pg_advisory_lock(7)";
    let mut other = db.connect();
    other.execute(lock);
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| database.write(|conn| execute(conn, "SELECT pg_advisory_xact_lock(7)")));
        while super::stats(&database).gate.in_use == 0 {
            std::thread::yield_now();
        }
        let late = database.close(Duration::from_millis(100)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        // What is asked of the server takes another thread, which has time to do it.
        let asked = std::time::Instant::now();
        while asked.elapsed() < Duration::from_millis(500) {
            std::thread::yield_now();
        }
        other.execute("SELECT pg_advisory_unlock(7)");
        waiting.join().unwrap().unwrap();
    });
}
