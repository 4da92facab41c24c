//! A script as tokens and statements: the one form on which the rest of the module works.

use std::borrow::Cow;
use std::ops::Range;

use db_core::Engine;

use super::error::{ScriptError, ScriptProblem};
use super::{postgres, sqlite};

/// What a token is, as far as checksums and questions about statements need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or an unquoted name.
    Word,
    /// A name in quotes, the quotes included.
    QuotedName,
    /// A string, blob, bit string or dollar-quoted text, prefix and quotes included.
    Text,
    /// A number, with whatever sticks to it.
    Number,
    /// A parameter such as `$1` or `:name`.
    Parameter,
    /// An operator or a mark.
    Symbol,
}

/// One token; comments and white space give none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Where it starts in the script, in bytes.
    pub start: usize,
    /// A string that goes on with the one before it, because only a line end stands between
    /// them (PostgreSQL). On one line the same two strings are an error.
    pub continues: bool,
}

impl<'a> Token<'a> {
    pub(super) const fn new(kind: Kind, text: &'a str, start: usize) -> Self {
        Self {
            kind,
            text,
            start,
            continues: false,
        }
    }

    /// Whether it is this keyword or unquoted name, in any case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is one of these keywords, in any case.
    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// The text without what is always cosmetic: line-end style, and the case of words.
    ///
    /// Only ASCII letters are folded. SQLite folds no others, and PostgreSQL folds others only
    /// in single-byte encodings.
    pub(super) fn plain(&self) -> Cow<'a, str> {
        match self.kind {
            Kind::Word if self.text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(self.text.to_ascii_lowercase())
            }
            Kind::Text | Kind::QuotedName => unix_lines(self.text),
            _ => Cow::Borrowed(self.text),
        }
    }
}

/// A text with every CRLF turned into LF.
pub(super) fn unix_lines(text: &str) -> Cow<'_, str> {
    if text.contains("\r\n") {
        Cow::Owned(text.replace("\r\n", "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The tokens of a script, grouped into statements.
pub(super) struct Script<'a> {
    tokens: Vec<Token<'a>>,
    statements: Vec<Span>,
}

/// One statement of a script.
struct Span {
    tokens: Range<usize>,
    /// Where its `;` stands, or the script ends, in bytes.
    end: usize,
}

impl<'a> Script<'a> {
    pub(super) fn parse(engine: Engine, sql: &'a str) -> Result<Self, ScriptError> {
        if let Some(offset) = sql.bytes().position(|byte| byte == 0) {
            return Err(ScriptError::new(sql, offset, ScriptProblem::NulByte));
        }
        let mut cutter = Cutter::new(engine, sql);
        match engine {
            Engine::Sqlite => sqlite::lex(sql, &mut |token| cutter.push(token))?,
            Engine::Postgres => postgres::lex(sql, &mut |token| cutter.push(token))?,
        }
        cutter.close(sql.len())?;
        Ok(cutter.script)
    }

    /// The tokens of each statement; none of them is empty.
    pub(super) fn statements(&self) -> impl Iterator<Item = &[Token<'a>]> {
        self.statements
            .iter()
            .map(|span| &self.tokens[span.tokens.clone()])
    }

    /// Where each statement starts and ends in the script, in bytes.
    pub(super) fn places(&self) -> impl Iterator<Item = Range<usize>> {
        self.statements
            .iter()
            .map(|span| self.tokens[span.tokens.start].start..span.end)
    }
}

/// The rules of an engine that say which `;` ends a statement.
enum Rules {
    Sqlite(sqlite::Place),
    Postgres(postgres::Nesting),
}

/// Collects tokens and cuts them into statements while the lexer still runs, because what
/// follows a `COPY … FROM STDIN` is data and must not be read as tokens.
struct Cutter<'a> {
    sql: &'a str,
    script: Script<'a>,
    first: usize,
    rules: Rules,
}

impl<'a> Cutter<'a> {
    fn new(engine: Engine, sql: &'a str) -> Self {
        let rules = match engine {
            Engine::Sqlite => Rules::Sqlite(sqlite::Place::default()),
            Engine::Postgres => Rules::Postgres(postgres::Nesting::default()),
        };
        // About five bytes a token is what dense SQL needs; comments make it fewer.
        let tokens = Vec::with_capacity(sql.len() / 5);
        Self {
            sql,
            script: Script {
                tokens,
                statements: Vec::new(),
            },
            first: 0,
            rules,
        }
    }

    fn push(&mut self, token: Token<'a>) -> Result<(), ScriptError> {
        let so_far = &self.script.tokens[self.first..];
        let ends = match &mut self.rules {
            Rules::Sqlite(place) => place.ends_at(&token),
            Rules::Postgres(nesting) => nesting.ends_at(so_far, &token),
        };
        if ends {
            return self.close(token.start);
        }
        self.script.tokens.push(token);
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), ScriptError> {
        let tokens = &self.script.tokens[self.first..];
        let Some(head) = tokens.first() else {
            return Ok(());
        };
        if matches!(self.rules, Rules::Postgres(_)) && postgres::is_client_copy(tokens) {
            return Err(ScriptError::new(
                self.sql,
                head.start,
                ScriptProblem::CopyStream,
            ));
        }
        let next = self.script.tokens.len();
        self.script.statements.push(Span {
            tokens: self.first..next,
            end,
        });
        self.first = next;
        Ok(())
    }
}
