//! Changing the ledger. Every function runs inside the caller's transaction.

use db_core::{Conn, with_conn};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryResult, RunQueryDsl, sql_query};

use super::{Ledger, Status};
use crate::error::{Error, in_database};
use crate::migration::Migration;
use crate::sql::Checksums;
use crate::{EventKind, Version};

/// A row of the ledger about to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewRow<'r> {
    pub(crate) sequence: i64,
    pub(crate) version: &'r Version,
    pub(crate) folder_name: &'r str,
    pub(crate) set: &'r str,
    pub(crate) is_rust: bool,
    pub(crate) status: Status,
    pub(crate) checksums: Option<&'r Checksums>,
    pub(crate) up: Option<&'r str>,
    pub(crate) down: Option<&'r str>,
    pub(crate) run_in_transaction: bool,
    pub(crate) foreign_keys_off: bool,
    pub(crate) statements: u64,
    pub(crate) applied_at: &'r str,
    pub(crate) duration_us: i64,
    pub(crate) applied_by: &'r str,
    pub(crate) fingerprints: Option<(&'r str, &'r str)>,
}

impl<'r> NewRow<'r> {
    /// A row for a migration whose text is at hand.
    pub(crate) fn of(migration: &'r Migration, status: Status, sequence: i64) -> Self {
        Self {
            sequence,
            version: &migration.version,
            folder_name: &migration.folder_name,
            set: &migration.set,
            is_rust: migration.is_rust(),
            status,
            checksums: Some(&migration.checksums),
            up: migration.up_sql(),
            down: migration.down_sql(),
            run_in_transaction: migration.options.run_in_transaction,
            foreign_keys_off: migration.options.foreign_keys_off,
            statements: 0,
            applied_at: "",
            duration_us: 0,
            applied_by: "",
            fingerprints: None,
        }
    }
}

