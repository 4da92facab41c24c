//! Tables of a database as SQL, JSON or CSV.

mod csv;
mod json;
mod postgres_few;
mod postgres_sql;
mod room;
mod sink;
mod sqlite_few;
mod sqlite_sql;
mod stream;
mod tools;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use db_core::DatabaseUrl;

use crate::error::{Doing as _, Error};
use crate::nearest;
use crate::progress::Progress;
use crate::shape::{Shape, Table, TableKind, TableName};
use crate::source::{EngineSource, Rows, Source};
use crate::waiting::{OnWait, Pending};

pub use sink::Output;

use room::Room;
use sink::{Finished, Sink};
use stream::Stream;

/// A form that data has in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Statements that the engine's own shell runs.
    Sql,
    /// One document with all tables.
    Json,
    /// An object on each line.
    Ndjson,
    /// Comma-separated values, a file for each table.
    Csv,
}

impl Form {
    /// The form that a file's name tells, with or without `.gz` or `.zst`.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        match endings(path)?.0?.as_str() {
            "sql" => Some(Self::Sql),
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// What a name ends in, in small letters: without `.gz` or `.zst`, and as it is.
fn endings(path: &Path) -> Option<(Option<String>, Option<String>)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let plain = [".gz", ".zst"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(&name);
    let of = |name: &str| Some(name.rsplit_once('.')?.1.to_owned());
    Some((of(plain), of(&name)))
}

/// The form of an export to this file. A name that promises another is refused: whoever opens the file
/// would find what he does not expect.
fn form_of(options: &Options, path: Option<&Path>) -> Result<Form, Error> {
    let told = options.form.or_else(|| path.and_then(Form::of_path));
    let path = path.filter(|path| !sink::is_special(path) && !sink::is_folder(path));
    let Some((path, (plain, last))) = path.and_then(|path| Some((path, endings(path)?))) else {
        return Ok(told.unwrap_or(Form::Sql));
    };
    let packed = [last.as_deref(), plain.as_deref()];
    if let Some(packed) = packed.into_iter().flatten().find(|it| PACKED.contains(it)) {
        let shown = path.display();
        return Err(Error::Usage(format!(
            "{shown}: an export is packed by gzip (.gz) or zstd (.zst), and not as .{packed}"
        )));
    }
    match (told, plain) {
        (Some(form), _) => Ok(form),
        (None, None) => Ok(Form::Sql),
        (None, Some(ending)) => Err(Error::Usage(format!(
            "{}: .{ending} tells no form; add --format sql, json, ndjson or csv, or end the name in one of \
             these",
            path.display()
        ))),
    }
}

/// How names of files end that are packed in ways which an export does not write.
const PACKED: [&str; 12] = [
    "7z", "br", "bz2", "lz", "lz4", "lzma", "rar", "tar", "tgz", "xz", "z", "zip",
];

/// What of a table goes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// What it is and what is in it.
    #[default]
    All,
    /// What it is.
    Schema,
    /// What is in it.
    Data,
}

/// What to export, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The form; without one that which the output's name tells, else SQL.
    pub form: Option<Form>,
    /// The tables; all if there are none, but those that keep house for this program. An SQL script
    /// of the whole database has these too.
    pub tables: Vec<String>,
    /// What of them.
    pub content: Content,
    /// A condition in SQL on the rows of the one table.
    pub filter: Option<String>,
    /// Rows by primary key instead of as they are stored.
    pub sorted: bool,
    /// The folder of `pg_dump`, which writes the schema of PostgreSQL; else it is looked for.
    pub pg_bin: Option<PathBuf>,
    /// What is told when somebody else's lock holds the export up.
    pub on_wait: OnWait,
}

/// What was exported.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The rows of each table, in the order in which they went out.
    pub tables: Vec<(String, u64)>,
    /// All rows.
    pub rows: u64,
    /// All bytes, before they were compressed.
    pub bytes: u64,
    /// The files; none for a stream.
    pub files: Vec<PathBuf>,
    /// What did not go out, or will not come back as it was, in a sentence each.
    pub warnings: Vec<String>,
}

