//! PostgreSQL: its tokens, and which `;` ends a statement.

mod lexer;
mod statement;

pub(super) use lexer::lex;
pub(super) use statement::{Nesting, is_client_copy};
