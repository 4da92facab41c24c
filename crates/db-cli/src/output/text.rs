//! Text for a person, put together line by line.

use std::fmt::{self, Display};

use super::style::{Paint, Style};

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
    pub(crate) fn lines(&mut self, lines: impl Display) -> &mut Self {
        self.0.push_str(&lines.to_string());
        self
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
