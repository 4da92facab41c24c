//! How a copy into PostgreSQL that did not end is undone.
//!
//! Tables are loaded by several connections, so no one transaction holds the copy. Before anything is
//! changed, what undoes it is written into a table of the target, in the same transaction. Whoever
//! copies next finds it there, after a kill too, and undoes it if that is wanted and the rows are still
//! those of the copy. A lock tells a copy that goes on from one that is dead.

use db_core::{Access, ErrorKind, Interrupt};

use super::ddl::{Build, Part};
use super::error::{CopyError, Doing as _, is_refusal};
use super::names::literal;
use super::report::{CopyReport, NotTranslated};
use super::side::{Bulk, Endpoint};
use crate::waiting::{OnWait, Pending};

/// Named as the ledgers are, which are no part of the schema, so that nobody takes it for drift.
const MARKER: &str = "\"__db_migrate_copy\"";

/// The lock's key: the namespace of the house ("bcdb") and "copy". A server notices within a moment
/// that a copy was killed, so there is a wait.
const LOCK: &str =
    "SET lock_timeout = '5s'; SELECT pg_advisory_lock(1650680930, 1668247673); RESET lock_timeout";

/// The sentence in the marker that stands for the caller's migrations.
const MIGRATED: &str = "-- migrated";

/// How a note of rows begins: before the copy, after it, and the table follow.
const ROWS: &str = "-- rows ";

/// How the note of an object of the ledgers begins that was there before the copy; what it is follows.
const KEPT: &str = "-- kept ";

/// The tables and functions of the ledgers, which migrations make and do not take away again.
const LEDGERS: &str = "SELECT 'TABLE', quote_ident(relname) FROM pg_catalog.pg_class \
     WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace \
     AND (relname = '__diesel_schema_migrations' OR left(relname, 12) = '__db_migrate') \
     AND relname <> '__db_migrate_copy' \
     UNION ALL SELECT 'FUNCTION', oid::regprocedure::text FROM pg_catalog.pg_proc \
     WHERE pronamespace = current_schema()::regnamespace AND left(proname, 12) = '__db_migrate'";

/// What a copy that stopped has noted.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Whether the tables are those of the caller's migrations.
    pub(super) migrated: bool,
    /// For each table how many rows it may have, besides none.
    pub(super) rows: Vec<(String, [u64; 2])>,
}

/// The right to copy into a database of PostgreSQL, until it is dropped.
#[derive(Debug)]
pub(super) struct Marker {
    target: Endpoint,
    /// Holds the lock.
    session: Bulk,
}

impl Marker {
    /// Takes the lock, and tells whose it is if another copy has it.
    ///
    /// # Errors
    /// [`CopyError::Locked`].
    pub(super) fn take(target: &Endpoint, on_wait: &OnWait) -> Result<Self, CopyError> {
        let locking = || "locking the target".to_owned();
        let mut session = Bulk::open(target, Access::ReadWrite, &Interrupt::default())?;
        let _watched = match &mut session {
            Bulk::Postgres(bulk) => {
                Some(Pending::session(&target.url, bulk, on_wait).doing(locking)?)
            }
            Bulk::Sqlite(_) => None,
        };
        match session.execute(LOCK) {
            Err(error) if error.kind() == ErrorKind::LockTimeout => return Err(CopyError::Locked),
            done => done.doing(locking)?,
        }
        Ok(Self {
            target: target.clone(),
            session,
        })
    }

    /// Fails where the lock was lost, with its session.
    pub(super) fn held(&mut self) -> Result<(), CopyError> {
        self.session
            .execute("SELECT 1")
            .doing(|| "looking whether the target is still locked".to_owned())
    }

    /// What a copy that stopped has noted.
    pub(super) fn left(&self) -> Result<Left, CopyError> {
        let sql = format!("SELECT undo FROM {MARKER} ORDER BY step");
        let rows = self.connect()?.rows(&sql).doing(doing)?;
        let mut left = Left::default();
        for step in rows.into_iter().flatten().flatten() {
            left.migrated |= step == MIGRATED;
            let mut words = step.strip_prefix(ROWS).unwrap_or_default().splitn(3, ' ');
            if let (Some(before), Some(after), Some(table)) =
                (words.next(), words.next(), words.next())
                && let (Ok(before), Ok(after)) = (before.parse(), after.parse())
            {
                left.rows.push((table.to_owned(), [before, after]));
            }
        }
        Ok(left)
    }

