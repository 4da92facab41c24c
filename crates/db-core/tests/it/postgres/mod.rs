//! The PostgreSQL database: its pool, its sessions, its transactions and its replicas.

mod faults;
mod load;
mod replicas;
mod sessions;
mod transactions;

use db_core::{Conn, DatabaseUrl, Engine, Error, Pooler, PostgresDatabase, PostgresOptions};
use db_testkit::TestDb;
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

pub(crate) fn options(url: &str) -> PostgresOptions {
    let mut options = PostgresOptions::new(DatabaseUrl::parse(url).unwrap());
    options.pooler = Pooler::None;
    options
}

/// A database of this test's own, and its settings before it is opened.
pub(crate) fn open_with(set: impl FnOnce(&mut PostgresOptions)) -> (TestDb, PostgresDatabase) {
    let db = TestDb::postgres();
    let mut options = options(&db.url());
    set(&mut options);
    let database = PostgresDatabase::open(options).unwrap();
    (db, database)
}

pub(crate) fn open() -> (TestDb, PostgresDatabase) {
    open_with(|_| {})
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
