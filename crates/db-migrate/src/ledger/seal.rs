//! The seal: a digest that the engine itself can tell at once, by which `status` knows that the
//! schema is still the one that was stored, without reading all of it.
//!
//! On SQLite it covers the text of every definition. On PostgreSQL it covers which row versions
//! the catalogs hold, so that a change of a table, index, view, enumeration, function or trigger breaks it, and some that do
//! not (`TRUNCATE`, a restore, another program's schema in the same database). An unbroken seal is enough for `status`; a broken or missing
//! one proves nothing, and the catalogs are compared in full, as `validate` and a run do anyway.

use db_core::Conn;
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use super::Ledger;
use super::cached::Cached;
use crate::error::{Error, in_database};
use crate::source::MigrationSet;
use crate::sql::hash;

/// All definitions as one text, in an order that `VACUUM` does not change. One value is read many
/// times faster through Diesel than four for each definition.
const DEFINITIONS: &str = "SELECT json_group_array(json_array(type, name, tbl_name, sql)) AS seal
     FROM (SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY type, name)";

/// The catalogs that hold what a schema consists of, each with the column that numbers its rows and with
/// which of those of a schema count: a relation's system columns, half of all, come and go with it.
/// Each costs a tenth of a millisecond of every `status`, so domains, policies, comments,
/// extensions and the steps of sequences are left to the comparison in full.
const CATALOGS: [(&str, &str, &str); 7] = [
    ("pg_class", "oid", ""),
    ("pg_attribute", "attrelid", " AND attnum > 0"),
    ("pg_constraint", "oid", ""),
    ("pg_trigger", "oid", ""),
    ("pg_proc", "oid", ""),
    ("pg_enum", "oid", ""),
    ("pg_rewrite", "oid", ""),
];

/// The first number that PostgreSQL gives to what is not its own.
const FIRST_NORMAL_OID: u32 = 16_384;

#[derive(QueryableByName)]
struct Seal {
    #[diesel(sql_type = Nullable<Text>)]
    seal: Option<String>,
}

impl Ledger {
    /// Seals the stored schema, which the caller has just seen to be the live one, or has made so.
    ///
    /// What another session changes in the very moment between is found by the next comparison
    /// in full.
    ///
    /// With a set, of which all is applied and nothing is to be remarked, an idle run is told so too.
    pub(crate) fn put_seal(
        &self,
        conn: &mut Conn<'_>,
        settled: Option<&MigrationSet>,
    ) -> Result<(), Error> {
        let live = self.live_seal(conn)?;
        let digest = settled.map(|set| self.digest(conn, set)).transpose()?;
        let query = format!("UPDATE {} SET seal = $?, settled = $?", self.state());
        let both = Cached::new(&query)
            .text_or_null(live.as_deref())
            .text_or_null(digest.as_deref());
        self.write(conn, vec![both])
    }

    /// The seal of the schema as it is now.
    pub(crate) fn live_seal(&self, conn: &mut Conn<'_>) -> Result<Option<String>, Error> {
        match conn.reborrow() {
            Conn::Sqlite(c) => definitions(c),
            Conn::Postgres(c) => sql_query(row_versions())
                .get_result::<Seal>(c)
                .map(|row| row.seal),
        }
        .map_err(in_database(self.engine, "reading the schema's seal"))
    }
}

/// A digest of SQLite's definitions, which has no digests of its own.
fn definitions(conn: &mut SqliteConnection) -> QueryResult<Option<String>> {
    let all = sql_query(DEFINITIONS).get_result::<Seal>(conn)?;
    Ok(all.seal.map(|text| hash(text.as_bytes())))
}

/// How many rows of the catalogs are not the server's own, and a sum over their versions.
fn row_versions() -> String {
    let each = CATALOGS.map(|(catalog, id, of_which)| {
        format!(
            "SELECT {id} AS id, xmin AS version FROM pg_catalog.{catalog}
             WHERE {id} >= {FIRST_NORMAL_OID}{of_which}"
        )
    });
    // One sum over all of them: a sum for each took the server longer to plan than to compute.
    format!(
        "SELECT count(*) || ':' || coalesce(sum(pg_catalog.hashint8extended(id::bigint,
           version::text::bigint)), 0) AS seal
         FROM ({}) AS rows",
        each.join(" UNION ALL ")
    )
}
