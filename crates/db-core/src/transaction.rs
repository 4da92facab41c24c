//! What a transaction asks for beyond being one.

use std::fmt;
use std::time::Duration;

/// What concurrent transactions may see of each other, weakest first.
///
/// On SQLite each of them is given whatever is asked for: a reader has one snapshot and there is one
/// writer, which is serializable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IsolationLevel {
    /// Each statement sees what was committed before it.
    ReadCommitted,
    /// All statements see one snapshot; a write to a row that changed since is
    /// [`ErrorKind::Serialization`](crate::ErrorKind::Serialization).
    RepeatableRead,
    /// As if transactions ran one after the other; where that cannot be, one of them is
    /// [`ErrorKind::Serialization`](crate::ErrorKind::Serialization).
    Serializable,
}

impl IsolationLevel {
    /// All levels, weakest first.
    pub const ALL: [Self; 3] = [
        Self::ReadCommitted,
        Self::RepeatableRead,
        Self::Serializable,
    ];

    /// As SQL says it, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}

impl fmt::Display for IsolationLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one transaction asks for; what is left out is as the database was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionOptions {
    isolation: Option<IsolationLevel>,
    deadline: Option<Duration>,
    on_primary: bool,
}

impl TransactionOptions {
    /// Nothing but a transaction.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            isolation: None,
            deadline: None,
            on_primary: false,
        }
    }

    /// At least this isolation.
    #[must_use]
    pub const fn with_isolation(mut self, level: IsolationLevel) -> Self {
        self.isolation = Some(level);
        self
    }

    /// At most this long a wait for a connection, or for a turn to write, instead of the
    /// `connection_timeout` of the database.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Reads from the primary, never from a replica: for what decides something.
    #[must_use]
    pub const fn on_primary(mut self) -> Self {
        self.on_primary = true;
        self
    }

    /// The isolation that was asked for.
    #[must_use]
    pub const fn isolation(&self) -> Option<IsolationLevel> {
        self.isolation
    }

    /// The longest wait that was asked for.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Whether a replica will not do.
    #[must_use]
    pub const fn is_on_primary(&self) -> bool {
        self.on_primary
    }
}
