//! Faults of a real disk: one that is full, one that became read-only, one that may not be written.
//!
//! A tmpfs is mounted in a mount namespace of the shell's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use db_testkit::TestDb;
use db_testkit::tools::{need, unshare};
use serde_json::Value;

use crate::support::{BINARY, Place, clean, finish};

const LIMITS: &str = "[health]\nresponse = { warn = '1h', fail = '1h' }\n";

/// Looks at disk and file, and prints the exit code behind the document.
const LOOK: &str = "look() { set +e; \"$PROGRAM\" --database-url sqlite://disk/game.db --json health \
    --check disk --check writable > \"$1.json\"; echo $? > \"$1.code\"; set -e; }";

fn state(document: &Value, name: &str) -> String {
    let checks = document["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    check["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_disk_that_is_full_or_became_read_only_and_is_well_again() {
    let place = Place::new(TestDb::sqlite());
    place.write("bitcraps-db.toml", LIMITS);
    fs::create_dir(place.path("disk")).unwrap();
    let script = format!(
        "set -e
         mount -t tmpfs -o size=16m tmpfs disk
         {LOOK}
         \"$PROGRAM\" --database-url sqlite://disk/game.db migrate > /dev/null
         look well
         free=$(df --output=avail -B1 disk | tail -n 1)
         head -c $((free - 500000)) /dev/zero > disk/ballast
         look full
         rm disk/ballast
         look roomy
         mount -o remount,ro disk
         look frozen
         mount -o remount,rw disk
         look thawed"
    );
    let mut command = clean(unshare(&place.path("disk")), place.root.path());
    command.args(["sh", "-c", &script]).env("PROGRAM", BINARY);
    let done = finish(&mut command);
    assert_eq!(done.code, 0, "{done:?}");
    let seen = |name: &str| {
        let read =
            |ending: &str| fs::read_to_string(place.path(&format!("{name}.{ending}"))).unwrap();
        let document: Value = serde_json::from_str(&read("json")).unwrap();
        let code = read("code").trim().to_owned();
        (code, state(&document, "disk"), state(&document, "writable"))
    };
    let expected = |code: &str, disk: &str, writable: &str| {
        (code.to_owned(), disk.to_owned(), writable.to_owned())
    };
    assert_eq!(seen("well"), expected("0", "ok", "ok"));
    assert_eq!(seen("full"), expected("8", "fail", "ok"));
    assert_eq!(seen("roomy"), expected("0", "ok", "ok"));
    assert_eq!(seen("thawed"), expected("0", "ok", "ok"));
    let (code, _, writable) = seen("frozen");
    // With a write-ahead log it cannot even be opened there.
    assert_eq!((code.as_str(), writable.as_str()), ("9", "fail"));
}

/// Root may write everywhere, so another user looks in its place.
#[test]
fn a_file_that_this_user_may_not_write() {
    let place = Place::new(TestDb::sqlite());
    need("setpriv", "util-linux");
    let other: &[&str] = if rustix::process::geteuid().is_root() {
        &["--reuid=65534", "--regid=65534", "--clear-groups"]
    } else {
        &[]
    };
    let open = |path: &std::path::Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(place.root.path(), 0o755);
    place.write("bitcraps-db.toml", LIMITS);
    open(&place.path("bitcraps-db.toml"), 0o644);
    let program = place.path("program");
    fs::hard_link(BINARY, &program)
        .or_else(|_| std::os::unix::fs::symlink(BINARY, &program))
        .unwrap();
    let data = place.path("data");
    fs::create_dir(&data).unwrap();
    let file = data.join("game.db");
    let url = format!("sqlite://{}", file.display());
    let mut migrate = crate::support::bare(place.root.path());
    assert_eq!(
        finish(migrate.args(["--database-url", &url, "migrate"])).code,
        0
    );
    let rollback = db_core::DatabaseUrl::parse(&url).unwrap();
    let mut conn = db_core::Connection::open(&rollback, db_core::Access::ReadWrite).unwrap();
    // Only in rollback mode can a file be read in a folder that cannot be written.
    conn.conn()
        .batch_execute("PRAGMA journal_mode = DELETE")
        .unwrap();
    drop(conn);
    let look = || {
        let mut command = clean(Command::new("setpriv"), place.root.path());
        command.args(other).arg(&program).args([
            "--database-url",
            &url,
            "--json",
            "health",
            "--check",
            "writable",
        ]);
        let done = finish(&mut command);
        let document = done.document();
        (done.code, state(&document, "writable"))
    };
    open(&data, 0o777);
    open(&file, 0o666);
    assert_eq!(look(), (0, "ok".to_owned()));
    open(&file, 0o444);
    open(&data, 0o555);
    assert_eq!(look(), (3, "warn".to_owned()));
    open(&file, 0o000);
    let mut hidden = clean(Command::new("setpriv"), place.root.path());
    hidden
        .args(other)
        .arg(&program)
        .args(["--database-url", &url, "--json", "health"]);
    assert_eq!(finish(&mut hidden).code, 14);
}
