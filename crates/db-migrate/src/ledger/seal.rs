//! The seal: a digest that the engine itself can tell at once, by which `status` knows that the
//! schema is still the one that was stored, without reading all of it.
//!
//! On SQLite it covers the text of every definition. On PostgreSQL it covers which row versions
//! the catalogs hold, so that a change of a table, index, view, enumeration, function or trigger breaks it, and some that do
//! not (`TRUNCATE`, a restore, another program's schema in the same database). An unbroken seal is enough for `status`; a broken or missing
//! one proves nothing, and the catalogs are compared in full, as `validate` and a run do anyway.

use db_core::Conn;
use diesel::connection::DefaultLoadingMode;
use diesel::dsl::sql;
use diesel::sql_types::{Nullable, Text};
use diesel::{
    OptionalExtension, QueryResult, QueryableByName, RunQueryDsl, SqliteConnection, sql_query,
};
use sha2::{Digest, Sha256};

use super::Ledger;
use super::cached::Cached;
use crate::error::{Error, in_database};
use crate::sql::hash;

/// All definitions. Their order does not count: `VACUUM` changes it.
const DEFINITIONS: &str = "SELECT type, name, tbl_name, coalesce(sql, '') FROM main.sqlite_schema";

type Definition = (String, String, String, String);

/// The catalogs that hold what a schema consists of, each with the column that numbers its rows.
/// Each costs a tenth of a millisecond of every `status`, so domains, policies, comments,
/// extensions and the steps of sequences are left to the comparison in full.
const CATALOGS: [(&str, &str); 7] = [
    ("pg_class", "oid"),
    ("pg_attribute", "attrelid"),
    ("pg_constraint", "oid"),
    ("pg_trigger", "oid"),
    ("pg_proc", "oid"),
    ("pg_enum", "oid"),
    ("pg_rewrite", "oid"),
];

/// The first number that PostgreSQL gives to what is not its own.
const FIRST_NORMAL_OID: u32 = 16_384;

#[derive(QueryableByName)]
struct Seal {
    #[diesel(sql_type = Nullable<Text>)]
    seal: Option<String>,
}

#[derive(QueryableByName)]
struct Seals {
    #[diesel(sql_type = Nullable<Text>)]
    stored: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    live: Option<String>,
}

impl Ledger {
    /// Seals the stored schema, which the caller has just seen to be the live one, or has made so.
    ///
    /// What another session changes in the very moment between is found by the next comparison
    /// in full.
    pub(crate) fn put_seal(&self, conn: &mut Conn<'_>) -> Result<(), Error> {
        let live = self.live_seal(conn)?;
        let query = format!("UPDATE {} SET seal = $?", self.state());
        self.write(conn, vec![Cached::new(query).text_or_null(live.as_deref())])
    }

    /// Whether the live schema is the stored one.
    pub(crate) fn is_sealed(&self, conn: &mut Conn<'_>) -> Result<bool, Error> {
        let state = self.state();
        let both = match conn.reborrow() {
            Conn::Sqlite(c) => {
                let stored = sql_query(format!("SELECT seal AS stored, NULL AS live FROM {state}"));
                stored.get_result::<Seals>(c).optional().and_then(|seals| {
                    let Some(seals) = seals else {
                        return Ok(None);
                    };
                    let live = definitions(c).map(Some)?;
                    Ok(Some(Seals { live, ..seals }))
                })
            }
            // One question instead of two: each is two round trips.
            Conn::Postgres(c) => sql_query(format!(
                "SELECT seal AS stored, ({}) AS live FROM {state}",
                row_versions()
            ))
            .get_result::<Seals>(c)
            .optional(),
        };
        let both = both.map_err(in_database(self.engine, "reading the schema's seal"))?;
        Ok(both.is_some_and(|seals| seals.stored.is_some() && seals.stored == seals.live))
    }

    /// The seal of the schema as it is now.
    fn live_seal(&self, conn: &mut Conn<'_>) -> Result<Option<String>, Error> {
        match conn.reborrow() {
            Conn::Sqlite(c) => definitions(c).map(Some),
            Conn::Postgres(c) => sql_query(row_versions())
                .get_result::<Seal>(c)
                .map(|row| row.seal),
        }
        .map_err(in_database(self.engine, "reading the schema's seal"))
    }
}

/// A digest of SQLite's definitions, which has no digests of its own: row by row, so that they are
/// never in memory all at once.
fn definitions(conn: &mut SqliteConnection) -> QueryResult<String> {
    let mut all = [0; 32];
    let rows = sql::<(Text, Text, Text, Text)>(DEFINITIONS)
        .load_iter::<Definition, DefaultLoadingMode>(conn)?;
    for row in rows {
        let (kind, name, owner, text) = row?;
        let mut digest = Sha256::new();
        for part in [kind, name, owner, text] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        // No two entries are alike, so none can undo another.
        for (sum, byte) in all.iter_mut().zip(digest.finalize()) {
            *sum ^= byte;
        }
    }
    Ok(hash(&all))
}

/// How many rows of each catalog are not the server's own, and a sum over their versions.
fn row_versions() -> String {
    let each = CATALOGS.map(|(catalog, id)| {
        format!(
            "SELECT count(*) || ':' || coalesce(sum(pg_catalog.hashint8extended({id}::bigint,
               xmin::text::bigint)), 0) AS part
             FROM pg_catalog.{catalog} WHERE {id} >= {FIRST_NORMAL_OID}"
        )
    });
    format!(
        "SELECT string_agg(part, ' ') AS seal FROM ({}) AS parts",
        each.join(" UNION ALL ")
    )
}