    /// Notes how many rows tables have and will have.
    pub(super) fn note(&self, tables: &[(String, u64, u64)]) -> Result<(), CopyError> {
        let inserts: Vec<String> = tables
            .iter()
            .map(|(table, before, after)| insert(&format!("{ROWS}{before} {after} {table}")))
            .collect();
        self.connect()?.execute(&inserts.join(" ")).doing(doing)
    }

    /// Whether a copy stopped before its end.
    pub(super) fn is_there(&self) -> Result<bool, CopyError> {
        let mut bulk = self.connect()?;
        let sql = format!("SELECT count(to_regclass({}))", literal(MARKER));
        Ok(bulk.number(&sql).doing(doing)? > 0)
    }

    /// Marks the target; `migrated` if the caller's migrations follow.
    pub(super) fn set(&self, migrated: bool) -> Result<(), CopyError> {
        let mut sql = format!(
            "CREATE TABLE {MARKER} (step bigint GENERATED ALWAYS AS IDENTITY, undo text NOT NULL);"
        );
        let mut bulk = self.connect()?;
        if migrated {
            sql.push_str(&insert(MIGRATED));
            for [kind, name] in ledgers(&mut bulk)? {
                sql.push_str(&insert(&format!("{KEPT}{kind} {name}")));
            }
        }
        bulk.execute(&sql).doing(doing)
    }

    /// Runs statements, and keeps what undoes them, in one transaction.
    pub(super) fn run(&self, statements: &[String], undo: &[String]) -> Result<(), CopyError> {
        let mut bulk = self.connect()?;
        let making = || "making the tables".to_owned();
        bulk.execute("BEGIN").doing(making)?;
        for statement in undo {
            bulk.execute(&insert(statement)).doing(doing)?;
        }
        for statement in statements {
            bulk.execute(statement).doing(|| step(statement))?;
        }
        bulk.execute("COMMIT").doing(making)
    }

    /// The statements that [`undo`](Self::undo) would run, and [`remove`](Self::remove) after it.
    pub(super) fn would_undo(&self) -> Result<Vec<String>, CopyError> {
        let mut steps = steps(&mut self.connect()?)?;
        steps.retain(|step| !is_note(step));
        steps.push(format!("DROP TABLE {MARKER}"));
        Ok(steps)
    }

    /// Undoes everything, the last first. Returns whether migrations are left to be undone; the mark
    /// stays until [`Marker::remove`].
    pub(super) fn undo(&self) -> Result<bool, CopyError> {
        let mut bulk = self.connect()?;
        let steps = steps(&mut bulk)?;
        bulk.execute("BEGIN").doing(doing)?;
        for step in steps.iter().filter(|step| !is_note(step)) {
            bulk.execute(step)
                .doing(|| format!("undoing the copy: {step}"))?;
        }
        let sql = format!(
            "DELETE FROM {MARKER} WHERE undo <> {} AND NOT undo LIKE {}; COMMIT",
            literal(MIGRATED),
            literal(&format!("{KEPT}%"))
        );
        bulk.execute(&sql).doing(doing)?;
        Ok(steps.iter().any(|step| step == MIGRATED))
    }

    /// Takes the ledgers away that were not there before the copy, and the mark: nothing is left.
    pub(super) fn remove_with_ledgers(&self) -> Result<(), CopyError> {
        let mut bulk = self.connect()?;
        let sql = format!("SELECT undo FROM {MARKER}");
        let notes = bulk.rows(&sql).doing(doing)?;
        let notes: Vec<String> = notes.into_iter().flatten().flatten().collect();
        let mut made = ledgers(&mut bulk)?;
        made.retain(|[kind, name]| !notes.contains(&format!("{KEPT}{kind} {name}")));
        bulk.execute("BEGIN").doing(doing)?;
        // A table's trigger needs its function.
        for wanted in ["TABLE", "FUNCTION"] {
            let of_kind = made.iter().filter(|[kind, _]| kind == wanted);
            let names: Vec<&str> = of_kind.map(|[_, name]| name.as_str()).collect();
            if !names.is_empty() {
                let sql = format!("DROP {wanted} {}", names.join(", "));
                bulk.execute(&sql)
                    .doing(|| format!("undoing the copy: {sql}"))?;
            }
        }
        let sql = format!("DROP TABLE {MARKER}; COMMIT");
        bulk.execute(&sql).doing(doing)
    }

