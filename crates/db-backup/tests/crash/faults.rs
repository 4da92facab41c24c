//! A disk that fails at any call of a backup or of a restore, once or from then on: it is told as that, nothing is half
//! there, and the next one does it.
//!
//! By `strace`, which counts the calls of each thread on their own. `BITCRAPS_TEST_EVERY_CALL=1` leaves none out.

use std::fs::File;

use db_testkit::kill::{Broken, failing_at_each_call};

use super::*;

/// What a program asks of a disk.
const OF_DISKS: [&str; 19] = [
    "openat",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "copy_file_range",
    "rename",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "fchmod",
    "mkdir",
    "statx",
    "fcntl",
];

/// So many calls of each name fail in any run.
const FIRST: u64 = 6;

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    /// By an error of what is tested.
    Told,
    /// It came to nothing before its work began, or after that was done.
    Other,
}

/// Lets each call fail, some left out where there are many, and tells how often.
fn with_each_failing(
    worker: &Worker,
    broken: Broken,
    root: &Path,
    mut check: impl FnMut(&str, End),
) -> u64 {
    let every = size("EVERY_CALL", 0) > 0;
    // The first ones open files and read their headers: none of these is left out.
    let next = |at| {
        if every || at < FIRST {
            at + 1
        } else {
            at + 1 + at / 2
        }
    };
    let words = root.join("words");
    failing_at_each_call(&OF_DISKS, broken, next, |strace, when| {
        let mut command = worker.command_by(strace);
        let status = ended(command.stderr(File::create(&words).unwrap()));
        let said = fs::read_to_string(&words).unwrap();
        for library in ["crates/db-backup/src/", "crates/db-core/src/"] {
            assert!(
                !said.contains(&format!("panicked at {library}")),
                "{when}: {said}"
            );
        }
        let is_told = said.contains("panicked at crates/db-backup/tests/crash/main.rs");
        // A disk that fails has damaged nothing.
        for damage in ["Err` value: Damaged", "Err` value: Unsound"] {
            assert!(!said.contains(damage), "{when}: {said}");
        }
        let end = if status.success() {
            End::Done
        } else if is_told {
            End::Told
        } else {
            End::Other
        };
        check(when, end);
    })
}

#[test]
fn a_backup_on_a_disk_that_fails_is_none_or_complete() {
    backups(Broken::Once);
}

#[test]
fn a_backup_on_a_disk_that_fails_for_good_is_none_or_complete() {
    backups(Broken::ForGood);
}

#[expect(clippy::print_stdout, reason = "the figure of a long run")]
fn backups(broken: Broken) {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), OLD, BALLAST);
    let create = on(root, "create");
    create.whole();
    clear(root);
    let mut told = 0;
    let failures = with_each_failing(&create, broken, root, |when, end| {
        let made = complete(root);
        match end {
            End::Done => assert_eq!(made, 1, "{when}"),
            End::Told => assert_eq!(made, 0, "{when}"),
            End::Other => assert!(made <= 1, "{when}"),
        }
        told += u64::from(end == End::Told);
        assert_eq!(read(&database(root)), OLD, "{when}");
        // The next one finds nothing in its way, and takes away what was left.
        clear(root);
    });
    println!("{broken:?}: {failures} failures, {told} told");
    assert!(told > 20 && failures > told, "{told} of {failures}");
    create.whole();
    assert_eq!(complete(root), 1);
    assert_eq!(partial(&root.join("backups")), [""; 0]);
}

#[test]
fn a_restore_on_a_disk_that_fails_leaves_the_old_or_the_new() {
    restores(Broken::Once);
}

#[test]
fn a_restore_on_a_disk_that_fails_for_good_leaves_the_old_or_the_new() {
    restores(Broken::ForGood);
}

#[expect(clippy::print_stdout, reason = "the figure of a long run")]
fn restores(broken: Broken) {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), NEW, BALLAST);
    on(root, "create").whole();
    begin(root);
    let restore = on(root, "restore");
    let mut told = 0;
    let failures = with_each_failing(&restore, broken, root, |when, end| {
        // Side files of the old one that could not be removed stay beside it, and are its own.
        for left in kept(&database(root), "restore") {
            let name = left.to_string_lossy();
            if ["-wal", "-shm"].iter().any(|side| name.ends_with(side)) {
                assert!(when.starts_with("unlink"), "{when}: {name}");
                let of = PathBuf::from(&name[..name.len() - 4]);
                assert_eq!(read(&of), OLD, "{when}");
                // Whoever reads it may have emptied and removed it.
                if left.exists() {
                    fs::remove_file(&left).unwrap();
                }
            }
        }
        let found = old_or_new(root, when);
        assert!(end != End::Done || found == NEW, "{when}");
        told += u64::from(end == End::Told);
        begin(root);
    });
    println!("{broken:?}: {failures} failures, {told} told");
    assert!(told > 20 && failures > told, "{told} of {failures}");
    restore.whole();
    assert_eq!(read(&database(root)), NEW);
    assert_eq!(partial(root), [""; 0]);
}
