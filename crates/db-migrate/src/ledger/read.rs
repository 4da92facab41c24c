//! Reading the ledger. Nothing here writes, creates or locks.

use db_core::{Conn, Engine, with_conn};
use diesel::connection::DefaultLoadingMode;
use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{Queryable, QueryableByName, RunQueryDsl, sql_query};

use super::{
    Applied, DIESEL_TABLE, DieselRow, EVENTS_TABLE, History, LEDGER_TABLE, Ledger, Status,
    StoredTexts, Tables, quote,
};
use crate::assess::Problem;
use crate::error::{Error, in_database};
use crate::sql::Checksums;
use crate::{LoggedEvent, Version};

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// One row, read by position: looking each column up by its name took longer than all the rest.
#[derive(Queryable)]
struct Record {
    sequence: i64,
    version: String,
    folder_name: String,
    set_name: String,
    is_rust: i64,
    status: String,
    raw_checksum: Option<String>,
    token_checksum: Option<String>,
    accepted_missing: i64,
    run_in_transaction: i64,
    foreign_keys_off: i64,
    statements_done: i64,
    statements_begun: i64,
    applied_at: String,
    duration_us: i64,
    applied_by: String,
    fingerprint: Option<String>,
}

#[derive(QueryableByName)]
struct Texts {
    #[diesel(sql_type = Nullable<Text>)]
    up_sql: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    down_sql: Option<String>,
}

/// The types of [`COLUMNS`].
type Columns = (
    BigInt,
    Text,
    Text,
    Text,
    BigInt,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    Text,
    BigInt,
    Text,
    Nullable<Text>,
);

/// The columns of [`Record`], in its order.
const COLUMNS: &str = "sequence, version, folder_name, set_name, is_rust, status, raw_checksum, \
     token_checksum, accepted_missing, run_in_transaction, foreign_keys_off, statements_done, \
     statements_begun, applied_at, duration_us, applied_by, fingerprint";

impl Ledger {
    /// Finds the ledger and reads it.
    pub(crate) fn look(conn: &mut Conn<'_>) -> Result<(Self, History), Error> {
        let (ledger, tables) = Self::locate(conn)?;
        let history = ledger.read(conn, tables)?;
        Ok((ledger, history))
    }

    /// Reads both tables as they are.
    pub(crate) fn history(&self, conn: &mut Conn<'_>) -> Result<History, Error> {
        let schema = format!("ARRAY['{}']", self.schema.replace('\'', "''"));
        let (_, tables) = Tables::find(conn, &schema)?.ok_or(Error::NoSchema)?;
        self.read(conn, tables)
    }

    /// Reads those of the two tables that there are.
    pub(crate) fn read(&self, conn: &mut Conn<'_>, tables: Tables) -> Result<History, Error> {
        let ledger = if tables.ledger {
            Some(self.applied(conn)?)
        } else {
            None
        };
        let diesel = if tables.diesel {
            Some(self.diesel_rows(conn)?)
        } else {
            None
        };
        Ok(History::merge(ledger, diesel))
    }

    /// Which of the two tables was dropped. Without the ledger's others Diesel's is that of diesel_cli
    /// alone, which has no ledger.
    pub(crate) fn lost_table(
        &self,
        conn: &mut Conn<'_>,
        history: &History,
    ) -> Result<Option<Problem>, Error> {
        let table = match (history.has_ledger, history.has_diesel) {
            (true, false) => DIESEL_TABLE,
            (false, true) if self.has_remains(conn)? => LEDGER_TABLE,
            _ => return Ok(None),
        };
        let table = table.to_owned();
        Ok(Some(Problem::LostTable { table }))
    }

    /// Whether the log of events is there, which is made with the ledger.
    fn has_remains(&self, conn: &mut Conn<'_>) -> Result<bool, Error> {
        let query = match conn.engine() {
            Engine::Sqlite => {
                "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name = $1".to_owned()
            }
            Engine::Postgres => format!(
                "SELECT relname::text AS name FROM pg_catalog.pg_class
                 WHERE relkind = 'r' AND relname = $1
                   AND relnamespace = '{}'::regnamespace",
                quote(&self.schema).replace('\'', "''")
            ),
        };
        let found: Vec<Name> = with_conn!(conn, |c| sql_query(query)
            .bind::<Text, _>(EVENTS_TABLE)
            .load(c))
        .map_err(in_database(
            self.engine,
            "looking for the log of migrations",
        ))?;
        Ok(!found.is_empty())
    }

