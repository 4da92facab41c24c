//! What may be said of an error only inside a closure.

use super::{Error, ErrorKind, advice};
use crate::nesting::{self, Use};

impl Error {
    /// The same error with what to do in the closure that this thread runs, if it runs one. What the
    /// server advises goes before.
    pub(super) fn advised(mut self) -> Self {
        let advice = match (self.kind, nesting::innermost()) {
            (ErrorKind::ReadOnly, Some(Use::Read)) => advice::USE_WRITE,
            (ErrorKind::TransactionAborted, Some(_)) => advice::SAVEPOINT,
            _ => return self,
        };
        self.hint.get_or_insert_with(|| advice.into());
        self
    }
}
