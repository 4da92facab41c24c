//! A PostgreSQL database: a primary for writes, standbys for reads where there are any.

use std::fmt;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::connect::{Role, limits};
use super::gate::GateStats;
use super::lsn::Lsn;
use super::pool::{Lease, Server};
use super::replica::{Replica, waits_for_disk, written};
use super::session::{Commit, Seen};
use super::signs::Signs;
use super::touched;
use super::transaction::{Beginning, Purpose, run, run_single};
use super::watcher::Watcher;
use super::written::Written;
use crate::cache::{Changed, TableClock};
use crate::config::PostgresOptions;
use crate::held::Holder;
use crate::metrics::PoolMetrics;
use crate::nesting::{self, Use};
use crate::{Conn, Error, ErrorKind, Freshness, TransactionOptions, wait};

/// A PostgreSQL database with its connections.
pub(crate) struct PostgresDatabase {
    options: Arc<PostgresOptions>,
    clock: Arc<TableClock>,
    keeps_state: bool,
    beginning: Beginning,
    primary: Server,
    replicas: Vec<Replica>,
    next_replica: AtomicUsize,
    written: Written,
    watcher: Option<Watcher>,
}

/// What a write can have changed.
enum Touched {
    /// It came to no COMMIT.
    Nothing,
    Tables(Vec<String>),
    /// Nobody asked: there was no cache before the COMMIT, but there may be one by now.
    Anything,
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
    /// The connection that is held longest.
    pub oldest: Option<Holder>,
    /// Per replica: whether it is in rotation, and its queue.
    pub replicas: Vec<(bool, GateStats)>,
}

impl PostgresDatabase {
    /// Opens a database and makes sure that it answers.
    ///
    /// # Errors
    /// Why it cannot be connected to.
    pub(crate) fn open(
        options: PostgresOptions,
        metrics: &str,
        clock: &Arc<TableClock>,
        place: &'static Location<'static>,
    ) -> Result<Self, Error> {
        let role = Role {
            keeps_state: !options.transaction_pooler,
            is_standby: false,
        };
        let local_limits = limits(&options);
        let local_limits = if role.keeps_state {
            &[]
        } else {
            local_limits.as_slice()
        };
        let options = Arc::new(options);
        let pool = |name: String| PoolMetrics::new(crate::Engine::Postgres, name);
        let primary = Server::new(&options.target, &options, role, pool(metrics.to_owned()));
        let replicas: Vec<_> = (1..)
            .zip(&options.replicas)
            .map(|(number, url)| {
                let name = format!("{metrics} replica {number}");
                Replica::new(url, &options, role, pool(name))
            })
            .collect();
        let pools = replicas.iter().map(|replica| &replica.server);
        let pools = std::iter::once(&primary).chain(pools);
        let pools = pools.map(|server| Arc::clone(&server.borrows)).collect();
        let it = Self {
            watcher: match options.held_threshold {
                Some(threshold) => Some(Watcher::start(pools, threshold)?),
                None => None,
            },
            clock: Arc::clone(clock),
            keeps_state: role.keeps_state,
            beginning: Beginning::new(options.isolation, local_limits),
            primary,
            replicas,
            next_replica: AtomicUsize::new(0),
            written: Written::default(),
            options,
        };
        let deadline = wait::deadline(it.options.acquire_timeout);
        let permit = it.primary.acquire(deadline)?;
        let mut lease = it.primary.checkout(permit, deadline, place)?;
        if !it.replicas.is_empty() {
            // Another process may have written just now.
            let lsn = written(lease.session())?;
            it.written.note(Some(lsn), it.written.before());
        }
        drop(lease);
        Ok(it)
    }

