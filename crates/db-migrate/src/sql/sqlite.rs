//! SQLite: its tokens, and which `;` ends a statement.
//!
//! The rules are those of SQLite's tokenizer (<https://www.sqlite.org/src/file/src/tokenize.c>)
//! and of `sqlite3_complete` (<https://www.sqlite.org/c3ref/complete.html>): a `;` inside
//! `CREATE TRIGGER` ends the statement only after an `END` that itself follows a `;`.

use super::error::{ScriptError, ScriptProblem};
use super::script::{Kind, Token};

/// A byte order mark counts as white space wherever a token could start.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Hands each token of a script to `sink`.
pub(super) fn lex<'a>(
    sql: &'a str,
    sink: &mut impl FnMut(Token<'a>) -> Result<(), ScriptError>,
) -> Result<(), ScriptError> {
    let bytes = sql.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        let (kind, length) =
            next(&bytes[start..]).map_err(|problem| ScriptError::new(sql, start, problem))?;
        if let Some(kind) = kind {
            sink(Token::new(kind, &sql[start..start + length], start))?;
        }
        start += length;
    }
    Ok(())
}

/// The kind (`None` for white space and comments) and length of the token at the start of
/// `rest`, which is not empty.
///
/// Every token ends before or after an ASCII byte or a byte order mark, so lengths always fall
/// between characters.
fn next(rest: &[u8]) -> Result<(Option<Kind>, usize), ScriptProblem> {
    let second = rest.get(1).copied();
    let token = match (rest[0], second) {
        (b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, _) => (None, run(rest, 1, is_space)),
        (b'-', Some(b'-')) => (None, run(rest, 2, |byte| byte != b'\n')),
        // A comment may stay open at the end of the text; `/*` as the very last bytes is none.
        (b'/', Some(b'*')) if rest.len() > 2 => (None, block_comment(rest)),
        (b'\'', _) => (
            Some(Kind::Text),
            quoted(rest, ScriptProblem::UnterminatedString)?,
        ),
        (b'"' | b'`', _) => (
            Some(Kind::QuotedName),
            quoted(rest, ScriptProblem::UnterminatedName)?,
        ),
        (b'[', _) => match rest.iter().position(|&byte| byte == b']') {
            Some(end) => (Some(Kind::QuotedName), end + 1),
            None => return Err(ScriptProblem::UnterminatedName),
        },
        // No quote can be escaped inside a blob.
        (b'x' | b'X', Some(b'\'')) => match rest[2..].iter().position(|&byte| byte == b'\'') {
            Some(end) => (Some(Kind::Text), end + 3),
            None => return Err(ScriptProblem::UnterminatedString),
        },
        (b'0'..=b'9', _) | (b'.', Some(b'0'..=b'9')) => (Some(Kind::Number), number(rest)),
        (b'?', _) => (
            Some(Kind::Parameter),
            run(rest, 1, |byte| byte.is_ascii_digit()),
        ),
        (b'$' | b'@' | b':' | b'#', Some(byte)) if is_word(byte) => {
            (Some(Kind::Parameter), run(rest, 1, is_word))
        }
        _ if rest.starts_with(BYTE_ORDER_MARK) => (None, BYTE_ORDER_MARK.len()),
        (byte, _) if is_word(byte) => (Some(Kind::Word), run(rest, 1, is_word)),
        _ => (Some(Kind::Symbol), operator(rest)),
    };
    Ok(token)
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Letters, digits, `_`, `$` and everything beyond ASCII.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

fn run(rest: &[u8], from: usize, part: impl Fn(u8) -> bool) -> usize {
    rest[from..]
        .iter()
        .position(|&byte| !part(byte))
        .map_or(rest.len(), |length| from + length)
}

fn block_comment(rest: &[u8]) -> usize {
    rest[2..]
        .windows(2)
        .position(|pair| pair == b"*/")
        .map_or(rest.len(), |end| end + 4)
}

/// A text between two equal quotes, where a doubled quote stands for one.
fn quoted(rest: &[u8], otherwise: ScriptProblem) -> Result<usize, ScriptProblem> {
    let quote = rest[0];
    let mut at = 1;
    loop {
        match rest[at..].iter().position(|&byte| byte == quote) {
            None => return Err(otherwise),
            Some(length) if rest.get(at + length + 1) == Some(&quote) => at += length + 2,
            Some(length) => return Ok(at + length + 1),
        }
    }
}

/// A number, with the sign of its exponent; what sticks to it makes it an error later on.
fn number(rest: &[u8]) -> usize {
    let hexadecimal = rest[0] == b'0' && matches!(rest.get(1), Some(b'x' | b'X'));
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        let exponent = !hexadecimal && matches!(rest[at - 1], b'e' | b'E');
        let sign = matches!(byte, b'+' | b'-')
            && exponent
            && rest.get(at + 1).is_some_and(u8::is_ascii_digit);
        if !(is_word(byte) || sign || (byte == b'.' && !hexadecimal)) {
            break;
        }
        at += 1;
    }
    at
}

fn operator(rest: &[u8]) -> usize {
    const LONG: [&[u8]; 10] = [
        b"->>", b"->", b"<=", b"<>", b"<<", b">=", b">>", b"==", b"!=", b"||",
    ];
    LONG.iter()
        .find(|operator| rest.starts_with(operator))
        .map_or(1, |operator| operator.len())
}

/// How far a statement has come, as far as it matters to the next `;`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the first token.
    #[default]
    Start,
    /// After `EXPLAIN`, where `QUERY PLAN` may follow.
    Explain,
    /// After `CREATE`, where `TEMP` may follow.
    Create,
    /// In a statement that the next `;` ends.
    Plain,
    /// In a trigger.
    Trigger,
    /// In a trigger, after a `;`.
    TriggerStep,
    /// In a trigger, after a `;` and an `END`.
    TriggerEnd,
}

impl Place {
    /// Takes the next token and says whether it ends the statement.
    pub(super) fn ends_at(&mut self, token: &Token<'_>) -> bool {
        let semicolon = token.is_symbol(";");
        let (next, ends) = match self {
            Self::Trigger | Self::TriggerStep if semicolon => (Self::TriggerStep, false),
            Self::TriggerStep if token.is_word("end") => (Self::TriggerEnd, false),
            _ if semicolon => (Self::Start, true),
            Self::Trigger | Self::TriggerStep | Self::TriggerEnd => (Self::Trigger, false),
            Self::Start if token.is_word("explain") => (Self::Explain, false),
            Self::Start | Self::Explain if token.is_word("create") => (Self::Create, false),
            Self::Explain if token.is_any(&["query", "plan"]) => (Self::Explain, false),
            Self::Create if token.is_any(&["temp", "temporary"]) => (Self::Create, false),
            Self::Create if token.is_word("trigger") => (Self::Trigger, false),
            _ => (Self::Plain, false),
        };
        *self = next;
        ends
    }
}
