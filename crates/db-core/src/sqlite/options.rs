//! Stand-in for the checked settings of a SQLite database.

use std::time::Duration;

use crate::DatabaseUrl;

/// How a SQLite database is worked with.
#[derive(Debug, Clone)]
pub(crate) struct SqliteOptions {
    /// The file, or memory.
    pub(crate) url: DatabaseUrl,
    /// Connections to read with.
    pub(crate) max_readers: u32,
    /// The longest wait for a reader or a turn to write.
    pub(crate) acquire_timeout: Duration,
    /// A reader unused for this long is closed, if at all.
    pub(crate) idle_timeout: Option<Duration>,
    /// A connection held for longer is reported, if at all.
    pub(crate) held_threshold: Option<Duration>,
    /// Whether to switch to a write-ahead log.
    pub(crate) wal: bool,
    /// `PRAGMA busy_timeout`.
    pub(crate) busy_timeout: Duration,
    /// `PRAGMA cache_size`, in KiB (the pragma's value is its negative).
    pub(crate) cache_kib: u32,
    /// `PRAGMA mmap_size`; 0 is off.
    pub(crate) mmap_bytes: u64,
}

impl SqliteOptions {
    pub(crate) fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            max_readers: 8,
            acquire_timeout: Duration::from_secs(30),
            idle_timeout: Some(Duration::from_secs(600)),
            held_threshold: Some(Duration::from_secs(30)),
            wal: true,
            busy_timeout: Duration::from_secs(30),
            cache_kib: 64 << 10,
            mmap_bytes: 256 << 20,
        }
    }
}
