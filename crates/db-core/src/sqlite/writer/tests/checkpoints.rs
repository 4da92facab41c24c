//! Checkpoints beside the writes, and what is left of them for the writer.

use std::path::Path;
use std::time::Instant;

use super::super::turnstile::Turnstile;
use super::*;

const PATIENCE: Duration = Duration::from_mins(1);

/// Rows that are in the database file itself, without its log.
fn in_the_file(bed: &Bed) -> i64 {
    let copy = bed.folder.path().join("copy.db");
    // The database's own file must not be opened, which would take SQLite's locks away.
    let copied = std::process::Command::new("cp")
        .args([&bed.path(), &copy])
        .status();
    assert!(copied.unwrap().success());
    let url = DatabaseUrl::SqliteFile(copy);
    let mut connection = crate::Connection::open_beside(&url, crate::Access::ReadWrite);
    let crate::Conn::Sqlite(conn) = connection.conn() else {
        unreachable!();
    };
    // Before the first checkpoint there is not even the table.
    match number(conn, "SELECT count(*) AS n FROM sqlite_schema") {
        0 => 0,
        _ => number(conn, "SELECT count(*) AS n FROM entry"),
    }
}

fn log_bytes(database: &Path) -> u64 {
    std::fs::metadata(database.with_extension("db-wal")).map_or(0, |meta| meta.len())
}

#[test]
fn the_log_starts_anew_while_writes_go_on() {
    const PAGES: u32 = 50;
    let bed = Bed::with(|options| options.checkpoint_pages = PAGES);
    let (sender, checkpoints) = channel();
    *bed.groups.checkpoints.lock().unwrap() = Some(sender);
    let start = Instant::now();
    let mut rows = 0;
    let mut made = 0;
    let mut restarts = 0;
    let mut pages = 0;
    while made < 20 || restarts < 5 {
        assert!(
            start.elapsed() < PATIENCE,
            "{made} made, {restarts} restarts"
        );
        bed.writer
            .run(None, |conn| insert(conn, 1_000 + rows))
            .unwrap();
        rows += 1;
        made += checkpoints.try_iter().count();
        let now = bed.writer.wal_pages();
        restarts += u32::from(now < pages);
        pages = now;
    }
    // Two pages a row, had it never started anew; the rows of each turn are some hundred.
    let unbounded = 2 * 4_120 * u64::try_from(rows).unwrap();
    assert!(log_bytes(&bed.path()) < unbounded / 2, "{rows} rows");
    assert!(in_the_file(&bed) > rows / 2);
    assert_eq!(bed.entries(), rows);
}

#[test]
fn the_last_pages_are_copied_when_nobody_writes_any_more() {
    const ROWS: i64 = 200;
    // No time after which it would be done in any case.
    let bed = Bed::with(|options| {
        options.checkpoint_pages = 50;
        options.checkpoint_interval = None;
    });
    let (sender, checkpoints) = channel();
    *bed.groups.checkpoints.lock().unwrap() = Some(sender);
    for row in 0..ROWS {
        let id = 1_000 + row;
        bed.writer.run(None, |conn| insert(conn, id)).unwrap();
    }
    // What is written since the last one and not yet due: a row takes a page at least.
    let start = Instant::now();
    let mut copied = in_the_file(&bed);
    while ROWS - copied > 50 {
        assert!(
            start.elapsed() < PATIENCE,
            "a checkpoint was due, and not made: {copied} of {ROWS} rows are in the file"
        );
        // Wakes when one is made; a short wait, since it may have been before.
        let _ = checkpoints.recv_timeout(Duration::from_millis(100));
        copied = in_the_file(&bed);
    }
}

#[test]
fn damage_that_a_transaction_begins_with_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let health = Arc::<Health>::default();
    let clock = Arc::new(TableClock::new());
    let observer = Arc::new(Groups::default());
    let writer = Writer::open(
        options(&path),
        Arc::clone(&health),
        Arc::new(NoSnapshot),
        observer,
        clock,
    )
    .unwrap();
    writer.run(None, |conn| execute(conn, SCHEMA)).unwrap();
    // Another program writes, and empties the log, so that the writer has to read the first page.
    let url = DatabaseUrl::SqliteFile(path.clone());
    let mut other = crate::Connection::open_beside(&url, crate::Access::ReadWrite);
    let sql = "PRAGMA user_version = 7; PRAGMA wal_checkpoint(TRUNCATE)";
    other.conn().batch_execute(sql).unwrap();
    let target = format!("of={}", path.display());
    let damaged = std::process::Command::new("dd")
        .args([
            "if=/dev/zero",
            &target,
            "bs=100",
            "count=1",
            "conv=notrunc",
            "status=none",
        ])
        .status();
    assert!(damaged.unwrap().success());
    let error = writer.run(None, |conn| insert(conn, 1)).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotADatabase | ErrorKind::Corrupt),
        "{error}"
    );
    assert!(health.damage().is_some());
    let refused = writer.run(None, |conn| insert(conn, 2)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
}

#[test]
fn what_is_written_meanwhile_survives_a_close() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let mut options = options(&path);
    options.checkpoint_pages = 10;
    let writer = open(options, Arc::new(Groups::default()));
    writer.run(None, |conn| execute(conn, SCHEMA)).unwrap();
    for id in 1_000..1_500 {
        writer.run(None, |conn| insert(conn, id)).unwrap();
    }
    // A copy may be going on.
    writer.close(None).unwrap();
    assert_eq!(log_bytes(&path), 0);
    let url = DatabaseUrl::SqliteFile(path);
    let mut connection = crate::Connection::open_beside(&url, crate::Access::ReadWrite);
    let crate::Conn::Sqlite(conn) = connection.conn() else {
        unreachable!();
    };
    let kept = number(conn, "SELECT count(*) AS n FROM entry WHERE id >= 1000");
    assert_eq!(kept, 500);
}

/// Fails on the writer's thread as soon as that keeps the turn for the last step of a checkpoint.
struct Fails(Mutex<Turnstile>);

impl Observer for Fails {
    fn group(&self, group: &GroupReport, _log: u64) {
        let is_free = enters(&self.0);
        assert!(group.inline || is_free, "this panic is part of a test");
    }
}

/// Whether another process could write now.
fn enters(other: &Mutex<Turnstile>) -> bool {
    let mut other = other
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let is_free = other.try_enter().unwrap();
    other.leave().unwrap();
    is_free
}

#[test]
fn a_writer_that_fails_lets_other_processes_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("x.db");
    let mut options = options(&path);
    options.checkpoint_pages = 1;
    std::fs::write(&path, "").unwrap();
    let observer = Arc::new(Fails(Mutex::new(Turnstile::open(&path).unwrap())));
    let writer = open(options, Arc::<Fails>::clone(&observer));
    writer.run(None, |conn| execute(conn, SCHEMA)).unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for first in [1_000_000, 2_000_000, 3_000_000] {
            let writer = &writer;
            scope.spawn(move || {
                for id in first.. {
                    match writer.run(None, |conn| insert(conn, id)) {
                        Ok(()) => assert!(start.elapsed() < PATIENCE, "it never fails"),
                        Err(error) => return assert_eq!(error.kind(), ErrorKind::Closed),
                    }
                }
            });
        }
    });
    while !enters(&observer.0) {
        assert!(start.elapsed() < PATIENCE, "it keeps the turn");
        std::thread::yield_now();
    }
}
