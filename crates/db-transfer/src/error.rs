//! What can go wrong on the way in or out.

use std::io;
use std::path::PathBuf;

use db_core::ErrorKind;

/// Why data did not come in or go out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused or failed.
    #[error("{doing}: {source}")]
    Database {
        /// What was being done, as "reading the table users".
        doing: String,
        /// What the engine says, classified.
        source: db_core::Error,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which one; `-` is standard input or output.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is in a file cannot be imported; nothing was changed.
    #[error("{}", crate::import::told(.faults))]
    BadInput {
        /// What is wrong with it: the first of it, as much as was asked for.
        faults: Vec<crate::import::Fault>,
    },
    /// The caller asked for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// A program of PostgreSQL's is missing, or failed.
    #[error("{0}")]
    Tool(String),
    /// It was asked to stop, and has left nothing behind.
    #[error("interrupted")]
    Interrupted,
}

/// Says what was being done when a database failed.
pub(crate) trait Doing<T> {
    /// The error with that; a stop that was asked for is one whatever was being done.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, db_core::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| match source.kind() {
            ErrorKind::Cancelled => Error::Interrupted,
            _ => Error::Database {
                doing: what(),
                source,
            },
        })
    }
}
