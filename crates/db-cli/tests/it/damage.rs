//! Disks that do not give the data back, and a salvage that is killed.

use std::fs;

use db_testkit::TestDb;
use db_testkit::kill::{Calls, before_each_call};
use db_testkit::tools::need;

use crate::support::{Place, bare, clean, finish};

fn sqlite() -> Place {
    let place = Place::new(TestDb::sqlite());
    place.db.migrate();
    place
}

/// Zeros out a page in the middle of the largest table, and returns the database's path.
fn damaged(place: &Place) -> std::path::PathBuf {
    place.ok(&["seed", "--users", "50", "--games", "5"]);
    let database = place.db.path().unwrap().to_owned();
    let mut bytes = fs::read(&database).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 16 * 4096].fill(0);
    fs::write(&database, bytes).unwrap();
    database
}

#[test]
fn a_store_that_cannot_be_reached_does_not_stop_a_salvage() {
    let place = sqlite();
    damaged(&place);
    place.write("bitcraps-db.toml", "[backup]\ndir = \"gopher://backups\"\n");
    let done = place.ends(8, &["salvage", "--to", "salvaged.db"]);
    assert!(
        done.err.contains("backups cannot be looked at: "),
        "{done:?}"
    );
    assert!(place.path("salvaged.db").is_file());
}

/// Lets calls fail, and waits for the end.
fn under_strace(place: &Place, strace: &[&str], arguments: &[&str]) -> crate::support::Done {
    let mut command = clean(std::process::Command::new("strace"), place.root.path());
    command
        .args(["-f", "-qq", "-o", "/dev/null"])
        .args(strace)
        .arg(env!("CARGO_BIN_EXE_bitcraps-db"))
        .args(["--database-url", &place.db.url()])
        .args(arguments);
    finish(&mut command)
}

#[test]
fn a_sector_that_cannot_be_read_costs_itself() {
    need("strace", "strace");
    let place = sqlite();
    place.ok(&["seed", "--users", "50", "--games", "5"]);
    let database = place.db.path().unwrap().to_str().unwrap().to_owned();
    let rows = |report: &serde_json::Value| -> u64 {
        let tables = report["tables"].as_array().unwrap();
        tables
            .iter()
            .map(|table| table["rows"].as_u64().unwrap())
            .sum()
    };
    let whole = rows(&place.json(0, &["salvage", "--to", "whole.db"]));
    // The first read of a mebibyte fails, and then some of the blocks that it is made of.
    let done = under_strace(
        &place,
        &[
            "-P",
            &database,
            "-e",
            "inject=pread64:error=EIO:when=1..31+30",
        ],
        &["--json", "salvage", "--to", "salvaged.db"],
    );
    assert_eq!(done.code, 8, "{done:?}");
    let report = done.document();
    let bytes = report["unreadable_bytes"].as_u64().unwrap();
    assert!((4096..=5 * 4096).contains(&bytes), "{report:#}");
    assert_eq!(report["unreadable"][0]["file"], "database");
    assert!(rows(&report) > whole / 2, "{report:#}");
    assert!(place.path("salvaged.db").is_file());
}

#[test]
fn a_disk_that_does_not_give_the_data_back_is_unhealthy_with_exit_13() {
    need("strace", "strace");
    let place = sqlite();
    place.write(
        "bitcraps-db.toml",
        "[health]\ndisk_free = { warn = 0.0, fail = 0.0 }\n",
    );
    place.ok(&["seed", "--users", "50", "--games", "5"]);
    let database = place.db.path().unwrap().to_str().unwrap().to_owned();
    // Far behind what opening and the cheap checks read: the copy of the integrity check.
    let done = under_strace(
        &place,
        &["-P", &database, "-e", "inject=pread64:error=EIO:when=100+"],
        &["--json", "health", "--full"],
    );
    assert_eq!(done.code, 13, "{done:?}");
    let document = done.document();
    let checks = document["checks"].as_array().unwrap();
    let integrity = checks
        .iter()
        .find(|check| check["name"] == "integrity")
        .unwrap();
    assert_eq!(integrity["state"], "fail", "{document:#}");
    assert_eq!(document["overall_healthy"], false);
}

/// Killed before one of the calls that make, fill, sync and name its files, later and later until
/// none is left to be killed at.
#[test]
fn a_killed_salvage_leaves_no_half_target() {
    const CALLS: Calls<'_> = Calls {
        names: &[
            "pwrite64",
            "ftruncate",
            "fsync",
            "fdatasync",
            "renameat2",
            "unlinkat",
            "unlink",
            "mkdir",
        ],
        unknown: &[],
    };
    let place = sqlite();
    damaged(&place);
    let target = place.path("salvaged.db");
    // By how much later each kill is, in hundredths.
    let step = if db_testkit::size("KILLS", 20) > 20 {
        104
    } else {
        150
    };
    let next = |when: u64| (when * step / 100).max(when + 1);
    let kills = before_each_call(CALLS, next, |strace, when| {
        let mut command = clean(strace, place.root.path());
        command
            .arg(env!("CARGO_BIN_EXE_bitcraps-db"))
            .args(["--database-url", &place.db.url()])
            .args(["salvage", "--to", "salvaged.db"]);
        let done = finish(&mut command);
        if done.code == 8 {
            assert!(target.exists(), "{when}");
            fs::remove_file(&target).unwrap();
            return true;
        }
        assert_eq!(done.code, -1, "killed before {when}: {done:?}");
        if target.exists() {
            // It had its name, so it is whole; rows without a parent are what the damage cost.
            let url = format!("sqlite://{}", target.display());
            let mut check = bare(place.root.path());
            check.args(["--database-url", &url, "--json", "maintenance", "--check"]);
            let checked = finish(&mut check);
            assert!(
                [0, 8].contains(&checked.code),
                "killed before {when}: {checked:?}"
            );
            let findings = &checked.document()["report"]["tasks"][0]["findings"];
            let findings = findings.as_array().unwrap().iter();
            for finding in findings {
                assert!(
                    finding.as_str().unwrap().contains("no parent"),
                    "{when}: {finding}"
                );
            }
            fs::remove_file(&target).unwrap();
        }
        false
    });
    assert!(kills >= 10, "{kills} kills met a salvage at work");
    // What the dead left is gone with the last one, which was not killed.
    let left = fs::read_dir(place.root.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    let is_scratch = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(".salvage-");
    assert!(!left.iter().any(is_scratch), "{left:?}");
}
