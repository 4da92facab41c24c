//! A PostgreSQL database: a primary for writes, standbys for reads where there are any.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::connect::{Role, finds_pooler, limits};
use super::gate::{Acquire, GateStats, Permit};
use super::lsn::Lsn;
use super::options::{Freshness, Pooler, PostgresOptions, TransactionOptions};
use super::pool::{Lease, Server};
use super::replica::{Replica, written};
use super::transaction::{Beginning, Purpose, run, run_single};
use crate::{Conn, Error, ErrorKind};

/// A PostgreSQL database with its connections. Clones share them.
#[derive(Clone)]
pub struct PostgresDatabase {
    inner: Arc<Inner>,
}

struct Inner {
    options: Arc<PostgresOptions>,
    keeps_state: bool,
    beginning: Beginning,
    primary: Server,
    replicas: Vec<Replica>,
    next_replica: AtomicUsize,
    /// How far the log went after our latest write.
    last_written: AtomicU64,
    /// Set while we cannot tell how far that is: reads stay on the primary.
    blind: AtomicBool,
}

/// What a database is doing, for gauges.
#[derive(Debug, Clone)]
pub struct PostgresStats {
    /// The queue in front of the primary.
    pub gate: GateStats,
    /// Open connections to the primary.
    pub connections: u32,
    /// Failures to connect to the primary since the start.
    pub connect_failures: u64,
    /// How long the longest-held connection has been out, and the place in the code that took it.
    pub oldest_borrow: Option<(Duration, &'static Location<'static>)>,
    /// Per replica: whether it is in rotation, and its queue.
    pub replicas: Vec<(bool, GateStats)>,
}

/// Permission to run one closure, obtained without a thread; see [`PostgresDatabase::admit`].
pub struct Admitted {
    permit: Permit,
}

/// Waits for [`Admitted`]; dropping it leaves the queue.
pub struct Admission {
    acquire: Acquire,
}

impl Future for Admission {
    type Output = Result<Admitted, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.acquire)
            .poll(context)
            .map_ok(|permit| Admitted { permit })
    }
}

impl PostgresDatabase {
    /// Opens a database and makes sure that it answers.
    ///
    /// # Errors
    /// Why it cannot be connected to.
    #[track_caller]
    pub fn open(options: PostgresOptions) -> Result<Self, Error> {
        let place = Location::caller();
        let pooled = match options.pooler {
            Pooler::None => false,
            Pooler::Transaction => true,
            Pooler::Detect => finds_pooler(&options.url)?,
        };
        let role = Role {
            keeps_state: !pooled,
            is_standby: false,
        };
        let local_limits = if pooled { limits(&options) } else { Vec::new() };
        let options = Arc::new(options);
        let inner = Inner {
            keeps_state: role.keeps_state,
            beginning: Beginning::new(options.isolation, &local_limits),
            primary: Server::new(&options.url, &options, role),
            replicas: options
                .replicas
                .iter()
                .map(|url| Replica::new(url, &options, role))
                .collect(),
            next_replica: AtomicUsize::new(0),
            last_written: AtomicU64::new(0),
            blind: AtomicBool::new(false),
            options,
        };
        let deadline = Instant::now() + inner.options.acquire_timeout;
        let permit = inner.primary.gate.acquire(deadline)?;
        let mut lease = inner.primary.checkout(permit, deadline, place)?;
        if !inner.replicas.is_empty() {
            // Another process may have written just now.
            let lsn = written(lease.session())?;
            inner.last_written.store(lsn.0, Ordering::Release);
        }
        drop(lease);
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Runs a closure in a read-only transaction that sees one snapshot, on a replica if there is
    /// one that has caught up with this process's writes.
    ///
    /// # Errors
    /// The closure's own; `Timeout`, `Overloaded`, `Closed` or `Unavailable` before it ran.
    #[track_caller]
    pub fn read<T, E>(&self, f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.read_with(&TransactionOptions::default(), f)
    }

    /// [`read`](Self::read), with options.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn read_with<T, E>(
        &self,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let deadline = self.inner.deadline(options);
        let lease = self
            .inner
            .begin_read(options, deadline, None, Location::caller())?;
        self.inner.finish_read(lease, options, f)
    }

