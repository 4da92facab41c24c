//! `baseline`: adopts a database that has the schema but no history.

use db_core::Access;
use db_migrate::Target;

use super::{Context, RunDocument};
use crate::args::Baseline;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::output::run::RunReport;

pub(super) fn run(context: &Context<'_>, options: &Baseline) -> Result<Code, Error> {
    let target = Target::parse(&options.target)?;
    let job = context.job()?;
    let url = job.url.clone();
    let mut running = context.start(job, Access::ReadWrite, None)?;
    let done = running.migrator.baseline(running.connection.conn(), &target);
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
    let mut text = String::new();
    for step in &report.steps {
        text.push_str(&format!("declared as present: {} {}\n", step.version, step.name));
    }
    text.push_str("nothing was run; `bitcraps-db validate` compares what is there with the files\n");
    context.output.report(&text)?;
    Ok(Code::Done)
}