    /// Other PostgreSQL schemas that have a ledger of their own: someone else migrates them.
    pub(crate) fn foreign_schemas(&self, conn: &mut Conn<'_>) -> Result<Vec<String>, Error> {
        let Conn::Postgres(c) = conn.reborrow() else {
            return Ok(Vec::new());
        };
        let query = format!(
            "SELECT DISTINCT n.nspname::text AS name FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname IN ('{DIESEL_TABLE}', '{LEDGER_TABLE}') AND c.relkind = 'r'
               AND n.nspname <> $1"
        );
        let names: Vec<Name> = sql_query(query)
            .bind::<Text, _>(&self.schema)
            .load(c)
            .map_err(in_database(self.engine, "looking for other ledgers"))?;
        Ok(names.into_iter().map(|n| n.name).collect())
    }

    /// Diesel's moment as text, an expression.
    pub(super) const fn run_on(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "CAST(run_on AS TEXT)",
            // A cast would follow the session's DateStyle.
            Engine::Postgres => "pg_catalog.to_char(run_on, 'YYYY-MM-DD HH24:MI:SS.US')",
        }
    }

    fn diesel_rows(&self, conn: &mut Conn<'_>) -> Result<Vec<DieselRow>, Error> {
        let query = format!(
            "SELECT CAST(version AS TEXT) AS version, {} AS run_on FROM {}",
            self.run_on(),
            self.diesel()
        );
        let rows: Vec<(String, String)> = with_conn!(conn, |c| sql::<(Text, Text)>(&query).load(c))
            .map_err(in_database(self.engine, "reading Diesel's migrations"))?;
        Ok(rows
            .into_iter()
            .map(|(version, run_on)| DieselRow {
                version: Version::from_stored(version),
                run_on,
            })
            .collect())
    }

    fn applied(&self, conn: &mut Conn<'_>) -> Result<Vec<Applied>, Error> {
        let query = format!("SELECT {COLUMNS} FROM {} ORDER BY sequence", self.rows());
        let failed = in_database(self.engine, "reading the ledger");
        with_conn!(conn, |c| {
            match sql::<Columns>(&query).load_iter::<Record, DefaultLoadingMode>(c) {
                Ok(records) => records
                    .map(|record| record.map_err(&failed)?.into_applied())
                    .collect(),
                Err(e) => Err(failed(e)),
            }
        })
    }

    /// The stored texts of one migration.
    pub(crate) fn texts(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
    ) -> Result<StoredTexts, Error> {
        let query = format!(
            "SELECT up_sql, down_sql FROM {} WHERE version = $1",
            self.rows()
        );
        let rows: Vec<Texts> = with_conn!(conn, |c| sql_query(query)
            .bind::<Text, _>(version.as_str())
            .load(c))
        .map_err(in_database(self.engine, "reading a stored migration"))?;
        Ok(rows
            .into_iter()
            .next()
            .map_or_else(StoredTexts::default, |row| StoredTexts {
                up: row.up_sql,
                down: row.down_sql,
            }))
    }

    /// The log, oldest first.
    pub(crate) fn log(&self, conn: &mut Conn<'_>) -> Result<Vec<LoggedEvent>, Error> {
        let query = format!(
            "SELECT id, at, kind, version, folder_name, set_name, actor, duration_us, statement,
                    detail
             FROM {} ORDER BY id",
            self.events()
        );
        with_conn!(conn, |c| sql_query(query).load(c))
            .map_err(in_database(self.engine, "reading the log of migrations"))
    }
}

impl Record {
    fn into_applied(self) -> Result<Applied, Error> {
        let status = Status::parse(&self.status).ok_or_else(|| Error::UnknownStatus {
            version: self.version.clone(),
            status: self.status.clone(),
        })?;
        let checksums = match (self.raw_checksum, self.token_checksum) {
            (Some(raw), Some(tokens)) => Some(Checksums { raw, tokens }),
            _ => None,
        };
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(Applied {
            sequence: self.sequence,
            version: Version::from_stored(self.version),
            folder_name: self.folder_name,
            set: self.set_name,
            is_rust: self.is_rust != 0,
            status,
            checksums,
            accepted_missing: self.accepted_missing != 0,
            run_in_transaction: self.run_in_transaction != 0,
            foreign_keys_off: self.foreign_keys_off != 0,
            statements_done: count(self.statements_done),
            statements_begun: count(self.statements_begun),
            applied_at: self.applied_at,
            duration_us: self.duration_us,
            applied_by: self.applied_by,
            fingerprint: self.fingerprint,
        })
    }
}
