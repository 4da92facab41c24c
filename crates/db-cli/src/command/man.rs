//! `man`: the manual page, or the pages of all commands.

use std::fs;
use std::path::Path;

use clap_mangen::Man as Page;
use serde::Serialize;

use super::Context;
use crate::args::{self, Man};
use crate::error::Error;
use crate::exit::Code;

/// The page, or the files that were written, in JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Document {
    Page(String),
    Written(Vec<String>),
}

pub(super) fn run(context: &Context<'_>, options: &Man) -> Result<Code, Error> {
    let Some(dir) = &options.dir else {
        let page = rendered(&Page::new(args::command()))?;
        if context.output.is_json() {
            context.output.document(&Document::Page(page))?;
        } else {
            context.output.data(&page)?;
        }
        return Ok(Code::Done);
    };
    fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
    let mut command = args::command().disable_help_subcommand(true);
    command.build();
    let mut written = Vec::new();
    write(&command, dir, &mut written)?;
    if context.output.is_json() {
        context.output.document(&Document::Written(written))?;
    } else {
        let lines: Vec<String> = written.iter().map(|path| format!("{path}\n")).collect();
        context.output.data(&lines.concat())?;
    }
    Ok(Code::Done)
}

/// Writes the page of a command and those of its own commands.
fn write(command: &clap::Command, dir: &Path, written: &mut Vec<String>) -> Result<(), Error> {
    let page = Page::new(command.clone());
    let path = dir.join(page.get_filename());
    fs::write(&path, rendered(&page)?).map_err(|e| Error::io(&path, e))?;
    written.push(path.display().to_string());
    command
        .get_subcommands()
        .try_for_each(|below| write(below, dir, written))
}

fn rendered(page: &Page) -> Result<String, Error> {
    let mut text = Vec::new();
    page.render(&mut text)
        .map_err(|e| Error::io(Path::new("the manual page"), e))?;
    // clap_mangen calls what stands after the help EXTRA; man(7) has a name for what we put there.
    Ok(String::from_utf8_lossy(&text).replace(".SH EXTRA\nExit codes:\n", ".SH \"EXIT STATUS\"\n"))
}
