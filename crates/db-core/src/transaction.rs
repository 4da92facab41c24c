//! What a transaction asks for beyond being one.

use std::fmt;
use std::time::Duration;

use crate::Lsn;

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
    pub(crate) isolation: Option<IsolationLevel>,
    pub(crate) deferrable: bool,
    pub(crate) connection_timeout: Option<Duration>,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) freshness: Freshness,
}

/// What a read on a replica must see. Without replicas every read sees everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Everything that this process has written through this [`Database`](crate::Database).
    #[default]
    OwnWrites,
    /// Everything up to this place in the log, which another process may have handed over.
    After(Lsn),
    /// Whatever a healthy replica has.
    Any,
    /// What the primary has: for reads that decide something.
    Primary,
}

impl Freshness {
    /// Whether it promises everything that this process has written.
    pub(crate) const fn has_own_writes(self) -> bool {
        matches!(self, Self::OwnWrites | Self::Primary)
    }
}

impl TransactionOptions {
    /// Nothing but a transaction.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// At least this isolation. Without it a read is
    /// [`RepeatableRead`](IsolationLevel::RepeatableRead), one snapshot, and a write is as the
    /// database is configured.
    #[must_use]
    pub const fn isolation(mut self, level: IsolationLevel) -> Self {
        self.isolation = Some(level);
        self
    }

    /// A read that is [`Serializable`](IsolationLevel::Serializable) waits at first for a snapshot
    /// with which it can neither fail nor make others fail. Without effect on anything else.
    #[must_use]
    pub const fn deferrable(mut self) -> Self {
        self.deferrable = true;
        self
    }

    /// At most this long a wait for a connection, or for a turn to write, instead of the
    /// `connection_timeout` of the database.
    #[must_use]
    pub const fn connection_timeout(mut self, limit: Duration) -> Self {
        self.connection_timeout = Some(limit);
        self
    }

    /// PostgreSQL: at most this long for each statement, 0 for no limit. SQLite has no such limit.
    #[must_use]
    pub const fn statement_timeout(mut self, limit: Duration) -> Self {
        self.statement_timeout = Some(limit);
        self
    }

    /// PostgreSQL: what a read must see.
    #[must_use]
    pub const fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }
}
