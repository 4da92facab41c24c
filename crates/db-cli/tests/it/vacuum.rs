//! The room that VACUUM takes.

use std::fs;

use db_testkit::TestDb;
use db_testkit::tools::unshare;

use crate::support::{Place, finish};

fn sqlite() -> Place {
    let place = Place::new(TestDb::sqlite());
    place.db.migrate();
    place
}

#[test]
fn vacuum_works_on_the_disk_and_not_in_memory() {
    let place = sqlite();
    place.db.connect().execute(
        "CREATE TABLE big (id INTEGER PRIMARY KEY, line BLOB);
         INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         SELECT i, randomblob(1000000) FROM n;
         DELETE FROM big WHERE id % 10 = 0; PRAGMA wal_checkpoint(TRUNCATE)",
    );
    let temporary = place.path("temporary");
    fs::create_dir(&temporary).unwrap();
    let dry = place
        .command(&["maintenance", "--vacuum", "--dry-run", "--json"])
        .env("SQLITE_TMPDIR", &temporary)
        .output()
        .unwrap();
    let dry: serde_json::Value = serde_json::from_slice(&dry.stdout).unwrap();
    let room = &dry["plan"]["tasks"][0]["needs_temporary"];
    assert_eq!(room["folder"], temporary.to_str().unwrap());
    assert!(room["bytes"].as_u64().unwrap() > 170_000_000, "{dry:#}");
    // An address space in which the new database has no place.
    let mut limited = crate::support::clean(std::process::Command::new("sh"), place.root.path());
    limited
        .args(["-c", "ulimit -v 150000; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_bitcraps-db"))
        .args([
            "--database-url",
            &place.db.url(),
            "--json",
            "maintenance",
            "--vacuum",
        ])
        .env("SQLITE_TMPDIR", &temporary);
    let done = finish(&mut limited);
    assert_eq!(done.code, 0, "{done:?}");
    let report = done.document();
    assert!(report["report"]["bytes_after"].as_u64() < report["report"]["bytes_before"].as_u64());
}

/// In a mount namespace of its own.
#[test]
fn vacuum_looks_at_the_room_of_its_temporary_folder() {
    let place = sqlite();
    place.db.connect().execute(
        "CREATE TABLE big (id INTEGER PRIMARY KEY, line BLOB);
         INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8)
         SELECT i, randomblob(1000000) FROM n",
    );
    let small = place.path("small");
    fs::create_dir(&small).unwrap();
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$1\" && shift && exec \"$@\"";
    let mut command = crate::support::clean(unshare(&small), place.root.path());
    command
        .args(["sh", "-c", mount, "sh"])
        .arg(&small)
        .arg(env!("CARGO_BIN_EXE_bitcraps-db"))
        .args([
            "--database-url",
            &place.db.url(),
            "--json",
            "maintenance",
            "--vacuum",
        ])
        .env("SQLITE_TMPDIR", &small);
    let done = finish(&mut command);
    assert_eq!(done.code, 13, "{done:?}");
    let error = &done.document()["error"];
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(small.to_str().unwrap()), "{error}");
    place.ok(&["maintenance", "--check"]);
}
