//! What is measured, under which names, through the `metrics` facade.
//!
//! Names, units and labels are OpenTelemetry's semantic conventions for database clients where
//! there is one, and begin with `bitcraps.db.` where there is none. No label holds a statement, a
//! bound value, a table or a key: the number of series is the number of databases times the
//! constants below.
//!
//! A program that installs no recorder pays two loads per call, and no clock is read for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::metrics::{Counter, Gauge, Histogram, KeyName, Label, SharedString, Unit};

use crate::{Engine, ErrorKind};

/// What a metric is, for its description.
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric of this crate.
const METRICS: [(&str, Kind, Unit, &str); 15] = [
    (
        OPERATION_DURATION,
        Kind::Histogram,
        Unit::Seconds,
        "Duration of a transaction, with the wait for it",
    ),
    (
        COUNT,
        Kind::Gauge,
        Unit::Count,
        "Connections that are open, idle or used",
    ),
    (
        MAX,
        Kind::Gauge,
        Unit::Count,
        "Connections that may be open",
    ),
    (
        PENDING_REQUESTS,
        Kind::Gauge,
        Unit::Count,
        "Calls that wait for a connection",
    ),
    (
        TIMEOUTS,
        Kind::Counter,
        Unit::Count,
        "Calls that waited in vain for a connection",
    ),
    (
        CREATE_TIME,
        Kind::Histogram,
        Unit::Seconds,
        "Time to open a connection",
    ),
    (
        WAIT_TIME,
        Kind::Histogram,
        Unit::Seconds,
        "Time that a call waited for its connection",
    ),
    (
        USE_TIME,
        Kind::Histogram,
        Unit::Seconds,
        "Time between taking a connection and giving it back",
    ),
    (
        REJECTED,
        Kind::Counter,
        Unit::Count,
        "Calls turned away at once because too many waited",
    ),
    (
        GROUP_SIZE,
        Kind::Histogram,
        Unit::Count,
        "Writes that shared one COMMIT",
    ),
    (
        COMMIT_DURATION,
        Kind::Histogram,
        Unit::Seconds,
        "Duration of COMMIT",
    ),
    (
        WAL_SIZE,
        Kind::Gauge,
        Unit::Bytes,
        "Size of the write-ahead log",
    ),
    (
        RETRIES,
        Kind::Counter,
        Unit::Count,
        "Transactions run again after a conflict",
    ),
    (
        CACHE_REQUESTS,
        Kind::Counter,
        Unit::Count,
        "Calls to a query cache, by how they were answered",
    ),
    (
        ASYNC_PENDING,
        Kind::Gauge,
        Unit::Count,
        "Async calls that have not begun",
    ),
];

const OPERATION_DURATION: &str = "db.client.operation.duration";
const COUNT: &str = "db.client.connection.count";
const MAX: &str = "db.client.connection.max";
const PENDING_REQUESTS: &str = "db.client.connection.pending_requests";
const TIMEOUTS: &str = "db.client.connection.timeouts";
const CREATE_TIME: &str = "db.client.connection.create_time";
const WAIT_TIME: &str = "db.client.connection.wait_time";
const USE_TIME: &str = "db.client.connection.use_time";
const REJECTED: &str = "bitcraps.db.rejected";
const GROUP_SIZE: &str = "bitcraps.db.commit.group_size";
const COMMIT_DURATION: &str = "bitcraps.db.commit.duration";
const WAL_SIZE: &str = "bitcraps.db.wal.size";
const RETRIES: &str = "bitcraps.db.retries";
const CACHE_REQUESTS: &str = "bitcraps.db.cache.requests";
const ASYNC_PENDING: &str = "bitcraps.db.async.pending";

const SYSTEM: &str = "db.system.name";
const NAMESPACE: &str = "db.namespace";
const OPERATION: &str = "db.operation.name";
const ERROR_TYPE: &str = "error.type";
const POOL: &str = "db.client.connection.pool.name";
const STATE: &str = "db.client.connection.state";
const CACHE_OUTCOME: &str = "bitcraps.db.cache.outcome";

/// What `error.type` says of an error that is not this crate's.
const OTHER_ERROR: &str = "_OTHER";

impl Kind {
    fn describe(&self, name: &'static str, unit: Unit, text: &'static str) {
        let name = KeyName::from_const_str(name);
        ::metrics::with_recorder(|recorder| match self {
            Self::Counter => recorder.describe_counter(name, Some(unit), text.into()),
            Self::Gauge => recorder.describe_gauge(name, Some(unit), text.into()),
            Self::Histogram => recorder.describe_histogram(name, Some(unit), text.into()),
        });
    }
}

/// A box without content has an address as small as its alignment, and no object lies that low.
const NO_OBJECT_BELOW: usize = 4_096;

