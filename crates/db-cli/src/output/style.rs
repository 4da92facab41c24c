//! Colours, where they are wanted.

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

/// What ends a painted text, and what begins one: the numbers of all sequences that are printed.
pub(super) const CODES: [&str; 6] = ["0", "1", "2", "1;31", "32", "33"];

impl Paint {
    pub(crate) const fn new(on: bool) -> Self {
        Self { on }
    }

    /// The text in this style.
    pub(crate) fn text(self, text: &str, style: Style) -> String {
        if !self.on {
            return text.to_owned();
        }
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Red => "1;31",
            Style::Green => "32",
            Style::Yellow => "33",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
