//! A value that nobody else changes until the transaction ends: SQLite has one writer, PostgreSQL
//! locks the row.

use db_core::{Conn, statement};
use db_schema::types::{Json, JsonDoc};
use diesel::sql_types::Text;
use diesel::{OptionalExtension as _, QueryResult, RunQueryDsl as _};

statement! {
    struct ReadSqlite<'a> {
        key: &'a str as Text,
    }
    returns JsonDoc;
    "SELECT setting_value FROM settings WHERE setting_key = " key
}

statement! {
    struct ReadPostgres<'a> {
        key: &'a str as Text,
    }
    returns JsonDoc;
    "SELECT setting_value FROM settings WHERE setting_key = " key " FOR UPDATE"
}

pub(crate) fn lock_setting(conn: &mut Conn<'_>, key: &str) -> QueryResult<Option<Json>> {
    match conn.reborrow() {
        Conn::Sqlite(c) => ReadSqlite { key }.get_result(c),
        Conn::Postgres(c) => ReadPostgres { key }.get_result(c),
    }
    .optional()
}
