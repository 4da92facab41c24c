//! The tokens of PostgreSQL.
//!
//! `squawk-lexer` finds literals, names and comments as the server's scanner does
//! (`src/backend/parser/scan.l`), with `standard_conforming_strings` on. Two rules of that
//! scanner are added here: operators are the longest runs of operator characters, and a string
//! that goes on behind a line end keeps the escapes of its first part.

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

use crate::sql::error::{ScriptError, ScriptProblem};
use crate::sql::script::{Kind, Token};

/// Hands each token of a script to `sink`.
pub(in crate::sql) fn lex<'a>(
    sql: &'a str,
    sink: &mut impl FnMut(Token<'a>) -> Result<(), ScriptError>,
) -> Result<(), ScriptError> {
    let mut lexer = Lexer {
        sql,
        at: 0,
        operators: None,
        string: None,
        sink,
    };
    while lexer.run()? == Outcome::StartAgain {}
    lexer.end_operators(sql.len())
}

/// A string literal just seen, which another may continue behind a line end.
#[derive(Clone, Copy)]
struct OpenEnded {
    /// Whether `\` escapes, as in `E'…'`.
    escapes: bool,
    /// Whether a line end has followed.
    newline: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// A token ended elsewhere than the lexer below believes.
    StartAgain,
}

struct Lexer<'a, 's, S> {
    sql: &'a str,
    /// Where the next token starts.
    at: usize,
    /// Where a run of operator characters started that has not ended yet.
    operators: Option<usize>,
    string: Option<OpenEnded>,
    sink: &'s mut S,
}

impl<'a, S: FnMut(Token<'a>) -> Result<(), ScriptError>> Lexer<'a, '_, S> {
    fn run(&mut self) -> Result<Outcome, ScriptError> {
        let mut raw_tokens = tokenize(&self.sql[self.at..]).peekable();
        while let Some(raw) = raw_tokens.next() {
            let start = self.at;
            self.at += raw.len as usize;
            if is_operator(raw.kind) {
                self.operators.get_or_insert(start);
                self.string = None;
                continue;
            }
            self.end_operators(start)?;
            match raw.kind {
                TokenKind::Whitespace => {
                    let newline = self.sql[start..self.at].contains(['\n', '\r']);
                    if let Some(string) = &mut self.string {
                        string.newline |= newline;
                    }
                }
                TokenKind::LineComment => {}
                TokenKind::BlockComment { terminated: true } => self.string = None,
                TokenKind::Literal {
                    kind: LiteralKind::Str { .. },
                } => {
                    if self.string_literal(start, raw.kind)? == Outcome::StartAgain {
                        return Ok(Outcome::StartAgain);
                    }
                }
                TokenKind::Colon => {
                    let pairs = |kind| matches!(kind, TokenKind::Colon | TokenKind::Eq);
                    if raw_tokens.next_if(|next| pairs(next.kind)).is_some() {
                        self.at += 1;
                    }
                    self.token(start, raw.kind)?;
                }
                _ => self.token(start, raw.kind)?,
            }
        }
        Ok(Outcome::Done)
    }

    /// Hands on the token between `start` and here.
    fn token(&mut self, start: usize, raw: TokenKind) -> Result<(), ScriptError> {
        let text = &self.sql[start..self.at];
        if text == "\\" {
            return Err(ScriptError::new(
                self.sql,
                start,
                ScriptProblem::PsqlCommand,
            ));
        }
        let kind = kind_of(raw).map_err(|problem| ScriptError::new(self.sql, start, problem))?;
        self.string = open_ended(raw);
        (self.sink)(Token::new(kind, text, start))
    }

