//! What an idle run goes by: a digest of all that decides whether there is anything to do.
//!
//! A run that applied everything, and had nothing to remark, leaves a digest of its migrations, of
//! the names of their sets, and of Diesel's rows. While all of these are the same, and no row of the
//! ledger was changed (which takes the digest away in the same transaction), the next run would find
//! the same: nothing. So it need not read the rows. Another digest, or none, proves nothing, and
//! everything is compared (docs/adr/0031).

use db_core::{Conn, Engine, with_conn};
use diesel::sql_types::{Nullable, Text};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl, sql_query};
use sha2::{Digest, Sha256};

use super::cached::Cached;
use super::{Ledger, Tables};
use crate::error::{Error, in_database};
use crate::source::MigrationSet;
use crate::sql::hash;

/// Names the definition. A release that finds more to do, or to remark, than the one before takes a
/// new name, so that no digest of an old release answers for it.
const DEFINITION: &str = "db-migrate settled 1";

/// The digest that the last run left, beside Diesel's rows as they are now.
#[derive(Debug, Default, QueryableByName)]
pub(crate) struct Settled {
    #[diesel(sql_type = Nullable<Text>)]
    settled: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    diesel: Option<String>,
}

impl Settled {
    /// Whether it is the digest of these migrations.
    pub(crate) fn is_of(&self, set: &MigrationSet) -> bool {
        self.settled.is_some() && self.settled == Some(self.digest(set))
    }

    fn digest(&self, set: &MigrationSet) -> String {
        let mut all = Sha256::new();
        let mut add = |part: &str| {
            all.update((part.len() as u64).to_le_bytes());
            all.update(part);
        };
        add(DEFINITION);
        set.names().for_each(&mut add);
        for migration in set.all() {
            add(migration.folder_name());
            add(migration.set());
            add(migration.raw_checksum());
            add(if migration.is_rust() { "rust" } else { "sql" });
        }
        add(self.diesel.as_deref().unwrap_or_default());
        hash(&all.finalize())
    }
}

impl Ledger {
    /// What the last run left, if the tables are there.
    pub(crate) fn settled(
        &self,
        conn: &mut Conn<'_>,
        tables: Tables,
    ) -> Result<Option<Settled>, Error> {
        if !(tables.ledger && tables.diesel) {
            return Ok(None);
        }
        let query = format!(
            "SELECT settled, ({}) AS diesel FROM {} WHERE settled IS NOT NULL",
            self.diesel_as_text(),
            self.state()
        );
        let rows: Option<Settled> = with_conn!(conn, |c| sql_query(query).get_result(c).optional())
            .map_err(in_database(self.engine, "reading what the last run left"))?;
        Ok(rows)
    }

    /// The digest for a database on which all of this set is applied.
    pub(super) fn digest(&self, conn: &mut Conn<'_>, set: &MigrationSet) -> Result<String, Error> {
        let query = format!(
            "SELECT NULL AS settled, ({}) AS diesel",
            self.diesel_as_text()
        );
        let now: Settled = with_conn!(conn, |c| sql_query(query).get_result(c))
            .map_err(in_database(self.engine, "reading Diesel's migrations"))?;
        Ok(now.digest(set))
    }

    /// What takes the digest away, for whatever changes a row of the ledger.
    pub(super) fn unsettle(&self) -> Cached<'static> {
        Cached::new(&format!("UPDATE {} SET settled = NULL", self.state()))
    }

    /// All rows of Diesel's table as one text, which is cheaper to read than rows.
    fn diesel_as_text(&self) -> String {
        let (run_on, table) = (self.run_on(), self.diesel());
        match self.engine {
            Engine::Sqlite => format!(
                "SELECT json_group_array(json_array(CAST(version AS TEXT), {run_on}))
                 FROM (SELECT version, run_on FROM {table} ORDER BY version)"
            ),
            Engine::Postgres => format!(
                "SELECT pg_catalog.json_agg(pg_catalog.json_build_array(version, {run_on})
                   ORDER BY version)::text
                 FROM {table}"
            ),
        }
    }
}
