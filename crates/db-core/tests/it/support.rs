//! Connections that `db-core` opened, on databases of a test's own.

use db_core::{Access, Conn, Connection, DatabaseUrl, Engine, Error};
use db_testkit::TestDb;
use diesel::connection::SimpleConnection;
use diesel::{PgConnection, RunQueryDsl, SqliteConnection, sql_query};

pub(crate) fn open(db: &TestDb) -> Connection {
    open_url(&db.url()).unwrap()
}

pub(crate) fn open_url(url: &str) -> Result<Connection, Error> {
    Connection::open(&DatabaseUrl::parse(url).unwrap(), Access::Create)
}

pub(crate) fn sqlite(connection: &mut Connection) -> &mut SqliteConnection {
    match connection.conn() {
        Conn::Sqlite(c) => c,
        Conn::Postgres(_) => unreachable!("a test of SQLite"),
    }
}

pub(crate) fn postgres(connection: &mut Connection) -> &mut PgConnection {
    match connection.conn() {
        Conn::Postgres(c) => c,
        Conn::Sqlite(_) => unreachable!("a test of PostgreSQL"),
    }
}

/// Runs statements that must work.
pub(crate) fn run(connection: &mut Connection, sql: &str) {
    let done = connection.conn().batch_execute(sql);
    done.unwrap_or_else(|e| panic!("{e}\n{sql}"));
}

/// The error of one statement, prepared or not, converted as `?` does and as `classify` does.
pub(crate) fn fails(connection: &mut Connection, sql: &str) -> Error {
    let engine = connection.conn().engine();
    let error = match connection.conn() {
        Conn::Sqlite(c) => sql_query(sql).execute(c),
        Conn::Postgres(c) => sql_query(sql).execute(c),
    };
    let error = error.expect_err(sql);
    if engine == Engine::Postgres {
        let classified = Error::classify(engine, &error);
        let converted = Error::from(error);
        assert_eq!(classified.kind(), converted.kind(), "{sql}");
        assert_eq!(classified.violation(), converted.violation(), "{sql}");
        return converted;
    }
    // The recorded code is taken by the first who asks.
    Error::from(error)
}

/// The error of a batch.
pub(crate) fn batch_fails(connection: &mut Connection, sql: &str) -> Error {
    let error = match connection.conn() {
        Conn::Sqlite(c) => c.batch_execute(sql),
        Conn::Postgres(c) => c.batch_execute(sql),
    };
    Error::from(error.expect_err(sql))
}

/// Shows a figure that depends on the machine, and is not held.
#[expect(clippy::print_stderr, reason = "the figures are what one runs it for")]
pub(crate) fn report(figure: std::fmt::Arguments<'_>) {
    eprintln!("{figure}");
}
