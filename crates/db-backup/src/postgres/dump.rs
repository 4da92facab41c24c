//! A dump of one database by `pg_dump`, of the same snapshot as what the manifest says of it.

use std::collections::BTreeMap;
use std::io::{ErrorKind as IoKind, Read, Write};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use db_core::{Access, Clock, Conn, DatabaseUrl, ErrorKind, Interrupt};
use diesel::PgConnection;

use super::child::{Run, Tee};
use super::facts::{self, Server, Table};
use super::held::Held;
use super::tools::{Task, Tools};
use super::{PostgresOptions, programs};
use crate::backup::millis;
use crate::error::Error;
use crate::invariant::{Checked, Invariant};
use crate::manifest::{EngineFacts, SchemaFacts, TableRows};
use crate::progress::{Phase, Watcher};

/// Bytes of one step.
const CHUNK: usize = 1 << 18;

/// How often a stop is looked for while only the server works.
const GLANCE: Duration = Duration::from_millis(50);

/// Bytes of a table of contents that are read: a hundred thousand tables have fewer.
const LARGEST_LIST: u64 = 1 << 30;

/// What is known of a dump when it is written.
#[derive(Debug, Clone)]
pub(crate) struct Dumped {
    pub(crate) engine: EngineFacts,
    pub(crate) schema: Option<SchemaFacts>,
    pub(crate) tables: Vec<TableRows>,
    pub(crate) invariants: Checked,
    /// The moment of the snapshot.
    pub(crate) started_at: DateTime<Utc>,
    /// Milliseconds that dumping took.
    pub(crate) copy_ms: u64,
    /// Milliseconds that counting took, beside the dump.
    pub(crate) rows_ms: u64,
}

/// The tables whose rows a dump has to hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    must: BTreeMap<String, u32>,
    may: BTreeMap<String, u32>,
}

/// Writes a dump of the database to `out`, uncompressed.
pub(crate) fn dump(
    url: &DatabaseUrl,
    (options, invariants): (&PostgresOptions, &[Invariant]),
    clock: &dyn Clock,
    out: &mut dyn Write,
    watcher: &mut Watcher<'_>,
) -> Result<Dumped, Error> {
    let mut connection = facts::connect(url, Access::ReadOnly)?;
    let cancel = connection.interrupt();
    let conn = facts::postgres(&mut connection)?;
    let server = Server::read(conn)?;
    let tools = Tools::find(Task::Dump, options.bin.as_deref(), server.major())?;
    let named = format!("SET application_name = {}", facts::literal(super::NAME));
    facts::run(conn, &named, "naming the session")?;
    let lock_wait = options.lock_wait.as_millis().max(1);
    facts::run(
        conn,
        // A policy that hides rows is an error here, as it is for pg_dump; and both wait for a table as long.
        &format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL row_security = off;
             SET LOCAL lock_timeout = {lock_wait};
             SET LOCAL statement_timeout = 0;
             SET LOCAL idle_in_transaction_session_timeout = 0"
        ),
        "beginning the dump's snapshot",
    )?;
    let held = Held::watch(url);
    let told = |error| of_lock(error, &held);
    let started_at = clock.now();
    let exported = "SELECT pg_catalog.pg_export_snapshot() AS name";
    let snapshot = facts::name(conn, exported, "exporting the snapshot")?.unwrap_or_default();
    let schema = crate::sqlite::proof::schema(&mut conn.into())?;
    let tables = facts::tables(conn)?;
    facts::refuse_unreadable(conn, &tables).map_err(told)?;
    let mut command = programs(&tools, "pg_dump", url)?;
    command
        .args(["--format=custom", "--compress=0", "--no-password"])
        .arg(format!("--snapshot={snapshot}"))
        .arg(format!("--lock-wait-timeout={lock_wait}"));
    let run = Run::start(&mut command, Some(url), watcher.interrupt())?;
    let quit = run.quit();
    let mut listing = Run::start_fed(&mut list_command(&tools), None, watcher.interrupt())?;
    let (from, mut to) = (listing.stdout(), listing.stdin());
    let total = u64::try_from(server.database_bytes).unwrap_or_default();
    let expected = Contents::of(&tables);
    // The counts take the other core, and end the transaction that holds the snapshot.
    let stop = watcher.interrupt().clone();
    let (tell, outcomes) = channel();
    let began = Instant::now();
    let (counts, copy_ms, list) = std::thread::scope(|scope| {
        scope.spawn(move || {
            let since = Instant::now();
            let counted = facts::count(conn, &tables, |_| stopped(&stop))
                .and_then(|counted| Ok((counted, check(conn, invariants)?)));
            let is_failed = counted.is_err();
            // Nobody listens any more if the dump has failed.
            drop(tell.send(counted.map(|counted| (counted, millis(since.elapsed())))));
            // Without the counts the dump is worth nothing, and without their snapshot it would fail.
            quit.store(is_failed, Ordering::Relaxed);
        });
        let reader = scope.spawn(move || read_list(from));
        let mut tee = Tee {
            first: out,
            second: &mut to,
        };
        let streamed = stream(run, &mut tee, total, watcher);
        // It has read the beginning only; now it sees the end.
        drop(to);
        let copy_ms = millis(began.elapsed());
        let list = reader.join().unwrap_or(Err(Error::Interrupted));
        let counts = match streamed {
            Ok(()) => wait_for(&outcomes, watcher),
            // What ended the counts ended the dump.
            Err(error) => Err(outcomes
                .try_recv()
                .ok()
                .and_then(Result::err)
                .unwrap_or(error)),
        };
        if counts.is_err()
            && let Err(error) = cancel.interrupt()
        {
            tracing::warn!(%error, "the counting of rows cannot be cancelled");
        }
        counts.and_then(|counts| Ok((counts, copy_ms, list?)))
    })
    .map_err(told)?;
    listing.finish()?;
    let findings = expected.compare(&list);
    if !findings.is_empty() {
        return Err(Error::Unsound {
            name: "the dump".to_owned(),
            findings,
        });
    }
    let ((tables, invariants), rows_ms) = counts;
    Ok(Dumped {
        engine: server.engine(),
        schema,
        tables,
        invariants,
        started_at,
        copy_ms,
        rows_ms,
    })
}

