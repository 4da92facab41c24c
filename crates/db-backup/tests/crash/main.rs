//! `kill -9` at points of a backup, of a restore, and of giving its place to what was restored.
//!
//! Each round starts this very test binary again, which makes a backup or restores one over a
//! database, and is killed: at one of its steps, or after a random time. Afterwards there is nothing
//! or a complete backup, and the old database or the new one, which waits if it was proven before.
//! `BITCRAPS_TEST_KILLS` sets how often.
#![cfg(test)]

mod faults;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use db_backup::{
    BackupOptions, Codec, LocalStore, Progress, Recipients, RestoreOptions, Selector, Source,
    Store, VerifyOptions,
};
use db_core::DatabaseUrl;
use db_testkit::kill::{Calls, Work, Worker, before_each_call, ended};
use db_testkit::size;
use db_testkit::tools::need;
use db_testkit::versioned::{forget, kept, partial, read, write};

const OLD: i64 = 3;
const NEW: i64 = 5;

/// Rows of a kilobyte in each version.
const BALLAST: u32 = 1_500;

fn database(root: &Path) -> PathBuf {
    root.join("live.db")
}

fn store(root: &Path) -> LocalStore {
    LocalStore::new(root.join("backups"))
}

/// What a worker does, told by the folder and a word, and how often it says that it went on.
fn work(root: &Path, word: &str, on_progress: &mut dyn FnMut(Progress)) {
    let store = store(root);
    let url = DatabaseUrl::SqliteFile(database(root));
    let level = match word {
        "create" => Some(3),
        "create plain" => None,
        "finish" => {
            let options = RestoreOptions::new().with_replace(true);
            db_backup::finish_restore(&waiting(root), None, &options, on_progress).unwrap();
            return;
        }
        _ => {
            let manifest = db_backup::find(&store, Selector::Latest).unwrap();
            let options = RestoreOptions::new().with_replace(true);
            db_backup::restore(&store, &manifest, &url, &options, on_progress).unwrap();
            return;
        }
    };
    let recipients = Recipients::default();
    let options = BackupOptions::new().with_codec(Codec { level, recipients });
    let source = Source { url, key: None };
    db_backup::create(&source, &store, &options, on_progress).unwrap();
}

/// The worker; a test of its own only in the processes that the others start.
#[test]
fn worker() {
    let Some(mut at) = Work::of_this_process() else {
        return;
    };
    let task = at.task.clone();
    let (root, word) = task.split_once('\n').unwrap();
    work(Path::new(root), word, &mut |_| at.step());
    at.done();
}

fn on(root: &Path, word: &str) -> Worker {
    Worker::new("worker", format!("{}\n{word}", root.display()))
}

/// What the folder of backups shows: complete ones, and nothing that looks like one and is none.
fn complete(root: &Path) -> usize {
    let store = store(root);
    let listing = db_backup::list(&store).unwrap();
    for entry in &listing.backups {
        assert!(entry.is_complete(), "{entry:?}");
        let manifest = entry.manifest.as_ref().unwrap();
        db_backup::verify(&store, manifest, &VerifyOptions::new(), &mut |_| {}).unwrap();
    }
    listing.backups.len()
}

fn clear(root: &Path) {
    for entry in fs::read_dir(root.join("backups")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[test]
fn a_killed_backup_is_none_or_complete() {
    let rounds = size("KILLS", 20);
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), OLD, BALLAST);
    let ways = ["create", "create plain"].map(|word| on(root, word));
    let mut usual = ways.each_ref().map(Worker::whole);
    let mut random = fastrand::Rng::with_seed(11);
    let mut kills = 0;
    let mut found = BTreeSet::new();
    for (round, way) in (0..rounds).zip([0, 1].into_iter().cycle()) {
        clear(root);
        let killed = ways[way].kill(&mut usual[way], &mut |below| random.u64(..below));
        kills += u64::from(killed);
        found.insert(complete(root));
        assert_eq!(read(&database(root)), OLD, "round {round}");
    }
    assert!(
        kills * 2 > rounds,
        "{kills} of {rounds} were killed in time"
    );
    assert!(
        found.contains(&0) && found.iter().all(|n| *n <= 1),
        "{found:?}"
    );
    // The next one takes away what the dead ones left.
    ways[0].whole();
    assert_eq!(partial(&root.join("backups")), [""; 0]);
}

