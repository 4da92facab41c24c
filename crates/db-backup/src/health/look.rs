//! One look at a database: its connection, and what several checks share.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db_core::{Conn, Connection, Database, DatabaseStats, Engine, Error, Interrupt};
use db_migrate::Migrator;

use super::checks::{copy, schema};
use super::query::{Trouble, execute, is_damage, is_forbidden};
use super::report::CANNOT_BE_OPENED;
use super::{BackupAges, BoxError, Cost, HealthLimits, Target};

/// A cheap check that takes longer than this on PostgreSQL is ended.
const CHEAP_STATEMENT_SECONDS: u32 = 10;

/// No check waits longer than this for a lock on a table of PostgreSQL.
pub(super) const LOCK_SECONDS: u32 = 2;

/// What is remembered from one look to the next.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// The latest moment that was seen.
    pub(super) newest: Option<DateTime<Utc>>,
    /// Calls that the pool turned away, up to the last look.
    pub(super) refusals: u64,
    /// Transactions that failed, up to the last look.
    pub(super) failures: u64,
    pub(super) looked: Instant,
}

impl Memory {
    /// What is so far is no news.
    pub(super) fn of(database: Option<&Database>) -> Self {
        Self {
            newest: None,
            refusals: database.map_or(0, |database| refusals(&database.stats())),
            failures: database.map_or(0, Database::failed_transactions),
            looked: Instant::now(),
        }
    }
}

/// Calls that waited in vain for a connection or were turned away, since the database was opened.
pub(super) fn refusals(stats: &DatabaseStats) -> u64 {
    match stats {
        DatabaseStats::Sqlite(stats) => stats.readers.map_or(0, |readers| readers.timeouts),
        DatabaseStats::Postgres(stats) => {
            let replicas = stats.replicas.iter().map(|(_, gate)| gate);
            let gates = std::iter::once(&stats.gate).chain(replicas);
            gates.map(|gate| gate.timeouts + gate.shed).sum()
        }
        _ => 0,
    }
}

/// What is looked at, by what, with which eyes.
pub(super) struct Look<'a> {
    pub(super) target: &'a Target,
    pub(super) limits: &'a HealthLimits,
    pub(super) migrator: Option<&'a Migrator>,
    /// When it began.
    pub(super) now: DateTime<Utc>,
    began: Instant,
    pub(super) memory: &'a mut Memory,
    pub(super) stats: Option<DatabaseStats>,
    /// Damage that a check met.
    pub(super) damage: Option<Error>,
    /// Whether the check of integrity has read the data, by what would see damage in it.
    pub(super) has_read: bool,
    /// What an earlier look met, and none that reads everything has cleared.
    pub(super) known_damage: Option<Arc<Error>>,
    /// An error of the disk that a check met.
    pub(super) io: Option<Error>,
    /// The first thing of the database that the role may not read.
    pub(super) forbidden: Option<Error>,
    pub(super) opened: Duration,
    backups: Option<&'a (dyn Fn() -> Result<BackupAges, BoxError> + Send + Sync)>,
    ages: Option<Result<BackupAges, Untold>>,
    session: Session,
    schema: Option<Rc<Result<schema::Schema, String>>>,
    copy: Option<Result<copy::Copy, Trouble>>,
}

/// Why nobody can tell how old backups are.
#[derive(Debug, Clone)]
pub(super) struct Untold {
    pub(super) words: String,
    /// Their place, or what we say to it, is wrong: it stays so until somebody changes that.
    pub(super) is_wrong: bool,
}

enum Session {
    /// It could not be opened.
    None(Error),
    Own(Box<Connection>),
    /// A database in memory has one connection for all.
    Lent(Database),
}

/// What a look is made of.
pub(super) struct Eyes<'a> {
    pub(super) target: &'a Target,
    pub(super) limits: &'a HealthLimits,
    pub(super) migrator: Option<&'a Migrator>,
    pub(super) now: DateTime<Utc>,
    pub(super) backups: Option<&'a (dyn Fn() -> Result<BackupAges, BoxError> + Send + Sync)>,
}

impl<'a> Look<'a> {
    /// What the clock that said when it began says by now.
    pub(super) fn moment(&self) -> DateTime<Utc> {
        let since = TimeDelta::from_std(self.began.elapsed());
        self.now + since.unwrap_or_default()
    }