/// Checks all invariants; the first that does not hold ends it.
fn check(conn: &mut PgConnection, invariants: &[Invariant]) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    for invariant in invariants {
        let findings = look(&mut checked, invariant, conn)?;
        if !findings.is_empty() {
            return Err(Error::Unsound {
                name: "the database".to_owned(),
                findings,
            });
        }
    }
    Ok(checked)
}

/// Looks at an invariant. A statement of it that fails would take the snapshot along, which `pg_dump` may not have taken up
/// yet; to a savepoint it goes back without it.
fn look(
    checked: &mut Checked,
    invariant: &Invariant,
    conn: &mut PgConnection,
) -> Result<Vec<String>, Error> {
    facts::run(conn, "SAVEPOINT looked", "beginning a check")?;
    let findings = checked.look(invariant, &mut Conn::Postgres(conn));
    facts::run(conn, "ROLLBACK TO SAVEPOINT looked", "ending a check")?;
    findings
}

/// Says whose lock it was that a table was not to be had for.
fn of_lock(error: Error, held: &Held) -> Error {
    let table = match &error {
        Error::Database { doing, error } if error.kind() == ErrorKind::LockTimeout => {
            doing.strip_prefix(facts::COUNTING)
        }
        // What pg_dump waits for first are all tables at once.
        Error::ToolFailed { reason, .. }
            if reason.contains("statement timeout") && reason.contains("LOCK TABLE") =>
        {
            Some("a table")
        }
        _ => None,
    };
    match table {
        Some(table) => Error::Locked {
            what: table.to_owned(),
            holder: held.holder(),
        },
        None => error,
    }
}

/// Waits for the counts, and for a stop.
fn wait_for<T>(told: &Receiver<Result<T, Error>>, watcher: &Watcher<'_>) -> Result<T, Error> {
    loop {
        match told.recv_timeout(GLANCE) {
            Ok(counts) => return counts,
            Err(RecvTimeoutError::Timeout) => watcher.check()?,
            Err(RecvTimeoutError::Disconnected) => return Err(Error::Interrupted),
        }
    }
}

/// Copies what a program writes, and waits for its good end.
pub(super) fn stream(
    mut run: Run,
    out: &mut dyn Write,
    total: u64,
    watcher: &mut Watcher<'_>,
) -> Result<(), Error> {
    let mut from = run.stdout();
    let mut buffer = vec![0; CHUNK];
    let mut done = 0_u64;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == IoKind::Interrupted => continue,
            Err(e) => return Err(Error::io("read", "what the program writes", e)),
        };
        out.write_all(&buffer[..read])
            .map_err(|e| Error::io("write", "the backup", e))?;
        done += read as u64;
        // The total is an estimate, and nothing is complete before the end.
        watcher.at(Phase::Copy, done, total.max(done + 1))?;
    }
    drop(from);
    run.finish()?;
    watcher.at(Phase::Copy, done, done)
}

impl Contents {
    fn of(tables: &[Table]) -> Self {
        let mut contents = Self::default();
        for table in tables {
            let list = if table.is_extensions {
                &mut contents.may
            } else {
                &mut contents.must
            };
            *list.entry(table.listed()).or_default() += 1;
        }
        contents
    }

