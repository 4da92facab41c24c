//! `man`: the manual page, or the pages of all commands.

use std::fs;
use std::path::Path;

use chrono::DateTime;
use clap::Command;
use clap_mangen::Man as Page;
use db_core::{Clock, SystemClock};
use roff::{Roff, roman};
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::{self, Man};
use crate::error::Error;
use crate::exit::Code;

/// The page, or the files that were written, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Document {
    Page(String),
    Written(Vec<String>),
}

pub(super) fn run(context: &Context<'_>, options: &Man) -> Result<Code, Error> {
    let Some(dir) = &options.dir else {
        let page = rendered(&args::command(), &day())?;
        if context.output.is_json() {
            context.output.document(&Document::Page(page))?;
        } else {
            context.output.data(&page)?;
        }
        return Ok(Code::Done);
    };
    super::refuse_file(dir, "name a folder for the pages with --dir")?;
    fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
    let mut command = args::command().disable_help_subcommand(true);
    command.build();
    let mut written = Vec::new();
    write(&command, &day(), dir, &mut written)?;
    if context.output.is_json() {
        context.output.document(&Document::Written(written))?;
    } else {
        let lines: Vec<String> = written.iter().map(|path| format!("{path}\n")).collect();
        context.output.data(&lines.concat())?;
    }
    Ok(Code::Done)
}

/// Writes the page of a command and those of its own commands.
fn write(command: &Command, day: &str, dir: &Path, written: &mut Vec<String>) -> Result<(), Error> {
    let path = dir.join(Page::new(command.clone()).get_filename());
    fs::write(&path, rendered(command, day)?).map_err(|e| Error::io(&path, e))?;
    written.push(path.display().to_string());
    command
        .get_subcommands()
        .try_for_each(|below| write(below, day, dir, written))
}

fn rendered(command: &Command, day: &str) -> Result<String, Error> {
    let page = Page::new(command.clone())
        .date(day)
        .source(concat!("bitcraps-db ", env!("CARGO_PKG_VERSION")))
        .manual("BitCraps databases");
    let mut text = Vec::new();
    page.render(&mut text)
        .map_err(|e| Error::io(Path::new("the manual page"), e))?;
    // clap_mangen calls what stands after the help EXTRA; man(7) has a name for what we put there.
    let mut text = String::from_utf8_lossy(&text)
        .replace(".SH EXTRA\nExit codes:\n", ".SH \"EXIT STATUS\"\n.nf\n")
        .replace(".SH VERSION\n", ".fi\n.SH VERSION\n")
        // It breaks the line thrice before the values of an option, which `mandoc` finds odd.
        .replace(".br\n\n.br\n", ".sp\n");
    // What stands before the help it leaves out.
    if let Some(before) = command.get_before_help() {
        let at = text
            .find("\n.SH VERSION\n")
            .map_or(text.len(), |end| end + 1);
        text.insert_str(at, &examples(&before.to_string()));
    }
    Ok(text)
}

/// The examples of a command, line by line as the help has them.
fn examples(before_help: &str) -> String {
    let mut section = Roff::new();
    section.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in before_help.lines().map(str::trim_start) {
        if !["Example:", "Examples:"].contains(&line) {
            section.text([roman(line)]);
        }
    }
    section.control("fi", []);
    // A shell wants the apostrophe that is typed, and not a closing quotation mark.
    section.to_roff().replace('\'', r"\(aq")
}

/// The day that the pages bear: that of the sources where a build says it, so that the same sources give the
/// same pages, else today.
fn day() -> String {
    let sources = std::env::var("SOURCE_DATE_EPOCH").ok();
    let sources = sources.and_then(|seconds| DateTime::from_timestamp(seconds.parse().ok()?, 0));
    sources
        .unwrap_or_else(|| SystemClock.now())
        .format("%Y-%m-%d")
        .to_string()
}