#[test]
fn a_killed_restore_leaves_the_old_or_the_new() {
    let rounds = size("KILLS", 20);
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), NEW, BALLAST);
    on(root, "create").whole();
    let restore = on(root, "restore");
    let mut usual = restore.whole();
    let mut random = fastrand::Rng::with_seed(12);
    let mut kills = 0;
    for round in 0..rounds {
        begin(root);
        let killed = restore.kill(&mut usual, &mut |below| random.u64(..below));
        kills += u64::from(killed);
        old_or_new(root, &format!("round {round}"));
    }
    assert!(
        kills * 2 > rounds,
        "{kills} of {rounds} were killed in time"
    );
    restore.whole();
    assert_eq!(partial(root), [""; 0]);
    assert_eq!(read(&database(root)), NEW);
}

/// The old database, and nothing that earlier rounds kept of it.
fn begin(root: &Path) {
    forget(&database(root));
    write(&database(root), OLD, BALLAST);
}

/// The database is one of both, whole; if it is the new one, the old one is kept.
fn old_or_new(root: &Path, when: &str) -> i64 {
    let found = read(&database(root));
    assert!(found == OLD || found == NEW, "{when}: {found}");
    if found == NEW {
        let kept = kept(&database(root), "restore");
        assert_eq!(kept.len(), 1, "{when}: {kept:?}");
        assert_eq!(read(&kept[0]), OLD, "{when}");
    }
    complete(root);
    found
}

/// The calls between whose effects a kill can fall.
const CALLS: Calls<'_> = Calls {
    names: &[
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "unlink",
        "unlinkat",
        "fsync",
        "fdatasync",
        "fchmod",
        "ftruncate",
    ],
    unknown: &[],
};

/// The same on a file system on which a file has one name only.
const CALLS_ON_FAT: Calls<'_> = Calls {
    names: &["rename", "renameat2", "unlink", "fsync", "fchmod"],
    unknown: &["link", "linkat"],
};

/// What starts another program with these arguments of `strace`.
fn strace(arguments: &[&str]) -> Command {
    need("strace", "strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq"]).args(arguments).arg("--");
    strace
}

/// Killed just before each of these calls of the system, one after the other.
fn killed_before_each_call(worker: &Worker, calls: Calls<'_>, mut check: impl FnMut(&str)) -> u64 {
    let every = |at| at + 1;
    before_each_call(calls, every, |strace, when| {
        let status = ended(&mut worker.command_by(strace));
        check(when);
        status.success()
    })
}

/// With strace: no random point, but all of them.
#[test]
fn a_restore_that_is_killed_before_each_call_leaves_the_old_or_the_new() {
    killed_restores(CALLS);
}

#[test]
fn a_restore_that_is_killed_where_a_file_has_one_name_only() {
    killed_restores(CALLS_ON_FAT);
}

fn killed_restores(calls: Calls<'_>) {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), NEW, BALLAST);
    on(root, "create").whole();
    begin(root);
    let mut found = BTreeSet::new();
    let kills = killed_before_each_call(&on(root, "restore"), calls, |when| {
        found.insert(old_or_new(root, when));
        begin(root);
    });
    assert!(
        kills > 8 && found == BTreeSet::from([OLD, NEW]),
        "{kills} kills: {found:?}"
    );
}

/// Where what was restored waits.
fn waiting(root: &Path) -> PathBuf {
    root.join("live.db.restored-20251122T143005Z")
}

/// The old database, and beside it the new one, which waits for its place.
fn begin_to_finish(root: &Path) {
    begin(root);
    let manifest = db_backup::find(&store(root), Selector::Latest).unwrap();
    let url = DatabaseUrl::SqliteFile(waiting(root));
    let options = RestoreOptions::new();
    db_backup::restore(&store(root), &manifest, &url, &options, &mut |_| {}).unwrap();
}

/// The old database, and the new one waits; or the new one, and the old one is kept.
fn finished_or_waits(root: &Path, when: &str) -> i64 {
    let found = old_or_new(root, when);
    let waits = waiting(root);
    assert_eq!(waits.exists(), found == OLD, "{when}: {found}");
    if found == OLD {
        assert_eq!(read(&waits), NEW, "{when}");
        // Whatever the dead one left is in nobody's way.
        on(root, "finish").whole();
        assert_eq!(read(&database(root)), NEW, "{when}");
    }
    assert_eq!(partial(root), [""; 0], "{when}");
    found
}

#[test]
fn a_finish_that_is_killed_before_each_call_leaves_the_old_or_the_new() {
    killed_finishes(CALLS);
}

#[test]
fn a_finish_that_is_killed_where_a_file_has_one_name_only() {
    killed_finishes(CALLS_ON_FAT);
}

