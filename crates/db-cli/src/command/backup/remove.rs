//! `backup remove`.

use db_backup::BackupName;
use db_core::{Clock, SystemClock};
use schemars::JsonSchema;
use serde::Serialize;

use super::{present, store_to_change};
use crate::args::BackupRemove;
use crate::command::Context;
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::prompt;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document {
    dir: String,
    name: String,
    files: Vec<String>,
    bytes: u64,
}

pub(super) fn run(context: &Context<'_>, options: &BackupRemove) -> Result<Code, Error> {
    let file = context.file()?;
    let name = BackupName::parse(&options.name)?;
    let store = store_to_change(context, &options.place, &file.backup)?;
    present(&*store)?;
    let question = format!("remove {name} from {}?", store.location());
    prompt::confirm(context.output, options.force, &question)?;
    let done = if options.last {
        db_backup::remove_last(&*store, name)?
    } else {
        db_backup::remove(&*store, name, SystemClock.now())?
    };
    if context.output.is_json() {
        context.output.document(&Document {
            dir: store.location(),
            name: done.name,
            files: done.files,
            bytes: done.bytes,
        })?;
        return Ok(Code::Done);
    }
    let line = format!("removed {}, {}\n", done.name, show_size(done.bytes));
    context.output.report(&line)?;
    Ok(Code::Done)
}
