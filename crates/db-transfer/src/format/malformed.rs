//! What is wrong with the text of a file.

use std::io;

use super::record::Place;

/// Why a file could not be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Its text is not what the form asks for.
    #[error("{place}: {problem}")]
    Malformed {
        /// Where.
        place: Place,
        /// What is wrong there, and what to do.
        problem: String,
        /// Whether reading can go on with the next row.
        resumable: bool,
    },
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ReadError {
    pub(crate) fn at(place: Place, problem: impl Into<String>) -> Self {
        Self::Malformed {
            place,
            problem: problem.into(),
            resumable: false,
        }
    }

    pub(crate) fn of_row(place: Place, problem: impl Into<String>) -> Self {
        Self::Malformed {
            place,
            problem: problem.into(),
            resumable: true,
        }
    }
}
