//! Maintenance of a SQLite file beside its readers and writers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use db_core::{Engine, ErrorKind};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use super::{Done, Plan, PlannedTask, Skipped, Steps, Task, TemporaryRoom, vacuum};
use crate::Error;

/// More findings than this say nothing more.
const MOST_FINDINGS: i64 = 100;

/// How long a checkpoint may hold up writers while it waits for readers to leave.
const LONGEST_HOLD: Duration = Duration::from_secs(2);

/// What errors say was being done.
pub(super) const DOING: &str = "maintenance";

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
pub(super) struct Checkpointed {
    #[diesel(sql_type = BigInt)]
    pub(super) busy: i64,
    #[diesel(sql_type = BigInt)]
    log: i64,
    #[diesel(sql_type = BigInt)]
    checkpointed: i64,
}

pub(super) fn plan(
    conn: &mut SqliteConnection,
    path: Option<&Path>,
    tasks: &[Task],
) -> Result<Plan, Error> {
    let is_wal = is_wal(conn)?;
    let mut planned = Vec::new();
    for &task in tasks {
        let blocks = match (task, is_wal) {
            (Task::Check, true) => {
                "nobody; the log cannot be emptied while it reads, and grows with what is written"
            }
            (Task::Check, false) => "writers, until it has read everything",
            (Task::Analyze | Task::Reindex, true) => {
                "writers, one table or index at a time; readers go on"
            }
            (Task::Analyze | Task::Reindex, false) => {
                "writers, and readers at each commit, one table or index at a time"
            }
            (Task::Optimize, _) => "writers, for a moment: it looks at a part of each stale table",
            (Task::Vacuum, true) => {
                "writers, until the whole file is rewritten: a write that waits longer than its \
                 busy_timeout fails; readers go on"
            }
            (Task::Vacuum, false) => "everybody, until the whole file is rewritten",
            (Task::Checkpoint, true) => {
                "nobody while pages are moved; then writers, at most two seconds, to empty the log"
            }
            (Task::Checkpoint, false) => "nobody: there is no log",
        };
        let freeable = free_bytes(conn)?;
        let needs = if task == Task::Vacuum {
            Some(vacuum::Needs::of(conn)?)
        } else {
            None
        };
        planned.push(PlannedTask {
            task,
            steps: match task {
                Task::Analyze => tables(conn)?.len(),
                Task::Reindex => indexes(conn)?.len(),
                Task::Check => 2,
                _ => 1,
            },
            blocks: blocks.to_owned(),
            needs_bytes: needs.as_ref().map(|needs| needs.beside),
            needs_temporary: needs.map(|needs| TemporaryRoom {
                bytes: needs.new,
                folder: needs.folder,
            }),
            may_free_bytes: match task {
                Task::Vacuum => Some(freeable),
                Task::Checkpoint => Some(log_bytes(path)),
                _ => None,
            },
        });
    }
    Ok(Plan {
        tasks: planned,
        bytes: bytes(conn, path)?,
    })
}

pub(super) fn run(
    conn: &mut SqliteConnection,
    path: Option<&Path>,
    steps: &mut Steps<'_>,
    wait: Duration,
) -> Result<Done, Error> {
    match steps.task {
        Task::Check => check(conn, steps),
        Task::Checkpoint => checkpoint(conn, steps, wait),
        Task::Optimize => {
            steps.begin("", 1, 1)?;
            // All tables and not only those that this connection has asked something.
            execute(conn, "PRAGMA optimize = 0x10002")?;
            Ok(Done {
                steps: 1,
                ..Done::default()
            })
        }
        Task::Analyze => {
            let tables = tables(conn)?;
            one_by_one(conn, steps, &tables, "ANALYZE")
        }
        Task::Reindex => {
            let indexes = indexes(conn)?;
            one_by_one(conn, steps, &indexes, "REINDEX")
        }
        Task::Vacuum => vacuum::run(conn, path, steps, wait),
    }
}

/// The database and its log.
pub(super) fn bytes(conn: &mut SqliteConnection, path: Option<&Path>) -> Result<u64, Error> {
    Ok(database_bytes(conn)? + log_bytes(path))
}

fn check(conn: &mut SqliteConnection, steps: &mut Steps<'_>) -> Result<Done, Error> {
    steps.begin("integrity", 1, 2)?;
    let mut findings: Vec<String> = load::<Name>(
        conn,
        &format!(
            "SELECT integrity_check AS name FROM pragma_integrity_check
             WHERE integrity_check <> 'ok' LIMIT {MOST_FINDINGS}"
        ),
    )
    .map_or_else(damaged, |rows| Ok(names(rows)))?;
    steps.begin("foreign keys", 2, 2)?;
    let orphans = load::<Name>(
        conn,
        "SELECT count(*) || iif(count(*) = 1, ' row of ', ' rows of ') || \"table\" ||
                iif(count(*) = 1, ' has', ' have') || ' no parent in ' || parent AS name
         FROM pragma_foreign_key_check GROUP BY \"table\", parent",
    );
    for line in orphans.map_or_else(damaged, |rows| Ok(names(rows)))? {
        // Damage that stops both is one.
        if !findings.contains(&line) {
            findings.push(line);
        }
    }
    Ok(Done {
        steps: 2,
        findings,
        ..Done::default()
    })
}

