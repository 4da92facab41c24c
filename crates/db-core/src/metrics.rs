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

use metrics::{Counter, Gauge, Histogram, KeyName, Label, SharedString, Unit};

use crate::{Engine, ErrorKind};

/// What a metric is, for its description.
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric of this crate.
const METRICS: [(&str, Kind, Unit, &str); 15] = [
    (OPERATION_DURATION, Kind::Histogram, Unit::Seconds, "Duration of a transaction, with the wait for it"),
    (COUNT, Kind::Gauge, Unit::Count, "Connections that are open, idle or used"),
    (MAX, Kind::Gauge, Unit::Count, "Connections that may be open"),
    (PENDING_REQUESTS, Kind::Gauge, Unit::Count, "Calls that wait for a connection"),
    (TIMEOUTS, Kind::Counter, Unit::Count, "Calls that waited in vain for a connection"),
    (CREATE_TIME, Kind::Histogram, Unit::Seconds, "Time to open a connection"),
    (WAIT_TIME, Kind::Histogram, Unit::Seconds, "Time that a call waited for its connection"),
    (USE_TIME, Kind::Histogram, Unit::Seconds, "Time between taking a connection and giving it back"),
    (REJECTED, Kind::Counter, Unit::Count, "Calls turned away at once because too many waited"),
    (GROUP_SIZE, Kind::Histogram, Unit::Count, "Writes that shared one COMMIT"),
    (COMMIT_DURATION, Kind::Histogram, Unit::Seconds, "Duration of COMMIT"),
    (WAL_SIZE, Kind::Gauge, Unit::Bytes, "Size of the write-ahead log"),
    (RETRIES, Kind::Counter, Unit::Count, "Transactions run again after a conflict"),
    (CACHE_REQUESTS, Kind::Counter, Unit::Count, "Calls to a query cache, by how they were answered"),
    (ASYNC_PENDING, Kind::Gauge, Unit::Count, "Async calls that have not begun"),
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
