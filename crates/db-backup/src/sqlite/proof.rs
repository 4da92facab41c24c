//! What a copy of a SQLite database is checked for, and what is known of it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use db_core::{Conn, Connection, EncryptionKey, Engine, Interrupt};
use db_migrate::catalog::{Catalog, Scope};
use db_migrate::{Migrator, Status};
use diesel::connection::DefaultLoadingMode;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use crate::backup::millis;
use crate::error::Error;
use crate::invariant::{Checked, Invariant};
use crate::manifest::{EngineFacts, Level, SchemaFacts, TableRows, clean};
use crate::progress::{Phase, Watcher};
use crate::tolerated::Tolerated;

/// So many faults are named; the rest adds nothing.
const MOST_FINDINGS: usize = 20;

/// What SQLite's codes of a disk that fails have in their lower byte.
const SQLITE_IOERR: i32 = 10;

/// Integrity, foreign keys, rows, and the state of the schema.
const STEPS: u64 = 4;

/// A file, and what it is checked for.
pub(crate) struct What<'a> {
    /// What errors call it.
    pub(crate) name: &'a str,
    /// Nobody changes it meanwhile.
    pub(crate) path: &'a Path,
    pub(crate) key: Option<&'a EncryptionKey>,
    pub(crate) level: Level,
    pub(crate) invariants: &'a [Invariant],
    /// Where broken foreign keys are noted, if they are accepted.
    pub(crate) tolerated: Option<&'a Tolerated>,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Proved {
    pub(crate) engine: EngineFacts,
    pub(crate) schema: Option<SchemaFacts>,
    pub(crate) tables: Vec<TableRows>,
    pub(crate) invariants: Checked,
    pub(crate) integrity_ms: u64,
    /// Beyond the time of the integrity, beside which they are followed.
    pub(crate) foreign_keys_ms: u64,
    /// Beyond the time of both.
    pub(crate) rows_ms: u64,
}

/// Checks the file: its pages on one core, its foreign keys and rows on another.
///
/// # Errors
/// [`Error::Unsound`] with what was found; what keeps it from being read.
pub(crate) fn prove(what: &What<'_>, watcher: &mut Watcher<'_>) -> Result<Proved, Error> {
    let total = STEPS + what.invariants.len() as u64;
    watcher.at(Phase::Check, 0, total)?;
    let began = Instant::now();
    let stop = watcher.interrupt();
    let (pages, rows) = std::thread::scope(|scope| {
        let beside = std::thread::Builder::new()
            .name("references".to_owned())
            .spawn_scoped(scope, || sure(what, || rows(what, began, stop)));
        let pages = sure(what, || pages(what, began, stop));
        let rows = match beside.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(rows)) => rows,
            // No thread was to be had.
            _ => sure(what, || rows(what, began, stop)),
        };
        (pages, rows)
    });
    // What is said of a damaged page is more than that reading it failed.
    let (mut connection, checked) = pages?;
    watcher.at(Phase::Check, 1, total)?;
    let rows = rows?;
    match what.tolerated {
        Some(tolerated) => tolerated.note(rows.orphans),
        None => unsound(what.name, rows.orphans)?,
    }
    watcher.at(Phase::Check, 3, total)?;

    let conn = sqlite(&mut connection)?;
    let classified = |e| unreadable(what.name, db_core::Error::classify(Engine::Sqlite, &e));
    let engine = sure(what, || facts(conn, what.key.is_some()).map_err(classified))?;
    let schema = schema(&mut Conn::Sqlite(conn))?;
    watcher.at(Phase::Check, STEPS, total)?;
    let mut invariants = Checked::default();
    for (invariant, done) in what.invariants.iter().zip(STEPS + 1..) {
        let findings = invariants.look(invariant, &mut Conn::Sqlite(conn))?;
        unsound(what.name, findings)?;
        watcher.at(Phase::Check, done, total)?;
    }
    Ok(Proved {
        engine,
        schema,
        tables: rows.tables,
        invariants,
        integrity_ms: millis(checked),
        foreign_keys_ms: millis(rows.referred.saturating_sub(checked)),
        rows_ms: millis(rows.counted.saturating_sub(checked.max(rows.referred))),
    })
}