fn killed_finishes(calls: Calls<'_>) {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), NEW, BALLAST);
    on(root, "create").whole();
    begin_to_finish(root);
    let mut found = BTreeSet::new();
    let kills = killed_before_each_call(&on(root, "finish"), calls, |when| {
        found.insert(finished_or_waits(root, when));
        begin_to_finish(root);
    });
    assert!(
        kills > 4 && found == BTreeSet::from([OLD, NEW]),
        "{kills} kills: {found:?}"
    );
}

#[test]
fn a_killed_finish_leaves_the_old_or_the_new() {
    let rounds = size("KILLS", 20);
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), NEW, BALLAST);
    on(root, "create").whole();
    begin_to_finish(root);
    let finish = on(root, "finish");
    let mut usual = finish.whole();
    let mut random = fastrand::Rng::with_seed(13);
    let mut kills = 0;
    for round in 0..rounds {
        begin_to_finish(root);
        kills += u64::from(finish.kill(&mut usual, &mut |below| random.u64(..below)));
        finished_or_waits(root, &format!("round {round}"));
    }
    assert!(
        kills * 2 > rounds,
        "{kills} of {rounds} were killed in time"
    );
}

#[test]
fn a_backup_that_is_killed_before_each_call_is_none_or_complete() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), OLD, BALLAST);
    let create = on(root, "create");
    create.whole();
    let mut found = BTreeSet::new();
    clear(root);
    let kills = killed_before_each_call(&create, CALLS, |_| {
        found.insert(complete(root));
        clear(root);
    });
    assert!(
        kills > 4 && found == BTreeSet::from([0, 1]),
        "{kills} kills: {found:?}"
    );
}

/// What a power cut may not take: the bytes before the name, the name before the next one.
#[test]
fn the_order_of_a_backup_is_durable() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), OLD, BALLAST);
    let log = root.join("trace");
    let calls = "trace=rename,renameat,renameat2,link,linkat,fsync,fdatasync";
    let strace = strace(&["-y", "-e", calls, "-o", log.to_str().unwrap()]);
    assert!(ended(&mut on(root, "create").command_by(strace)).success());
    let text = fs::read_to_string(log).unwrap();
    let backups = store(root).folder().unwrap().canonicalize().unwrap();
    let folder = format!("<{}>", backups.display());
    let steps: Vec<&str> = text
        .lines()
        .filter_map(|line| match line {
            _ if line.contains("rename") && line.contains(".json\"") => Some("name of manifest"),
            _ if line.contains("rename") && line.contains(".db.zst\"") => Some("name of artifact"),
            _ if line.contains("sync(") && line.contains(".partial") => Some("bytes"),
            _ if line.contains("sync(") && line.contains(&folder) => Some("folder"),
            _ => None,
        })
        .collect();
    let end = steps
        .iter()
        .position(|step| *step == "name of artifact")
        .unwrap();
    assert_eq!(steps[end - 1], "bytes", "{steps:?}");
    assert_eq!(
        steps[end..],
        [
            "name of artifact",
            "folder",
            "bytes",
            "name of manifest",
            "folder"
        ],
        "{steps:?}"
    );
}

/// A disk that fails when the folder is synced. Who was told of a failure finds nothing, and what is
/// there is whole: also where the name of the manifest was the last to be synced.
#[test]
fn a_folder_that_cannot_be_synced_loses_no_backup_and_leaves_no_part() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(&database(root), OLD, BALLAST);
    let create = on(root, "create");
    create.whole();
    let folder = store(root).folder().unwrap().canonicalize().unwrap();
    let mut outcomes = Vec::new();
    for at in 1..=4 {
        clear(root);
        let log = root.join("trace");
        let (path, output) = (folder.to_str().unwrap(), log.to_str().unwrap());
        let inject = format!("inject=fsync:error=EIO:when={at}");
        let strace = strace(&["-P", path, "-o", output, "-e", "trace=fsync", "-e", &inject]);
        let status = ended(&mut create.command_by(strace));
        let failed = fs::read_to_string(&log).unwrap().contains("INJECTED");
        let made = usize::from(status.success());
        assert_eq!(complete(root), made, "sync {at}");
        let left = fs::read_dir(&folder).unwrap().count();
        // A lock, an artifact and its manifest.
        assert_eq!(left, 1 + 2 * made, "sync {at}");
        outcomes.push((failed, status.success()));
    }
    assert!(
        outcomes.contains(&(true, false)) && outcomes.contains(&(true, true)),
        "{outcomes:?}"
    );
}
