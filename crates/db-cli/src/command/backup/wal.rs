//! `backup wal-push` and `backup wal-fetch`: what PostgreSQL runs for each file of its log.

use db_backup::Codec;
use db_backup::postgres::WalFile;
use db_backup::postgres::wal::{self, Pushed};
use schemars::JsonSchema;
use serde::Serialize;

use super::{identities, recipients, store};
use crate::args::{WalFetch, WalPush};
use crate::command::Context;
use crate::error::Error;
use crate::exit::Code;

/// The log is written fast, and is read once at most.
const DEFAULT_LEVEL: i32 = 1;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document {
    dir: String,
    file: String,
    stored: bool,
}

pub(super) fn push(context: &Context<'_>, options: &WalPush) -> Result<Code, Error> {
    let file = context.file()?;
    let settings = &file.backup;
    let store = store(&options.place, settings)?;
    let codec = Codec {
        level: Some(options.compress.unwrap_or(DEFAULT_LEVEL)),
        recipients: recipients(
            (&options.recipient, options.recipients_file.as_ref()),
            settings,
        )?,
    };
    let pushed = wal::push(&*store, &codec, &options.path)?;
    let name = options.path.file_name().unwrap_or_default();
    tell(
        context,
        store.location(),
        &name.to_string_lossy(),
        pushed != Pushed::AlreadyThere,
    )?;
    Ok(Code::Done)
}

/// Whatever goes wrong must not pass for the end of the log.
pub(super) fn fetch(context: &Context<'_>, options: &WalFetch) -> Code {
    match bring(context, options) {
        Ok(true) => Code::Done,
        Ok(false) => Code::Attention,
        Err(error) => {
            context.output.error(&error);
            Code::StopRecovery
        }
    }
}

fn bring(context: &Context<'_>, options: &WalFetch) -> Result<bool, Error> {
    let file = context.file()?;
    let settings = &file.backup;
    let store = store(&options.place, settings)?;
    let identities = identities(options.identity.as_ref(), settings)?;
    let name = WalFile::parse(&options.name)?;
    let found = wal::fetch(&*store, &identities, &name, &options.path)?;
    tell(context, store.location(), name.as_str(), found)?;
    Ok(found)
}

/// Nothing but with `--json`: the server runs this for every file.
fn tell(context: &Context<'_>, dir: String, file: &str, stored: bool) -> Result<(), Error> {
    if !context.output.is_json() {
        return Ok(());
    }
    context.output.document(&Document {
        dir,
        file: file.to_owned(),
        stored,
    })
}