/// What each row says by itself, and how many there are; with the time since the beginning.
struct Rows {
    orphans: Vec<String>,
    referred: Duration,
    tables: Vec<TableRows>,
    counted: Duration,
}

/// Checks that all pages are as SQLite left them. Returns the connection, which has read them all.
fn pages(
    what: &What<'_>,
    began: Instant,
    stop: &Interrupt,
) -> Result<(Connection, Duration), Error> {
    let mut connection = open(what, stop)?;
    let findings = integrity(sqlite(&mut connection)?, what.level)
        .map_err(|e| unreadable(what.name, db_core::Error::classify(Engine::Sqlite, &e)))?;
    if let Some(finding) = findings.iter().find(|finding| is_of_disk(finding)) {
        let said = io::Error::other(finding.clone());
        return Err(Error::io("read", what.path, said));
    }
    unsound(what.name, findings)?;
    Ok((connection, began.elapsed()))
}

/// Follows each foreign key, and counts; by a connection of its own, on another core.
fn rows(what: &What<'_>, began: Instant, stop: &Interrupt) -> Result<Rows, Error> {
    let mut connection = open(what, stop)?;
    let conn = sqlite(&mut connection)?;
    let failed = |e| unreadable(what.name, db_core::Error::classify(Engine::Sqlite, &e));
    let orphans = foreign_keys(conn).map_err(failed)?;
    let referred = began.elapsed();
    let tables = counts(conn).map_err(failed)?;
    Ok(Rows {
        orphans,
        referred,
        tables,
        counted: began.elapsed(),
    })
}

fn open(what: &What<'_>, stop: &Interrupt) -> Result<Connection, Error> {
    Connection::open_immutable(what.path, stop, what.key).map_err(|e| unreadable(what.name, e))
}

fn sqlite(connection: &mut Connection) -> Result<&mut SqliteConnection, Error> {
    match connection.conn() {
        Conn::Sqlite(conn) => Ok(conn),
        Conn::Postgres(_) => Err(Error::refused("this is no SQLite file", "")),
    }
}

/// A copy that is no database, or damaged, failed its checks.
fn unreadable(name: &str, error: db_core::Error) -> Error {
    use db_core::ErrorKind;
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::NotADatabase => Error::Unsound {
            name: name.to_owned(),
            findings: vec![error.told()],
        },
        _ => Error::database(format!("checking {name}"), error),
    }
}

/// Looks once more where something was found, after the disk has given the whole file: to SQLite a page that could not
/// be read is damage as a rule, with the same code and text.
fn sure<T>(what: &What<'_>, mut look: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    match look() {
        Err(Error::Unsound { .. }) => {
            read_through(what.path).map_err(|e| Error::io("read", what.path, e))?;
            look()
        }
        done => done,
    }
}

/// Reads a file to its end, by calls like SQLite's own.
fn read_through(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let file = File::open(path)?;
    let (mut buffer, mut at) = (vec![0; 1 << 20], 0);
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => return Ok(()),
            read => at += read as u64,
        }
    }
}

/// Whether a finding is that a page could not be read: it says nothing of what is on that page.
fn is_of_disk(finding: &str) -> bool {
    let code = finding.rsplit_once("error code=");
    let code = code.and_then(|(_, code)| code.trim().parse::<i32>().ok());
    // The lower byte is the class.
    code.is_some_and(|code| code & 0xFF == SQLITE_IOERR)
}

fn unsound(name: &str, findings: Vec<String>) -> Result<(), Error> {
    if findings.is_empty() {
        return Ok(());
    }
    Err(Error::Unsound {
        name: name.to_owned(),
        findings,
    })
}

#[derive(QueryableByName)]
struct Finding {
    #[diesel(sql_type = Text)]
    finding: String,
}

