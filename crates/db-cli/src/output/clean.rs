//! Text that may hold names and values of others, as a terminal can be given it.
//!
//! Whoever names a table, a column or a file could otherwise move the cursor of whoever reads the name,
//! set the title of the window, or turn the letters around. The data of `export` is no text: it goes
//! out as it is.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::style;

/// Which sequences of a terminal a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequences {
    /// Those of [`style::Paint`].
    Ours,
    /// All that set colours: those of the help and of the log.
    Colours,
}

/// The text with everything as `\u{1b}` that changes how other letters are shown. Line ends and tabs
/// stay.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    shown_with(text, Sequences::Ours)
}

pub(super) fn shown_with(text: &str, allowed: Sequences) -> Cow<'_, str> {
    if !text.contains(is_odd) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = sequence(rest, allowed).unwrap_or_else(|| {
            if is_odd(first) {
                clean.extend(first.escape_unicode());
                return 0;
            }
            first.len_utf8()
        });
        clean.push_str(rest.get(..length).unwrap_or_default());
        rest = rest.get(length.max(first.len_utf8())..).unwrap_or_default();
    }
    Cow::Owned(clean)
}

/// A text that has to stay on its line.
pub(super) fn on_one_line(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains(|c| is_odd(c) || c == '\n') {
        Cow::Owned(shown(&text).replace('\n', "\\n"))
    } else {
        text
    }
}

/// JSON in which such characters, which can stand in its texts only, are written as numbers.
pub(super) fn json(mut text: String) -> String {
    if !text.contains(is_odd) {
        return text;
    }
    let plain = std::mem::take(&mut text);
    for c in plain.chars() {
        if is_odd(c) {
            // Writing to a String cannot fail.
            _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// Not one of them is beyond the characters that JSON has four digits for.
fn is_odd(c: char) -> bool {
    let is_white = matches!(c, '\n' | '\t');
    (c.is_control() && !is_white)
        || matches!(
            c,
            '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fffe}'
                | '\u{ffff}'
        )
}

/// The bytes of the allowed sequence that the text begins with.
fn sequence(text: &str, allowed: Sequences) -> Option<usize> {
    let inner = text.strip_prefix("\u{1b}[")?;
    let end = inner.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    let codes = inner.get(..end)?;
    let is_colour = inner.get(end..)?.starts_with('m');
    let is_allowed = allowed == Sequences::Colours || style::CODES.contains(&codes);
    (is_colour && is_allowed).then(|| text.len() - inner.len() + end + 1)
}

#[cfg(test)]
mod tests {
    use super::super::style::{Paint, Style};
    use super::*;

    #[test]
    fn nothing_of_others_moves_the_cursor() {
        let paint = Paint::new(true);
        let ours = paint.text("größe\t\n", Style::Red);
        assert_eq!(shown(&ours), ours);
        for (text, clean) in [
            ("a\u{1b}]0;t\u{7}b", r"a\u{1b}]0;t\u{7}b"),
            ("\u{1b}[2J\u{1b}[8mx", r"\u{1b}[2J\u{1b}[8mx"),
            ("\u{1b}[", r"\u{1b}["),
            ("a\rb\u{9b}1m\u{7f}", r"a\u{d}b\u{9b}1m\u{7f}"),
            ("\u{202e}txt.exe\u{200b}", r"\u{202e}txt.exe\u{200b}"),
        ] {
            assert_eq!(shown(text), clean);
        }
        let help = "\u{1b}[1m\u{1b}[4mUsage:\u{1b}[0m \u{1b}[38;5;1m\u{1b}[H";
        let clean = help.replace("\u{1b}[H", r"\u{1b}[H");
        assert_eq!(shown_with(help, Sequences::Colours), clean);
        assert_eq!(on_one_line("a\nb\u{7}".into()), r"a\nb\u{7}");
    }

    #[test]
    fn json_says_the_same() {
        let text = "a\u{9b}\u{7f}\u{202e}\u{ffff}\u{1b}ü\n";
        let written = json(serde_json::to_string(text).unwrap());
        assert!(!written.contains(is_odd), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
