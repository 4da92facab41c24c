//! `maintenance`, `salvage`, `backup prune`, `backup schedule` and `backup status`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use db_testkit::{TestDb, both_engines};

use crate::backup::{IDENTITY, RECIPIENT};
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
    let own = &full["series"][0];
    assert!(own["rpo_s"].is_u64() && own["rto_ms"].is_u64(), "{full}");
    assert_eq!(own["newest"], own["newest_verified"]);
    assert_eq!(own["database"], place.db.path().unwrap().to_str().unwrap());
    // Nothing is due.
    let again = place.json(0, &["backup", "schedule", "--once"]);
    assert_eq!(again["made"], 0);
}

both_engines! {
    fn a_schedule_finds_its_own_backup_again(db: TestDb) {
        let place = Place::new(db);
        place.db.migrate();
        let once = ["backup", "schedule", "--once", "--drill-every", "0s"];
        assert_eq!(place.json(0, &once)["made"], 1);
        assert_eq!(place.json(0, &once)["made"], 0);
        let verified = place.json(0, &["backup", "verify"]);
        let status = place.json(0, &["backup", "status"]);
        assert_eq!(status["series"].as_array().unwrap().len(), 1);
        assert_eq!(status["series"][0]["newest"], verified["name"]);
    }
}

#[test]
fn a_schedule_that_cannot_write_says_so_by_its_code() {
    let place = sqlite();
    // A link to itself, which leads to no folder and to no file.
    std::os::unix::fs::symlink("backups", place.path("backups")).unwrap();
    let failed = place.json(13, &["backup", "schedule", "--once"]);
    // It could be neither looked at nor written into.
    assert_eq!(failed["alarms"][0], "store_unreadable");
    assert_eq!(failed["alarms"][1], "failing");
    assert_eq!(failed["failed"], 1);
}

#[test]
fn a_round_that_finds_a_lock_is_exit_6() {
    let place = sqlite();
    place.ok(&["backup"]);
    let lock = fs::File::options()
        .write(true)
        .open(place.path("backups/.lock"))
        .unwrap();
    lock.lock().unwrap();
    // Nothing is due, so nothing is in the way.
    place.json(0, &["backup", "schedule", "--once", "--lock-wait", "0s"]);
    let due = [
        "backup", "schedule", "--once", "--every", "1ms", "--jitter", "0s",
    ];
    let in_the_way = |wait| {
        let within = ["--backup-within", "1h", "--lock-wait", wait];
        place.json(6, &[&due[..], &within[..]].concat())
    };
    let locked = in_the_way("0s");
    assert_eq!(
        (&locked["made"], &locked["locked"]),
        (&0.into(), &true.into())
    );
    assert_eq!(in_the_way("1s")["failed"], 0);
    drop(lock);
    let made = place.json(0, &[&due[..], &["--backup-within", "1h"]].concat());
    assert_eq!((&made["made"], &made["locked"]), (&1.into(), &false.into()));
}