    /// Runs a closure of one statement, without BEGIN and COMMIT: one round trip instead of three.
    ///
    /// One statement sees one snapshot by itself, and the session is read-only by default.
    ///
    /// # Errors
    /// As [`read`](Self::read), and `Statement` if the closure sent more than one statement.
    #[track_caller]
    pub fn read_one<T, E>(
        &self,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        // Behind a pooler the session is not ours to make read-only.
        let needs_transaction = !self.inner.keeps_state
            || options.isolation.is_some()
            || options.statement_timeout.is_some();
        if needs_transaction {
            return self.read_with(options, f);
        }
        let deadline = self.inner.deadline(options);
        let mut lease = self
            .inner
            .reader(options, deadline, None, Location::caller())?
            .0;
        run_single(lease.session(), f)
    }

    /// Runs a closure in a transaction on the primary, and returns when it is committed.
    ///
    /// # Errors
    /// The closure's own, after a rollback; why the transaction could not begin or commit;
    /// `OutcomeUnknown` if the connection broke while it committed.
    #[track_caller]
    pub fn write<T, E>(&self, f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        self.write_with(&TransactionOptions::default(), f)
    }

    /// [`write`](Self::write), with options.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_with<T, E>(
        &self,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let deadline = self.inner.deadline(options);
        self.inner
            .write(options, deadline, None, Location::caller(), f)
    }

    /// Waits for a place on the primary without holding a thread. The caller brings the timer;
    /// `options` say how late is too late.
    pub fn admit(&self, options: &TransactionOptions) -> Admission {
        let deadline = self.inner.deadline(options);
        Admission {
            acquire: self.inner.primary.gate.acquire_later(deadline),
        }
    }

    /// [`read_with`](Self::read_with) on the primary, for one that was admitted; it blocks.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn read_admitted<T, E>(
        &self,
        admitted: Admitted,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let deadline = self.inner.deadline(options);
        let place = Location::caller();
        let lease = self
            .inner
            .begin_read(options, deadline, Some(admitted.permit), place)?;
        self.inner.finish_read(lease, options, f)
    }

    /// [`write_with`](Self::write_with), for one that was admitted; it blocks.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_admitted<T, E>(
        &self,
        admitted: Admitted,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let deadline = self.inner.deadline(options);
        let permit = Some(admitted.permit);
        self.inner
            .write(options, deadline, permit, Location::caller(), f)
    }

    /// The place in the log that a replica must have replayed to show all that this process has
    /// written; hand it to another process as [`Freshness::After`]. None without replicas, or when
    /// it cannot be told.
    pub fn last_written(&self) -> Option<Lsn> {
        let known = !self.inner.replicas.is_empty() && !self.inner.blind.load(Ordering::Acquire);
        known.then(|| Lsn(self.inner.last_written.load(Ordering::Acquire)))
    }

    /// What the database is doing.
    pub fn stats(&self) -> PostgresStats {
        let primary = &self.inner.primary;
        PostgresStats {
            gate: primary.gate.stats(),
            connections: primary.connections(),
            connect_failures: primary.breaker.failures(),
            oldest_borrow: primary
                .borrows()
                .first()
                .map(|(since, place)| (since.elapsed(), *place)),
            replicas: self
                .inner
                .replicas
                .iter()
                .map(|r| (r.is_in_rotation(), r.server.gate.stats()))
                .collect(),
        }
    }

    /// Refuses new work, waits for what runs, and closes all connections. What still runs after
    /// `patience` is cancelled.
    ///
    /// # Errors
    /// `Timeout` if it had to be.
    pub fn close(&self, patience: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + patience;
        let mut result = self.inner.primary.close(deadline);
        for replica in &self.inner.replicas {
            result = result.and(replica.server.close(deadline));
        }
        result
    }
}

impl Inner {
    fn deadline(&self, options: &TransactionOptions) -> Instant {
        Instant::now()
            + options
                .acquire_timeout
                .unwrap_or(self.options.acquire_timeout)
    }

    /// A connection for reading, and the replica it belongs to.
    fn reader(
        &self,
        options: &TransactionOptions,
        deadline: Instant,
        permit: Option<Permit>,
        place: &'static Location<'static>,
    ) -> Result<(Lease, Option<&Replica>), Error> {
        if permit.is_none()
            && let Some((lease, replica)) = self.on_replica(options.freshness, deadline, place)
        {
            return Ok((lease, Some(replica)));
        }
        let permit = match permit {
            Some(permit) => permit,
            None => self.primary.gate.acquire(deadline)?,
        };
        Ok((self.primary.checkout(permit, deadline, place)?, None))
    }

