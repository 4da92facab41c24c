//! A full disk, a folder that may not be written, a reader who leaves.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use db_testkit::TestDb;

use crate::support::{BINARY, Place, bare, clean, finish};

/// The user who owns nothing.
const NOBODY: &str = "65534";

#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::migrated(TestDb::sqlite());
    let before = place.schema();
    place.add(
        "20240104000000_large",
        "CREATE TABLE large (x TEXT);\n\
         INSERT INTO large WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000)\n\
         SELECT printf('%01000d', x) FROM c;\n",
        "DROP TABLE large;",
    );
    // Files may not grow beyond 512 KiB: what a full disk is, on every system and without a mount.
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "trap '' XFSZ; ulimit -f 1024; exec \"$@\"",
        "sh",
        BINARY,
    ]);
    let done = finish(clean(shell, place.root.path()).args([
        "--database-url",
        &place.db.url(),
        "--migrations",
        "migrations",
        "migrate",
    ]));
    assert_eq!(done.code, 13, "{done:?}");
    assert!(done.err.contains("hint: make room"), "{done:?}");
    assert_eq!(place.schema(), before);
    assert_eq!(place.applied().len(), 3);
    place.ok(&["migrate", "--verify"]);
}

#[test]
fn a_folder_that_may_not_be_written() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    fs::create_dir(&folder).unwrap();
    open(root.path(), 0o755);
    let url = format!("sqlite://{}", folder.join("x.db").display());
    let binary = reachable_binary(root.path());
    open(&folder, 0o555);
    let run = |arguments: &[&str]| {
        let mut command = clean(unprivileged(&binary), root.path());
        finish(command.args(["--database-url", &url]).args(arguments))
    };
    let done = run(&["migrate"]);
    assert_eq!(done.code, 14, "{done:?}");
    assert!(
        done.err.contains("permission denied") && done.err.contains("hint: "),
        "{done:?}"
    );

    // An existing database that may only be read.
    open(&folder, 0o755);
    let made = finish(bare(root.path()).args(["--database-url", &url, "migrate", "--to", "1"]));
    assert_eq!(made.code, 0, "{made:?}");
    open(&folder.join("x.db"), 0o444);
    open(&folder, 0o555);
    let done = run(&["migrate"]);
    assert_eq!(done.code, 14, "{done:?}");
    open(&folder, 0o755);

    // Migrations that may not be read.
    let secret = root.path().join("secret");
    fs::create_dir(&secret).unwrap();
    open(&secret, 0o000);
    let done = run(&["--migrations", "secret", "status"]);
    assert_eq!(done.code, 14, "{done:?}");
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let place = Place::migrated(TestDb::sqlite());
    for (arguments, code) in [
        (&["status"][..], 0),
        (&["status", "--json"], 0),
        (&["man"], 0),
    ] {
        let mut child = place
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

/// Linux alone has a file that is always full.
#[cfg(target_os = "linux")]
fn with_a_full_output(command: &mut Command) -> (i32, String) {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), err)
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let place = Place::migrated(TestDb::sqlite());
    let (code, err) = with_a_full_output(&mut place.command(&["status"]));
    assert_eq!(code, 13, "{err}");
    let (code, err) = with_a_full_output(&mut place.command(&["migrate", "--to", "no", "--json"]));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("no migration matches"), "{err}");
    assert!(err.contains("standard output"), "{err}");
}

/// What is committed is not undone because its report cannot be printed, and nobody says so.
#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_written_takes_nothing_back() {
    for more in [&[][..], &["--json"]] {
        let place = Place::new(TestDb::sqlite());
        let (code, err) = with_a_full_output(place.command(&["migrate"]).args(more));
        assert_eq!(code, 13, "{err}");
        assert!(err.contains("standard output: "), "{err}");
        assert!(!err.contains("undone"), "{err}");
        if more.is_empty() {
            assert!(err.contains("what the command did is done"), "{err}");
        }
        assert_eq!(place.applied().len(), 3);
    }
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The binary where everyone may run it: the folder it was built in may be private.
pub(crate) fn reachable_binary(folder: &Path) -> std::path::PathBuf {
    let there = folder.join("bitcraps-db");
    if fs::hard_link(BINARY, &there).is_err() {
        fs::write(&there, fs::read(BINARY).unwrap()).unwrap();
        open(&there, 0o755);
    }
    there
}

/// The binary as a user without rights: root's own are not stopped by modes.
pub(crate) fn unprivileged(binary: &Path) -> Command {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout != b"0\n" {
        return Command::new(binary);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(binary);
    command
}
