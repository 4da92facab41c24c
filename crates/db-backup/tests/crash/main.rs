//! `kill -9` at points of a backup and of a restore.
//!
//! Each round starts this very test binary again, which makes a backup or restores one over a
//! database, and is killed: at one of its steps, or after a random time. Afterwards there is nothing
//! or a complete backup, and the old database or the new one. `BITCRAPS_TEST_KILLS` sets how often.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use db_backup::{
    BackupOptions, Codec, LocalStore, Progress, Recipients, RestoreOptions, Selector, Source,
    Store, VerifyOptions,
};
use db_core::{Access, Conn, Connection, DatabaseUrl};
use db_testkit::size;
use db_testkit::tools::need;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

const ROLE: &str = "BITCRAPS_TEST_ROLE";
const ROOT: &str = "BITCRAPS_TEST_ROOT";
/// The step at which the worker kills itself; none lets it run on.
const STEP: &str = "BITCRAPS_TEST_STEP";

const OLD: i64 = 3;
const NEW: i64 = 5;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn database(root: &Path) -> PathBuf {
    root.join("live.db")
}

fn store(root: &Path) -> LocalStore {
    LocalStore::new(root.join("backups"))
}

/// A database in WAL mode whose version is `version`, with some ballast.
fn write_database(path: &Path, version: i64) {
    let url = DatabaseUrl::SqliteFile(path.to_owned());
    let mut connection = Connection::open(&url, Access::Create).unwrap();
    connection
        .conn()
        .batch_execute(&format!(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS versions (n INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS ballast (x);
             BEGIN;
             DELETE FROM versions; INSERT INTO versions VALUES ({version});
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1500)
             INSERT INTO ballast SELECT randomblob(1000) FROM c;
             COMMIT;"
        ))
        .unwrap();
}

/// Opens it as an application does; a damaged one panics.
fn version(path: &Path) -> i64 {
    let url = DatabaseUrl::SqliteFile(path.to_owned());
    let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
    let Conn::Sqlite(conn) = connection.conn() else {
        unreachable!()
    };
    let mut number = |sql: &str| sql_query(sql).get_result::<Number>(conn).unwrap().n;
    assert_eq!(
        number("SELECT count(*) AS n FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
        1
    );
    number("SELECT n FROM versions")
}

fn options(round: u64) -> BackupOptions {
    let mut options = BackupOptions::default();
    options.codec = Codec {
        level: [None, Some(3)][usize::try_from(round % 2).unwrap()],
        recipients: Recipients::default(),
    };
    options
}

/// What a worker does, and how often it says that it went on.
fn work(role: &str, root: &Path, on_progress: &mut dyn FnMut(Progress)) {
    let store = store(root);
    let target = DatabaseUrl::SqliteFile(database(root));
    if let Some(("create", round)) = role.split_once(' ') {
        let source = Source {
            url: target,
            key: None,
        };
        let options = options(round.parse().unwrap());
        db_backup::create(&source, &store, &options, on_progress).unwrap();
    } else {
        let manifest = db_backup::find(&store, Selector::Latest).unwrap();
        let mut options = RestoreOptions::default();
        options.replace = true;
        db_backup::restore(&store, &manifest, &target, &options, on_progress).unwrap();
    }
}

/// The worker; a test of its own only in the processes that the others start.
#[test]
fn worker() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let root = PathBuf::from(std::env::var_os(ROOT).unwrap());
    let step: Option<u64> = std::env::var(STEP).ok().map(|s| s.parse().unwrap());
    let mut steps = 0;
    work(&role, &root, &mut |_| {
        if step == Some(steps) {
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
        }
        steps += 1;
    });
    fs::write(root.join("steps"), steps.to_string()).unwrap();
}

fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn as_worker(command: &mut Command, role: &str, root: &Path, step: Option<u64>) -> Child {
    command
        .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(ROOT, root);
    if let Some(step) = step {
        command.env(STEP, step.to_string());
    }
    command.spawn().unwrap()
}

fn start(role: &str, root: &Path, step: Option<u64>) -> Child {
    as_worker(
        &mut command(std::env::current_exe().unwrap()),
        role,
        root,
        step,
    )
}

fn killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

/// Runs a worker to its end, and tells its steps and its time.
fn whole(role: &str, root: &Path) -> (u64, Duration) {
    let began = Instant::now();
    assert!(start(role, root, None).wait().unwrap().success());
    let steps = fs::read_to_string(root.join("steps")).unwrap();
    (steps.parse().unwrap(), began.elapsed())
}

/// Kills a worker in this round: every second one at a step, the others after a random time.
fn kill(
    role: &str,
    root: &Path,
    (steps, time): (u64, Duration),
    random: &mut fastrand::Rng,
) -> bool {
    if random.bool() {
        let step = random.u64(..steps);
        return killed(start(role, root, Some(step)).wait().unwrap());
    }
    let mut child = start(role, root, None);
    let pause = time.mul_f64(random.f64());
    let until = Instant::now() + pause;
    while Instant::now() < until && child.try_wait().unwrap().is_none() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    drop(child.kill());
    killed(child.wait().unwrap())
}

/// What the folder of backups shows: complete ones, and nothing that looks like one and is none.
fn complete(root: &Path) -> usize {
    let store = store(root);
    let listing = db_backup::list(&store).unwrap();
    for entry in &listing.backups {
        assert!(entry.is_complete(), "{entry:?}");
        let manifest = entry.manifest.as_ref().unwrap();
        db_backup::verify(&store, manifest, &VerifyOptions::default(), &mut |_| {}).unwrap();
    }
    listing.backups.len()
}