    /// Runs a closure in a read-only transaction that sees one snapshot, on a replica if there is
    /// one that has caught up with this process's writes.
    ///
    /// # Errors
    /// The closure's own; `Nested`, `Timeout`, `Overloaded`, `Closed` or `Unavailable` before it
    /// ran.
    pub(crate) fn read<T, E>(
        &self,
        options: &TransactionOptions,
        place: &'static Location<'static>,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        nesting::check_any(&self.clock, Use::Read)?;
        let _inside = self.enter_read(options);
        let deadline = self.deadline(options);
        let (mut lease, replica) = self.begin_read(options, deadline, place)?;
        let isolation = self.beginning.isolation(Purpose::Read, options);
        let (outcome, seen) = run(lease.session(), Purpose::Read, isolation, f, |_, _| {
            Ok(Commit::AsSaid)
        });
        self.after_read(lease, replica, seen);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs a closure of one statement, without BEGIN and COMMIT: one round trip instead of three.
    ///
    /// One statement sees one snapshot by itself, and the session is read-only by default.
    ///
    /// # Errors
    /// As [`read`](Self::read), and `Statement` if the closure sent more than one statement.
    pub(crate) fn read_one<T, E>(
        &self,
        options: &TransactionOptions,
        place: &'static Location<'static>,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        // Behind a pooler the session is not ours to make read-only.
        let needs_transaction =
            !self.keeps_state || options.isolation.is_some() || options.statement_timeout.is_some();
        if needs_transaction {
            return self.read(options, place, f);
        }
        nesting::check_any(&self.clock, Use::Read)?;
        let _inside = self.enter_read(options);
        let deadline = self.deadline(options);
        let (mut lease, replica) = self.reader(options, deadline, place)?;
        let (outcome, seen) = run_single(lease.session(), f);
        self.after_read(lease, replica, seen);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Gives a connection back; one that was lost makes the others of its server suspect.
    fn after_read(&self, mut lease: Lease, replica: Option<&Replica>, seen: Seen) {
        let may_have_written = Signs::WRITES.and(Signs::BEGINS).and(Signs::ENDS);
        if replica.is_none() && seen.signs.has(may_have_written) {
            // It lifted its own restriction, and has written as far as anybody can tell.
            if !self.replicas.is_empty() {
                self.written.note(None, self.written.before());
            }
            self.clock.changed(Changed::Everything);
        }
        if !lease.session().is_lost() {
            return;
        }
        match replica {
            Some(replica) => replica.lost(lease),
            None => drop(self.primary.replace(lease)),
        }
    }

    /// Runs a closure in a transaction on the primary, and returns when it is committed.
    ///
    /// # Errors
    /// The closure's own, after a rollback; why the transaction could not begin or commit;
    /// `OutcomeUnknown` if the connection broke while it committed.
    pub(crate) fn write<T, E>(
        &self,
        options: &TransactionOptions,
        place: &'static Location<'static>,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        nesting::check_any(&self.clock, Use::Write)?;
        let deadline = self.deadline(options);
        let permit = self.primary.acquire(deadline)?;
        let lease = self.primary.checkout(permit, deadline, place)?;
        let before = self.written.before();
        let sql = self.beginning.sql(Purpose::Write, options);
        let mut lease = self.begin(lease, &sql, deadline, place)?;
        let isolation = self.beginning.isolation(Purpose::Write, options);
        let session = lease.session();
        let mut touched = Touched::Nothing;
        let mut waits = session.waits_for_disk();
        let (outcome, seen) = {
            let _inside = nesting::enter_write(&self.clock);
            run(session, Purpose::Write, isolation, f, |conn, seen| {
                touched = if seen.plain && self.clock.is_watched() {
                    Touched::Tables(touched::tables(conn)?)
                } else {
                    Touched::Anything
                };
                if self.replicas.is_empty() {
                    return Ok(Commit::AsSaid);
                }
                if seen.plain {
                    // It has said nothing of that itself; a trigger may have.
                    let how = if waits {
                        Commit::OnDisk
                    } else {
                        Commit::AsSaid
                    };
                    return Ok(how);
                }
                waits = waits_for_disk(conn)?;
                Ok(Commit::AsSaid)
            })
        };
        if session.is_lost() {
            self.primary.breaker.lost();
        }
        if !self.replicas.is_empty() {
            let place = if !waits || session.is_broken() {
                None
            } else {
                written(session).ok()
            };
            self.written.note(place, before);
        }
        // After that: whoever counts this change must not read from a replica without it.
        if !seen.plain {
            // It may have changed the schema, or ended its transaction.
            touched = Touched::Anything;
        }
        self.note_changes(&touched);
        drop(lease);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// What a committed write changed, for caches. A change that was not committed after all makes
    /// them compute once more.
    fn note_changes(&self, touched: &Touched) {
        match touched {
            Touched::Nothing => {}
            Touched::Anything => self.clock.changed(Changed::Everything),
            Touched::Tables(tables) if tables.is_empty() => {}
            Touched::Tables(tables) => {
                let names: Vec<&str> = tables.iter().map(String::as_str).collect();
                self.clock.changed(Changed::Tables(&names));
            }
        }
    }

    /// The place in the log that a replica must have replayed to show all that this process has
    /// written; hand it to another process as [`Freshness::After`]. None without replicas, or when
    /// it cannot be told.
    pub(crate) fn last_written(&self) -> Option<Lsn> {
        if self.replicas.is_empty() {
            return None;
        }
        self.written.needed()
    }

    /// What the database is doing.
    pub(crate) fn stats(&self) -> PostgresStats {
        let primary = &self.primary;
        PostgresStats {
            gate: primary.gate.stats(),
            connections: primary.connections(),
            connect_failures: primary.breaker.failures(),
            oldest: primary.borrows.all().first().map(|(since, place)| Holder {
                caller: place,
                age: since.elapsed(),
            }),
            replicas: self
                .replicas
                .iter()
                .map(|r| (r.is_in_rotation(), r.server.gate.stats()))
                .collect(),
        }
    }

    /// Refuses new work, waits for what runs, and closes all connections. The server is asked to end
    /// what still runs after `patience`.
    ///
    /// # Errors
    /// `Timeout` if something did; `Nested` inside a read or write of this database.
    pub(crate) fn close(&self, patience: Duration) -> Result<(), Error> {
        nesting::check_close(&self.clock)?;
        let deadline = wait::deadline(patience);
        if let Some(watcher) = &self.watcher {
            watcher.stop();
        }
        let mut result = self.primary.close(deadline);
        for replica in &self.replicas {
            result = result.and(replica.server.close(deadline));
        }
        result
    }

    fn deadline(&self, options: &TransactionOptions) -> Instant {
        let own = options.connection_timeout;
        wait::deadline(own.unwrap_or(self.options.acquire_timeout))
    }

    /// Marks the thread as reading. A replica may show less than was counted, unless it was asked
    /// for all that this process has written.
    fn enter_read(&self, options: &TransactionOptions) -> nesting::Entered {
        if self.replicas.is_empty() || options.freshness.has_own_writes() {
            nesting::enter_read(&self.clock)
        } else {
            nesting::enter_past(&self.clock)
        }
    }

    /// A connection for reading, and the replica it belongs to.
    fn reader(
        &self,
        options: &TransactionOptions,
        deadline: Instant,
        place: &'static Location<'static>,
    ) -> Result<(Lease, Option<&Replica>), Error> {
        if let Some((lease, replica)) = self.on_replica(options.freshness, deadline, place) {
            return Ok((lease, Some(replica)));
        }
        let permit = self.primary.acquire(deadline)?;
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
        if freshness == Freshness::Primary {
            return None;
        }
        let mut needed = match freshness {
            Freshness::After(lsn) => lsn,
            _ => Lsn::default(),
        };
        // What a cache keeps is handed to callers who know of our writes.
        if freshness.has_own_writes() || nesting::is_computing() {
            needed = needed.max(self.written.needed()?);
        }
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
        place: &'static Location<'static>,
    ) -> Result<(Lease, Option<&Replica>), Error> {
        let sql = self.beginning.sql(Purpose::Read, options);
        let (mut lease, replica) = self.reader(options, deadline, place)?;
        let Some(replica) = replica else {
            return Ok((self.begin(lease, &sql, deadline, place)?, None));
        };
        match lease.session().begin(&sql) {
            Ok(()) => return Ok((lease, Some(replica))),
            // SERIALIZABLE is not to be had on a standby, for one.
            Err(error) if error.kind() != ErrorKind::ConnectionLost => drop(lease),
            Err(_) => replica.lost(lease),
        }
        let permit = self.primary.acquire(deadline)?;
        let lease = self.primary.checkout(permit, deadline, place)?;
        Ok((self.begin(lease, &sql, deadline, place)?, None))
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
            if error.kind() != ErrorKind::ConnectionLost || Instant::now() >= deadline {
                // As on a server that has become a standby: the next one looks at its connection.
                return Err(error);
            }
            lease = self.primary.checkout(permit, deadline, place)?;
        }
    }
}

impl fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresDatabase")
            .field("url", &self.options.url)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
