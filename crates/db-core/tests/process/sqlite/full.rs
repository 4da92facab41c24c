//! A full disk: an error that says so, nothing by halves, reads that go on, and writes again when
//! there is space.
//!
//! Three disks: one of `db_testkit` that is full at any number of bytes, the system's own limit on
//! the size of a file, which needs no rights, and a small file system where one is named.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use db_core::{Database, DatabaseConfig, DatabaseStats, Error, ErrorKind};
use db_testkit::disk::Disk;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{File, alone, durable, execute, integrity, number, report, say};

const KIB: u64 = 1 << 10;

/// Pages of the log that the first piece of its index holds
/// (<https://sqlite.org/walformat.html>).
const FIRST_INDEX: u32 = 4_062;

/// When writes must work again after there is space.
const RESUME: Duration = Duration::from_secs(5);

fn create(database: &Database) {
    let tables = "CREATE TABLE heads (seq INTEGER PRIMARY KEY, filler BLOB) STRICT;
                  CREATE TABLE tails (seq INTEGER PRIMARY KEY, filler BLOB) STRICT;";
    database.write(|conn| execute(conn, tables)).unwrap();
}

fn insert(database: &Database, seq: u64) -> Result<(), Error> {
    database.write(|conn| {
        for table in ["heads", "tails"] {
            execute(
                conn,
                &format!("INSERT INTO {table} VALUES ({seq}, zeroblob(5000))"),
            )?;
        }
        Ok(())
    })
}

fn log_pages(database: &Database) -> u32 {
    match database.stats() {
        DatabaseStats::Sqlite(stats) => stats.wal_pages,
        other => panic!("{other:?}"),
    }
}

/// Rows that are there, each in both tables.
fn rows(database: &Database) -> u64 {
    let sql = "SELECT count(*) AS n FROM heads JOIN tails USING (seq)";
    let whole = database.read(|conn| number(conn, sql)).unwrap();
    for table in ["heads", "tails"] {
        let sql = format!("SELECT count(*) AS n FROM {table}");
        assert_eq!(
            database.read(|conn| number(conn, &sql)).unwrap(),
            whole,
            "half a write"
        );
    }
    u64::try_from(whole).unwrap()
}

/// Writes until the disk is full, a few times more, reads, gets space, and writes again. `first` is
/// the number of rows that are there. Returns rows written, and how long it took to resume.
fn fill_and_free(database: &Database, first: u64, free: impl FnOnce()) -> (u64, Duration) {
    let mut written = first;
    let full = loop {
        match insert(database, written + 1) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000_000, "it is never full");
    };
    assert_eq!(full.kind(), ErrorKind::DiskFull, "{full}");
    for _ in 0..3 {
        assert_eq!(
            rows(database),
            written,
            "an error, and yet written: or the reverse"
        );
        match insert(database, written + 1) {
            // A checkpoint has made room in the log.
            Ok(()) => written += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}"),
        }
    }
    free();
    let since = Instant::now();
    let resumed = loop {
        match insert(database, written + 1) {
            Ok(()) => break since.elapsed(),
            Err(error) => assert!(since.elapsed() < RESUME, "it does not resume: {error}"),
        }
    };
    written += 1;
    assert_eq!(rows(database), written);
    database.read(integrity).unwrap();
    (written, resumed)
}

fn config(path: &Path) -> DatabaseConfig {
    durable(path)
        .checkpoint_pages(16)
        .connection_timeout(Duration::from_secs(5))
}

#[test]
fn a_disk_that_is_full_at_any_byte() {
    alone("sqlite::full::a_disk_that_is_full_at_any_byte", |_| {
        let (mut disks, mut most) = (0, Duration::ZERO);
        // Odd numbers, so that writes end within pages and frames.
        for space in (0..600 * KIB).step_by(20_011) {
            let file = File::new();
            let database = Database::open(&config(file.path())).unwrap();
            let disk = Disk::over(file.folder());
            drop(database);
            let database = Database::open(&config(file.path())).unwrap();
            create(&database);
            disk.limit(Some(disk.used() + space));
            let (written, resumed) = fill_and_free(&database, 0, || disk.limit(None));
            database.close(Duration::from_secs(10)).unwrap();
            let database = Database::open(&config(file.path())).unwrap();
            assert_eq!(rows(&database), written);
            disks += 1;
            most = most.max(resumed);
        }
        report(format_args!(
            "{disks} disks of 0 to 600 KiB beyond an empty database: DiskFull, no half of a write, \
             written again after at most {most:.1?}"
        ));
        say("done");
    });
}