/// A check that cannot go on because of the damage has found it.
fn damaged(error: Error) -> Result<Vec<String>, Error> {
    match kind(&error) {
        Some(ErrorKind::Corrupt | ErrorKind::NotADatabase) => Ok(vec![error.to_string()]),
        _ => Err(error),
    }
}

/// Moves what can be moved beside everybody, then empties the log in a short hold of the writers.
fn checkpoint(
    conn: &mut SqliteConnection,
    steps: &mut Steps<'_>,
    wait: Duration,
) -> Result<Done, Error> {
    let mut done = Done::default();
    if !is_wal(conn)? {
        done.notes.push("there is no write-ahead log".to_owned());
        return Ok(done);
    }
    steps.begin("", 1, 2)?;
    run_checkpoint(conn, "PASSIVE")?;
    steps.begin("", 2, 2)?;
    let hold = wait.min(LONGEST_HOLD);
    execute(conn, &format!("PRAGMA busy_timeout = {}", hold.as_millis()))?;
    let emptied = run_checkpoint(conn, "TRUNCATE");
    execute(conn, &format!("PRAGMA busy_timeout = {}", wait.as_millis()))?;
    let emptied = emptied?;
    done.steps = 2;
    if emptied.busy != 0 {
        done.skipped.push(Skipped {
            object: "the log".to_owned(),
            reason: format!(
                "a reader or writer was in the way for {} ms; {} of {} pages are moved",
                hold.as_millis(),
                emptied.checkpointed.max(0),
                emptied.log.max(0)
            ),
            is_busy: true,
        });
    }
    Ok(done)
}

pub(super) fn run_checkpoint(
    conn: &mut SqliteConnection,
    mode: &str,
) -> Result<Checkpointed, Error> {
    // A busy checkpoint is a row and no error.
    let mut rows = load::<Checkpointed>(conn, &format!("PRAGMA wal_checkpoint({mode})"))?;
    rows.pop().ok_or_else(|| {
        let error = db_core::Error::new(ErrorKind::Other, "wal_checkpoint returned no row");
        Error::database(DOING, error)
    })
}

/// Runs one statement per object, so that others get in between.
fn one_by_one(
    conn: &mut SqliteConnection,
    steps: &mut Steps<'_>,
    objects: &[String],
    verb: &str,
) -> Result<Done, Error> {
    let mut done = Done::default();
    for (at, object) in objects.iter().enumerate() {
        steps.begin(object, at + 1, objects.len())?;
        match execute(conn, &format!("{verb} main.{}", quote(object))) {
            Ok(()) => done.steps += 1,
            Err(error) => match kind(&error) {
                Some(ErrorKind::Busy | ErrorKind::BusySnapshot) => done.skipped.push(Skipped {
                    object: object.clone(),
                    reason: "another writer held the lock all the time".to_owned(),
                    is_busy: true,
                }),
                _ => return Err(error),
            },
        }
    }
    Ok(done)
}

fn tables(conn: &mut SqliteConnection) -> Result<Vec<String>, Error> {
    let sql = "SELECT name FROM sqlite_schema
               WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
               ORDER BY name";
    Ok(names(load(conn, sql)?))
}

fn indexes(conn: &mut SqliteConnection) -> Result<Vec<String>, Error> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'index' ORDER BY name";
    Ok(names(load(conn, sql)?))
}

pub(super) fn database_bytes(conn: &mut SqliteConnection) -> Result<u64, Error> {
    number(
        conn,
        "SELECT page_count * page_size AS n FROM pragma_page_count, pragma_page_size",
    )
}

/// What lies unused in the file.
pub(super) fn free_bytes(conn: &mut SqliteConnection) -> Result<u64, Error> {
    number(
        conn,
        "SELECT freelist_count * page_size AS n FROM pragma_freelist_count, pragma_page_size",
    )
}

pub(super) fn is_wal(conn: &mut SqliteConnection) -> Result<bool, Error> {
    let sql = "SELECT journal_mode = 'wal' AS n FROM pragma_journal_mode";
    Ok(number(conn, sql)? == 1)
}

/// The size of the log, which is asked of the file system and never opened.
fn log_bytes(path: Option<&Path>) -> u64 {
    let Some(path) = path else { return 0 };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    fs::metadata(PathBuf::from(log)).map_or(0, |meta| meta.len())
}

fn number(conn: &mut SqliteConnection, sql: &str) -> Result<u64, Error> {
    let rows = load::<Number>(conn, sql)?;
    Ok(rows
        .first()
        .and_then(|row| u64::try_from(row.n).ok())
        .unwrap_or(0))
}

fn load<T>(conn: &mut SqliteConnection, sql: &str) -> Result<Vec<T>, Error>
where
    T: QueryableByName<diesel::sqlite::Sqlite> + 'static,
{
    sql_query(sql)
        .load::<T>(conn)
        .map_err(|e| Error::database(DOING, db_core::Error::classify(Engine::Sqlite, &e)))
}

pub(super) fn execute(conn: &mut SqliteConnection, sql: &str) -> Result<(), Error> {
    conn.batch_execute(sql)
        .map_err(|e| Error::database(DOING, db_core::Error::classify(Engine::Sqlite, &e)))
}

pub(super) fn kind(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::Database { error, .. } => Some(error.kind()),
        _ => None,
    }
}

fn names(rows: Vec<Name>) -> Vec<String> {
    rows.into_iter().map(|row| row.name).collect()
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
