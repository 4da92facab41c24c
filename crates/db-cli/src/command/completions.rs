//! `completions`: a script that completes commands and options in a shell.

use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::{self, Completions};
use crate::error::Error;
use crate::exit::Code;

/// The script in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document {
    shell: String,
    script: String,
}

pub(super) fn run(context: &Context<'_>, options: &Completions) -> Result<Code, Error> {
    let mut command = args::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, name.as_str(), &mut script);
    let script = String::from_utf8_lossy(&script);
    // For bash the generator takes a hyphen in the program's own name for the border between two
    // subcommands, in half of the places; completion would end behind the first subcommand.
    let script = script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
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
