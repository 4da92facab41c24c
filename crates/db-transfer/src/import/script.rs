//! Scripts of SQL: all statements in one transaction.

use std::collections::HashMap;

use db_core::bulk::{CellRef, PostgresBulk, SqliteBulk};
use db_core::{Access, DatabaseUrl, Engine};

use super::fault::Faults;
use super::quiet::Quiet;
use super::refusal::{is_refusal, mismatch};
use super::rows::{Part, open};
use super::{Job, Report, database, file_error, open_sqlite, schema_row, setval};
use crate::format::{Opened, Place, SqlReader, Statement};
use crate::{Error, Pending, waiting};

/// What is to be done with a statement.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Run,
    /// It says what is done anyway.
    PassOver,
    /// Rows follow it.
    Copy,
    /// It names a virtual table in the schema, as `.dump` does.
    VirtualTable,
    /// It sets the number of a sequence, which a rollback would not undo; the query is for its
    /// arguments.
    SetVal(String),
    Refuse(&'static str),
}

pub(super) fn run(job: &mut Job<'_>, url: &DatabaseUrl, parts: &[Part]) -> Result<Report, Error> {
    let import = job.import;
    if !import.tables.is_empty()
        || !import.map.is_empty()
        || import.on_conflict != super::OnConflict::Error
    {
        return Err(Error::Usage(
            "a script of SQL says itself where its rows go: --table, --map and --on-conflict are for \
             csv, json and ndjson"
                .to_owned(),
        ));
    }
    let Some(part) = parts.first() else {
        return Ok(Report::default());
    };
    match url.engine() {
        Engine::Sqlite => into_sqlite(job, url, part),
        Engine::Postgres => into_postgres(job, url, part),
    }
}

fn into_sqlite(job: &mut Job<'_>, url: &DatabaseUrl, part: &Part) -> Result<Report, Error> {
    // The file is there before a database is made for it.
    let opened = open(&part.input)?;
    let fresh = url.path().filter(|path| !path.exists());
    let access = if job.import.may_create {
        Access::Create
    } else {
        Access::ReadWrite
    };
    let done = {
        let opening = Pending::opening(url, &job.import.on_wait);
        let mut bulk = open_sqlite(url, access, job.import.key.as_ref(), job.interrupt)?;
        drop(opening);
        let done = sqlite(&mut bulk, job, part, opened);
        if bulk.in_transaction()
            && let Err(error) = bulk.execute("ROLLBACK")
        {
            tracing::warn!(%error, "the import is undone when the connection closes");
        }
        done
    };
    if let Some(path) = fresh
        && (done.is_err() || job.import.dry_run)
    {
        remove(path);
    }
    done
}

/// Takes away a database that was made for nothing.
fn remove(path: &std::path::Path) {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "an empty database stays");
            }
            _ => {}
        }
    }
}

fn sqlite(
    bulk: &mut SqliteBulk,
    job: &mut Job<'_>,
    part: &Part,
    opened: Opened,
) -> Result<Report, Error> {
    let begin = |source| database("beginning the import", source);
    bulk.triggers(job.import.fire_triggers).map_err(begin)?;
    // A script may make a table before the one that it refers to; what refers to nothing is looked for
    // at the end.
    let sql = "PRAGMA foreign_keys = OFF; PRAGMA cache_size = -65536; BEGIN IMMEDIATE";
    waiting::begin(bulk, sql, &job.import.on_wait).map_err(begin)?;
    let (before, _) = broken_keys(bulk)?;
    let mut script = Script::new(job, part, opened, Engine::Sqlite);
    while let Some(statement) = script.next()? {
        match verdict_of_sqlite(&statement, &script.text) {
            Verdict::Refuse(why) => script.refuse(&statement, why),
            Verdict::PassOver | Verdict::Copy | Verdict::SetVal(_) => continue,
            Verdict::VirtualTable => {
                let sql = String::from_utf8_lossy(&script.text).into_owned();
                if let Err(error) = schema_row::add(bulk, &sql) {
                    let told = format!("the virtual table cannot be made: {}", error.told());
                    script.refuse(&statement, &told);
                }
            }
            Verdict::Run => {
                let Ok(sql) = std::str::from_utf8(&script.text) else {
                    script.refuse(&statement, "the statement is no UTF-8");
                    break;
                };
                if let Err(error) = bulk.execute(sql) {
                    script.failed(&statement, error)?;
                } else if !bulk.in_transaction() {
                    script.refuse(&statement, "the statement has ended the transaction");
                }
            }
        }
        if !script.faults.is_empty() {
            break;
        }
        script.job.row("", script.bytes())?;
    }
    let (mut faults, statements, bytes) = script.end()?;
    let mut notices = Vec::new();
    if faults.is_empty() {
        let (now, unchecked) = broken_keys(bulk)?;
        notices = unchecked;
        for ((table, parent), rows) in now {
            let more = rows - before.get(&(table.clone(), parent.clone())).unwrap_or(&0);
            if more > 0 {
                faults.of_table(&table);
                faults.add(
                    None,
                    format!("{more} more rows refer to no row of {parent}"),
                );
            }
        }
    }
    if !faults.is_empty() {
        return Err(Error::BadInput {
            faults: faults.into_found(),
        });
    }
    if !job.import.dry_run {
        waiting::commit(bulk, &job.import.on_wait)
            .map_err(|source| database("committing the import", source))?;
    }
    Ok(Report {
        statements,
        bytes,
        notices,
        ..Report::default()
    })
}

