//! PostgreSQL: its tokens, and which `;` ends a statement.
//!
//! `squawk-lexer` finds literals, names and comments as the server's scanner does
//! (`src/backend/parser/scan.l`). Two rules of that scanner are added here: operators are the
//! longest runs of operator characters, and a string that goes on behind a line end keeps the
//! escapes of its first part. Statements end where psql ends them (`psqlscan.l`), with
//! `standard_conforming_strings` on.

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

use super::error::{ScriptError, ScriptProblem};
use super::script::{Kind, Token};

/// A string literal just seen, which another may continue behind a line end.
#[derive(Clone, Copy)]
struct OpenEnded {
    /// Whether `\` escapes, as in `E'…'`.
    escapes: bool,
    /// Whether a line end has followed.
    newline: bool,
}

/// Hands each token of a script to `sink`.
pub(super) fn lex<'a>(
    sql: &'a str,
    sink: &mut impl FnMut(Token<'a>) -> Result<(), ScriptError>,
) -> Result<(), ScriptError> {
    let mut start = 0;
    let mut operators = None;
    let mut string: Option<OpenEnded> = None;
    'restart: loop {
        let mut raw_tokens = tokenize(&sql[start..]).peekable();
        while let Some(raw) = raw_tokens.next() {
            let mut end = start + raw.len as usize;
            if is_operator(raw.kind) {
                operators.get_or_insert(start);
                (start, string) = (end, None);
                continue;
            }
            if let Some(from) = operators.take() {
                cut_operators(&sql[from..start], from, sink)?;
            }
            let kind = match raw.kind {
                TokenKind::Whitespace => {
                    if let Some(open) = &mut string {
                        open.newline |= sql[start..end].contains(['\n', '\r']);
                    }
                    start = end;
                    continue;
                }
                TokenKind::LineComment => {
                    start = end;
                    continue;
                }
                TokenKind::BlockComment { terminated: true } => {
                    (start, string) = (end, None);
                    continue;
                }
                TokenKind::Literal {
                    kind: LiteralKind::Str { .. },
                } => {
                    let continued = string.filter(|open| open.newline);
                    let escapes = continued.is_some_and(|open| open.escapes);
                    if escapes {
                        // The lexer below does not know that backslashes still escape here.
                        end = escaped_string_end(sql, start)?;
                    } else {
                        kind_of(raw.kind).map_err(|p| ScriptError::new(sql, start, p))?;
                    }
                    let text = &sql[start..end];
                    let continues = continued.is_some();
                    sink(Token {
                        continues,
                        ..Token::new(Kind::Text, text, start)
                    })?;
                    (start, string) = (
                        end,
                        Some(OpenEnded {
                            escapes,
                            newline: false,
                        }),
                    );
                    if escapes {
                        continue 'restart;
                    }
                    continue;
                }
                TokenKind::Colon => {
                    let pair = |next: &squawk_lexer::Token| {
                        matches!(next.kind, TokenKind::Colon | TokenKind::Eq)
                    };
                    if raw_tokens.next_if(pair).is_some() {
                        end += 1;
                    }
                    Kind::Symbol
                }
                other => kind_of(other).map_err(|p| ScriptError::new(sql, start, p))?,
            };
            let text = &sql[start..end];
            if text == "\\" {
                return Err(ScriptError::new(sql, start, ScriptProblem::PsqlCommand));
            }
            sink(Token::new(kind, text, start))?;
            (start, string) = (end, open_ended(raw.kind));
        }
        break;
    }
    match operators {
        Some(from) => cut_operators(&sql[from..start], from, sink),
        None => Ok(()),
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
                LiteralKind::NationalStr { .. }
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

/// Cuts a run of operator characters into operators.
///
/// The longest run is one operator, except that it may end in `+` or `-` only if it also holds
/// a character that no operator of standard SQL has: so `=-1` reads `=` and `-1`.
fn cut_operators<'a>(
    mut run: &'a str,
    mut start: usize,
    sink: &mut impl FnMut(Token<'a>) -> Result<(), ScriptError>,
) -> Result<(), ScriptError> {
    while !run.is_empty() {
        let plain = !run.contains(['~', '!', '@', '#', '^', '&', '|', '`', '?', '%']);
        let length = if plain {
            run.trim_end_matches(['+', '-']).len().max(1)
        } else {
            run.len()
        };
        let (operator, rest) = run.split_at(length);
        sink(Token::new(Kind::Symbol, operator, start))?;
        (run, start) = (rest, start + length);
    }
    Ok(())
}

/// What a statement has open, as far as it matters to the next `;`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nesting {
    parentheses: usize,
    /// `BEGIN ATOMIC`, and each `CASE` inside it.
    blocks: usize,
}

impl Nesting {
    /// Takes the next token and says whether it ends the statement that holds `so_far`.
    pub(super) fn ends_at(&mut self, so_far: &[Token<'_>], token: &Token<'_>) -> bool {
        match token.kind {
            Kind::Symbol => match token.text {
                "(" => self.parentheses += 1,
                ")" => self.parentheses = self.parentheses.saturating_sub(1),
                ";" if self.parentheses == 0 && self.blocks == 0 => {
                    *self = Self::default();
                    return true;
                }
                _ => {}
            },
            Kind::Word if self.parentheses == 0 => self.word(so_far, token),
            _ => {}
        }
        false
    }

    fn word(&mut self, so_far: &[Token<'_>], word: &Token<'_>) {
        if self.blocks == 0 {
            // psql counts any BEGIN of a routine; only BEGIN ATOMIC opens a body, and `begin`
            // alone may be a name.
            let begun = so_far.last().is_some_and(|token| token.is_word("begin"));
            if begun && word.is_word("atomic") && creates_routine(so_far) {
                self.blocks = 1;
            }
        } else if !is_label(so_far) {
            if word.is_word("case") {
                self.blocks += 1;
            } else if word.is_word("end") {
                self.blocks -= 1;
            }
        }
    }
}

/// Whether the next word is a name, where even a reserved word is allowed: `x.end`, `AS end`.
fn is_label(so_far: &[Token<'_>]) -> bool {
    so_far
        .last()
        .is_some_and(|token| token.is_symbol(".") || token.is_word("as"))
}

/// Whether a statement starts with `CREATE [OR REPLACE] FUNCTION` or `PROCEDURE`.
fn creates_routine(tokens: &[Token<'_>]) -> bool {
    let is = |index: usize, words: &[&str]| {
        tokens
            .get(index)
            .is_some_and(|token: &Token<'_>| token.is_any(words))
    };
    let kind = if is(1, &["or"]) && is(2, &["replace"]) {
        3
    } else {
        1
    };
    is(0, &["create"]) && is(kind, &["function", "procedure"])
}

/// Whether a statement is a `COPY` whose rows pass through the client.
///
/// The grammar takes `STDIN` and `STDOUT` in either direction. Inside the parentheses of
/// `COPY (SELECT …)` they are names.
pub(super) fn is_client_copy(tokens: &[Token<'_>]) -> bool {
    if !tokens[0].is_word("copy") {
        return false;
    }
    let mut depth = 0_usize;
    tokens.windows(2).any(|pair| {
        if pair[0].is_symbol("(") {
            depth += 1;
        } else if pair[0].is_symbol(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && pair[0].is_any(&["from", "to"]) && pair[1].is_any(&["stdin", "stdout"])
    })
}
