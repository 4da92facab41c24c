//! The connections to one server.
//!
//! r2d2 keeps them: it connects in the background, tries again with a growing pause, and closes
//! what is idle or old. It never decides who waits: the gate has as many permits as r2d2 has
//! places, so that whoever holds one only ever waits for a connection that is being made.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use diesel::r2d2::{HandleError, ManageConnection, Pool, PooledConnection};

use super::breaker::Breaker;
use super::connect::{Role, cancel_all, open_session};
use super::gate::{Gate, Permit};
use super::session::Session;
use crate::config::PostgresOptions;
use crate::error::advice::LONGER_WAIT;
use crate::held::{Held, Holding, longest};
use crate::metrics::{PoolCounts, PoolMetrics, Stopwatch};
use crate::{DatabaseUrl, Error, ErrorKind};

/// r2d2 pauses 200 ms after a failure, then twice as long each time, up to half of this.
const RETRY_CAP: Duration = Duration::from_secs(2);

/// Clients that lost one server at the same time do not come back at the same time.
const JITTER_MS: u64 = 100;

/// How often somebody who waits for a connection looks whether connecting has failed.
///
/// Each look may make r2d2 start another connection, so not too often.
const LOOK: Duration = Duration::from_millis(100);

/// Makes sessions.
struct Manager {
    url: DatabaseUrl,
    options: Arc<PostgresOptions>,
    role: Role,
    breaker: Arc<Breaker>,
    closed: Arc<AtomicBool>,
    metrics: Arc<PoolMetrics>,
}

/// A session could not be made.
#[derive(Debug)]
struct ConnectError(Error);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ConnectError {}

impl ManageConnection for Manager {
    type Connection = Session;
    type Error = ConnectError;

    fn connect(&self) -> Result<Session, ConnectError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(ConnectError(closed()));
        }
        let epoch = self.breaker.epoch();
        let since = Stopwatch::start();
        match open_session(&self.url, &self.options, self.role, epoch) {
            Ok(session) => {
                self.breaker.succeeded();
                self.metrics.created(since);
                Ok(session)
            }
            Err(error) => {
                self.breaker.failed(error.clone());
                pause();
                Err(ConnectError(error))
            }
        }
    }

    /// Sessions are looked at by [`Server::checkout`], which keeps a deadline; r2d2 does not.
    fn is_valid(&self, _: &mut Session) -> Result<(), ConnectError> {
        Ok(())
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.is_broken() || self.closed.load(Ordering::Relaxed)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the jitter of a retry, on r2d2's own thread"
)]
fn pause() {
    thread::sleep(Duration::from_millis(fastrand::u64(..JITTER_MS)));
}

/// The breaker has told already.
#[derive(Debug)]
struct Silent;

impl HandleError<ConnectError> for Silent {
    fn handle_error(&self, _: ConnectError) {}
}

/// One server and the connections to it.
pub(super) struct Server {
    pub(super) url: DatabaseUrl,
    pub(super) gate: Gate,
    pub(super) breaker: Arc<Breaker>,
    pool: Pool<Manager>,
    check_after: Duration,
    /// False behind a transaction pooler, where the process that serves us is another every time.
    keeps_state: bool,
    closed: Arc<AtomicBool>,
    pub(super) held: Arc<Held>,
    metrics: Arc<PoolMetrics>,
    gauges: Arc<Gauges>,
}

/// A connection in use. Dropping it gives the connection back, then the permit.
pub(super) struct Lease {
    session: PooledConnection<Manager>,
    _holding: Holding<Arc<Held>>,
    permit: Permit,
    _counted: Counted,
}

/// What the gauges are read from.
struct Gauges {
    gate: Gate,
    pool: Pool<Manager>,
    metrics: Arc<PoolMetrics>,
}

impl Gauges {
    /// Sets them, where somebody records them.
    fn set(&self) {
        self.metrics.counts(|| {
            let gate = self.gate.stats();
            let open = usize::try_from(self.pool.state().connections).unwrap_or(usize::MAX);
            PoolCounts {
                idle: open.saturating_sub(gate.in_use),
                used: gate.in_use,
                max: gate.permits,
                pending: gate.waiting,
            }
        });
    }
}