    /// Opens the database; that it cannot be opened is a finding, and no error.
    pub(super) fn open(eyes: &Eyes<'a>, memory: &'a mut Memory) -> Self {
        let target = eyes.target;
        let start = Instant::now();
        let session = match (&target.database, target.engine()) {
            (Some(database), Engine::Sqlite) if target.url.path().is_none() => {
                Session::Lent(database.clone())
            }
            _ => match target.open() {
                Ok(connection) => Session::Own(Box::new(connection)),
                Err(error) => Session::None(error),
            },
        };
        Self {
            opened: start.elapsed(),
            target,
            limits: eyes.limits,
            migrator: eyes.migrator,
            now: eyes.now,
            began: start,
            memory,
            stats: target.database.as_ref().map(Database::stats),
            damage: None,
            has_read: false,
            known_damage: None,
            io: None,
            forbidden: None,
            backups: eyes.backups,
            ages: None,
            session,
            schema: None,
            copy: None,
        }
    }

    /// Why there is no connection.
    pub(super) const fn refused(&self) -> Option<&Error> {
        match &self.session {
            Session::None(error) => Some(error),
            _ => None,
        }
    }

    /// What stops a statement of this look.
    pub(super) fn interrupt(&self) -> Option<Interrupt> {
        match &self.session {
            Session::Own(connection) => Some(connection.interrupt()),
            Session::None(_) | Session::Lent(_) => None,
        }
    }

    /// Asks the database.
    pub(super) fn ask<T>(
        &mut self,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        match &mut self.session {
            // Why is what the check of the connection says.
            Session::None(_) => Err(Trouble::Other(CANNOT_BE_OPENED.to_owned())),
            Session::Own(connection) => f(&mut connection.conn()),
            Session::Lent(database) => database.read(f),
        }
    }

    /// Bounds what a check of this cost may take of a server.
    pub(super) fn bound(&mut self, cost: Cost) -> Result<(), Trouble> {
        if self.target.engine() == Engine::Sqlite || self.target.is_pooled {
            return Ok(());
        }
        let seconds = match cost {
            Cost::Cheap => CHEAP_STATEMENT_SECONDS,
            Cost::Expensive => 0,
        };
        self.ask(|conn| {
            execute(
                conn,
                &format!(
                    "SET statement_timeout = '{seconds}s'; SET lock_timeout = '{LOCK_SECONDS}s'"
                ),
            )
        })
    }

    /// What the migrations say of the schema; read once in a look.
    pub(super) fn schema(&mut self) -> Result<Rc<Result<schema::Schema, String>>, Trouble> {
        if let Some(schema) = &self.schema {
            return Ok(Rc::clone(schema));
        }
        let Some(migrator) = self.migrator else {
            return Err(Trouble::Other("no migrations are given".to_owned()));
        };
        let read = self.ask(|conn| schema::read(conn, migrator));
        if let Err(trouble) = &read {
            self.note(trouble);
        }
        let schema = Rc::new(read.map_err(|trouble| trouble.to_string()));
        self.schema = Some(Rc::clone(&schema));
        Ok(schema)
    }

    /// A copy of a SQLite file, for what reads all of it; made once in a look.
    pub(super) fn copy(&mut self) -> Result<&mut copy::Copy, Trouble> {
        if self.copy.is_none() {
            // The look's own connection tells what is wrong with the file better than a copy.
            self.ask(|_| Ok(()))?;
            self.copy = Some(copy::Copy::make(self.target));
        }
        match &mut self.copy {
            Some(Ok(copy)) => Ok(copy),
            Some(Err(trouble)) => Err(trouble.again()),
            None => Err(Trouble::Other("there is no copy".to_owned())),
        }
    }

    /// How old backups are; asked once in a look. `None` if nobody tells.
    pub(super) fn ages(&mut self) -> Option<Result<BackupAges, Untold>> {
        let backups = self.backups?;
        let ages = self.ages.get_or_insert_with(|| {
            backups().map_err(|error| Untold {
                words: error.to_string(),
                is_wrong: error
                    .downcast_ref::<crate::Error>()
                    .is_some_and(crate::Error::is_wrong_place),
            })
        });
        Some(ages.clone())
    }

    /// Remembers damage, or an error of the disk, that a check met.
    pub(super) fn note(&mut self, trouble: &Trouble) {
        if self.forbidden.is_none() {
            self.forbidden = trouble.database().filter(|e| is_forbidden(e)).cloned();
        }
        let Some(error) = trouble.database().filter(|_| trouble.is_fault()) else {
            return;
        };
        let place = if is_damage(error) {
            &mut self.damage
        } else {
            &mut self.io
        };
        *place = Some(error.clone());
    }
}
