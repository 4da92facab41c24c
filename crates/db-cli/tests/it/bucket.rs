//! Backups in a bucket of an S3-compatible server, with kills, cut connections and wrong keys.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use db_backup::{BucketStore, Store, WriteMode};
use db_testkit::{Proxy, TestBucket, TestDb, wait_until};
use serde_json::Value;

use crate::backup::{IDENTITY, RECIPIENT};
use crate::support::{Done, Place, bare, finish};

pub(crate) const MIB: u64 = 1 << 20;

/// The size of the parts of an upload as small as ours.
const PART: u64 = 8 * MIB;

pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) bucket: TestBucket,
}

impl World {
    /// A database with so many MiB that cannot be compressed.
    pub(crate) fn new(mib: u64) -> Self {
        let place = Place::migrated(TestDb::sqlite());
        place.db.connect().execute(&format!(
            "CREATE TABLE noise (data BLOB NOT NULL);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {mib})
             INSERT INTO noise SELECT randomblob({MIB}) FROM n"
        ));
        Self {
            place,
            bucket: TestBucket::create(),
        }
    }

    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        self.bucket.variables(self.bucket.port())
    }

    pub(crate) fn store(&self) -> BucketStore {
        let staging = self.place.path("other");
        BucketStore::open(self.bucket.url(), staging, self.variables()).unwrap()
    }

    pub(crate) fn command(&self, port: u16, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command
            .args(["--dir", self.bucket.url(), "--staging"])
            .arg(self.staging())
            .envs(self.bucket.variables(port));
        command
    }

    /// Runs it by way of a port, and looks that no secret shows.
    #[track_caller]
    fn by(&self, port: u16, code: i32, arguments: &[&str]) -> Done {
        let done = finish(&mut self.command(port, arguments));
        assert_eq!(done.code, code, "{arguments:?}: {done:#?}");
        self.assert_no_secret(&done);
        done
    }

    #[track_caller]
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> Done {
        self.by(self.bucket.port(), code, arguments)
    }

    #[track_caller]
    fn assert_no_secret(&self, done: &Done) {
        for text in [&done.out, &done.err] {
            assert!(!text.contains(self.bucket.secret()), "a secret in {text}");
            assert!(!text.contains("Signature="), "a signature in {text}");
        }
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.place.path("staging")
    }

    /// What waits in the staging folder.
    pub(crate) fn staged(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.staging()).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// The records of uploads that wait there.
    pub(crate) fn records(&self) -> Vec<(PathBuf, Value)> {
        let names = self.staged().into_iter();
        let paths = names
            .filter(|name| name.starts_with(".upload.") && name.strip_suffix(".json").is_some())
            .map(|name| self.staging().join(name));
        paths
            .map(|path| {
                let bytes = std::fs::read(&path).unwrap();
                (path, serde_json::from_slice(&bytes).unwrap())
            })
            .collect()
    }

    /// Parts of uploads that are done, as their records say.
    fn parts_done(&self) -> usize {
        let parts = |(_, record): &(PathBuf, Value)| {
            record["uploads"][0]["parts"].as_object().unwrap().len()
        };
        self.records().iter().map(parts).sum()
    }

    /// A run that has come to its middle: so much went by way of the proxy, and nothing more does.
    pub(crate) fn held(&self, proxy: &Proxy, after: u64, arguments: &[&str]) -> Child {
        proxy.hold_after(after);
        let child = self
            .command(proxy.port(), arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until("the middle of the run", || proxy.is_holding());
        child
    }

    /// An upload that was killed in its middle, when it was so far that this is so.
    pub(crate) fn killed_upload(&self, proxy: &Proxy, after: u64, is_so: impl FnMut() -> bool) {
        let mut child = self.held(proxy, after, &PLAIN);
        wait_until("what is noted of the upload", is_so);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let list = self.ends(0, &["backup", "list", "--json"]).document();
        assert_eq!(list["orphans"].as_array().unwrap().len(), 0, "{list}");
        let backups = list["backups"].as_array().unwrap();
        backups
            .iter()
            .map(|backup| backup["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The name of the only artifact.
    fn artifact(&self) -> (String, Vec<u8>) {
        let store = self.store();
        let files = store.list().unwrap();
        let file = files
            .iter()
            .find(|f| f.name.strip_suffix(".json").is_none())
            .unwrap();
        let mut bytes = Vec::new();
        store
            .read(&file.name)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        (file.name.clone(), bytes)
    }
}

pub(crate) const PLAIN: [&str; 4] = ["backup", "create", "--compress", "none"];

#[test]
fn a_round_trip_of_sqlite() {
    let world = World::new(20);
    assert_eq!(world.names(), [""; 0]);
    world.ends(0, &PLAIN);
    world.ends(0, &["-vv", "backup", "create"]);
    assert_eq!(world.names().len(), 2);
    assert_eq!(world.staged(), [""; 0], "something was left behind");
    world.ends(0, &["backup", "verify"]);
    world.ends(0, &["-vv", "backup", "verify", "--restore"]);
    let files = world.store().list().unwrap();
    assert!(files.iter().any(|f| f.name.ends_with(".verified.json")));
    let target = world.place.path("restored.db");
    world.ends(0, &["restore", "--target", target.to_str().unwrap()]);
    let sum = "SELECT count(*), sum(length(data)) FROM noise";
    let restored = Command::new("sqlite3").arg(&target).arg(sum).output();
    // Not every machine has the program; the restore has counted the rows all the same.
    if let Ok(restored) = restored {
        assert_eq!(restored.stdout, format!("20|{}\n", 20 * MIB).into_bytes());
    }
    let store = world.store();
    for file in files {
        store.remove(&file.name).unwrap();
    }
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn a_verification_that_failed_is_remembered_in_the_bucket() {
    let world = World::new(1);
    world.ends(0, &PLAIN);
    let (name, good) = world.artifact();
    let store = world.store();
    let put = |bytes: &[u8]| {
        store.write_small(&name, bytes, WriteMode::Replace).unwrap();
    };
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    put(&bad);
    world.ends(0, &["backup", "status"]);
    world.ends(8, &["backup", "verify"]);
    put(&good);
    for verb in ["list", "status"] {
        world.ends(8, &["backup", verb]);
    }
    world.ends(0, &["backup", "verify"]);
    for verb in ["list", "status"] {
        world.ends(0, &["backup", verb]);
    }
    assert_eq!(store.list().unwrap().len(), 2);
}

#[test]
fn an_upload_that_was_killed_goes_on_where_it_stopped() {
    const SIZE: u64 = 66;
    let world = World::new(SIZE);
    let mut proxy = Proxy::to(world.bucket.port());
    // At most four parts are under way, so that one at least is done by then.
    world.killed_upload(&proxy, 44 * MIB, || world.parts_done() > 0);
    let done = world.parts_done() as u64;
    // A truncated upload cannot be seen.
    assert_eq!(world.store().list().unwrap(), []);
    assert_eq!(world.names(), [""; 0]);

    proxy.reset();
    proxy.pass();
    let before = proxy.sent();
    let again = world.by(proxy.port(), 0, &PLAIN);
    assert!(again.err.contains("is complete now"), "{again:?}");
    let names = world.names();
    assert_eq!(
        names.len(),
        2,
        "the first backup is complete, the second made"
    );
    for name in names {
        world.ends(0, &["backup", "verify", &name]);
    }
    let bytes: u64 = {
        let files = world.store().list().unwrap();
        files.iter().map(|file| file.bytes).sum()
    };
    let sent = proxy.sent() - before;
    let most = bytes - done * PART + 2 * MIB;
    assert!(
        sent <= most,
        "{done} parts were there, and {sent} of {most} bytes were sent"
    );
    assert!(
        sent >= bytes - done * PART - 4 * PART,
        "only {sent} bytes were sent"
    );
    assert_eq!(world.staged(), [""; 0], "something was left behind");
}

/// Bytes that a client sends in a whole run by way of a proxy.
fn sent_by(world: &World, proxy: &Proxy, arguments: &[&str]) -> u64 {
    let before = proxy.sent();
    world.by(proxy.port(), 0, arguments);
    proxy.sent() - before
}

/// Ctrl-C while the bucket does not answer: at once, and the lock is not left behind.
#[test]
fn a_stop_ends_the_wait_for_a_bucket() {
    let world = World::new(20);
    world.ends(0, &PLAIN);
    let mut proxy = Proxy::to(world.bucket.port());
    let prune = ["backup", "prune", "--keep-last", "9"];
    // A prune gives the lock back in the last third of what it sends.
    for (arguments, sixths) in [(&PLAIN[..], 4), (&["backup", "verify"], 4), (&prune, 3)] {
        let whole = sent_by(&world, &proxy, arguments);
        let mut child = world.held(&proxy, proxy.sent() + whole * sixths / 6, arguments);
        let began = Instant::now();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{arguments:?}");
        // The time limit of a request is two minutes, and it is tried five times.
        assert!(began.elapsed() < Duration::from_mins(1), "{arguments:?}");
        proxy.reset();
        proxy.pass();
    }
    world.ends(0, &PLAIN);
}

/// The network that goes while a backup is read back is no damage.
#[test]
fn a_bucket_that_goes_away_is_no_damaged_backup() {
    let world = World::new(20);
    world.ends(0, &["backup", "create", "--recipient", RECIPIENT]);
    world.place.write("identity.txt", IDENTITY);
    let identity = world.place.path("identity.txt");
    let arguments = ["backup", "verify", "--identity", identity.to_str().unwrap()];
    let mut proxy = Proxy::to(world.bucket.port());
    let whole = sent_by(&world, &proxy, &arguments);
    let child = world.held(&proxy, proxy.sent() + whole * 2 / 3, &arguments);
    proxy.refuse();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
}

#[test]
fn an_upload_survives_connections_that_are_cut() {
    let world = World::new(34);
    let mut proxy = Proxy::to(world.bucket.port());
    let child = world.held(&proxy, 20 * MIB, &PLAIN);
    proxy.reset();
    proxy.pass();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.names().len(), 1);
    world.ends(0, &["backup", "verify"]);
}

#[test]
fn altered_and_truncated_objects_are_found_before_a_restore() {
    let world = World::new(9);
    world.ends(0, &PLAIN);
    let (name, good) = world.artifact();
    let target = world.place.path("restored.db");
    let restore = ["restore", "--target", target.to_str().unwrap()];
    let mut altered = good.clone();
    altered[good.len() / 2] ^= 1;
    let store = world.store();
    for bad in [&altered[..], &good[..good.len() - 1], &good[..5]] {
        store.write_small(&name, bad, WriteMode::Replace).unwrap();
        world.ends(8, &["backup", "verify"]);
        world.ends(8, &restore);
        assert!(!target.exists());
    }
    world.ends(8, &["backup", "list"]);
    store.remove(&name).unwrap();
    world.ends(8, &["backup", "verify"]);
    store.write_small(&name, &good, WriteMode::Create).unwrap();
    world.ends(0, &restore);
}

#[test]
fn nothing_in_a_bucket_is_overwritten() {
    let world = World::new(1);
    let store = world.store();
    let publish = |bytes: &[u8]| {
        let draft = store.draft().unwrap();
        draft.file().write_all(bytes).unwrap();
        store.publish(draft, "file", &mut |_| Ok(()))
    };
    for size in [10, 9 << 20] {
        let (first, second) = (vec![1; size], vec![2; size]);
        publish(&first).unwrap();
        let error = publish(&second).unwrap_err();
        assert!(
            matches!(&error, db_backup::Error::Io { error, .. }
                if error.kind() == std::io::ErrorKind::AlreadyExists),
            "{error:?}"
        );
        let mut there = Vec::new();
        store.read("file").unwrap().read_to_end(&mut there).unwrap();
        assert!(there == first, "another content of {} bytes", there.len());
        // The very same is as good as done.
        publish(&first).unwrap();
        store.remove("file").unwrap();
    }
}

#[test]
fn a_bucket_is_locked_across_processes() {
    let world = World::new(1);
    let store = world.store();
    let lock = store.lock("a test").unwrap();
    let done = world.ends(6, &PLAIN);
    assert!(done.err.contains("a test (process"), "{done:?}");
    drop(lock);
    world.ends(0, &PLAIN);
    drop(store.lock("another").unwrap());
}

#[test]
fn what_goes_wrong_has_its_code_and_no_secret() {
    let world = World::new(1);
    let list = ["-vv", "backup", "list"];
    let with = |code, changes: &[(&str, &str)]| {
        let mut command = world.command(world.bucket.port(), &list);
        command.envs(changes.iter().copied());
        let done = finish(&mut command);
        assert_eq!(done.code, code, "{changes:?}: {done:#?}");
        world.assert_no_secret(&done);
        assert!(
            done.err.contains(world.bucket.url()) || code == 2,
            "{done:?}"
        );
        for (_, value) in changes {
            assert!(!done.err.contains(value) || value.len() < 10, "{done:?}");
        }
    };
    with(12, &[("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")]);
    with(12, &[("AWS_ACCESS_KEY_ID", "AKIAHUNTER2HUNTER2")]);
    with(2, &[("AWS_ALLOW_HTTP", "false")]);
    // Nobody listens there.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    with(
        9,
        &[("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"))],
    );
    for (dir, code) in [
        ("s3://forbidden/x", 14),
        ("s3://key:hunter2hunter2@bucket/x", 2),
        ("ftp://hunter2hunter2/x", 2),
    ] {
        let mut command = bare(world.place.root.path());
        command
            .args(["backup", "list", "--dir", dir, "--staging", "staging"])
            .envs(world.variables());
        let done = finish(&mut command);
        assert_eq!(done.code, code, "{dir}: {done:#?}");
        assert!(!done.err.contains("hunter2"), "{done:?}");
    }
}

/// Nothing can be backed up there until somebody changes something; a service that is away comes back by itself.
#[test]
fn what_is_wrong_with_a_bucket_is_no_good_health() {
    let world = World::new(1);
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let away = format!("http://127.0.0.1:{port}");
    let own = world.bucket.url();
    for (dir, change, state) in [
        (own, None, "fail"),
        (own, Some(("AWS_SECRET_ACCESS_KEY", "hunter2")), "warn"),
        (own, Some(("AWS_ALLOW_HTTP", "false")), "warn"),
        ("s3://not-there/x", None, "warn"),
        ("s3://forbidden/x", None, "warn"),
        (own, Some(("AWS_ENDPOINT_URL", away.as_str())), "unknown"),
    ] {
        let file = format!("[backup]\ndir = '{dir}'\nstaging = 'staging'\n");
        world.place.write("bitcraps-db.toml", &file);
        let mut command = world.place.command(&["health", "--json"]);
        command.args(["--check=backup", "--check=disk"]);
        command.args(["--limit", "disk_free={warn=0,fail=0}"]);
        let done = finish(command.envs(world.variables()).envs(change));
        world.assert_no_secret(&done);
        let checks = &done.document()["checks"];
        let found = checks.as_array().unwrap().iter();
        let found = found.clone().find(|c| c["name"] == "backup").unwrap();
        assert_eq!(found["state"], state, "{dir} {change:?}: {found}");
        let code = match state {
            "fail" => 8,
            "warn" => 3,
            _ => 0,
        };
        assert_eq!(done.code, code, "{dir} {change:?}: {done:?}");
    }
}