/// Sets the gauges when a connection has come back, and tells how long it was gone.
struct Counted {
    gauges: Arc<Gauges>,
    since: Stopwatch,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauges.metrics.used(self.since);
        self.gauges.set();
    }
}

impl Lease {
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Gives the connection back and keeps the permit.
    fn into_permit(self) -> Permit {
        self.permit
    }
}

impl Server {
    pub(super) fn new(
        url: &DatabaseUrl,
        options: &Arc<PostgresOptions>,
        role: Role,
        metrics: PoolMetrics,
    ) -> Self {
        let breaker = Arc::new(Breaker::default());
        let closed = Arc::new(AtomicBool::new(false));
        let size = options.max_connections.max(1);
        let metrics = Arc::new(metrics);
        let manager = Manager {
            url: url.clone(),
            options: Arc::clone(options),
            role,
            breaker: Arc::clone(&breaker),
            closed: Arc::clone(&closed),
            metrics: Arc::clone(&metrics),
        };
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(options.min_connections.min(size)))
            .test_on_check_out(false)
            .connection_timeout(RETRY_CAP)
            .idle_timeout(options.idle_timeout)
            .max_lifetime(options.max_lifetime)
            .error_handler(Box::new(Silent))
            .build_unchecked(manager);
        let kind = if role.is_standby {
            "PostgreSQL standby"
        } else {
            "PostgreSQL primary"
        };
        let permits = usize::try_from(size).unwrap_or(usize::MAX);
        let gate = Gate::new(
            permits,
            usize::try_from(options.max_waiters).unwrap_or(usize::MAX),
        );
        Self {
            url: url.clone(),
            gauges: Arc::new(Gauges {
                gate: gate.clone(),
                pool: pool.clone(),
                metrics: Arc::clone(&metrics),
            }),
            gate,
            breaker,
            pool,
            check_after: options.health_check_after,
            keeps_state: role.keeps_state,
            closed,
            held: Arc::new(Held::new(kind, permits)),
            metrics,
        }
    }

    /// The right to use a connection, when it is this caller's turn.
    ///
    /// # Errors
    /// `Timeout`, `Overloaded`, `Closed`.
    pub(super) fn acquire(&self, deadline: Instant) -> Result<Permit, Error> {
        let since = Stopwatch::start();
        let error = match self.gate.acquire(deadline) {
            Ok(permit) => {
                self.metrics.waited(since);
                return Ok(permit);
            }
            Err(error) => error,
        };
        self.note(&error);
        if !matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Overloaded) {
            return Err(error);
        }
        Err(error.and(&longest(self.held.oldest())))
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> u32 {
        self.pool.state().connections
    }

    /// Whether a new connection is needed and cannot be made.
    pub(super) fn is_down(&self) -> bool {
        self.breaker.refusal().is_some() && self.connections() == 0
    }

    /// A connection that answers, within the deadline, for the holder of a permit.
    ///
    /// # Errors
    /// Why connecting fails, at once if the server is known to be gone; `Timeout`.
    pub(super) fn checkout(
        &self,
        mut permit: Permit,
        deadline: Instant,
        place: &'static Location<'static>,
    ) -> Result<Lease, Error> {
        let failures = self.breaker.failures();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut found = self.pool.try_get();
            if found.is_none() {
                self.fail_fast(failures, left)
                    .inspect_err(|error| self.note(error))?;
                found = self.pool.get_timeout(left.min(LOOK)).ok();
            }
            let Some(session) = found else { continue };
            let lease = Lease {
                _holding: Holding::claim(
                    Arc::clone(&self.held),
                    place,
                    self.keeps_state.then_some(session.pid),
                ),
                session,
                permit,
                _counted: Counted {
                    gauges: Arc::clone(&self.gauges),
                    since: Stopwatch::start(),
                },
            };
            let fresh = lease.session.used.elapsed() < self.check_after
                && lease.session.epoch == self.breaker.epoch();
            if fresh {
                self.gauges.set();
                return Ok(lease);
            }
            match self.check(lease, deadline)? {
                Ok(lease) => {
                    self.gauges.set();
                    return Ok(lease);
                }
                Err(kept) => permit = kept,
            }
        }
    }

    /// Gives a connection back that turned out to be dead, and keeps its permit.
    pub(super) fn replace(&self, mut lease: Lease) -> Permit {
        lease.session.condemn();
        self.breaker.lost();
        lease.into_permit()
    }

    /// Refuses new callers, waits for those inside, and closes the connections.
    ///
    /// At the deadline, what still runs is cancelled, except behind a transaction pooler: nobody
    /// knows which of the server's processes it is in.
    pub(super) fn close(&self, deadline: Instant) -> Result<(), Error> {
        self.gate.close();
        self.closed.store(true, Ordering::Relaxed);
        let drained = self.gate.wait_drained(deadline);
        let longest_held = self.held.oldest();
        if !drained {
            self.cancel();
        }
        // Coming back, they find the pool closed and end.
        while let Some(idle) = self.pool.try_get() {
            drop(idle);
        }
        self.gauges.set();
        if drained {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Timeout,
            format!(
                "connections were still in use at the deadline of closing{}",
                longest(longest_held)
            ),
        ))
    }

    /// Has the server end what still runs, on a thread of its own: to reach it may take longer than
    /// the caller has.
    fn cancel(&self) {
        let pids = self.held.pids();
        if pids.is_empty() {
            return;
        }
        let url = self.url.clone();
        let started = thread::Builder::new()
            .name("db-cancel".to_owned())
            .spawn(move || {
                if let Err(error) = cancel_all(&url, &pids) {
                    tracing::warn!(%error, "what still ran at the close could not be cancelled");
                }
            });
        if let Err(error) = started {
            tracing::warn!(%error, "no thread to cancel what still ran at the close");
        }
    }

    /// Whether waiting for a new connection is pointless, or over.
    fn fail_fast(&self, failures_before: u64, left: Duration) -> Result<(), Error> {
        // No connection is made any more.
        if self.closed.load(Ordering::Relaxed) {
            return Err(closed());
        }
        if let Some(failure) = self.breaker.refusal()
            && self.connections() == 0
        {
            return Err(failure);
        }
        if !left.is_zero() {
            return Ok(());
        }
        match self.breaker.latest() {
            Some(failure) if self.breaker.failures() > failures_before => Err(failure),
            _ => Err(timed_out()),
        }
    }

    /// Asks the server whether it is there, on another thread: the question may hang, but the
    /// caller does not. The connection follows its answer.
    /// An outer error ends the search, an inner one is a permit to go on with.
    fn check(&self, lease: Lease, deadline: Instant) -> Result<Result<Lease, Permit>, Error> {
        let breaker = Arc::clone(&self.breaker);
        let (lease, alive) = self.ask(lease, deadline, move |session| {
            let epoch = breaker.epoch();
            let alive = session.ping().is_ok();
            session.epoch = epoch;
            if !alive {
                session.condemn();
            }
            alive
        })?;
        if alive {
            return Ok(Ok(lease));
        }
        Ok(Err(lease.into_permit()))
    }

    /// Has a question asked on another thread; the connection comes back with its answer.
    ///
    /// # Errors
    /// `Timeout` if there is none by the deadline: the connection goes back to the pool when there
    /// is.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        mut lease: Lease,
        deadline: Instant,
        ask: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Result<(Lease, T), Error> {
        let (answer, question) = mpsc::sync_channel(1);
        let work = move || {
            let found = ask(&mut lease.session);
            // Nobody listens any more: the connection goes back to the pool.
            drop(answer.send((lease, found)));
        };
        thread::Builder::new()
            .name("db-check".to_owned())
            .spawn(work)
            .map_err(|e| Error::new(ErrorKind::Other, format!("no thread for a check: {e}")))?;
        let left = deadline.saturating_duration_since(Instant::now());
        question.recv_timeout(left).map_err(|_| {
            let error = timed_out();
            self.note(&error);
            error
        })
    }

    /// Counts a call that gets no connection.
    fn note(&self, error: &Error) {
        match error.kind() {
            ErrorKind::Timeout => self.metrics.timed_out(),
            ErrorKind::Overloaded => self.metrics.rejected(),
            _ => {}
        }
    }
}

fn timed_out() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "the database server did not answer in time",
    )
    .with_hint(LONGER_WAIT)
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the database is closed")
}