    /// A connection to a replica that shows what must be seen.
    fn on_replica(
        &self,
        freshness: Freshness,
        deadline: Instant,
        place: &'static Location<'static>,
    ) -> Option<(Lease, &Replica)> {
        let count = self.replicas.len();
        if count == 0 {
            return None;
        }
        let needed = match freshness {
            Freshness::Primary => return None,
            Freshness::OwnWrites if self.blind.load(Ordering::Acquire) => return None,
            Freshness::OwnWrites => Lsn(self.last_written.load(Ordering::Acquire)),
            Freshness::After(lsn) => lsn,
            Freshness::Any => Lsn::default(),
        };
        let deadline = deadline.min(Instant::now() + self.options.replica_wait);
        let first = self.next_replica.fetch_add(1, Ordering::Relaxed);
        (0..count)
            .filter_map(|n| self.replicas.get(first.wrapping_add(n) % count))
            .filter(|replica| replica.is_in_rotation())
            .find_map(|replica| Some((replica.lease(needed, deadline, place)?, replica)))
    }

    fn begin_read(
        &self,
        options: &TransactionOptions,
        deadline: Instant,
        permit: Option<Permit>,
        place: &'static Location<'static>,
    ) -> Result<Lease, Error> {
        let sql = self.beginning.sql(Purpose::Read, options);
        let (lease, replica) = self.reader(options, deadline, permit, place)?;
        let Some(replica) = replica else {
            return self.begin(lease, &sql, deadline, place);
        };
        let mut lease = lease;
        match lease.session().begin(&sql) {
            Ok(()) => return Ok(lease),
            // SERIALIZABLE is not to be had on a standby, for one.
            Err(error) if error.kind() != ErrorKind::ConnectionLost => drop(lease),
            Err(_) => replica.lost(lease),
        }
        let permit = self.primary.gate.acquire(deadline)?;
        let lease = self.primary.checkout(permit, deadline, place)?;
        self.begin(lease, &sql, deadline, place)
    }

    fn finish_read<T, E>(
        &self,
        mut lease: Lease,
        options: &TransactionOptions,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let isolation = self.beginning.isolation(Purpose::Read, options);
        run(lease.session(), Purpose::Read, isolation, f).0
    }

    /// Opens a transaction on the primary; a connection that turns out to be dead is replaced,
    /// because nothing has been asked of it yet.
    fn begin(
        &self,
        mut lease: Lease,
        sql: &str,
        deadline: Instant,
        place: &'static Location<'static>,
    ) -> Result<Lease, Error> {
        loop {
            let error = match lease.session().begin(sql) {
                Ok(()) => return Ok(lease),
                Err(error) => error,
            };
            let permit = self.primary.replace(lease);
            if error.kind() != ErrorKind::ConnectionLost {
                // As on a server that has become a standby: the next one looks at its connection.
                return Err(error);
            }
            lease = self.primary.checkout(permit, deadline, place)?;
        }
    }

    fn write<T, E>(
        &self,
        options: &TransactionOptions,
        deadline: Instant,
        permit: Option<Permit>,
        place: &'static Location<'static>,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let permit = match permit {
            Some(permit) => permit,
            None => self.primary.gate.acquire(deadline)?,
        };
        let lease = self.primary.checkout(permit, deadline, place)?;
        let sql = self.beginning.sql(Purpose::Write, options);
        let mut lease = self.begin(lease, &sql, deadline, place)?;
        let isolation = self.beginning.isolation(Purpose::Write, options);
        let session = lease.session();
        let (result, seen) = run(session, Purpose::Write, isolation, f);
        if session.is_broken() {
            self.primary.breaker.lost();
        }
        if !self.replicas.is_empty() {
            let place = if seen.relaxed || session.is_broken() || !session.waits_for_disk() {
                None
            } else {
                written(session).ok()
            };
            self.note_written(place);
        }
        result
    }

    fn note_written(&self, place: Option<Lsn>) {
        match place {
            Some(lsn) => {
                self.last_written.fetch_max(lsn.0, Ordering::AcqRel);
                self.blind.store(false, Ordering::Release);
            }
            None => self.blind.store(true, Ordering::Release),
        }
    }
}

impl fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresDatabase")
            .field("url", &self.inner.options.url)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admitted")
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}