/// The address of the recorder that is installed, if one is.
///
/// The facade does not say whether there is one, but its stand-in is the only one without a size
/// that has an address: a recorder without a size that was installed has been boxed, which gives it
/// none.
fn recorder() -> Option<usize> {
    ::metrics::with_recorder(|recorder| {
        let at = std::ptr::from_ref(recorder).cast::<u8>().addr();
        let boxed = at < NO_OBJECT_BELOW;
        (size_of_val(recorder) > 0 || boxed).then_some(at)
    })
}

/// The moment from which something is measured; none where nobody would record it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Option<Instant>);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(recorder().map(|_| Instant::now()))
    }

    fn seconds(self) -> Option<f64> {
        self.0.map(|start| start.elapsed().as_secs_f64())
    }
}

/// Handles of a recorder, made when they are first used: a look-up by name and labels for each
/// value would cost ten times as much.
///
/// They belong to one recorder, known by its address, the first that is met. A program has one; a
/// test that puts another one in its place on one thread gets its values the slow way.
struct Handles<H> {
    make: Box<dyn Fn() -> H + Send + Sync>,
    first: OnceLock<(usize, H)>,
}

impl<H> Handles<H> {
    fn new(make: impl Fn() -> H + Send + Sync + 'static) -> Self {
        Self {
            make: Box::new(make),
            first: OnceLock::new(),
        }
    }

    fn with(&self, record: impl FnOnce(&H)) {
        let Some(at) = recorder() else { return };
        let (first, handles) = self.first.get_or_init(|| {
            describe(at);
            (at, (self.make)())
        });
        if *first == at {
            record(handles);
        } else {
            describe(at);
            record(&(self.make)());
        }
    }
}

/// Describes every metric, once for each recorder.
fn describe(at: usize) {
    static DESCRIBED: AtomicUsize = AtomicUsize::new(0);
    if DESCRIBED.swap(at, Ordering::Relaxed) != at {
        for (name, kind, unit, text) in METRICS {
            kind.describe(name, unit, text);
        }
    }
}

/// What a transaction was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
}

impl Operation {
    /// A span around one, without statements and values.
    pub(crate) fn span(self, engine: Engine) -> tracing::Span {
        tracing::debug_span!(
            "database",
            db.system.name = system(engine),
            db.operation.name = self.name()
        )
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The name of an engine as OpenTelemetry's registry has it.
const fn system(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgresql",
    }
}

/// What is measured of a whole database.
pub(crate) struct DatabaseMetrics {
    labels: Vec<Label>,
    handles: Handles<DatabaseHandles>,
}

struct DatabaseHandles {
    read: Histogram,
    write: Histogram,
    retries: Counter,
    cache: [Counter; 4],
    async_pending: Gauge,
    group_size: Histogram,
    commit: Histogram,
    wal_size: Gauge,
}

impl DatabaseMetrics {
    /// `namespace` is the name of the database, without path or host.
    pub(crate) fn new(engine: Engine, namespace: impl Into<SharedString>) -> Self {
        let labels = vec![
            Label::from_static_parts(SYSTEM, system(engine)),
            Label::new(NAMESPACE, namespace),
        ];
        let base = labels.clone();
        let handles = Handles::new(move || {
            let with = |key, value| {
                let mut labels = base.clone();
                labels.push(Label::from_static_parts(key, value));
                labels
            };
            let operation = |operation: Operation| {
                ::metrics::histogram!(OPERATION_DURATION, with(OPERATION, operation.name()))
            };
            let cache = |outcome| ::metrics::counter!(CACHE_REQUESTS, with(CACHE_OUTCOME, outcome));
            DatabaseHandles {
                read: operation(Operation::Read),
                write: operation(Operation::Write),
                retries: ::metrics::counter!(RETRIES, base.clone()),
                cache: [
                    cache("hit"),
                    cache("miss"),
                    cache("shared"),
                    cache("bypass"),
                ],
                async_pending: ::metrics::gauge!(ASYNC_PENDING, base.clone()),
                group_size: ::metrics::histogram!(GROUP_SIZE, base.clone()),
                commit: ::metrics::histogram!(COMMIT_DURATION, base.clone()),
                wal_size: ::metrics::gauge!(WAL_SIZE, base.clone()),
            }
        });
        Self { labels, handles }
    }

    /// A transaction is over, well.
    pub(crate) fn succeeded(&self, operation: Operation, since: Stopwatch) {
        let Some(seconds) = since.seconds() else {
            return;
        };
        self.handles.with(|handles| {
            match operation {
                Operation::Read => &handles.read,
                Operation::Write => &handles.write,
            }
            .record(seconds);
        });
    }

