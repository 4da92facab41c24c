//! The tokens of a SQLite definition, with their place in the text.
//!
//! Only as fine as it takes to split a `CREATE TABLE` at its commas: strings, quoted names and
//! comments must not be mistaken for anything else. SQLite has checked the grammar already.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::catalog) enum What {
    /// A bare word: a keyword, a name or a number.
    Word,
    /// A name in double quotes, backticks or brackets.
    Quoted,
    /// A string or blob literal.
    Literal,
    /// A single other character.
    Mark,
}

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::catalog) struct Token<'s> {
    /// What it is.
    pub what: What,
    /// Where it starts.
    pub start: usize,
    /// As it is written.
    pub text: &'s str,
}

impl Token<'_> {
    /// Where the next token can start.
    pub(in crate::catalog) const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this keyword, in any case and not in quotes.
    pub(in crate::catalog) fn is(&self, word: &str) -> bool {
        self.what == What::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this character.
    pub(in crate::catalog) fn is_mark(&self, mark: char) -> bool {
        self.what == What::Mark && self.text.starts_with(mark)
    }

    /// The name that it stands for, without quotes.
    pub(in crate::catalog) fn name(&self) -> String {
        let inner = || self.text.get(1..self.text.len() - 1).unwrap_or_default();
        match (self.what, self.text.chars().next()) {
            (What::Quoted, Some('"')) => inner().replace("\"\"", "\""),
            (What::Quoted, Some('`')) => inner().replace("``", "`"),
            (What::Quoted, _) => inner().to_owned(),
            (What::Literal, Some('\'')) => inner().replace("''", "'"),
            _ => self.text.to_owned(),
        }
    }
}

/// All tokens of a text; white space and comments are left out.
pub(in crate::catalog) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut found = Vec::with_capacity(sql.len() / 5);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &sql[at..];
        let (what, length) = match byte {
            b if b.is_ascii_whitespace() => (None, 1),
            b'-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            b'/' if rest.starts_with("/*") => (
                None,
                rest.get(2..)
                    .and_then(|r| r.find("*/"))
                    .map_or(rest.len(), |n| n + 4),
            ),
            b'\'' => (Some(What::Literal), quoted(rest, b'\'')),
            b'x' | b'X' if bytes.get(at + 1) == Some(&b'\'') => {
                (Some(What::Literal), 1 + quoted(&rest[1..], b'\''))
            }
            b'"' | b'`' => (Some(What::Quoted), quoted(rest, byte)),
            b'[' => (
                Some(What::Quoted),
                rest.find(']').map_or(rest.len(), |n| n + 1),
            ),
            b if is_word(b) => (Some(What::Word), word(rest)),
            _ => (Some(What::Mark), 1),
        };
        if let Some(what) = what {
            found.push(Token {
                what,
                start: at,
                text: &rest[..length],
            });
        }
        at += length;
    }
    found
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn word(rest: &str) -> usize {
    let number = rest.as_bytes().first().is_some_and(u8::is_ascii_digit);
    rest.bytes()
        .position(|b| !(is_word(b) || (number && b == b'.')))
        .unwrap_or(rest.len())
}

/// The length of a literal that ends with the quote it starts with; a doubled quote is inside.
fn quoted(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == quote {
            if bytes.get(at) != Some(&quote) {
                return at;
            }
            at += 1;
        }
    }
    rest.len()
}