/// Exports tables of a database as it was when `source` was opened. Files appear under their names
/// when everything is written and on the disk; after a failure there is none. The output must not be
/// another database that this process has open: its first bytes are read, which drops SQLite's locks.
///
/// # Errors
/// `Usage` for what cannot be; what the database or the file system says; `Interrupted`.
pub fn export(
    source: &mut Source,
    url: &DatabaseUrl,
    options: &Options,
    output: Output,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, Error> {
    // Until the files have their names.
    let mut room = Room::beside(url);
    if let Some(path) = output.path().filter(|path| !sink::is_special(path)) {
        room.refuse_databases(path)?;
    }
    let form = form_of(options, output.path())?;
    let Source { shape, engine } = source;
    let plan = plan(shape, options, form)?;
    let rows = Rows {
        filter: options.filter.as_deref(),
        sorted: options.sorted,
    };
    let expected = plan.tables.iter().map(|table| table.rows_estimate).sum();
    let mut stream = Stream::new(rows, expected, progress);
    let watched = match engine {
        EngineSource::Sqlite(_) => None,
        EngineSource::Postgres(bulk, _) => {
            let watched = Pending::session(url, bulk, &options.on_wait);
            Some(watched.doing(|| "beginning the export".to_owned())?)
        }
    };
    if plan.is_whole {
        stream.report.warnings.clone_from(&shape.left_out);
    }
    let virtual_tables = plan.tables.iter().filter(|t| t.kind == TableKind::Virtual);
    for table in virtual_tables.filter(|_| form != Form::Sql) {
        stream.report.warnings.push(format!(
            "{}: the rows of a virtual table are what its module shows, without their numbers; sql keeps all \
             that the module has stored",
            table.name
        ));
    }
    let finished = match form {
        Form::Csv => csv::export(engine, &plan, (output, &mut room), &mut stream)?,
        Form::Json | Form::Ndjson => {
            let mut sink = Sink::open(output, &mut room)?;
            let layout = json::Layout::of(form);
            json::export(engine, &plan, layout, &mut sink, &mut stream)?;
            vec![sink.finish()?]
        }
        Form::Sql => {
            let mut sink = Sink::open(output, &mut room)?;
            match engine {
                EngineSource::Sqlite(bulk) => {
                    sqlite_sql::export(bulk, &plan, &mut sink, &mut stream)?;
                }
                EngineSource::Postgres(bulk, snapshot) => {
                    let dump = postgres_sql::Dump {
                        url,
                        snapshot,
                        pg_bin: options.pg_bin.as_deref(),
                        name: watched
                            .as_ref()
                            .map_or("bitcraps-db", |(_, name)| name.as_str()),
                    };
                    postgres_sql::export(bulk, &dump, &plan, &mut sink, &mut stream)?;
                }
            }
            vec![sink.finish()?]
        }
    };
    stream.finish();
    let mut report = stream.report;
    report.bytes = finished.iter().map(Finished::bytes).sum();
    for file in finished {
        report.files.extend(file.publish()?);
    }
    report.rows = report.tables.iter().map(|(_, rows)| rows).sum();
    Ok(report)
}

/// What goes out.
struct Plan<'s> {
    tables: Vec<&'s Table>,
    /// Tables that refer to each other, whether they go out or not.
    cycles: &'s [Vec<TableName>],
    /// No table was named.
    is_whole: bool,
    content: Content,
}

impl Plan<'_> {
    fn has_schema(&self) -> bool {
        self.content != Content::Data
    }

    fn has_data(&self) -> bool {
        self.content != Content::Schema
    }
}

fn plan<'s>(shape: &'s Shape, options: &Options, form: Form) -> Result<Plan<'s>, Error> {
    if form == Form::Csv && options.content == Content::Schema {
        let reason = "CSV holds no schema; sql, json and ndjson do";
        return Err(Error::Usage(reason.to_owned()));
    }
    if options.filter.is_some() && options.tables.len() != 1 {
        let reason = "a condition needs the one table that it is about";
        return Err(Error::Usage(reason.to_owned()));
    }
    let is_whole = options.tables.is_empty();
    let tables = if is_whole {
        let all = form == Form::Sql && options.content != Content::Data;
        shape
            .tables
            .iter()
            .filter(|table| all || !table.is_housekeeping())
            .collect()
    } else {
        // A table that is named twice goes out once, and parents go first.
        let mut named = BTreeMap::new();
        for name in &options.tables {
            let table = shape.find(name).ok_or_else(|| unknown(shape, name))?;
            let at = shape
                .tables
                .iter()
                .position(|other| other.name == table.name);
            named.insert(at, table);
        }
        named.into_values().collect()
    };
    Ok(Plan {
        tables,
        cycles: &shape.cycles,
        is_whole,
        content: options.content,
    })
}

fn unknown(shape: &Shape, name: &str) -> Error {
    let tables = shape.tables.iter();
    let mut there: Vec<_> = tables
        .map(|table| (table.is_housekeeping(), table.name.to_string()))
        .collect();
    // What keeps house for this program comes last.
    there.sort();
    let there: Vec<_> = there.into_iter().map(|(_, name)| name).collect();
    Error::Usage(nearest::no_table(name, there.iter().map(String::as_str)))
}