    /// Holds a table of contents, as `pg_restore --list` prints it, against the catalog.
    fn compare(&self, list: &str) -> Vec<String> {
        let mut listed: BTreeMap<&str, u32> = BTreeMap::new();
        for line in list.lines().filter(|line| !line.starts_with(';')) {
            // `3321; 0 16391 TABLE DATA public users postgres`
            if let Some(at) = line.find("TABLE DATA ") {
                *listed.entry(line[at..].trim_end()).or_default() += 1;
            }
        }
        let mut findings = Vec::new();
        for (table, count) in &self.must {
            if listed.get(table.as_str()) != Some(count) {
                findings.push(format!("the dump lacks {table}"));
            }
        }
        for table in listed.keys() {
            if !self.must.contains_key(*table) && !self.may.contains_key(*table) {
                findings.push(format!(
                    "the dump holds {table}, which the catalog does not"
                ));
            }
        }
        findings
    }
}

/// The table of contents of a dump that `feed` writes, whose server was of this major version.
pub(super) fn list(
    options: &PostgresOptions,
    server: u32,
    interrupt: &Interrupt,
    feed: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<String, Error> {
    let tools = Tools::find(Task::Restore, options.bin.as_deref(), server)?;
    let mut run = Run::start_fed(&mut list_command(&tools), None, interrupt)?;
    let (from, mut to) = (run.stdout(), run.stdin());
    let (fed, list) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || read_list(from));
        let fed = feed(&mut to);
        drop(to);
        (fed, reader.join().unwrap_or(Err(Error::Interrupted)))
    });
    let finished = run.finish();
    // Damage explains why the program failed, and not the other way round.
    fed?;
    finished?;
    list
}

/// Whether a table of contents names the rows of a table, which is given as SQL writes it.
pub(super) fn lists(list: &str, quoted: &str) -> bool {
    let Some((schema, name)) = facts::unquoted(quoted) else {
        return false;
    };
    let plain = |text: &str| text.replace(['\n', '\r'], " ");
    let start = format!("TABLE DATA {} {} ", plain(&schema), plain(&name));
    let mut rest = list.lines().filter(|line| !line.starts_with(';'));
    rest.any(|line| line.contains(&start))
}

fn list_command(tools: &Tools) -> Command {
    let mut command = Command::new(tools.path("pg_restore"));
    command.args(["--format=custom", "--list"]);
    command
}

fn read_list(from: impl Read) -> Result<String, Error> {
    let mut bytes = Vec::new();
    from.take(LARGEST_LIST)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", "the table of contents", e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn stopped(interrupt: &Interrupt) -> Result<(), Error> {
    if interrupt.is_set() {
        return Err(Error::Interrupted);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_the_name_that_sql_writes() {
        let list = "3; 0 1 TABLE DATA public users me\n4; 0 2 TABLE DATA odd.s my \"t me\n";
        assert!(lists(list, "public.users"));
        assert!(lists(list, "\"odd.s\".\"my \"\"t\""));
        assert!(!lists(list, "public.user"));
        assert!(!lists(list, "nonsense"));
    }

    #[test]
    fn what_is_longer_than_estimated_is_complete_at_its_end_only() {
        let interrupt = Interrupt::default();
        let mut command = Command::new("head");
        command.args(["-c", "1000000", "/dev/zero"]);
        let run = Run::start(&mut command, None, &interrupt).unwrap();
        let mut seen = Vec::new();
        let mut note = |progress: crate::Progress| seen.push((progress.done, progress.total));
        let mut watcher = Watcher::new(&mut note, &interrupt);
        let mut written = Vec::new();
        stream(run, &mut written, 1_000, &mut watcher).unwrap();
        assert_eq!(written.len(), 1_000_000);
        let complete = seen.iter().filter(|(done, total)| done >= total);
        assert_eq!(complete.count(), 1, "{seen:?}");
        assert_eq!(seen.last(), Some(&(1_000_000, 1_000_000)));
    }

    #[test]
    fn a_table_that_is_missing_or_too_much_is_named() {
        let mut contents = Contents::default();
        contents
            .must
            .insert("TABLE DATA public users me".to_owned(), 1);
        contents
            .must
            .insert("TABLE DATA odd my table me".to_owned(), 1);
        contents
            .may
            .insert("TABLE DATA public spatial me".to_owned(), 1);
        let good = "; Archive\n3; 0 1 TABLE DATA public users me\n4; 0 2 TABLE DATA odd my table me\n\
                    5; 1259 3 TABLE public users me\n6; 0 4 TABLE DATA public spatial me\n";
        assert_eq!(contents.compare(good), Vec::<String>::new());
        let lacking = "3; 0 1 TABLE DATA public users me\n";
        assert_eq!(
            contents.compare(lacking),
            ["the dump lacks TABLE DATA odd my table me"]
        );
        let more = format!("{good}9; 0 9 TABLE DATA public more me\n");
        assert!(contents.compare(&more)[0].contains("public more"));
    }
}
