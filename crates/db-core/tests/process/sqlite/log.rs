//! The write-ahead log stays small, although somebody always reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use db_core::{Database, Error};

use crate::support::{File, execute, number, open, report, size};

const WRITERS: u64 = 8;

/// Readers that overlap: at any time at least one snapshot is open.
const READERS: u64 = 4;

/// How long one read lasts.
const READ: Duration = Duration::from_millis(40);

/// What the log may grow to, in bytes.
const BOUND: u64 = 256 << 20;

/// Reads for a while in one snapshot, which must not change.
fn dwell(database: &Database) -> Result<(), Error> {
    database.read(|conn| {
        let since = Instant::now();
        let first = number(conn, "SELECT coalesce(sum(n), 0) AS n FROM t")?;
        while since.elapsed() < READ {
            assert_eq!(
                number(conn, "SELECT coalesce(sum(n), 0) AS n FROM t")?,
                first
            );
        }
        Ok(())
    })
}

#[test]
fn the_log_is_bounded_beside_overlapping_readers() {
    let seconds = size("SECONDS", 5);
    let file = File::new();
    let database = open(file.path());
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, filler TEXT) STRICT";
    database.write(|conn| execute(conn, create)).unwrap();
    let over = AtomicBool::new(false);
    let (writes, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut largest = 0;
    std::thread::scope(|scope| {
        for lane in 0..WRITERS {
            let (database, over, writes) = (&database, &over, &writes);
            scope.spawn(move || {
                for seq in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let row = lane * 100 + seq % 100;
                    let sql = format!(
                        "INSERT OR REPLACE INTO t VALUES ({row}, {seq}, hex(zeroblob(1500)))"
                    );
                    database.write(|conn| execute(conn, &sql)).unwrap();
                    writes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..READERS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    dwell(&database).unwrap();
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            // `stat`, never open.
            largest = largest.max(file.beside("-wal").metadata().unwrap().len());
            std::thread::park_timeout(Duration::from_millis(10));
        }
        over.store(true, Ordering::Relaxed);
    });
    report(format_args!(
        "{WRITERS} writers and {READERS} overlapping readers of {READ:?}, {seconds} s: {} writes, \
         {} reads, the log had at most {:.1} MiB",
        writes.into_inner(),
        reads.into_inner(),
        f64::from(u32::try_from(largest >> 10).unwrap()) / 1024.0
    ));
    assert!(largest <= BOUND, "the log grew to {largest} bytes");
}
