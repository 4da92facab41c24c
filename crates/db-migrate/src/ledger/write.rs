//! Changing the ledger. Every function runs inside the caller's transaction.

use db_core::{Conn, Engine};
use diesel::RunQueryDsl;

use super::cached::Cached;
use super::history::SECONDS_LENGTH;
use super::objects::{DeltaTexts, SchemaAfter};
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
    ///
    /// # Errors
    /// If what is left to read of it cannot be read.
    pub(crate) fn of(
        migration: &'r Migration,
        status: Status,
        sequence: i64,
    ) -> Result<Self, Error> {
        let options = migration.options()?;
        Ok(Self {
            sequence,
            version: &migration.version,
            folder_name: &migration.folder_name,
            set: &migration.set,
            is_rust: migration.is_rust(),
            status,
            checksums: Some(migration.checksums()),
            up: migration.up_sql(),
            down: migration.down_sql()?,
            run_in_transaction: options.run_in_transaction,
            foreign_keys_off: options.foreign_keys_off,
            statements: 0,
            applied_at: "",
            duration_us: 0,
            applied_by: "",
            fingerprints: None,
        })
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
        self.write_row(conn, self.put_row(row))
    }

    /// Records an applied migration everywhere: the ledger, Diesel's table, the log, the schema
    /// and its stamp.
    pub(crate) fn record(
        &self,
        conn: &mut Conn<'_>,
        row: &NewRow<'_>,
        event: &NewEvent<'_>,
        schema: SchemaAfter<'_>,
    ) -> Result<(), Error> {
        let mut statements = vec![self.put_row(row)];
        if !row.is_rust {
            statements.push(self.put_diesel(row.version, row.applied_at));
        }
        self.with_schema(conn, statements, event, schema)
    }

    /// Records a reverted migration everywhere.
    pub(crate) fn unrecord(
        &self,
        conn: &mut Conn<'_>,
        (version, is_rust): (&Version, bool),
        event: &NewEvent<'_>,
        schema: SchemaAfter<'_>,
    ) -> Result<(), Error> {
        let mut statements = vec![self.delete_row(version)];
        if !is_rust {
            statements.push(self.delete_from_diesel(version));
        }
        self.with_schema(conn, statements, event, schema)
    }

    fn with_schema<'s>(
        &self,
        conn: &mut Conn<'_>,
        rows: Vec<Cached<'s>>,
        event: &NewEvent<'s>,
        schema: SchemaAfter<'s>,
    ) -> Result<(), Error> {
        let mut statements = rows;
        statements.push(self.append(event));
        match schema {
            SchemaAfter::Read(delta, stamp) => {
                let texts = DeltaTexts::new(delta)?;
                statements.extend(self.put_delta(&texts));
                statements.push(self.put_stamp(stamp));
                self.write(conn, statements)
            }
            SchemaAfter::Unread => {
                statements.push(self.delete_stamp());
                self.write(conn, statements)
            }
            SchemaAfter::StillUnread => self.write(conn, statements),
        }
    }

    /// Changes a row of the ledger, after which an idle run has to look at the rows again.
    fn write_row(&self, conn: &mut Conn<'_>, row: Cached<'_>) -> Result<(), Error> {
        self.write(conn, vec![row, self.unsettle()])
    }

    /// Runs statements of the ledger: on PostgreSQL in one round trip.
    pub(super) fn write(
        &self,
        conn: &mut Conn<'_>,
        statements: Vec<Cached<'_>>,
    ) -> Result<(), Error> {
        if statements.is_empty() {
            return Ok(());
        }
        let written = match conn.reborrow() {
            Conn::Sqlite(c) => statements
                .into_iter()
                .try_for_each(|statement| statement.execute(c).map(|_| ())),
            Conn::Postgres(c) => Cached::together(statements).execute(c).map(|_| ()),
        };
        written.map_err(in_database(self.engine, "writing the ledger"))
    }

    fn put_row<'r>(&self, row: &NewRow<'r>) -> Cached<'r> {
        let query = format!(
            "INSERT INTO {} (sequence, version, folder_name, set_name, is_rust, status,
               raw_checksum, token_checksum, up_sql, down_sql, run_in_transaction,
               foreign_keys_off, statements_done, statements_begun, applied_at, duration_us,
               applied_by, fingerprint, loose_fingerprint)
             VALUES ($?, $?, $?, $?, $?, $?, $?, $?, $?, $?, $?, $?, $?, $?, $?, $?, $?, $?, $?)
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
        Cached::new(&query)
            .number(row.sequence)
            .text(row.version.as_str())
            .text(row.folder_name)
            .text(row.set)
            .number(i64::from(row.is_rust))
            .text(row.status.as_str())
            .text_or_null(row.checksums.map(|c| c.raw.as_str()))
            .text_or_null(row.checksums.map(|c| c.tokens.as_str()))
            .text_or_null(row.up)
            .text_or_null(row.down)
            .number(i64::from(row.run_in_transaction))
            .number(i64::from(row.foreign_keys_off))
            .number(number(row.statements))
            .number(number(row.statements))
            .text(row.applied_at)
            .number(row.duration_us)
            .text(row.applied_by)
            .text_or_null(row.fingerprints.map(|f| f.0))
            .text_or_null(row.fingerprints.map(|f| f.1))
    }

    /// Diesel's row, with the ledger's moment: by another one we know that diesel_cli redid it.
    fn put_diesel<'r>(&self, version: &'r Version, at: &'r str) -> Cached<'r> {
        let run_on = match self.engine {
            Engine::Sqlite => format!("replace(substr($?, 1, {SECONDS_LENGTH}), 'T', ' ')"),
            Engine::Postgres => {
                format!("pg_catalog.left($?, {SECONDS_LENGTH})::pg_catalog.timestamp")
            }
        };
        Cached::new(&format!(
            "INSERT INTO {} (version, run_on) VALUES ($?, {run_on})",
            self.diesel()
        ))
        .text(version.as_str())
        .text(at)
    }

    /// Records how far a migration outside a transaction has come. On its way back its text is
    /// kept too, because that is what the next run goes on with.
    pub(crate) fn progress(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
        (begun, done): (u64, u64),
        way_back: Option<&str>,
    ) -> Result<(), Error> {
        let reverting = match way_back {
            Some(_) => format!(", status = '{}', down_sql = $?", Status::Reverting.as_str()),
            None => String::new(),
        };
        let query = format!(
            "UPDATE {} SET statements_begun = $?, statements_done = $?{reverting}
             WHERE version = $?",
            self.rows()
        );
        let counts = Cached::new(&query)
            .number(number(begun))
            .number(number(done));
        let progress = match way_back {
            Some(text) => counts.text(text),
            None => counts,
        };
        self.write_row(conn, progress.text(version.as_str()))
    }

    /// Records that what stopped on its way back counts as applied.
    pub(crate) fn accept_half_reverted(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
    ) -> Result<(), Error> {
        let query = format!(
            "UPDATE {} SET status = '{}', statements_begun = 0, statements_done = 0
             WHERE version = $?",
            self.rows(),
            Status::Applied.as_str()
        );
        self.write_row(conn, Cached::new(&query).text(version.as_str()))
    }

    /// Re-stamps the checksums and text of an applied migration.
    pub(crate) fn restamp(&self, conn: &mut Conn<'_>, migration: &Migration) -> Result<(), Error> {
        let query = format!(
            "UPDATE {} SET raw_checksum = $?, token_checksum = $?, up_sql = $?, down_sql = $?,
               folder_name = $?, set_name = $?
             WHERE version = $?",
            self.rows()
        );
        let texts = Cached::new(&query)
            .text(&migration.checksums().raw)
            .text(&migration.checksums().tokens)
            .text_or_null(migration.up_sql())
            .text_or_null(migration.down_sql()?)
            .text(migration.folder_name())
            .text(migration.set())
            .text(migration.version().as_str());
        self.write_row(conn, texts)
    }

    /// Remembers that an operator accepted that this migration's file is gone.
    pub(crate) fn accept_missing(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
    ) -> Result<(), Error> {
        let query = format!(
            "UPDATE {} SET accepted_missing = 1 WHERE version = $?",
            self.rows()
        );
        self.write_row(conn, Cached::new(&query).text(version.as_str()))
    }

    /// Removes a row.
    pub(crate) fn remove(&self, conn: &mut Conn<'_>, version: &Version) -> Result<(), Error> {
        self.write_row(conn, self.delete_row(version))
    }

    fn delete_row<'v>(&self, version: &'v Version) -> Cached<'v> {
        Cached::new(&format!("DELETE FROM {} WHERE version = $?", self.rows()))
            .text(version.as_str())
    }

    /// Adds a row that Diesel lacks, with the ledger's moment.
    pub(crate) fn restore_to_diesel(
        &self,
        conn: &mut Conn<'_>,
        version: &Version,
        at: &str,
    ) -> Result<(), Error> {
        self.write(conn, vec![self.put_diesel(version, at)])
    }

    fn delete_from_diesel<'v>(&self, version: &'v Version) -> Cached<'v> {
        Cached::new(&format!("DELETE FROM {} WHERE version = $?", self.diesel()))
            .text(version.as_str())
    }

    /// Appends to the log.
    pub(crate) fn note(&self, conn: &mut Conn<'_>, event: &NewEvent<'_>) -> Result<(), Error> {
        self.write(conn, vec![self.append(event)])
    }

    fn append<'e>(&self, event: &NewEvent<'e>) -> Cached<'e> {
        // `id` is an identity on PostgreSQL and the rowid on SQLite.
        let query = format!(
            "INSERT INTO {} (at, kind, version, folder_name, set_name, actor, duration_us,
               statement, detail)
             VALUES ($?, $?, $?, $?, $?, $?, $?, $?, $?)",
            self.events()
        );
        let (version, folder_name, set) = match event.migration {
            Some((version, name, set)) => (Some(version.as_str()), Some(name), Some(set)),
            None => (None, None, None),
        };
        Cached::new(&query)
            .text(event.at)
            .text(event.kind.as_str())
            .text_or_null(version)
            .text_or_null(folder_name)
            .text_or_null(set)
            .text(event.actor)
            .number_or_null(event.duration_us)
            .number_or_null(event.statement.map(number))
            .text_or_null(event.detail)
    }
}
