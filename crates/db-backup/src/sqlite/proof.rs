//! What a copy of a SQLite database is checked for, and what is known of it.

use std::path::Path;
use std::time::Instant;

use db_core::{Conn, Connection, EncryptionKey, Engine};
use db_migrate::catalog::{Catalog, Scope};
use db_migrate::{Migrator, Status};
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
    pub(crate) foreign_keys_ms: u64,
    pub(crate) rows_ms: u64,
}

/// Checks the file.
///
/// # Errors
/// [`Error::Unsound`] with what was found; what keeps it from being read.
pub(crate) fn prove(what: &What<'_>, watcher: &mut Watcher<'_>) -> Result<Proved, Error> {
    let total = STEPS + what.invariants.len() as u64;
    let failed = |e| unreadable(what.name, e);
    let mut connection =
        Connection::open_immutable(what.path, watcher.interrupt(), what.key).map_err(failed)?;
    let Conn::Sqlite(conn) = connection.conn() else {
        return Err(Error::refused("this is no SQLite file", ""));
    };
    let classified = |e| unreadable(what.name, db_core::Error::classify(Engine::Sqlite, &e));
    watcher.at(Phase::Check, 0, total)?;

    let began = Instant::now();
    let findings = integrity(conn, what.level).map_err(classified)?;
    unsound(what.name, findings)?;
    let integrity_ms = millis(began.elapsed());
    watcher.at(Phase::Check, 1, total)?;

    let began = Instant::now();
    let findings = foreign_keys(conn).map_err(classified)?;
    match what.tolerated {
        Some(tolerated) => tolerated.note(findings),
        None => unsound(what.name, findings)?,
    }
    let foreign_keys_ms = millis(began.elapsed());
    watcher.at(Phase::Check, 2, total)?;

    let began = Instant::now();
    let tables = rows(conn).map_err(classified)?;
    let rows_ms = millis(began.elapsed());
    watcher.at(Phase::Check, 3, total)?;

    let engine = facts(conn, what.key.is_some()).map_err(classified)?;
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
        tables,
        invariants,
        integrity_ms,
        foreign_keys_ms,
        rows_ms,
    })
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
    let rows: Vec<Finding> = sql_query(format!(
        "SELECT {pragma} AS finding FROM pragma_{pragma} LIMIT {MOST_FINDINGS}"
    ))
    .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| row.finding)
        .filter(|finding| finding != "ok")
        .collect())
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

fn rows(conn: &mut SqliteConnection) -> QueryResult<Vec<TableRows>> {
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