/// How many rows of a table refer to nothing, with the table that has no such row.
type BrokenKeys = HashMap<(String, String), i64>;

/// The rows that refer to nothing, and what is to be said of tables of which SQLite cannot tell.
fn broken_keys(bulk: &SqliteBulk) -> Result<(BrokenKeys, Vec<String>), Error> {
    let doing = |source| database("checking foreign keys", source);
    let mut tables = Vec::new();
    let mut query = bulk
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0")
        .map_err(doing)?;
    while query.step().map_err(doing)? {
        tables.push(text(query.cell(0).map_err(doing)?));
    }
    let (mut found, mut unchecked) = (BrokenKeys::new(), Vec::new());
    for table in tables {
        match broken_keys_of(bulk, &table, &mut found) {
            // Such a key is no hindrance to whoever does not let SQLite enforce it.
            Err(error) if mismatch(&error) => unchecked.push(format!(
                "{table}: its foreign keys are not checked, because one of them refers to columns \
                 that are no key: {}",
                error.told()
            )),
            done => done.map_err(doing)?,
        }
    }
    Ok((found, unchecked))
}

fn broken_keys_of(
    bulk: &SqliteBulk,
    table: &str,
    found: &mut BrokenKeys,
) -> Result<(), db_core::Error> {
    let sql = format!(
        "SELECT parent, count(*) FROM pragma_foreign_key_check({}) GROUP BY 1",
        super::postgres::literal(table)
    );
    let mut query = bulk.prepare(&sql)?;
    while query.step()? {
        let rows = match query.cell(1)? {
            CellRef::Integer(rows) => rows,
            _ => 0,
        };
        found.insert((table.to_owned(), text(query.cell(0)?)), rows);
    }
    Ok(())
}

fn text(cell: CellRef<'_>) -> String {
    match cell {
        CellRef::Text(name) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    }
}

fn into_postgres(job: &mut Job<'_>, url: &DatabaseUrl, part: &Part) -> Result<Report, Error> {
    let opened = open(&part.input)?;
    let mut bulk = PostgresBulk::open(url, Access::ReadWrite, job.interrupt)
        .map_err(|source| database("opening the database", source))?;
    let (_watched, _) = Pending::session(url, &mut bulk, &job.import.on_wait)
        .map_err(|source| database("beginning the import", source))?;
    let done = postgres(&mut bulk, job, part, opened);
    if done.is_err() || job.import.dry_run {
        let undone = bulk.execute("ROLLBACK");
        if let (Ok(_), Err(source)) = (&done, undone) {
            return Err(database("undoing the import", source));
        }
    }
    done
}

