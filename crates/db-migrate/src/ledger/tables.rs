//! Where the ledger is, and which of its tables exist.

use db_core::Conn;
use diesel::sql_types::{Bool, Text};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl, sql_query};

use super::{DIESEL_TABLE, LEDGER_TABLE};
use crate::error::{Error, in_database};

/// Which of the two tables exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tables {
    pub(super) ledger: bool,
    pub(super) diesel: bool,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Bool)]
    ledger: bool,
    #[diesel(sql_type = Bool)]
    diesel: bool,
}

impl Tables {
    /// Looks in `main` on SQLite, and in these schemas on PostgreSQL, an expression; temporary ones
    /// are passed over. None where there is no schema at all.
    ///
    /// PostgreSQL is asked by name, because a query over `pg_class` took it longer to plan than all
    /// else that an idle run asks for.
    pub(super) fn find(
        conn: &mut Conn<'_>,
        schemas: &str,
    ) -> Result<Option<(String, Self)>, Error> {
        let found: Option<Found> = match conn.reborrow() {
            Conn::Sqlite(c) => sql_query(format!(
                "SELECT 'main' AS schema,
                        max(name = '{LEDGER_TABLE}') IS TRUE AS ledger,
                        max(name = '{DIESEL_TABLE}') IS TRUE AS diesel
                 FROM main.sqlite_schema
                 WHERE type = 'table' AND name IN ('{DIESEL_TABLE}', '{LEDGER_TABLE}')"
            ))
            .get_result(c),
            Conn::Postgres(c) => sql_query(format!(
                "SELECT schema, ledger, diesel FROM (
                   SELECT name::text AS schema, place,
                     pg_catalog.to_regclass(home || '{LEDGER_TABLE}') IS NOT NULL AS ledger,
                     pg_catalog.to_regclass(home || '{DIESEL_TABLE}') IS NOT NULL AS diesel
                   FROM unnest({schemas}) WITH ORDINALITY AS path (name, place),
                     LATERAL (SELECT pg_catalog.quote_ident(name) || '.' AS home) AS quoted
                   WHERE name NOT LIKE 'pg\\_temp\\_%'
                 ) AS found
                 ORDER BY CASE WHEN ledger THEN 1 WHEN diesel THEN 2 ELSE 3 END, place
                 LIMIT 1"
            ))
            .get_result(c),
        }
        .optional()
        .map_err(in_database(conn.engine(), "looking for the ledger"))?;
        Ok(found.map(|found| {
            let tables = Self {
                ledger: found.ledger,
                diesel: found.diesel,
            };
            (found.schema, tables)
        }))
    }
}
