//! Disks that are full: a file system in memory, of a few MiB, that this test mounts for itself alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use db_testkit::TestDb;
use db_testkit::tools::unshare;

use crate::backup::{IDENTITY, RECIPIENT, filled, names};
use crate::import::user;
use crate::support::{Place, bare, finish};

/// Set where the mount is.
const INSIDE: &str = "BITCRAPS_TEST_INSIDE_NAMESPACE";

const MIB: usize = 1 << 20;

#[test]
fn a_full_disk_costs_nothing_that_was_there() {
    alone("a_full_disk_costs_nothing_that_was_there", inside);
}

#[test]
fn data_that_finds_no_room_leaves_nothing() {
    alone("data_that_finds_no_room_leaves_nothing", moved);
}

#[test]
fn what_waits_for_its_place_may_get_one_on_another_disk() {
    alone(
        "what_waits_for_its_place_may_get_one_on_another_disk",
        elsewhere,
    );
}

/// Runs a test of this file where it can mount.
fn alone(name: &str, test: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let folder = tempfile::tempdir().unwrap();
    let output = unshare(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("full_disk::{name}")])
        .arg("--nocapture")
        .env(INSIDE, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Fills a disk but for so many bytes.
fn fill_but(disk: &Path, free: usize) {
    let ballast = disk.join("ballast");
    drop(fs::remove_file(&ballast));
    let space = rustix::fs::statvfs(disk).unwrap();
    let all = usize::try_from(space.f_bavail * space.f_frsize).unwrap();
    fs::write(&ballast, vec![7; all.saturating_sub(free)]).unwrap();
}

fn mounted(place: &Place, size: &str) -> PathBuf {
    let disk = place.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
        .arg(&disk)
        .status()
        .unwrap();
    assert!(mount.success());
    disk
}

/// An export, a copy and an import onto a disk that is full.
fn moved() {
    let place = Place::migrated(TestDb::sqlite());
    let rows = |first: u64| -> String {
        let others = (1..40_000).map(|n| user(first + n));
        std::iter::once(user(0)).chain(others).collect()
    };
    place.write("users.csv", &rows(0));
    place.write("more.csv", &rows(100_000));
    place.ok(&["import", "users.csv", "--table", "users"]);
    let disk = mounted(&place, "16m");
    place.ok(&["copy", "--to", "disk/live.db"]);
    let on_disk = |words: &[&str]| {
        let live = [
            "--database-url",
            "sqlite://disk/live.db",
            "--migrations",
            "migrations",
        ];
        finish(bare(place.root.path()).args(live).args(words))
    };
    let users = || on_disk(&["export", "--table", "users", "--format", "csv"]).out;
    let import = ["import", "more.csv", "--table", "users"];
    let before = users();
    assert!(before.len() > MIB / 2);
    for free in [0, 200_000] {
        fill_but(&disk, free);
        for words in [
            &["export", "--output", "disk/out.sql"][..],
            &["export", "--output", "disk/out.ndjson"],
            &["export", "--format", "csv", "--output", "disk"],
            &["copy", "--to", "disk/new.db"],
        ] {
            let done = place.ends(13, words);
            let left = names(&disk);
            let known = |name: &String| name == "ballast" || name.starts_with("live.db");
            assert!(left.iter().all(known), "{words:?}: {done:?}: {left:?}");
        }
        let done = on_disk(&import);
        assert_eq!(done.code, 13, "{done:?}");
        fs::remove_file(disk.join("ballast")).unwrap();
        assert!(users() == before, "other users");
    }
    let done = on_disk(&import);
    assert_eq!(done.code, 0, "{done:?}");
}

fn inside() {
    let place = Place::migrated(TestDb::sqlite());
    place.write("identity.txt", IDENTITY);
    // 6 MiB that cannot be compressed.
    place.db.connect().execute(
        "CREATE TABLE large (x); INSERT INTO large WITH RECURSIVE c (x) AS
         (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 6000) SELECT randomblob(1000) FROM c",
    );
    let disk = mounted(&place, "40m");
    let dir = ["--dir", "disk/backups"];
    let with = |words: &[&'static str]| [words, &dir[..]].concat();
    place.ok(&with(&["backup", "create", "--recipient", RECIPIENT]));
    place.ok(&[
        "restore",
        "--dir",
        "disk/backups",
        "--target",
        "disk/live.db",
        "--identity",
        "identity.txt",
    ]);
    let before = names(&disk.join("backups"));
    let live = fs::read(disk.join("live.db")).unwrap();
    let sound = |what: &str| {
        assert_eq!(names(&disk.join("backups")), before, "{what}");
        assert_eq!(fs::read(disk.join("live.db")).unwrap(), live, "{what}");
        let files = names(&disk);
        let left = |name: &String| name.starts_with('.') || name == "new.db";
        assert!(!files.iter().any(left), "{what}: {files:?}");
    };
    for free in [0, 100_000, 3 * MIB] {
        fill_but(&disk, free);
        for words in [
            &["backup", "create", "--compress", "none"][..],
            &["backup", "create"],
            &["backup", "create", "--recipient", RECIPIENT],
        ] {
            let done = place.ends(13, &with(words));
            sound(&format!("{free} bytes: {done:?}"));
        }
        for words in [
            &["backup", "verify", "--scratch", "disk/scratch"][..],
            &["backup", "verify", "--restore", "--scratch", "disk/scratch"],
            &["restore", "--target", "disk/new.db"],
            &["restore", "--target", "disk/live.db", "--force"],
        ] {
            let words = [words, &["--identity", "identity.txt"]].concat();
            let done = place.ends(13, &with(&words));
            sound(&format!("{free} bytes: {done:?}"));
        }
        // What can be done without room is done.
        place.ok(&with(&["backup", "verify", "--identity", "identity.txt"]));
        place.ok(&with(&[
            "restore",
            "--target",
            "elsewhere.db",
            "--force",
            "--identity",
            "identity.txt",
        ]));
    }
    fs::remove_file(disk.join("ballast")).unwrap();
    place.ok(&with(&["backup", "create"]));
    place.ok(&with(&["restore", "--target", "disk/live.db", "--force"]));
}

fn elsewhere() {
    let place = filled();
    place.ok(&["backup"]);
    let waiting = "bank.db.restored-20251122T143005Z";
    place.ok(&["restore", "--target", waiting]);
    let disk = mounted(&place, "8m");
    let words = [
        "restore",
        "--finish",
        waiting,
        "--force",
        "--target",
        "disk/live.db",
    ];
    fill_but(&disk, 0);
    let done = place.ends(13, &words);
    assert_eq!(names(&disk), ["ballast"], "{done:?}");
    fs::remove_file(disk.join("ballast")).unwrap();
    let before = fs::read(place.path(waiting)).unwrap();
    place.ok(&words);
    assert!(fs::read(disk.join("live.db")).unwrap() == before, "a copy");
    assert!(!place.path(waiting).exists());
    assert_eq!(names(&disk), ["live.db"]);
}
