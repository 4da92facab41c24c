//! Where a statement of PostgreSQL ends, and which one cannot be sent.
//!
//! The rules are those of psql (`src/fe_utils/psqlscan.l`): a `;` inside parentheses, as in
//! `CREATE RULE`, or inside the `BEGIN ATOMIC … END` of a routine does not end a statement.

use crate::sql::script::{Kind, Token};

/// What a statement has open, as far as it matters to the next `;`.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sql) struct Nesting {
    parentheses: usize,
    /// `BEGIN ATOMIC`, and each `CASE` inside it.
    blocks: usize,
}

impl Nesting {
    /// Takes the next token and says whether it ends the statement that holds `so_far`.
    pub(in crate::sql) fn ends_at(&mut self, so_far: &[Token<'_>], token: &Token<'_>) -> bool {
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
pub(in crate::sql) fn is_client_copy(tokens: &[Token<'_>]) -> bool {
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