fn postgres(
    bulk: &mut PostgresBulk,
    job: &mut Job<'_>,
    part: &Part,
    opened: Opened,
) -> Result<Report, Error> {
    let begin = |source| database("beginning the import", source);
    // The reader takes statements apart as this setting says.
    bulk.execute(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL standard_conforming_strings = on",
    )
    .map_err(begin)?;
    let transaction = bulk.rows(TRANSACTION).map_err(begin)?;
    let mut late = Vec::new();
    let mut quiet = Quiet::default();
    let mut script = Script::new(job, part, opened, Engine::Postgres);
    while let Some(statement) = script.next()? {
        match verdict_of_postgres(&statement, &script.text) {
            Verdict::Refuse(why) => script.refuse(&statement, why),
            Verdict::PassOver => continue,
            verdict => {
                let Ok(sql) = std::str::from_utf8(&script.text) else {
                    script.refuse(&statement, "the statement is no UTF-8");
                    break;
                };
                if !script.job.import.fire_triggers
                    && let Err(error) = quiet.before(bulk, sql)
                {
                    script.failed(&statement, error)?;
                    break;
                }
                let done = match verdict {
                    Verdict::Copy => {
                        let sql = sql.to_owned();
                        script.copy(bulk, &sql)?
                    }
                    Verdict::SetVal(arguments) => setval::run(bulk, &arguments, &mut late),
                    // The server takes it for one statement too, or refuses it.
                    _ => bulk.execute_one(sql),
                };
                if let Err(error) = done {
                    script.failed(&statement, error)?;
                } else if !bulk.in_transaction() {
                    script.refuse(&statement, ENDED);
                } else if !bulk.has_standard_strings() {
                    let why =
                        "standard_conforming_strings has to stay on, or a text may hide statements";
                    script.refuse(&statement, why);
                }
            }
        }
        if !script.faults.is_empty() {
            break;
        }
        script.job.row("", script.bytes())?;
    }
    let (mut faults, statements, bytes) = script.end()?;
    if faults.is_empty()
        && let Err(error) = bulk.execute("SET CONSTRAINTS ALL IMMEDIATE")
    {
        if !is_refusal(&error) {
            return Err(database("ending the import", error));
        }
        faults.add(None, error.told());
    }
    if faults.is_empty() {
        quiet
            .end(bulk)
            .map_err(|source| database("ending the import", source))?;
        let now = bulk.rows(TRANSACTION);
        if now.map_err(|source| database("ending the import", source))? != transaction {
            faults.add(None, ENDED);
        }
    }
    if !faults.is_empty() {
        return Err(Error::BadInput {
            faults: faults.into_found(),
        });
    }
    if !job.import.dry_run {
        for statement in late {
            bulk.execute(&statement)
                .map_err(|source| database("numbering a sequence", source))?;
        }
        bulk.execute("COMMIT")
            .map_err(|source| database("committing the import", source))?;
    }
    Ok(Report {
        statements,
        bytes,
        ..Report::default()
    })
}

/// Which transaction it is.
const TRANSACTION: &str = "SELECT pg_catalog.txid_current()";

const ENDED: &str = "the script has ended the transaction: what came before that is stored";

/// A script that is being read.
struct Script<'s, 'j> {
    reader: SqlReader<Opened>,
    read: std::sync::Arc<std::sync::atomic::AtomicU64>,
    text: Vec<u8>,
    faults: Faults,
    part: &'s Part,
    job: &'s mut Job<'j>,
    statements: u64,
    /// Where a transaction of the script began that has not ended yet.
    open: Option<Place>,
}

impl<'s, 'j> Script<'s, 'j> {
    fn new(job: &'s mut Job<'j>, part: &'s Part, opened: Opened, engine: Engine) -> Self {
        Self {
            read: opened.counter(),
            reader: SqlReader::new(opened, engine, job.import.limits),
            text: Vec::new(),
            // A statement that fails makes the next ones fail.
            faults: Faults::new(&part.input.name(), 1),
            part,
            job,
            statements: 0,
            open: None,
        }
    }

    /// The next statement; none at the end, or where the text is wrong.
    fn next(&mut self) -> Result<Option<Statement>, Error> {
        match self.reader.next(&mut self.text) {
            Ok(Some(statement)) => {
                self.statements += 1;
                self.transaction(&statement);
                Ok(Some(statement))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                let file = self.part.input.name();
                self.faults.add_read(error).map_err(file_error(file))?;
                Ok(None)
            }
        }
    }

