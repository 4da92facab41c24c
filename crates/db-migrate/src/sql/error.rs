//! Why a script cannot be split, and what its author can do about it.

/// A script that cannot be sent statement by statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScriptError {
    /// The line where the trouble starts, counted from 1.
    pub line: usize,
    /// The same place in bytes from the start of the script.
    pub offset: usize,
    /// What is wrong there.
    pub problem: ScriptProblem,
}

impl ScriptError {
    pub(super) fn new(sql: &str, offset: usize, problem: ScriptProblem) -> Self {
        Self {
            line: 1 + newlines(&sql[..offset]),
            offset,
            problem,
        }
    }
}

/// What is wrong with a script; each text says what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptProblem {
    /// A NUL byte, which both engines take for the end of the text.
    #[error(
        "the script holds a NUL byte, and the engine would ignore everything after it; \
         save the file as UTF-8 (an editor may have written UTF-16)"
    )]
    NulByte,
    /// A string that is still open at the end of the script.
    #[error(
        "the string that starts here never ends; close it with ', and write a quote inside it as ''"
    )]
    UnterminatedString,
    /// A quoted name that is still open at the end of the script.
    #[error("the quoted name that starts here never ends; close it with the quote that opens it")]
    UnterminatedName,
    /// A dollar-quoted text that is still open at the end of the script.
    #[error(
        "the dollar-quoted text that starts here never ends; \
         close it with exactly the same tag, upper and lower case included"
    )]
    UnterminatedDollarQuote,
    /// A block comment that is still open at the end of the script.
    #[error(
        "the comment that starts here never ends; PostgreSQL nests comments, \
         so each /* inside it needs its own */"
    )]
    UnterminatedComment,
    /// `COPY … FROM STDIN` or `TO STDOUT`.
    #[error(
        "COPY from or to the client needs a data stream beside the statements, which a migration \
         does not have; write the rows as INSERT statements (pg_dump --inserts), \
         or COPY from a file on the server"
    )]
    CopyStream,
    /// A backslash outside literals.
    #[error(
        "a backslash starts a command of psql, which the server does not know; remove the line \
         (\\restrict and \\connect of a dump are not needed), or replace it by plain SQL"
    )]
    PsqlCommand,
}

/// How many lines a text ends.
pub(super) fn newlines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}
