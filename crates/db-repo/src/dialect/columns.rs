//! Whether a table has a column, of which each engine's own catalog tells.

use db_core::{Conn, statement};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, RunQueryDsl as _};

statement! {
    struct OnSqlite<'a> {
        table: &'a str as Text,
        column: &'a str as Text,
    }
    returns BigInt;
    "SELECT count(*) FROM pragma_table_info(" table ") WHERE name = " column
}

statement! {
    /// Of the table that a statement of this session would mean by the name.
    struct OnPostgres<'a> {
        table: &'a str as Text,
        column: &'a str as Text,
    }
    returns BigInt;
    "SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass(" table
    ") AND attname = " column " AND NOT attisdropped"
}

/// Whether there is such a table and has such a column.
pub(crate) fn has_column(conn: &mut Conn<'_>, table: &str, column: &str) -> QueryResult<bool> {
    let found: i64 = match conn.reborrow() {
        Conn::Sqlite(c) => OnSqlite { table, column }.get_result(c),
        Conn::Postgres(c) => OnPostgres { table, column }.get_result(c),
    }?;
    Ok(found > 0)
}
