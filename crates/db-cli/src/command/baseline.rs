//! `baseline`: adopts a database that has the schema but no history.

use db_core::{Access, Engine};
use db_migrate::Target;

use super::{Context, RunDocument};
use crate::args::Baseline;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::output::run::RunReport;
use crate::output::text::Text;

pub(super) fn run(context: &Context<'_>, options: &Baseline) -> Result<Code, Error> {
    let target = Target::parse(&options.target)?;
    let job = context.job()?;
    let url = job.url.clone();
    let mut running = context.start(job, Access::ReadWrite, Some(options.wait))?;
    let done = running
        .migrator
        .baseline(running.connection.conn(), &target);
    running.progress.finish();
    let report = done?;
    if context.output.is_json() {
        context.output.document(&RunDocument {
            engine: url.engine().name(),
            location: database::location(&url),
            report: RunReport::of(&report),
        })?;
        return Ok(Code::Done);
    }
    let mut text = Text::default();
    for step in &report.steps {
        text.line(format!(
            "declared as present: {} {}",
            step.version, step.name
        ));
    }
    let compare = match url.engine() {
        Engine::Sqlite => "validate",
        Engine::Postgres => "validate --rebuild",
    };
    text.line(format!(
        "nothing was run; `bitcraps-db {compare}` compares what is there with the files"
    ));
    context.output.report(&text.into_string())?;
    Ok(Code::Done)
}