    /// Sees where a transaction of the script begins and ends, which is only looked at.
    fn transaction(&mut self, statement: &Statement) {
        let words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["BEGIN", ..] | ["START", "TRANSACTION", ..] => {
                self.open.get_or_insert(statement.place);
            }
            ["COMMIT" | "END", rest @ ..] if !rest.ends_with(&["AND", "CHAIN"]) => self.open = None,
            _ => {}
        }
    }

    fn refuse(&mut self, statement: &Statement, why: &str) {
        self.faults.add(Some(statement.place), why);
    }

    fn failed(&mut self, statement: &Statement, error: db_core::Error) -> Result<(), Error> {
        use db_core::ErrorKind;
        let ours = is_refusal(&error)
            || matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Other);
        if !ours {
            let place = format!("{}:{}", self.part.input.name().display(), statement.place);
            return Err(database(place, error));
        }
        let told = match error.context() {
            Some(context) => format!("{} ({context})", error.in_full()),
            None => error.in_full(),
        };
        self.faults.add(Some(statement.place), told);
        Ok(())
    }

    /// Sends the rows that follow a COPY.
    fn copy(
        &mut self,
        bulk: &mut PostgresBulk,
        sql: &str,
    ) -> Result<Result<(), db_core::Error>, Error> {
        let mut copy = match bulk.copy_in(sql) {
            Ok(copy) => copy,
            Err(error) => return Ok(Err(error)),
        };
        let file = self.part.input.name();
        let mut line = std::mem::take(&mut self.text);
        let mut next = self.reader.begin_copy().map(|()| true);
        loop {
            if let Ok(true) = next {
                next = self.reader.copy_line(&mut line);
            }
            match next {
                Ok(true) => {
                    if let Err(error) = copy.send(&line) {
                        return Ok(Err(error));
                    }
                    let bytes = self.read.load(std::sync::atomic::Ordering::Relaxed);
                    self.job.row("", bytes)?;
                }
                Ok(false) => break,
                Err(error) => {
                    self.faults.add_read(error).map_err(file_error(file))?;
                    return Ok(Ok(()));
                }
            }
        }
        self.text = line;
        Ok(copy.finish().map(|_| ()))
    }

    fn bytes(&self) -> u64 {
        self.read.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn end(mut self) -> Result<(Faults, u64, u64), Error> {
        let bytes = self.bytes();
        // What is left to do counts no rows.
        self.job.look(None, bytes)?;
        if self.faults.is_empty() {
            if let Some(place) = self.open {
                self.faults.add(Some(place), CUT_OFF);
            } else if self.statements == 0 {
                let problem = "the file is empty: it holds no statement";
                self.faults.add(None, problem);
            }
        }
        Ok((self.faults, self.statements, bytes))
    }
}

const CUT_OFF: &str = "the transaction that begins here has no COMMIT, so that the script seems to be cut off; \
                       add a COMMIT at its end if it is whole";

const OF_SQLITE: &str = "this is a script for SQLite, and the database is PostgreSQL: `bitcraps-db copy` brings a \
                         database from one engine to the other";

const OF_POSTGRES: &str = "this is a script for PostgreSQL, and the database is SQLite: `bitcraps-db copy` brings a \
                           database from one engine to the other";

const OWN_TRANSACTION: &str =
    "an import is one transaction, which the script cannot undo or divide; take the statement out";

fn verdict_of_sqlite(statement: &Statement, text: &[u8]) -> Verdict {
    let words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        // What `.dump` begins with. The import sees to foreign keys itself.
        ["BEGIN" | "COMMIT" | "END", ..]
        | [
            "PRAGMA",
            "FOREIGN_KEYS" | "DEFER_FOREIGN_KEYS" | "ENCODING" | "WRITABLE_SCHEMA",
            ..,
        ] => Verdict::PassOver,
        ["ROLLBACK" | "SAVEPOINT" | "RELEASE", ..] => Verdict::Refuse(OWN_TRANSACTION),
        ["ATTACH" | "DETACH" | "VACUUM", ..] => Verdict::Refuse(
            "an import changes one database, in one transaction; take the statement out",
        ),
        ["SET" | "COPY", ..] | ["SELECT", "PG_CATALOG", ..] => Verdict::Refuse(OF_POSTGRES),
        ["PRAGMA", "USER_VERSION" | "APPLICATION_ID", ..] => Verdict::Run,
        ["PRAGMA", ..] => {
            Verdict::Refuse("a script cannot change how the database works; take the PRAGMA out")
        }
        ["INSERT", ..] if std::str::from_utf8(text).is_ok_and(schema_row::names_virtual_table) => {
            Verdict::VirtualTable
        }
        _ => Verdict::Run,
    }
}

fn verdict_of_postgres(statement: &Statement, text: &[u8]) -> Verdict {
    let words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["BEGIN" | "COMMIT" | "END", ..] | ["START", "TRANSACTION", ..] => Verdict::PassOver,
        ["ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE", ..] | ["PREPARE", "TRANSACTION", ..] => {
            Verdict::Refuse(OWN_TRANSACTION)
        }
        ["PRAGMA", ..] => Verdict::Refuse(OF_SQLITE),
        ["COPY", .., "FROM", "STDIN"] if text.to_ascii_uppercase().ends_with(b"STDIN") => {
            Verdict::Copy
        }
        ["COPY", ..] => Verdict::Refuse(
            "only COPY .. FROM stdin, in the text format and followed by its rows, can be imported; use \
             --format csv for a file of CSV",
        ),
        ["SELECT", "SETVAL", ..] | ["SELECT", "PG_CATALOG", "SETVAL", ..] => {
            match std::str::from_utf8(text).map(setval::call) {
                Ok(setval::Call::Arguments(query)) => Verdict::SetVal(query),
                Ok(setval::Call::Unclear) => Verdict::Refuse(setval::UNCLEAR),
                _ => Verdict::Run,
            }
        }
        _ => Verdict::Run,
    }
}
