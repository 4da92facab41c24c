//! `completions`: a script that completes commands and options in a shell.

use serde::Serialize;

use super::Context;
use crate::args::{self, Completions};
use crate::error::Error;
use crate::exit::Code;

/// The script in JSON.
#[derive(Debug, Serialize)]
struct Document {
    shell: String,
    script: String,
}

pub(super) fn run(context: &Context<'_>, options: &Completions) -> Result<Code, Error> {
    let command = args::command();
    let name = command.get_name().to_owned();
    // The generator writes the hyphen in a command's own name in two ways, so that completion ends
    // behind the first subcommand; the name that is completed keeps it.
    let mut command = command.name(name.replace('-', "_"));
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    if context.output.is_json() {
        context.output.document(&Document {
            shell: options.shell.to_string(),
            script,
        })?;
    } else {
        context.output.data(&script)?;
    }
    Ok(Code::Done)
}