    /// A transaction is over and failed, with this crate's error or with one that is not.
    pub(crate) fn failed(&self, operation: Operation, kind: Option<ErrorKind>, since: Stopwatch) {
        let Some(seconds) = since.seconds() else {
            return;
        };
        let error = kind.map_or(OTHER_ERROR.into(), |kind| {
            SharedString::from(format!("{kind:?}"))
        });
        let mut labels = self.labels.clone();
        labels.push(Label::from_static_parts(OPERATION, operation.name()));
        labels.push(Label::new(ERROR_TYPE, error));
        self.handles
            .with(|_| ::metrics::histogram!(OPERATION_DURATION, labels).record(seconds));
    }

    /// A transaction is run again.
    pub(crate) fn retried(&self) {
        self.handles.with(|handles| handles.retries.increment(1));
    }

    /// A cache was asked.
    pub(crate) fn cached(&self, way: crate::cache::Way) {
        self.handles.with(|handles| {
            let [hit, miss, shared, bypass] = &handles.cache;
            match way {
                crate::cache::Way::Hit => hit,
                crate::cache::Way::Miss => miss,
                crate::cache::Way::Shared => shared,
                crate::cache::Way::Bypass => bypass,
            }
            .increment(1);
        });
    }

    /// Async calls wait to begin.
    pub(crate) fn async_pending(&self, calls: impl FnOnce() -> usize) {
        self.handles
            .with(|handles| handles.async_pending.set(float(calls())));
    }

    /// A group of writes was committed, and the log has this size now.
    pub(crate) fn committed(&self, members: usize, commit: Duration, wal_bytes: u64) {
        self.handles.with(|handles| {
            handles.group_size.record(float(members));
            handles.commit.record(commit.as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
            handles.wal_size.set(wal_bytes as f64);
        });
    }
}

/// What is measured of a pool of connections.
pub(crate) struct PoolMetrics {
    handles: Handles<PoolHandles>,
}

struct PoolHandles {
    idle: Gauge,
    used: Gauge,
    max: Gauge,
    pending: Gauge,
    timeouts: Counter,
    rejected: Counter,
    create_time: Histogram,
    wait_time: Histogram,
    use_time: Histogram,
}

/// A pool at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolCounts {
    pub(crate) idle: usize,
    pub(crate) used: usize,
    pub(crate) max: usize,
    pub(crate) pending: usize,
}

impl PoolMetrics {
    /// `pool` tells the pools of one database apart, and databases too.
    pub(crate) fn new(engine: Engine, pool: impl Into<SharedString>) -> Self {
        let labels = vec![
            Label::from_static_parts(SYSTEM, system(engine)),
            Label::new(POOL, pool),
        ];
        let handles = Handles::new(move || {
            let in_state = |state| {
                let mut labels = labels.clone();
                labels.push(Label::from_static_parts(STATE, state));
                ::metrics::gauge!(COUNT, labels)
            };
            PoolHandles {
                idle: in_state("idle"),
                used: in_state("used"),
                max: ::metrics::gauge!(MAX, labels.clone()),
                pending: ::metrics::gauge!(PENDING_REQUESTS, labels.clone()),
                timeouts: ::metrics::counter!(TIMEOUTS, labels.clone()),
                rejected: ::metrics::counter!(REJECTED, labels.clone()),
                create_time: ::metrics::histogram!(CREATE_TIME, labels.clone()),
                wait_time: ::metrics::histogram!(WAIT_TIME, labels.clone()),
                use_time: ::metrics::histogram!(USE_TIME, labels.clone()),
            }
        });
        Self { handles }
    }

    /// The pool as it is now.
    pub(crate) fn counts(&self, counts: impl FnOnce() -> PoolCounts) {
        self.handles.with(|handles| {
            let counts = counts();
            handles.idle.set(float(counts.idle));
            handles.used.set(float(counts.used));
            handles.max.set(float(counts.max));
            handles.pending.set(float(counts.pending));
        });
    }

    /// A call waited in vain.
    pub(crate) fn timed_out(&self) {
        self.handles.with(|handles| handles.timeouts.increment(1));
    }

    /// A call was turned away.
    pub(crate) fn rejected(&self) {
        self.handles.with(|handles| handles.rejected.increment(1));
    }

    /// A connection was opened.
    pub(crate) fn created(&self, since: Stopwatch) {
        let Some(seconds) = since.seconds() else {
            return;
        };
        self.handles
            .with(|handles| handles.create_time.record(seconds));
    }

    /// A call has its connection.
    pub(crate) fn waited(&self, since: Stopwatch) {
        let Some(seconds) = since.seconds() else {
            return;
        };
        self.handles
            .with(|handles| handles.wait_time.record(seconds));
    }

    /// A connection was given back.
    pub(crate) fn used(&self, since: Stopwatch) {
        let Some(seconds) = since.seconds() else {
            return;
        };
        self.handles
            .with(|handles| handles.use_time.record(seconds));
    }
}

fn float(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}

#[cfg(test)]
mod tests;
