//! The PostgreSQL database: its pool, its sessions, its transactions and its replicas.

mod caches;
mod faults;
mod load;
mod replicas;
mod scratch;
mod sessions;
mod transactions;

use db_core::{Conn, Database, DatabaseConfig, DatabaseStats, Engine, Error, PostgresStats};
use db_testkit::TestDb;
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

pub(crate) fn options(url: &str) -> DatabaseConfig {
    DatabaseConfig::new(url)
}

/// A database of this test's own, and its settings before it is opened.
pub(crate) fn open_with(set: impl FnOnce(DatabaseConfig) -> DatabaseConfig) -> (TestDb, Database) {
    let db = TestDb::postgres();
    let database = Database::open(&set(options(&db.url()))).unwrap();
    (db, database)
}

pub(crate) fn open() -> (TestDb, Database) {
    open_with(|o| o)
}

pub(crate) fn stats(database: &Database) -> PostgresStats {
    match database.stats() {
        DatabaseStats::Postgres(stats) => stats,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn raw<'c>(conn: &'c mut Conn<'_>) -> &'c mut PgConnection {
    match conn {
        Conn::Postgres(conn) => conn,
        Conn::Sqlite(_) => panic!("this is a PostgreSQL database"),
    }
}

pub(crate) fn execute(conn: &mut Conn<'_>, sql: &str) -> Result<(), Error> {
    conn.batch_execute(sql)
        .map_err(|e| Error::classify(Engine::Postgres, &e))
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    value: String,
}

/// `sql` must return one BIGINT called `value`.
pub(crate) fn number(conn: &mut Conn<'_>, sql: &str) -> Result<i64, Error> {
    sql_query(sql)
        .get_result::<Number>(raw(conn))
        .map(|row| row.value)
        .map_err(|e| Error::classify(Engine::Postgres, &e))
}

/// `sql` must return one TEXT called `value`.
pub(crate) fn word(conn: &mut Conn<'_>, sql: &str) -> Result<String, Error> {
    sql_query(sql)
        .get_result::<Word>(raw(conn))
        .map(|row| row.value)
        .map_err(|e| Error::classify(Engine::Postgres, &e))
}