fn partial(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".partial"))
        .collect()
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
    write_database(&database(root), OLD);
    let run = whole("create 1", root);
    let mut random = fastrand::Rng::with_seed(11);
    let mut kills = 0;
    let mut found = BTreeSet::new();
    for round in 0..rounds {
        clear(root);
        kills += u64::from(kill(&format!("create {round}"), root, run, &mut random));
        found.insert(complete(root));
        assert_eq!(version(&database(root)), OLD, "round {round}");
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
    whole("create 0", root);
    assert_eq!(partial(&root.join("backups")), [""; 0]);
}

#[test]
fn a_killed_restore_leaves_the_old_or_the_new() {
    let rounds = size("KILLS", 20);
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_database(&database(root), NEW);
    whole("create 1", root);
    let run = whole("restore", root);
    let mut random = fastrand::Rng::with_seed(12);
    let mut kills = 0;
    for round in 0..rounds {
        forget(root);
        write_database(&database(root), OLD);
        kills += u64::from(kill("restore", root, run, &mut random));
        old_or_new(root, &format!("round {round}"));
    }
    assert!(
        kills * 2 > rounds,
        "{kills} of {rounds} were killed in time"
    );
    whole("restore", root);
    assert_eq!(partial(root), [""; 0]);
    assert_eq!(version(&database(root)), NEW);
}

/// Removes the database and all that earlier rounds kept of it.
fn forget(root: &Path) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("live.db") {
            fs::remove_file(path).unwrap();
        }
    }
}

/// The database is one of both, whole; if it is the new one, the old one is kept.
fn old_or_new(root: &Path, when: &str) -> i64 {
    let found = version(&database(root));
    assert!(found == OLD || found == NEW, "{when}: {found}");
    if found == NEW {
        let kept: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains(".before-restore-"))
            .collect();
        assert_eq!(kept.len(), 1, "{when}: {kept:?}");
        assert_eq!(version(&kept[0]), OLD, "{when}");
    }
    complete(root);
    found
}

/// Names of the calls between whose effects a kill can fall.
const CALLS: &str =
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,fsync,fdatasync,fchmod,ftruncate";

/// Killed just before each of these calls of the system, one after the other.
fn killed_before_each_call(role: &str, root: &Path, mut check: impl FnMut(u64)) -> u64 {
    let exe = std::env::current_exe().unwrap();
    for at in 1.. {
        let mut strace = command("strace");
        strace
            .args(["-f", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("trace={CALLS}"))
            .arg("-e")
            .arg(format!("inject={CALLS}:signal=KILL:when={at}"))
            .arg("--")
            .arg(&exe);
        let status = as_worker(&mut strace, role, root, None).wait().unwrap();
        check(at);
        if status.success() {
            return at;
        }
    }
    unreachable!()
}

/// With strace: no random point, but all of them.
#[test]
fn a_restore_that_is_killed_before_each_call_leaves_the_old_or_the_new() {
    need("strace", "strace");
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_database(&database(root), NEW);
    whole("create 1", root);
    forget(root);
    write_database(&database(root), OLD);
    let mut found = BTreeSet::new();
    let calls = killed_before_each_call("restore", root, |at| {
        found.insert(old_or_new(root, &format!("call {at}")));
        forget(root);
        write_database(&database(root), OLD);
    });
    assert!(
        calls > 8 && found == BTreeSet::from([OLD, NEW]),
        "{calls} calls: {found:?}"
    );
}

#[test]
fn a_backup_that_is_killed_before_each_call_is_none_or_complete() {
    need("strace", "strace");
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_database(&database(root), OLD);
    whole("create 1", root);
    let mut found = BTreeSet::new();
    clear(root);
    let calls = killed_before_each_call("create 1", root, |_| {
        found.insert(complete(root));
        clear(root);
    });
    assert!(
        calls > 4 && found == BTreeSet::from([0, 1]),
        "{calls} calls: {found:?}"
    );
}

/// What a power cut may not take: the bytes before the name, the name before the next one.
#[test]
fn the_order_of_a_backup_is_durable() {
    need("strace", "strace");
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_database(&database(root), OLD);
    let log = root.join("trace");
    let mut strace = command("strace");
    strace
        .args([
            "-f",
            "-qq",
            "-y",
            "-e",
            "trace=rename,renameat,renameat2,link,linkat,fsync,fdatasync",
        ])
        .arg("-o")
        .arg(&log)
        .arg("--")
        .arg(std::env::current_exe().unwrap());
    assert!(
        as_worker(&mut strace, "create 1", root, None)
            .wait()
            .unwrap()
            .success()
    );
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
    need("strace", "strace");
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_database(&database(root), OLD);
    whole("create 1", root);
    let folder = store(root).folder().unwrap().canonicalize().unwrap();
    let mut outcomes = Vec::new();
    for at in 1..=4 {
        clear(root);
        let log = root.join("trace");
        let mut strace = command("strace");
        strace
            .args(["-f", "-qq", "-P"])
            .arg(&folder)
            .arg("-o")
            .arg(&log);
        strace
            .args(["-e", "trace=fsync", "-e"])
            .arg(format!("inject=fsync:error=EIO:when={at}"))
            .arg("--")
            .arg(std::env::current_exe().unwrap());
        let status = as_worker(&mut strace, "create 1", root, None)
            .wait()
            .unwrap();
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
