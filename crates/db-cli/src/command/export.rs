//! `export`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use db_core::{Engine, Interrupt};
use db_transfer::export::{self, Content, Form, Options, Output, Report};
use db_transfer::source::Source;
use db_transfer::{OnWait, Pending};
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::{Export, ExportFormat};
use crate::database::{self, show_size};
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::rows::Rows;
use crate::signals;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    files: Vec<String>,
    rows: u64,
    /// Before they were compressed.
    bytes: u64,
    tables: Vec<TableLine>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TableLine {
    name: String,
    rows: u64,
}

pub(super) fn run(context: &Context<'_>, asked: &Export) -> Result<Code, Error> {
    let output = context.output;
    let is_stream = asked.output == Path::new("-");
    if is_stream && output.is_json() {
        return Err(Error::usage(
            "the data and the JSON document cannot both go to standard output",
            "name a file with --output, or leave out --json; `--format json` is a form of the data",
        ));
    }
    let job = context.job()?;
    let interrupt = Interrupt::default();
    let _guard = signals::guard(&interrupt);
    signals::listen()?;
    let shown = Arc::new(Rows::new(output));
    let mut source = {
        let opens = job.url.engine() == Engine::Sqlite;
        let _told = opens.then(|| Pending::opening(&job.url, &shown.on_wait()));
        Source::open(&job.target, job.key.as_ref(), &interrupt)?
    };
    let to = if is_stream {
        Output::Stream(Box::new(io::stdout()))
    } else {
        Output::File(asked.output.clone())
    };
    let done = export::export(
        &mut source,
        &job.target,
        &options(asked, shown.on_wait()),
        to,
        &mut |progress| {
            shown.at(progress);
        },
    );
    shown.finish();
    let report = match done {
        // Whoever reads has seen enough, of standard output or of a pipe with a name.
        Err(db_transfer::Error::File { source, .. })
            if source.kind() == io::ErrorKind::BrokenPipe =>
        {
            return Ok(Code::Done);
        }
        done => done?,
    };
    for warning in report.warnings.iter().filter(|_| !output.is_json()) {
        output.note(warning);
    }
    if output.is_json() {
        output.document(&document(&job, report))?;
    } else if !is_stream {
        output.report(&text(&report))?;
    }
    Ok(Code::Done)
}

fn options(asked: &Export, on_wait: OnWait) -> Options {
    Options {
        form: asked.format.map(|format| match format {
            ExportFormat::Sql => Form::Sql,
            ExportFormat::Json => Form::Json,
            ExportFormat::Ndjson => Form::Ndjson,
            ExportFormat::Csv => Form::Csv,
        }),
        tables: asked.tables.clone(),
        content: match (asked.schema_only, asked.data_only) {
            (true, _) => Content::Schema,
            (false, true) => Content::Data,
            (false, false) => Content::All,
        },
        filter: asked.filter.clone(),
        sorted: asked.sorted,
        pg_bin: asked.pg_bin.clone(),
        on_wait,
    }
}

fn document(job: &super::Job, report: Report) -> Document {
    let tables = report.tables.into_iter();
    Document {
        engine: job.url.engine().name(),
        location: database::location(&job.url),
        files: report
            .files
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        rows: report.rows,
        bytes: report.bytes,
        tables: tables
            .map(|(name, rows)| TableLine { name, rows })
            .collect(),
        warnings: report.warnings,
    }
}

fn text(report: &Report) -> String {
    let count = |n: usize, one: &str, many: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    };
    let place = match report.files.as_slice() {
        [file] => file.display().to_string(),
        files => {
            let folder = files.first().and_then(|file| file.parent());
            let folder =
                folder.map_or_else(String::new, |folder| format!(" in {}", folder.display()));
            format!("{}{folder}", count(files.len(), "file", "files"))
        }
    };
    let rows = usize::try_from(report.rows).unwrap_or(usize::MAX);
    format!(
        "{} of {}, {}, in {place}\n",
        count(rows, "row", "rows"),
        count(report.tables.len(), "table", "tables"),
        show_size(report.bytes),
    )
}
