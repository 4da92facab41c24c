//! How a PostgreSQL database is opened, and how one transaction on it is to run.

use std::time::Duration;

use super::lsn::Lsn;
use crate::DatabaseUrl;

/// How a PostgreSQL database is opened.
///
/// What the URL says of a connection (`connect_timeout`, `sslmode`, `sslrootcert`, `options` and
/// the like) goes before what is said here.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The primary.
    pub url: DatabaseUrl,
    /// Streaming standbys that may answer reads.
    pub replicas: Vec<DatabaseUrl>,
    /// The most connections to each server.
    pub max_connections: u32,
    /// Connections that are kept open although nobody uses them.
    pub min_connections: u32,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
    /// How many callers may wait for a connection; further ones are refused at once.
    pub max_waiting: usize,
    /// How long connecting may take: whole seconds, at least two.
    pub connect_timeout: Duration,
    /// How long sent data may stay unacknowledged before the connection counts as dead.
    pub tcp_user_timeout: Option<Duration>,
    /// An idle connection is closed after this.
    pub idle_timeout: Option<Duration>,
    /// A connection is closed at this age, when it is idle.
    pub max_lifetime: Option<Duration>,
    /// A connection that was idle for longer is looked at before it is used.
    pub check_after: Duration,
    /// The server ends a statement that takes longer.
    pub statement_timeout: Option<Duration>,
    /// The server ends a statement that waits longer for a lock.
    pub lock_timeout: Option<Duration>,
    /// The server ends a session whose open transaction idles for longer.
    pub idle_in_transaction_timeout: Option<Duration>,
    /// What `pg_stat_activity` shows.
    pub application_name: String,
    /// The isolation of writes that do not choose one.
    pub isolation: Isolation,
    /// Whether a transaction pooler stands between.
    pub pooler: Pooler,
    /// How long a read waits for a replica to replay what it must see, before it goes to the
    /// primary.
    pub replica_wait: Duration,
}

impl PostgresOptions {
    /// The defaults for a database.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            replicas: Vec::new(),
            max_connections: 10,
            min_connections: 0,
            acquire_timeout: Duration::from_secs(5),
            max_waiting: 10_000,
            // SYN packets are repeated after 1 and 3 s: a longer attempt would sleep through the
            // return of the server.
            connect_timeout: Duration::from_secs(3),
            tcp_user_timeout: Some(Duration::from_secs(15)),
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(1800)),
            check_after: Duration::from_secs(1),
            statement_timeout: None,
            lock_timeout: None,
            idle_in_transaction_timeout: Some(Duration::from_secs(60)),
            application_name: super::connect::APPLICATION_NAME.to_owned(),
            isolation: Isolation::ReadCommitted,
            pooler: Pooler::Detect,
            replica_wait: Duration::from_millis(250),
        }
    }
}

/// Whether consecutive transactions of one connection may reach different server sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// No: statements are prepared once, and settings belong to the session.
    None,
    /// Yes (PgBouncer's `pool_mode = transaction` and the like): nothing is kept in the session.
    Transaction,
    /// Look when the database is opened. A busy pooler may go unnoticed: say it where it is known.
    Detect,
}

/// The isolation of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// All statements see one snapshot; a write to a row that changed since fails.
    RepeatableRead,
    /// As if transactions had run one after the other; one of two that conflict fails.
    Serializable,
}

/// How one transaction is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionOptions {
    pub(super) isolation: Option<Isolation>,
    pub(super) deferrable: bool,
    pub(super) statement_timeout: Option<Duration>,
    pub(super) acquire_timeout: Option<Duration>,
    pub(super) freshness: Freshness,
}

/// What a read on a replica must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Everything that this process has written through this database.
    #[default]
    OwnWrites,
    /// Everything up to this position, which another process may have handed over.
    After(Lsn),
    /// Whatever a healthy replica has.
    Any,
    /// What the primary has: for reads that decide something.
    Primary,
}

impl TransactionOptions {
    /// With this isolation. Without it a read is `RepeatableRead`, one snapshot, and a write is as
    /// the database is configured.
    #[must_use]
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// A `SERIALIZABLE READ ONLY DEFERRABLE` read waits at first for a snapshot with which it can
    /// neither fail nor make others fail. Without effect on anything else.
    #[must_use]
    pub const fn deferrable(mut self) -> Self {
        self.deferrable = true;
        self
    }

    /// With this limit on each statement.
    #[must_use]
    pub const fn statement_timeout(mut self, limit: Duration) -> Self {
        self.statement_timeout = Some(limit);
        self
    }

    /// With this limit on the wait for a connection.
    #[must_use]
    pub const fn acquire_timeout(mut self, limit: Duration) -> Self {
        self.acquire_timeout = Some(limit);
        self
    }

    /// What a read must see.
    #[must_use]
    pub const fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }
}
