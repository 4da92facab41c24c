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

/// The text of a row, in bytes. A write changes it as a whole, so the log grows by at least this.
const ROW: u64 = 40_000;

/// Rows of each writer; others' writes never touch their pages.
const ROWS: u64 = 20;

/// Writes by default: without checkpoints they fill the bound once and a fifth.
const WRITES: u64 = BOUND * 6 / 5 / ROW;

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

/// So many writes, however long they take: a time that is short for a slow machine would prove
/// nothing.
#[test]
fn the_log_is_bounded_beside_overlapping_readers() {
    let each = size("WRITES", WRITES).div_ceil(WRITERS);
    assert!(each * WRITERS * ROW > BOUND, "too few to fill the log");
    let file = File::new();
    let database = open(file.path());
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, filler TEXT) STRICT";
    database.write(|conn| execute(conn, create)).unwrap();
    let since = Instant::now();
    let (over, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut largest = 0;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|lane| {
                let database = &database;
                scope.spawn(move || {
                    for seq in 0..each {
                        let row = lane * ROWS + seq % ROWS;
                        let sql = format!(
                            "INSERT OR REPLACE INTO t VALUES ({row}, {seq}, hex(zeroblob({})))",
                            ROW / 2
                        );
                        database.write(|conn| execute(conn, &sql)).unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..READERS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    dwell(&database).unwrap();
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while !writers
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            // `stat`, never open.
            largest = largest.max(file.beside("-wal").metadata().unwrap().len());
            std::thread::park_timeout(Duration::from_millis(10));
        }
        largest = largest.max(file.beside("-wal").metadata().unwrap().len());
        over.store(true, Ordering::Relaxed);
    });
    report(format_args!(
        "{WRITERS} writers and {READERS} overlapping readers of {READ:?}: {} writes of {ROW} bytes \
         in {:.1} s, {} reads, the log had at most {:.1} MiB",
        each * WRITERS,
        since.elapsed().as_secs_f64(),
        reads.into_inner(),
        f64::from(u32::try_from(largest >> 10).unwrap()) / 1024.0
    ));
    assert!(largest <= BOUND, "the log grew to {largest} bytes");
}