fn integrity(conn: &mut SqliteConnection, level: Level) -> QueryResult<Vec<String>> {
    let pragma = match level {
        Level::Quick => "quick_check",
        Level::Full => "integrity_check",
    };
    let query = sql_query(format!(
        "SELECT {pragma} AS finding FROM pragma_{pragma} LIMIT {MOST_FINDINGS}"
    ));
    let mut findings = Vec::new();
    for row in query.load_iter::<Finding, DefaultLoadingMode>(conn)? {
        match row {
            Ok(Finding { finding }) if finding == "ok" => {}
            Ok(Finding { finding }) => findings.push(finding),
            // A page that cannot be read is named, and then ends the check.
            Err(e) if !findings.is_empty() && is_damage(&e) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(findings)
}

fn is_damage(error: &diesel::result::Error) -> bool {
    db_core::Error::classify(Engine::Sqlite, error).kind() == db_core::ErrorKind::Corrupt
}

#[derive(QueryableByName)]
struct Orphan {
    #[diesel(sql_type = Text)]
    child: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    rowid: Option<i64>,
    #[diesel(sql_type = Text)]
    parent: String,
}

fn foreign_keys(conn: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    let orphans: Vec<Orphan> = sql_query(format!(
        "SELECT \"table\" AS child, rowid, parent FROM pragma_foreign_key_check LIMIT {MOST_FINDINGS}"
    ))
    .load(conn)?;
    Ok(orphans
        .into_iter()
        .map(|orphan| match orphan.rowid {
            Some(row) => format!(
                "row {row} of {} has no parent in {}",
                orphan.child, orphan.parent
            ),
            None => format!(
                "a row of {} has no parent in {}",
                orphan.child, orphan.parent
            ),
        })
        .collect())
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

fn counts(conn: &mut SqliteConnection) -> QueryResult<Vec<TableRows>> {
    let names: Vec<Name> = sql_query(
        "SELECT name FROM pragma_table_list
         WHERE schema = 'main' AND type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name",
    )
    .load(conn)?;
    names
        .into_iter()
        .map(|Name { name }| {
            let quoted = name.replace('"', "\"\"");
            let count: Count =
                sql_query(format!("SELECT count(*) AS rows FROM \"{quoted}\"")).get_result(conn)?;
            Ok(TableRows {
                name: clean(&name),
                rows: u64::try_from(count.rows).unwrap_or_default(),
            })
        })
        .collect()
}

#[derive(QueryableByName)]
struct Facts {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Integer)]
    page_size: i32,
    #[diesel(sql_type = BigInt)]
    pages: i64,
    #[diesel(sql_type = Integer)]
    application_id: i32,
}

fn facts(conn: &mut SqliteConnection, encrypted: bool) -> QueryResult<EngineFacts> {
    let facts: Facts = sql_query(
        "SELECT sqlite_version() AS version,
                (SELECT page_size FROM pragma_page_size) AS page_size,
                (SELECT page_count FROM pragma_page_count) AS pages,
                (SELECT application_id FROM pragma_application_id) AS application_id",
    )
    .get_result(conn)?;
    Ok(EngineFacts {
        name: Engine::Sqlite.name().to_owned(),
        version: facts.version,
        page_size: u32::try_from(facts.page_size).ok(),
        pages: u64::try_from(facts.pages).ok(),
        encrypted: Some(encrypted),
        application_id: Some(facts.application_id),
        ..EngineFacts::default()
    })
}

/// The state of the schema, on either engine; none where no migration is recorded.
pub(crate) fn schema(conn: &mut Conn<'_>) -> Result<Option<SchemaFacts>, Error> {
    let engine = conn.engine();
    let none = db_migrate::Source::rust(Vec::new());
    let history = Migrator::new(none)
        .history(conn.reborrow())
        .map_err(|e| Error::Schema(Box::new(e)))?;
    let counts = |status| {
        matches!(
            status,
            Status::Applied | Status::Adopted | Status::Baselined
        )
    };
    let highest = history
        .into_iter()
        .filter(|applied| counts(applied.status))
        .map(|applied| applied.version.as_str().to_owned())
        .max();
    let Some(version) = highest else {
        return Ok(None);
    };
    let catalog = Catalog::read(conn, &Scope::default())
        .map_err(|e| Error::database("reading the schema", db_core::Error::classify(engine, &e)))?;
    Ok(Some(SchemaFacts {
        version,
        // A dump and its restore rewrite expressions, which the loose one does not see.
        fingerprint: match engine {
            Engine::Sqlite => catalog.strict_fingerprint(),
            Engine::Postgres => catalog.loose_fingerprint(),
        },
    }))
}