    /// Hands on a plain string, which may continue the literal before it.
    fn string_literal(&mut self, start: usize, raw: TokenKind) -> Result<Outcome, ScriptError> {
        let Some(first) = self.string.filter(|first| first.newline) else {
            self.token(start, raw)?;
            return Ok(Outcome::Done);
        };
        if first.escapes {
            // The lexer below does not know that backslashes still escape here.
            self.at = escaped_string_end(self.sql, start)?;
        } else {
            kind_of(raw).map_err(|problem| ScriptError::new(self.sql, start, problem))?;
        }
        let token = Token::new(Kind::Text, &self.sql[start..self.at], start);
        self.string = Some(OpenEnded {
            newline: false,
            ..first
        });
        (self.sink)(Token {
            continues: true,
            ..token
        })?;
        Ok(if first.escapes {
            Outcome::StartAgain
        } else {
            Outcome::Done
        })
    }

    /// Hands on the operators of the run that ends here, if there is one.
    ///
    /// The longest run is one operator, except that it may end in `+` or `-` only if it also
    /// holds a character that no operator of standard SQL has: so `=-1` reads `=` and `-1`.
    fn end_operators(&mut self, end: usize) -> Result<(), ScriptError> {
        let Some(mut start) = self.operators.take() else {
            return Ok(());
        };
        while start < end {
            let run = &self.sql[start..end];
            let own = run.contains(['~', '!', '@', '#', '^', '&', '|', '`', '?', '%']);
            let plain = run.trim_end_matches(['+', '-']).len().max(1);
            let length = if own { run.len() } else { plain };
            (self.sink)(Token::new(Kind::Symbol, &run[..length], start))?;
            start += length;
        }
        Ok(())
    }
}

fn kind_of(kind: TokenKind) -> Result<Kind, ScriptProblem> {
    use LiteralKind as Literal;
    match kind {
        TokenKind::BlockComment { terminated: false } => Err(ScriptProblem::UnterminatedComment),
        TokenKind::QuotedIdent {
            terminated: false, ..
        } => Err(ScriptProblem::UnterminatedName),
        TokenKind::QuotedIdent { .. } => Ok(Kind::QuotedName),
        TokenKind::Ident => Ok(Kind::Word),
        TokenKind::PositionalParam { .. } => Ok(Kind::Parameter),
        TokenKind::Literal { kind } => match kind {
            Literal::Int { .. } | Literal::Numeric { .. } => Ok(Kind::Number),
            Literal::DollarQuotedString { terminated: false } => {
                Err(ScriptProblem::UnterminatedDollarQuote)
            }
            Literal::Str { terminated: false }
            | Literal::NationalStr { terminated: false }
            | Literal::ByteStr { terminated: false }
            | Literal::BitStr { terminated: false }
            | Literal::UnicodeEscStr { terminated: false }
            | Literal::EscStr { terminated: false } => Err(ScriptProblem::UnterminatedString),
            _ => Ok(Kind::Text),
        },
        _ => Ok(Kind::Symbol),
    }
}

const fn open_ended(kind: TokenKind) -> Option<OpenEnded> {
    match kind {
        TokenKind::Literal {
            kind:
                LiteralKind::Str { .. }
                | LiteralKind::NationalStr { .. }
                | LiteralKind::ByteStr { .. }
                | LiteralKind::BitStr { .. }
                | LiteralKind::UnicodeEscStr { .. },
        } => Some(OpenEnded {
            escapes: false,
            newline: false,
        }),
        TokenKind::Literal {
            kind: LiteralKind::EscStr { .. },
        } => Some(OpenEnded {
            escapes: true,
            newline: false,
        }),
        _ => None,
    }
}

/// Where a string with backslash escapes ends whose opening quote stands at `start`.
fn escaped_string_end(sql: &str, start: usize) -> Result<usize, ScriptError> {
    let bytes = sql.as_bytes();
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err(ScriptError::new(
        sql,
        start,
        ScriptProblem::UnterminatedString,
    ))
}

const fn is_operator(kind: TokenKind) -> bool {
    use TokenKind as T;
    matches!(
        kind,
        T::Tilde
            | T::Bang
            | T::At
            | T::Pound
            | T::Caret
            | T::And
            | T::Or
            | T::Backtick
            | T::Question
            | T::Plus
            | T::Minus
            | T::Star
            | T::Slash
            | T::Percent
            | T::Lt
            | T::Gt
            | T::Eq
    )
}
