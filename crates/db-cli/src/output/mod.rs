//! Everything that is printed: data to standard output, the rest to standard error.
//!
//! A closed pipe is a reader who has seen enough: printing to it does nothing and is no error.

pub(crate) mod clean;
pub(crate) mod log;
pub(crate) mod phases;
pub(crate) mod progress;
pub(crate) mod rows;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;

use std::io::{self, IsTerminal, Write};

use clap::builder::StyledStr;
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::Global;
use crate::error::Error;
use clean::{Sequences, shown, shown_with};
use style::{Paint, Style};
use text::Text;

/// Where and how to print.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    colours: Colours,
}

#[derive(Debug, Clone, Copy)]
struct Colours {
    stdout: bool,
    stderr: bool,
}

/// A line of standard error with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NoteLine<'t> {
    #[schemars(extend("const" = "notice"))]
    event: &'static str,
    message: &'t str,
}

#[expect(
    clippy::unused_self,
    reason = "whoever prints must have been given the door to it"
)]
impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            colours: Colours::find(global.no_color),
        }
    }

    /// For errors in the arguments themselves.
    pub(crate) fn for_errors(json: bool, no_color: bool) -> Self {
        Self {
            json,
            quiet: false,
            colours: Colours::find(no_color),
        }
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) const fn has_colours(&self) -> bool {
        self.colours.stderr
    }

    /// Whether a progress bar may be shown.
    pub(crate) fn has_bar(&self) -> bool {
        !self.json && !self.quiet && !is_dumb() && io::stderr().is_terminal()
    }

    /// Colours for text that goes to standard output.
    pub(crate) const fn paint(&self) -> Paint {
        Paint::new(self.colours.stdout)
    }

    /// Prints the one JSON document.
    ///
    /// # Errors
    /// If standard output cannot be written, for example because a disk is full.
    pub(crate) fn document(&self, value: &impl Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(value).map_err(|e| Error::Output(e.into()))?;
        text.push('\n');
        to_stdout(&clean::json(text))
    }

    /// Prints data for a person; every line of `text` ends with a line end.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn data(&self, text: &str) -> Result<(), Error> {
        to_stdout(&shown(text))
    }

    /// Prints one of many pieces of data, and says whether anybody reads them.
    ///
    /// # Errors
    /// If standard output cannot be written.
    #[expect(clippy::unused_self, reason = "all printing goes by way of it")]
    pub(crate) fn piece(&self, text: &str) -> Result<bool, Error> {
        try_stdout(&shown(text))
    }

    /// Prints what a run did: nothing if nothing but asked-for data is wanted.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn report(&self, text: &str) -> Result<(), Error> {
        if self.quiet { Ok(()) } else { self.data(text) }
    }

    /// Prints a remark to standard error.
    pub(crate) fn note(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.json {
            self.line(&NoteLine {
                event: "notice",
                message: text,
            });
        } else {
            to_stderr(&format!(
                "{} {text}\n",
                self.err().text("note:", Style::Yellow)
            ));
        }
    }

    /// Prints one JSON line to standard error.
    pub(crate) fn line(&self, value: &impl Serialize) {
        // Progress that cannot be encoded or written is no reason to stop a migration.
        if let Ok(mut text) = serde_json::to_string(value) {
            text.push('\n');
            write_stderr(&clean::json(text));
        }
    }

    /// Prints a question, without a line end.
    pub(crate) fn ask(&self, question: &str) {
        to_stderr(question);
    }

    /// Prints text for a person to standard error, whatever else is wanted.
    pub(crate) fn aside(&self, text: &str) {
        to_stderr(text);
    }

    /// Prints lines of the log, which have colours of their own.
    pub(super) fn logged(&self, text: &str) {
        write_stderr(&shown_with(text, Sequences::Colours));
    }

    /// Prints an error: a document with `--json`, otherwise a paragraph and a hint.
    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            // What happened must not be lost because it cannot be printed where it belongs.
            if let Err(unprintable) = self.document(&error.document()) {
                let first = Some(error).filter(|e| !matches!(e, Error::Output(_)));
                for error in first.into_iter().chain([&unprintable]) {
                    to_stderr(&format!("error: {}\n", error.message()));
                }
            }
            return;
        }
        let paint = self.err();
        let mut text = Text::default();
        // What is gone is said even to those who want nothing else.
        if let Some(report) = error.reverted_before() {
            text.lines(&run::text(report, paint));
        }
        if let Some(report) = error.done_before().filter(|_| !self.quiet) {
            text.lines(&run::text(report, paint));
        }
        text.marked(paint, ("error:", Style::Red), error.message());
        if let Some(hint) = error.hint() {
            text.marked(paint, ("hint:", Style::Bold), hint);
        }
        to_stderr(&text.into_string());
    }

    /// Prints help that was asked for.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn help(&self, text: &StyledStr) -> Result<(), Error> {
        to_stdout(&styled(text, self.colours.stdout))
    }

    /// Prints clap's own words about wrong arguments.
    pub(crate) fn usage(&self, text: &str) {
        let text = shown_with(text.trim_end(), Sequences::Colours);
        write_stderr(&format!("{text}\n"));
    }

    const fn err(&self) -> Paint {
        Paint::new(self.colours.stderr)
    }
}

impl Colours {
    /// Only on a terminal that knows them, and only if nobody minds: <https://no-color.org>, and
    /// `CLICOLOR=0` of <https://bixense.com/clicolors>.
    fn find(no_color: bool) -> Self {
        let wanted = !no_color
            && !is_dumb()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("CLICOLOR").is_none_or(|value| value != "0");
        Self {
            stdout: wanted && io::stdout().is_terminal(),
            stderr: wanted && io::stderr().is_terminal(),
        }
    }
}

/// A terminal that knows neither colours nor how to go back in a line, as in an editor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}

/// clap's text with or without its colours.
pub(crate) fn styled(text: &StyledStr, colours: bool) -> String {
    if colours {
        text.ansi().to_string()
    } else {
        text.to_string()
    }
}

fn to_stdout(text: &str) -> Result<(), Error> {
    try_stdout(text).map(drop)
}

/// Whether somebody reads it.
fn try_stdout(text: &str) -> Result<bool, Error> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::Output(e)),
    }
}

/// Prints text for a person to standard error.
pub(crate) fn to_stderr(text: &str) {
    write_stderr(&shown(text));
}

/// There is nowhere left to say that standard error cannot be written.
fn write_stderr(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