/// `schedule` and `restore` mean their own database, whatever else there is.
#[test]
fn several_databases_in_one_folder_are_told_apart() {
    let place = Place::migrated(TestDb::sqlite());
    let other = TestDb::sqlite();
    other
        .connect()
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let on = |url: &str, arguments: &[&str]| {
        let mut command = bare(place.root.path());
        finish(
            command
                .args(["--database-url", url, "--json"])
                .args(arguments),
        )
    };
    let own = place.json(0, &["backup"])["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let theirs = on(&other.url(), &["backup", "schedule", "--once"]);
    assert_eq!(theirs.code, 0, "{theirs:?}");
    assert_eq!(
        theirs.document()["made"],
        1,
        "another's backup was taken for ours"
    );

    let restored = place.json(0, &["restore", "--target", "new.db"]);
    assert_eq!(restored["name"], own.as_str());
    let verified = place.json(0, &["backup", "verify"]);
    assert_eq!(verified["name"], own.as_str());
    let lost = on("sqlite://lost.db", &["restore", "latest"]);
    assert_eq!(lost.code, 2, "{lost:?}");
    for path in [place.db.path().unwrap(), other.path().unwrap()] {
        assert!(lost.out.contains(path.to_str().unwrap()), "{lost:?}");
    }
    let chosen = [
        "restore",
        "--of",
        place.db.path().unwrap().to_str().unwrap(),
    ];
    let found = on("sqlite://lost.db", &chosen);
    assert_eq!(
        (found.code, &found.document()["name"]),
        (0, &own.as_str().into())
    );
    let engine = on("postgres://nobody@127.0.0.1:1/none", &["restore"]);
    assert_eq!(engine.code, 2, "{engine:?}");
    assert!(
        engine.out.contains("no backup of the kind postgres_dump"),
        "{engine:?}"
    );

    let status = place.json(0, &["backup", "status"]);
    assert_eq!(status["series"].as_array().unwrap().len(), 2);
    let listed = place.json(0, &["backup", "list"]);
    assert_eq!(
        listed["backups"][0]["database"],
        place.db.path().unwrap().to_str().unwrap()
    );
    // The age of another's backup is no comfort.
    let health = on("sqlite://new.db", &["health", "--check", "backup"]);
    assert_eq!(health.code, 8, "{health:?}");
    assert!(health.out.contains("there is no backup"), "{health:?}");
}

#[test]
fn a_backup_is_removed_by_its_name() {
    let place = sqlite();
    let name = |made: serde_json::Value| made["name"].as_str().unwrap().to_owned();
    let first = name(place.json(0, &["backup"]));
    let last = place.json(7, &["backup", "remove", &first, "--force"]);
    assert_eq!(last["error"]["kind"], "refused");
    let second = name(place.json(0, &["backup"]));
    // Nobody is there to be asked.
    place.json(7, &["backup", "remove", &first]);
    fs::write(place.path(&format!("backups/{first}.json")), "{}").unwrap();
    place.ends(8, &["backup", "list"]);
    let removed = place.json(0, &["backup", "remove", &first, "--force"]);
    assert_eq!(removed["files"].as_array().unwrap().len(), 2);
    let listed = place.json(0, &["backup", "list"]);
    assert_eq!(listed["backups"][0]["name"], second.as_str());
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
    place.json(2, &["backup", "remove", &first, "--force"]);
    place.ends(2, &["backup", "remove", "latest", "--force"]);
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

/// What ANALYZE has written is SQLite's own, and made anew by it.
#[test]
fn the_salvage_of_a_sound_file_misses_nothing_after_maintenance() {
    let place = sqlite();
    place.ok(&["seed", "--users", "20", "--games", "5"]);
    place.ok(&["maintenance", "--analyze"]);
    let report = place.json(0, &["salvage", "--to", "salvaged.db"]);
    assert_eq!(report["whole"], true, "{report:#}");
    assert_eq!(report["lost_and_found_rows"], 0, "{report:#}");
}

#[test]
fn an_empty_file_is_not_called_sound() {
    let place = Place::new(TestDb::sqlite());
    fs::write(place.db.path().unwrap(), "").unwrap();
    let done = place.ends(8, &["salvage", "--to", "salvaged.db"]);
    assert!(
        !done.out.contains("is sound") && done.out.contains("the file is empty"),
        "{done:?}"
    );
}

#[test]
fn a_drill_that_failed_is_tried_again_by_the_next_run() {
    let place = sqlite();
    let once = ["backup", "schedule", "--once", "--recipient", RECIPIENT];
    for made in [1, 0] {
        let failed = place.json(8, &once);
        assert_eq!(
            (&failed["made"], &failed["alarms"][0]),
            (&made.into(), &"drill_failing".into())
        );
    }
    let shown = place.ends(8, &once);
    for words in [
        "--identity FILE",
        "--drill-every 0",
        "the next backup is due at",
    ] {
        assert!(shown.err.contains(words), "{words}: {shown:?}");
    }
    place.write("key.txt", IDENTITY);
    let well = place.json(0, &[&once[..], &["--identity", "key.txt"]].concat());
    assert_eq!(well["made"], 0, "{well}");
    place.ok(&once);
}

#[test]
fn the_trial_that_status_names_is_of_its_own_database() {
    let place = sqlite();
    place.ok(&["backup"]);
    let other = TestDb::sqlite();
    other
        .connect()
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let mut command = bare(place.root.path());
    let done = finish(command.args(["--database-url", &other.url(), "backup"]));
    assert_eq!(done.code, 0, "{done:?}");
    let status = place.ok(&["backup", "status"]);
    let path = place.db.path().unwrap().display();
    let line = format!("`bitcraps-db backup verify --restore --of 'sqlite {path}'` does it");
    assert!(status.out.contains(&line), "{status:?}");
    let of = format!("sqlite {path}");
    place.ok(&["backup", "verify", "--restore", "--of", &of]);
}

#[test]
fn damage_is_told_once_with_what_to_do() {
    let place = sqlite();
    place.ok(&["seed", "--users", "50", "--games", "5"]);
    place.ok(&["backup"]);
    let proven = place.json(0, &["backup", "verify", "--restore"]);
    let proven = proven["name"].as_str().unwrap().to_owned();
    let database = place.db.path().unwrap().to_owned();
    let bytes = fs::read(&database).unwrap();
    fs::write(&database, &bytes[..bytes.len() / 2 / 4096 * 4096]).unwrap();
    let checked = place.ends(8, &["maintenance", "--check"]);
    let said = format!("{}{}", checked.out, checked.err);
    assert!(said.contains("salvage --to NEW"), "{checked:?}");
    let refused = place.json(8, &["backup"]);
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("salvage --to NEW"), "{refused}");
    let is_unsound = refused["error"]["kind"] == "unsound";
    assert!(!is_unsound || hint.contains(&proven), "{refused}");
}

#[test]
fn a_backup_of_the_other_engine_is_said_to_be_one_postgres() {
    let place = sqlite();
    place.ok(&["backup"]);
    let server = TestDb::postgres();
    let run = |arguments: &[&str]| {
        let mut command = bare(place.root.path());
        finish(
            command
                .args(["--database-url", &server.url()])
                .args(arguments),
        )
    };
    let made = run(&["backup"]);
    assert_eq!(made.code, 0, "{made:?}");
    let done = run(&["restore", "--of", "sqlite", "--force"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("--target"), "{done:?}");
    assert!(!done.err.contains("holds no backup of sqlite"), "{done:?}");
}
