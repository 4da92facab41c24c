//! `maintenance`, `salvage`, `backup prune`, `backup schedule` and `backup status`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use db_testkit::{TestDb, both_engines};

use crate::support::{Place, bare, finish};

both_engines! {
    fn maintenance_says_beforehand_what_it_holds_up(db: TestDb) {
        let place = Place::new(db);
        place.db.migrate();
        let dry = place.json(0, &["maintenance", "--vacuum", "--reindex", "--dry-run"]);
        let planned = dry["plan"]["tasks"].as_array().unwrap();
        assert_eq!(planned.len(), 2);
        assert!(planned.iter().all(|task| !task["blocks"].as_str().unwrap().is_empty()));
        assert!(dry["report"].is_null());
        let all = place.json(0, &[
            "maintenance", "--vacuum", "--analyze", "--check", "--checkpoint", "--optimize", "--reindex",
        ]);
        assert_eq!(all["exit_code"], 0);
        let tasks = all["report"]["tasks"].as_array().unwrap();
        let names: Vec<&str> = tasks.iter().map(|task| task["task"].as_str().unwrap()).collect();
        assert_eq!(names, ["check", "reindex", "vacuum", "analyze", "optimize", "checkpoint"]);
        assert!(all["report"]["bytes_before"].as_u64().unwrap() > 0);
        let usual = place.json(0, &["maintenance"]);
        assert_eq!(usual["report"]["tasks"].as_array().unwrap().len(), 2);
    }
}

fn sqlite() -> Place {
    let place = Place::new(TestDb::sqlite());
    place.db.migrate();
    place
}

#[test]
fn damage_is_exit_8_and_a_busy_database_exit_6() {
    let place = sqlite();
    let mut writer = place.db.connect();
    writer.execute("BEGIN IMMEDIATE; CREATE TABLE x (a)");
    let busy = place.json(6, &["maintenance", "--vacuum", "--wait", "100ms"]);
    assert_eq!(busy["error"]["kind"], "busy");
    let skipped = place.json(6, &["maintenance", "--reindex", "--wait", "0s"]);
    assert!(
        !skipped["report"]["tasks"][0]["skipped"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    writer.execute(
        "CREATE TABLE child (p INTEGER REFERENCES parent (id)); CREATE TABLE parent (id INTEGER PRIMARY KEY);
         COMMIT; PRAGMA foreign_keys = OFF; INSERT INTO child VALUES (7)",
    );
    let damaged = place.json(8, &["maintenance", "--check", "--vacuum"]);
    assert!(
        damaged["report"]["tasks"][0]["findings"][0]
            .as_str()
            .unwrap()
            .contains("child")
    );
    assert_eq!(damaged["report"]["not_run"][0], "vacuum");
}

#[test]
fn backups_are_pruned_with_their_reasons() {
    let place = sqlite();
    for _ in 0..3 {
        place.ok(&["backup"]);
    }
    let dry = place.json(
        0,
        &[
            "backup",
            "prune",
            "--keep-days",
            "0",
            "--keep-last",
            "1",
            "--dry-run",
        ],
    );
    assert_eq!(dry["removed"].as_array().unwrap().len(), 2);
    assert_eq!(
        place.json(0, &["backup", "list"])["backups"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let done = place.json(
        0,
        &["backup", "prune", "--keep-days", "0", "--keep-last", "1"],
    );
    assert_eq!(done["removed"], dry["removed"]);
    assert_eq!(done["kept"], dry["kept"]);
    assert_eq!(done["kept"][0]["reasons"][0]["rule"], "counted");
    assert_eq!(
        place.json(0, &["backup", "list"])["backups"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let refused = place.json(2, &["backup", "prune", "--keep-days", "0"]);
    assert_eq!(refused["error"]["kind"], "usage");
}

#[test]
fn status_tells_what_was_measured() {
    let place = sqlite();
    let empty = place.json(3, &["backup", "status"]);
    assert_eq!(empty["backups"], 0);
    place.ok(&["backup", "schedule", "--once"]);
    let full = place.json(0, &["backup", "status"]);
    assert_eq!(full["backups"], 1);
    assert!(full["rpo_s"].is_u64() && full["rto_ms"].is_u64(), "{full}");
    assert_eq!(full["newest"], full["newest_verified"]);
    // Nothing is due.
    let again = place.json(0, &["backup", "schedule", "--once"]);
    assert_eq!(again["made"], 0);
}

#[test]
fn a_schedule_that_cannot_write_says_so_by_its_code() {
    let place = sqlite();
    fs::write(place.path("backups"), "in the way").unwrap();
    let failed = place.json(13, &["backup", "schedule", "--once"]);
    assert_eq!(failed["alarms"][0], "failing");
}

#[test]
fn sigterm_ends_a_schedule_cleanly() {
    let place = sqlite();
    let mut child = place
        .command(&["backup", "schedule", "--json", "--every", "1h"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map(|line| line.unwrap());
    assert!(lines.any(|line| line.contains("\"waiting\"")));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(
        place.json(0, &["backup", "list"])["backups"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn salvage_names_the_backup_and_the_command_that_restores_it() {
    let place = sqlite();
    place.ok(&["seed", "--users", "50", "--games", "5"]);
    place.ok(&["backup", "schedule", "--once"]);
    let database = place.db.path().unwrap().to_owned();
    let mut bytes = fs::read(&database).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    // Enough of them to meet a table.
    bytes[middle..middle + 64 * 4096].fill(0xff);
    fs::write(&database, bytes).unwrap();
    let report = place.json(8, &["salvage", "--to", "salvaged.db"]);
    assert!(!report["damage"].as_array().unwrap().is_empty());
    let name = report["newest_verified_backup"].as_str().unwrap();
    let command = report["restore_command"].as_str().unwrap();
    assert!(
        command.contains(&format!("restore {name} --dir")),
        "{command}"
    );
    assert!(place.path("salvaged.db").is_file());
    let refused = place.json(7, &["salvage", "--to", "salvaged.db"]);
    assert_eq!(refused["error"]["kind"], "refused");
    // The command does what it says.
    let words = command.split(' ').skip(1).chain(["--force"]);
    let done = finish(bare(place.root.path()).args(words));
    assert_eq!(done.code, 0, "{done:?}");
    place.ok(&["reconcile"]);
}
