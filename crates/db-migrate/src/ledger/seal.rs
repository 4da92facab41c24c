//! The seal: a digest that the engine itself can tell at once, by which `status` knows that the
//! schema is still the one that was stored, without reading all of it.
//!
//! On SQLite it covers the text of every definition. On PostgreSQL it covers which row versions
//! the catalogs hold, so that every statement that changes a schema breaks it, and some that do
//! not (`TRUNCATE`, a restore). A whole seal proves the schema; a broken or missing one proves
//! nothing, and the catalogs are compared in full.

use db_core::{Conn, Engine, with_conn};
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use super::Ledger;
use super::cached::Cached;
use crate::error::{Error, in_database};
use crate::sql::hash;

/// All definitions, in an order that `VACUUM` keeps.
const DEFINITIONS: &str = "SELECT group_concat(line, char(10)) FROM (
       SELECT json_array(type, name, tbl_name, sql) AS line FROM main.sqlite_schema
       ORDER BY type, name)";

/// The catalogs that hold what a schema consists of, each with the column that numbers its rows.
const CATALOGS: [(&str, &str); 17] = [
    ("pg_class", "oid"),
    ("pg_attribute", "attrelid"),
    ("pg_attrdef", "oid"),
    ("pg_constraint", "oid"),
    ("pg_index", "indexrelid"),
    ("pg_trigger", "oid"),
    ("pg_proc", "oid"),
    ("pg_type", "oid"),
    ("pg_enum", "oid"),
    ("pg_rewrite", "oid"),
    ("pg_policy", "oid"),
    ("pg_namespace", "oid"),
    ("pg_sequence", "seqrelid"),
    ("pg_inherits", "inhrelid"),
    ("pg_extension", "oid"),
    ("pg_statistic_ext", "oid"),
    ("pg_description", "objoid"),
];

/// The first number that PostgreSQL gives to what is not its own.
const FIRST_NORMAL_OID: u32 = 16_384;

#[derive(QueryableByName)]
struct Seals {
    #[diesel(sql_type = Nullable<Text>)]
    stored: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    now: Option<String>,
}

impl Ledger {
    /// Seals the stored schema, which the caller has just seen to be the live one, or has made so.
    pub(crate) fn put_seal(&self, conn: &mut Conn<'_>) -> Result<(), Error> {
        let Some(Seals { now: Some(now), .. }) = self.seals(conn)? else {
            return Ok(());
        };
        let query = format!("UPDATE {} SET seal = $?", self.state());
        self.write(conn, vec![Cached::new(query).text(&now)])
    }

    /// Whether the live schema is certainly the stored one.
    pub(crate) fn is_sealed(&self, conn: &mut Conn<'_>) -> Result<bool, Error> {
        let seals = self.seals(conn)?;
        Ok(seals.is_some_and(|seals| seals.stored.is_some() && seals.stored == seals.now))
    }

    /// The seal as it is stored and as it would be now, if a schema is stored at all.
    fn seals(&self, conn: &mut Conn<'_>) -> Result<Option<Seals>, Error> {
        let now = match self.engine {
            Engine::Sqlite => DEFINITIONS.to_owned(),
            Engine::Postgres => row_versions(),
        };
        let query = format!(
            "SELECT seal AS stored, ({now}) AS now FROM {}",
            self.state()
        );
        let rows: Vec<Seals> = with_conn!(conn, |c| sql_query(query).load(c))
            .map_err(in_database(self.engine, "reading the schema's seal"))?;
        Ok(rows.into_iter().next().map(|seals| Seals {
            // SQLite has no digests of its own.
            now: match self.engine {
                Engine::Sqlite => seals.now.map(|text| hash(text.as_bytes())),
                Engine::Postgres => seals.now,
            },
            ..seals
        }))
    }
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
        "SELECT string_agg(part, ' ') FROM ({}) AS parts",
        each.join(" UNION ALL ")
    )
}
