//! Migration scripts as the engines read them: statements, tokens, checksums.
//!
//! A script is cut where the engine itself would cut it, so that each statement can be sent
//! alone and an error can name its statement and line. The tokens found on the way give the
//! second checksum, which tells a cosmetic edit from one that changes what a script does.
//!
//! Everything here is a pure function of text. Two lexers stand underneath: an own one for
//! SQLite, and `squawk-lexer` with PostgreSQL's scanner rules on top. A parser was rejected:
//! it would know fewer statements than the server does and refuse what the server accepts.

mod canonical;
mod checksum;
mod diff;
mod error;
mod facts;
mod keywords;
mod names;
mod postgres;
mod script;
mod sqlite;
#[cfg(test)]
mod tests;

use db_core::Engine;

use script::Script;

pub use canonical::{canonical, loose};
pub(crate) use checksum::hash;
pub use checksum::{Checksums, checksum, same_meaning};
pub use diff::{DiffKind, DiffLine, diff};
pub use error::{ScriptError, ScriptProblem};
pub use facts::{Facts, IndexName, facts};
pub(crate) use names::names;

/// One statement of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// From the first token to the `;` or the end of the script, without white space at the end.
    ///
    /// Comments behind the last token stay: SQLite keeps them in the text of a view.
    pub text: &'a str,
    /// Where `text` starts in the script, in bytes.
    pub offset: usize,
    /// The line of the first token, counted from 1.
    pub line: usize,
    /// Which statement of the script it is, counted from 1.
    pub number: usize,
}

impl Statement<'_> {
    /// The line of the script that holds a character of this statement.
    ///
    /// `position` counts characters from 1, as PostgreSQL reports the place of an error. One
    /// past the end gives the statement's last line.
    #[must_use]
    pub fn line_of_character(&self, position: usize) -> usize {
        let before = self.text.chars().take(position.saturating_sub(1));
        self.line + before.filter(|&c| c == '\n').count()
    }

    /// The line of the script that holds a byte of this statement.
    ///
    /// `offset` counts bytes from 0, as SQLite reports the place of an error.
    #[must_use]
    pub fn line_of_byte(&self, offset: usize) -> usize {
        let before = self.text.bytes().take(offset);
        self.line + before.filter(|&b| b == b'\n').count()
    }
}

/// Splits a script into its statements by the engine's own grammar.
///
/// Comments, white space and empty statements between them are left out, so a script that
/// holds nothing else gives an empty list.
///
/// ```
/// use db_core::Engine;
/// use db_migrate::sql::split;
///
/// let script = "-- people\nCREATE TABLE people (name TEXT DEFAULT ';');\nDROP TABLE men;";
/// let statements = split(Engine::Sqlite, script)?;
/// assert_eq!(statements.len(), 2);
/// assert_eq!((statements[1].text, statements[1].line), ("DROP TABLE men", 3));
/// # Ok::<(), db_migrate::sql::ScriptError>(())
/// ```
///
/// # Errors
/// [`ScriptError`] where a literal, quoted name or comment never ends, and where the script
/// holds what cannot be sent as a statement: NUL bytes, and on PostgreSQL psql's own commands
/// and `COPY` from or to the client.
pub fn split(engine: Engine, sql: &str) -> Result<Vec<Statement<'_>>, ScriptError> {
    let script = Script::parse(engine, sql)?;
    let (mut line, mut counted) = (1, 0);
    let statements = script.places().enumerate().map(|(index, place)| {
        let offset = place.start;
        line += error::newlines(&sql[counted..offset]);
        counted = offset;
        let text = sql[place].trim_end_matches(|c: char| c.is_ascii_whitespace());
        Statement {
            text,
            offset,
            line,
            number: index + 1,
        }
    });
    Ok(statements.collect())
}