    /// Takes the mark away: the copy has arrived, or nothing of it is left.
    pub(super) fn remove(&self) -> Result<(), CopyError> {
        let sql = format!("DROP TABLE IF EXISTS {MARKER}");
        self.connect()?.execute(&sql).doing(doing)
    }

    /// A connection that no interrupt stops: what is undone is undone to its end.
    fn connect(&self) -> Result<Bulk, CopyError> {
        let mut bulk = Bulk::open(&self.target, Access::ReadWrite, &Interrupt::default())?;
        bulk.execute("SET client_min_messages = warning")
            .doing(doing)?;
        Ok(bulk)
    }
}

/// All that is noted, the last first.
fn steps(bulk: &mut Bulk) -> Result<Vec<String>, CopyError> {
    let sql = format!("SELECT undo FROM {MARKER} ORDER BY step DESC");
    let rows = bulk.rows(&sql).doing(doing)?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// Parts of a schema at most that a rehearsal makes: each locks something until it ends, and a server
/// has room for some thousands of locks.
const MOST_PARTS: usize = 1000;

/// Makes the tables in a transaction that is rolled back, for a dry run: finds what cannot be made, and
/// lists what would be left out.
///
/// # Errors
/// What making them says.
pub(super) fn rehearse(
    target: &Endpoint,
    build: &Build,
    report: &mut CopyReport,
) -> Result<(), CopyError> {
    let making = || "making the tables".to_owned();
    let mut bulk = Bulk::open(target, Access::ReadWrite, &Interrupt::default())?;
    bulk.execute("SET client_min_messages = warning; BEGIN")
        .doing(making)?;
    for statement in &build.before {
        bulk.execute(statement).doing(|| step(statement))?;
    }
    if build.before.len() + build.after.len() <= MOST_PARTS {
        let (first, last): (Vec<&Part>, Vec<&Part>) =
            build.after.iter().partition(|p| p.kind != "foreign key");
        for part in first.into_iter().chain(last) {
            bulk.execute("SAVEPOINT part").doing(making)?;
            let Err(error) = bulk.execute(&part.sql) else {
                bulk.execute("RELEASE part").doing(making)?;
                continue;
            };
            if !is_refusal(&error) {
                return Err(error).doing(|| format!("making {} {}", part.kind, part.name));
            }
            let left = NotTranslated::new(part.kind, &part.name, error.told());
            report.not_translated.push(left);
            bulk.execute("ROLLBACK TO part").doing(making)?;
        }
    }
    bulk.execute("ROLLBACK").doing(making)
}

/// What is being done, with the beginning of the statement that does it.
fn step(statement: &str) -> String {
    let first = statement.lines().next().unwrap_or_default();
    format!("making the tables: {first}")
}

/// Whether a step is for somebody to read, and not for the server.
fn is_note(step: &str) -> bool {
    step == MIGRATED || step.starts_with(ROWS) || step.starts_with(KEPT)
}

/// The objects of the ledgers that there are: what each is, and its name.
fn ledgers(bulk: &mut Bulk) -> Result<Vec<[String; 2]>, CopyError> {
    let rows = bulk.rows(LEDGERS).doing(doing)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let mut row = row.into_iter().flatten();
            Some([row.next()?, row.next()?])
        })
        .collect())
}

fn insert(undo: &str) -> String {
    format!("INSERT INTO {MARKER} (undo) VALUES ({});", literal(undo))
}

fn doing() -> String {
    "keeping how to undo the copy".to_owned()
}