/// An entry of the log about to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent<'e> {
    pub(crate) kind: EventKind,
    pub(crate) at: &'e str,
    pub(crate) actor: &'e str,
    pub(crate) migration: Option<(&'e Version, &'e str, &'e str)>,
    pub(crate) duration_us: Option<i64>,
    pub(crate) statement: Option<u64>,
    pub(crate) detail: Option<&'e str>,
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Ledger {
    /// Writes or replaces a row.
    pub(crate) fn put(&self, conn: &mut Conn<'_>, row: &NewRow<'_>) -> Result<(), Error> {
        let query = format!(
            "INSERT INTO {} (sequence, version, folder_name, set_name, is_rust, status,
               raw_checksum, token_checksum, up_sql, down_sql, run_in_transaction,
               foreign_keys_off, statements_done, statements_begun, applied_at, duration_us,
               applied_by, fingerprint, loose_fingerprint)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
               $18, $19)
             ON CONFLICT (version) DO UPDATE SET sequence = excluded.sequence,
               folder_name = excluded.folder_name, set_name = excluded.set_name,
               is_rust = excluded.is_rust, status = excluded.status,
               raw_checksum = excluded.raw_checksum, token_checksum = excluded.token_checksum,
               up_sql = excluded.up_sql, down_sql = excluded.down_sql, accepted_missing = 0,
               run_in_transaction = excluded.run_in_transaction,
               foreign_keys_off = excluded.foreign_keys_off,
               statements_done = excluded.statements_done,
               statements_begun = excluded.statements_begun, applied_at = excluded.applied_at,
               duration_us = excluded.duration_us, applied_by = excluded.applied_by,
               fingerprint = excluded.fingerprint,
               loose_fingerprint = excluded.loose_fingerprint",
            self.rows()
        );
        with_conn!(conn, |c| sql_query(query)
            .bind::<BigInt, _>(row.sequence)
            .bind::<Text, _>(row.version.as_str())
            .bind::<Text, _>(row.folder_name)
            .bind::<Text, _>(row.set)
            .bind::<BigInt, _>(i64::from(row.is_rust))
            .bind::<Text, _>(row.status.as_str())
            .bind::<Nullable<Text>, _>(row.checksums.map(|c| c.raw.as_str()))
            .bind::<Nullable<Text>, _>(row.checksums.map(|c| c.tokens.as_str()))
            .bind::<Nullable<Text>, _>(row.up)
            .bind::<Nullable<Text>, _>(row.down)
            .bind::<BigInt, _>(i64::from(row.run_in_transaction))
            .bind::<BigInt, _>(i64::from(row.foreign_keys_off))
            .bind::<BigInt, _>(number(row.statements))
            .bind::<BigInt, _>(number(row.statements))
            .bind::<Text, _>(row.applied_at)
            .bind::<BigInt, _>(row.duration_us)
            .bind::<Text, _>(row.applied_by)
            .bind::<Nullable<Text>, _>(row.fingerprints.map(|f| f.0))
            .bind::<Nullable<Text>, _>(row.fingerprints.map(|f| f.1))
            .execute(c))
        .map_err(in_database(self.engine, "writing the ledger"))
        .map(|_| ())
    }

    /// Records how far a migration outside a transaction has come.
    pub(crate) fn progress(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
        (begun, done): (u64, u64),
    ) -> Result<(), Error> {
        let query = format!(
            "UPDATE {} SET statements_begun = $1, statements_done = $2 WHERE version = $3",
            self.rows()
        );
        with_conn!(conn, |c| sql_query(query)
            .bind::<BigInt, _>(number(begun))
            .bind::<BigInt, _>(number(done))
            .bind::<Text, _>(version.as_str())
            .execute(c))
        .map_err(in_database(self.engine, "writing the ledger"))
        .map(|_| ())
    }

    /// Re-stamps the checksums and text of an applied migration.
    pub(crate) fn restamp(
        &self,
        conn: &mut Conn<'_>,
        migration: &Migration,
    ) -> Result<(), Error> {
        let query = format!(
            "UPDATE {} SET raw_checksum = $1, token_checksum = $2, up_sql = $3, down_sql = $4,
               folder_name = $5, set_name = $6
             WHERE version = $7",
            self.rows()
        );
        with_conn!(conn, |c| sql_query(query)
            .bind::<Text, _>(&migration.checksums.raw)
            .bind::<Text, _>(&migration.checksums.tokens)
            .bind::<Nullable<Text>, _>(migration.up_sql())
            .bind::<Nullable<Text>, _>(migration.down_sql())
            .bind::<Text, _>(migration.folder_name())
            .bind::<Text, _>(migration.set())
            .bind::<Text, _>(migration.version().as_str())
            .execute(c))
        .map_err(in_database(self.engine, "writing the ledger"))
        .map(|_| ())
    }

    /// Remembers that an operator accepted that this migration's file is gone.
    pub(crate) fn accept_missing(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
    ) -> Result<(), Error> {
        let query = format!("UPDATE {} SET accepted_missing = 1 WHERE version = $1", self.rows());
        self.run(conn, query, version.as_str(), "writing the ledger")
    }

    /// Removes a row.
    pub(crate) fn remove(&self, conn: &mut Conn<'_>, version: &Version) -> Result<(), Error> {
        let query = format!("DELETE FROM {} WHERE version = $1", self.rows());
        self.run(conn, query, version.as_str(), "writing the ledger")
    }

    /// Adds the row to Diesel's table.
    pub(crate) fn add_to_diesel(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
    ) -> Result<(), Error> {
        let query = format!("INSERT INTO {} (version) VALUES ($1)", self.diesel());
        self.run(conn, query, version.as_str(), "writing Diesel's migrations")
    }

    /// Adds a row with its moment, for a Diesel table that has to be made anew.
    pub(crate) fn restore_to_diesel(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
    ) -> Result<(), Error> {
        let query = format!(
            "INSERT INTO {} (version) VALUES ($1) ON CONFLICT (version) DO NOTHING",
            self.diesel()
        );
        self.run(conn, query, version.as_str(), "writing Diesel's migrations")
    }

    /// Removes the row from Diesel's table.
    pub(crate) fn remove_from_diesel(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
    ) -> Result<(), Error> {
        let query = format!("DELETE FROM {} WHERE version = $1", self.diesel());
        self.run(conn, query, version.as_str(), "writing Diesel's migrations")
    }

    fn run(
        &self,
        conn: &mut Conn<'_>,
        query: String,
        argument: &str,
        doing: &'static str,
    ) -> Result<(), Error> {
        let done: QueryResult<usize> = with_conn!(conn, |c| sql_query(query)
            .bind::<Text, _>(argument)
            .execute(c));
        done.map(|_| ()).map_err(in_database(self.engine, doing))
    }

    /// Appends to the log.
    pub(crate) fn note(&self, conn: &mut Conn<'_>, event: &NewEvent<'_>) -> Result<(), Error> {
        // `id` is an identity on PostgreSQL and the rowid on SQLite.
        let query = format!(
            "INSERT INTO {} (at, kind, version, folder_name, set_name, actor, duration_us,
               statement, detail)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            self.events()
        );
        let (version, folder_name, set) = match event.migration {
            Some((version, name, set)) => (Some(version.as_str()), Some(name), Some(set)),
            None => (None, None, None),
        };
        with_conn!(conn, |c| sql_query(query)
            .bind::<Text, _>(event.at)
            .bind::<Text, _>(event.kind.as_str())
            .bind::<Nullable<Text>, _>(version)
            .bind::<Nullable<Text>, _>(folder_name)
            .bind::<Nullable<Text>, _>(set)
            .bind::<Text, _>(event.actor)
            .bind::<Nullable<BigInt>, _>(event.duration_us)
            .bind::<Nullable<BigInt>, _>(event.statement.map(number))
            .bind::<Nullable<Text>, _>(event.detail)
            .execute(c))
        .map_err(in_database(self.engine, "writing the log of migrations"))
        .map(|_| ())
    }
}
