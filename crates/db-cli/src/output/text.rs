//! Text for a person, put together line by line.

use std::fmt::Display;

use super::style::{Paint, Style};

/// `1 game`, `2 games`.
pub(crate) fn counted(count: impl Copy + Display + PartialEq + From<u8>, what: &str) -> String {
    if count == 1.into() {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

/// Lines, each with its end.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    /// Adds one line.
    pub(crate) fn line(&mut self, line: impl Display) -> &mut Self {
        self.0.push_str(&line.to_string());
        self.0.push('\n');
        self
    }

    /// Adds a line that begins with a painted word.
    pub(crate) fn marked(
        &mut self,
        paint: Paint,
        (word, style): (&str, Style),
        line: impl Display,
    ) -> &mut Self {
        self.0.push_str(&paint.text(word, style));
        self.0.push(' ');
        self.line(line)
    }

    /// Adds lines that have their ends already.
    pub(crate) fn lines(&mut self, lines: &str) -> &mut Self {
        self.0.push_str(lines);
        self
    }

    /// All of it.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}