/// The log's index takes memory that is a file as well, 32 KiB for 4,096 pages. If there is no room
/// for it, the pages are in the log all the same.
#[test]
fn a_disk_that_is_full_when_the_index_of_the_log_grows() {
    alone(
        "sqlite::full::a_disk_that_is_full_when_the_index_of_the_log_grows",
        |_| {
            let mut unknown = 0;
            for space in (0..64 * KIB).step_by(4 * 1024) {
                let file = File::new();
                let disk = Disk::over(file.folder());
                // No checkpoint: the log is to grow.
                let database =
                    Database::open(&config(file.path()).checkpoint_pages(100_000)).unwrap();
                create(&database);
                let filler = "INSERT INTO heads VALUES (1000000, zeroblob(16400000));
                          INSERT INTO tails VALUES (1000000, zeroblob(1000))";
                database.write(|conn| execute(conn, filler)).unwrap();
                for n in 0.. {
                    if log_pages(&database) >= FIRST_INDEX - 6 {
                        break;
                    }
                    let tiny = format!("PRAGMA user_version = {n}");
                    database.write(|conn| execute(conn, &tiny)).unwrap();
                }
                assert!(
                    log_pages(&database) < FIRST_INDEX,
                    "the index has grown already"
                );
                disk.limit(Some(disk.used() + space));
                let (mut written, mut doubtful) = (1, None);
                for seq in 1..=40 {
                    match insert(&database, seq) {
                        Ok(()) => written += 1,
                        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                            doubtful = Some(seq);
                            break;
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                            break;
                        }
                    }
                }
                unknown += u64::from(doubtful.is_some());
                let found = rows(&database);
                assert!(found == written || doubtful.is_some() && found == written + 1);
                disk.limit(None);
                insert(&database, 50).unwrap();
                database.read(integrity).unwrap();
                assert_eq!(rows(&database), found + 1);
            }
            assert!(
                unknown > 0,
                "the index was never the one that found no room"
            );
            report(format_args!(
                "16 disks, {unknown} where the index found no room: nothing by halves"
            ));
            say("done");
        },
    );
}

/// A database cannot be opened where there is no room for its log's index, and says why.
#[test]
fn opening_on_a_full_disk_says_so() {
    alone("sqlite::full::opening_on_a_full_disk_says_so", |_| {
        let file = File::new();
        let disk = Disk::over(file.folder());
        let database = Database::open(&config(file.path())).unwrap();
        create(&database);
        insert(&database, 1).unwrap();
        database.close(Duration::from_secs(10)).unwrap();
        drop(database);
        for space in [0, 4 * KIB, 31 * KIB] {
            disk.limit(Some(disk.used() + space));
            let full = Database::open(&config(file.path())).map(drop).unwrap_err();
            assert_eq!(full.kind(), ErrorKind::DiskFull, "{full}");
        }
        disk.limit(Some(disk.used() + 33 * KIB));
        let database = Database::open(&config(file.path())).unwrap();
        assert_eq!(rows(&database), 1);
        disk.limit(None);
        insert(&database, 2).unwrap();
        say("done");
    });
}

/// The system's limit on the size of a file: what a process may write without being root. Or a small
/// file system, where `BITCRAPS_TEST_SMALL_DISK` names a folder on one.
#[test]
fn a_disk_that_the_system_says_is_full() {
    alone("sqlite::full::a_disk_that_the_system_says_is_full", |_| {
        match std::env::var_os("BITCRAPS_TEST_SMALL_DISK") {
            Some(folder) => on_a_small_file_system(&PathBuf::from(folder)),
            None => files_that_may_not_grow(),
        }
        say("done");
    });
}

fn files_that_may_not_grow() {
    // Without a handler the signal that comes with the error would end the process.
    let signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGXFSZ]).unwrap();
    let limit = |bytes| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let current = bytes;
        setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    };
    let mut figures = Vec::new();
    for kib in [64, 100, 333, 1_000] {
        let file = File::new();
        let database = Database::open(&config(file.path())).unwrap();
        create(&database);
        limit(Some(kib * KIB + 77));
        let (written, resumed) = fill_and_free(&database, 0, || limit(None));
        database.close(Duration::from_secs(10)).unwrap();
        figures.push(format!(
            "{kib} KiB: {written} rows, again after {resumed:.1?}"
        ));
    }
    drop(signals);
    report(format_args!("RLIMIT_FSIZE: {}", figures.join("; ")));
}

fn on_a_small_file_system(folder: &Path) {
    let path = folder.join("test.db");
    let database = Database::open(&config(&path)).unwrap();
    create(&database);
    // What an operator deletes to get space.
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let (written, resumed) =
        fill_and_free(&database, 0, || std::fs::remove_file(&ballast).unwrap());
    database.close(Duration::from_secs(10)).unwrap();
    for name in ["test.db", "test.db-next", "test.db-turn"] {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    report(format_args!(
        "{}: full after {written} rows, written again after {resumed:.1?}",
        folder.display()
    ));
}
