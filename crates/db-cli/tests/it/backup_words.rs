//! What commands of backups say of usual slips: of a moment, a path, a folder, a number.

use std::fs;

use chrono::{DateTime, TimeDelta, Utc};
use db_core::{Clock, SystemClock};

use crate::backup::{filled, names};
use crate::support::{Done, Place, Running, bare, finish};

/// Of the program alone, in a folder of its own.
fn told(arguments: &[&str]) -> Done {
    let folder = tempfile::tempdir().unwrap();
    finish(bare(folder.path()).args(arguments))
}

#[test]
fn nobody_who_wants_to_restore_is_shown_how_to_remove() {
    let done = told(&["backup", "restore"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("'bitcraps-db restore'"), "{done:?}");
    assert!(!done.err.contains("remove"), "{done:?}");
    let done = told(&["backup", "restore", "--json"]);
    let hint = &done.document()["error"]["hint"];
    assert!(
        hint.as_str().unwrap().contains("bitcraps-db restore"),
        "{hint}"
    );
    // Other slips are told what is near.
    assert!(told(&["backup", "veryfi"]).err.contains("'verify'"));
}

#[test]
fn a_moment_that_cannot_be_read_is_shown_as_it_is_to_be_written() {
    for (moment, words) in [
        ("yesterday", "write 2026-11-22T14:30:05Z"),
        ("2026-11-23 02:00", "write 2026-11-23T02:00:00Z for UTC"),
        ("2026-11-23T02:00:07", "write 2026-11-23T02:00:07Z for UTC"),
        ("2026-11-23", "write 2026-11-23T00:00:00Z for UTC"),
        ("2026-13-23", "write 2026-11-22T14:30:05Z"),
    ] {
        let done = told(&["restore", "--at", moment]);
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains(words), "{moment}: {done:?}");
    }
}

#[test]
fn a_moment_needs_a_base_backup_and_the_log() {
    let place = filled();
    place.ok(&["backup"]);
    let refused = place.json(
        2,
        &["restore", "--target", "new", "--at", "2026-11-22T14:30:05Z"],
    );
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("`backup --method base`"), "{hint}");
    assert!(!hint.contains("--target"), "{hint}");
}

#[test]
fn settings_are_told_in_words_of_who_writes_them() {
    let place = filled();
    for (text, words) in [
        (
            "[health]\nbackup_age = '1h'",
            "expected two limits, as in { warn = …, fail = … }",
        ),
        (
            "[health]\nwal_size = { warn = true, fail = 1 }",
            "no size; write 256MiB, 1GiB or a number of bytes",
        ),
        (
            "[backup]\nkeep_days = '7'",
            "expected a whole number from 0, without quotes",
        ),
        (
            "[backup]\nkeep_days = -1",
            "expected a whole number from 0, without quotes",
        ),
        (
            "[backup]\nrecipients = 'age1x'",
            "expected a list, as in [\"…\"]",
        ),
        (
            "[health]\nbloat = { warn = 'half', fail = 1 }",
            "expected a number, without quotes",
        ),
        ("health = 3", "expected a table of limits"),
        ("backup = 3", "expected a table of settings"),
    ] {
        place.write("bitcraps-db.toml", text);
        let done = place.ends(2, &["status"]);
        assert!(done.err.contains(words), "{text}: {done:?}");
        for of_rust in ["struct", "u32", "u64", "f64", "enum"] {
            assert!(!done.err.contains(of_rust), "{text}: {done:?}");
        }
    }
}

#[test]
fn a_path_as_a_shell_completes_it_names_the_backup_and_its_folder() {
    let place = filled();
    let made = place.json(0, &["backup", "--dir", "elsewhere"]);
    let name = made["name"].as_str().unwrap();
    for file in [
        format!("elsewhere/{name}.db.zst"),
        format!("elsewhere/{name}.json"),
        format!("./elsewhere/{name}"),
        place
            .path(&format!("elsewhere/{name}.json"))
            .display()
            .to_string(),
    ] {
        let verified = place.json(0, &["backup", "verify", &file]);
        assert_eq!(verified["name"], name, "{file}");
    }
    let artifact = format!("{name}.db.zst");
    place.ok(&["backup", "verify", "--dir", "elsewhere", &artifact]);
    let path = format!("elsewhere/{artifact}");
    place.ok(&["backup", "verify", "--dir", "elsewhere", &path]);
    place.ok(&["restore", &path, "--target", "new.db"]);
    // Two places are one too many.
    fs::create_dir(place.path("other")).unwrap();
    let refused = place.ends(2, &["backup", "verify", "--dir", "other", &path]);
    assert!(refused.err.contains("--dir 'elsewhere'"), "{refused:?}");
    // What is removed is named as `backup list` shows it.
    place.ends(2, &["backup", "remove", &path, "--force"]);
    assert_eq!(names(&place.path("elsewhere")).len(), 2);
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let place = filled();
    let there_is_none = "there is no folder nowhere";
    for arguments in [
        &["backup", "verify", "--dir", "nowhere"][..],
        &["restore", "--dir", "nowhere", "--target", "new.db"],
        &["backup", "prune", "--dir", "nowhere"],
        &["backup", "prune", "--dir", "nowhere", "--dry-run"],
        &[
            "backup",
            "remove",
            "backup_20261122_143005",
            "--force",
            "--dir",
            "nowhere",
        ],
    ] {
        let done = place.ends(2, arguments);
        assert!(done.err.contains(there_is_none), "{arguments:?}: {done:?}");
    }
    let listed = place.ok(&["backup", "list", "--dir", "nowhere"]);
    assert!(listed.out.contains(there_is_none), "{listed:?}");
    let status = place.ends(3, &["backup", "status", "--dir", "nowhere"]);
    assert!(status.out.contains(there_is_none), "{status:?}");
    assert!(!place.path("nowhere").exists());
    // Nor is the usual one made by what finds nothing.
    place.ends(2, &["backup", "prune"]);
    assert!(!place.path("backups").exists());
}

#[test]
fn a_file_where_a_folder_was_to_be_named_is_told_by_every_verb() {
    let place = filled();
    place.write("file", "no folder");
    let told = |done: &Done| {
        let words = "file is a file, and no folder";
        assert!(done.err.contains(words), "{done:?}");
        assert!(done.err.contains("with --dir"), "{done:?}");
    };
    let name = "backup_20261122_143005";
    for dir in ["file", "./file/below"] {
        for verb in [
            &["backup"][..],
            &["backup", "create"],
            &["backup", "list"],
            &["backup", "verify"],
            &["backup", "verify", name],
            &["backup", "prune"],
            &["backup", "prune", "--dry-run"],
            &["backup", "remove", name, "--force"],
            &["backup", "schedule"],
            &["backup", "schedule", "--once"],
            &["backup", "status"],
            &["backup", "wal-push", "x"],
            &["restore", "--target", "new.db"],
            &["man"],
            &["json-schema"],
        ] {
            let arguments = [verb, &["--dir", dir]].concat();
            told(&place.ends(2, &arguments));
        }
        // Whatever is wrong, a server must not take it for the end of its log.
        let fetch = [
            "backup",
            "wal-fetch",
            "00000002.history",
            "to",
            "--dir",
            dir,
        ];
        told(&place.ends(255, &fetch));
        let path = format!("{dir}/{name}.json");
        told(&place.ends(2, &["backup", "verify", &path]));
    }
    place.write("bitcraps-db.toml", "[backup]\ndir = 'file'\n");
    told(&place.ends(2, &["backup"]));
    assert_eq!(fs::read_to_string(place.path("file")).unwrap(), "no folder");
}

#[test]
fn what_is_no_database_is_told_without_our_scratch_file() {
    let place = filled();
    place.write("broken.db", &"no page of a database ".repeat(500));
    let mut command = bare(place.root.path());
    let done = finish(command.args(["--database-url", "broken.db", "salvage", "--to", "new.db"]));
    let told = format!("{}{}", done.out, done.err);
    assert!(
        told.contains("the file: file is not a database"),
        "{done:?}"
    );
    assert!(!told.contains("sqlite://the file"), "{done:?}");
}

#[test]
fn a_number_of_backups_to_keep_is_told_as_it_is_to_be_written() {
    let place = filled();
    place.ok(&["backup"]);
    for (number, words) in [
        ("0", "every rule is switched off (0)"),
        ("-1", "write a whole number; 0 switches the rule off"),
        ("7d", "write the number alone: 7"),
        ("many", "write a whole number"),
    ] {
        let done = place.ends(2, &["backup", "prune", "--keep-days", number]);
        assert!(done.err.contains(words), "{number}: {done:?}");
    }
}

/// `backup schedule` says when it makes the next backup.
fn next_of(place: &Place, more: &[&str]) -> TimeDelta {
    let schedule = ["backup", "schedule", "--drill-every", "0"];
    let command = place.command(&[&schedule[..], more].concat());
    let began = SystemClock.now();
    let running = Running::until(command, "the next backup is due");
    running.signal("TERM");
    let done = running.wait();
    assert_eq!(done.code, 0, "{done:?}");
    let (_, due) = done.err.split_once("is due at ").unwrap();
    let due: DateTime<Utc> = due[..20].parse().unwrap();
    due - began
}

#[test]
fn a_short_interval_is_not_made_a_long_one_by_the_usual_jitter() {
    let wait = next_of(&filled(), &["--every", "5s"]);
    assert!(wait <= TimeDelta::seconds(60), "{wait}");
}

#[test]
fn a_jitter_longer_than_the_interval_is_refused() {
    let place = filled();
    let refused = |times: &[&str], words: &str| {
        let arguments = [&["backup", "schedule", "--once"][..], times].concat();
        let done = place.ends(2, &arguments);
        assert!(done.err.contains(words), "{done:?}");
        assert!(
            done.err.contains("--jitter no more than --every"),
            "{done:?}"
        );
    };
    refused(
        &["--every", "1m", "--jitter", "2m"],
        "a jitter of 2 min 0 s is longer than the interval, 1 min 0 s",
    );
    refused(&["--jitter", "61m"], "the interval, 1 h 0 min");
    place.write("bitcraps-db.toml", "[backup]\nevery = '30s'\n");
    refused(&["--jitter", "31s"], "the interval, 30.0 s");
    assert!(!place.path("backups").exists());
    let as_long = ["--jitter", "30s", "--drill-every", "0"];
    place.ok(&[&["backup", "schedule", "--once"][..], &as_long].concat());
}

#[test]
fn a_server_for_trial_restores_that_is_none() {
    let place = filled();
    place.ok(&["backup"]);
    let verify = ["backup", "verify", "--restore", "--drill-server"];
    for (url, part) in [
        (
            "other.db",
            "--drill-server: sqlite://other.db is no PostgreSQL server",
        ),
        ("mysql://db2/x", "--drill-server"),
    ] {
        let done = place.ends(2, &[&verify[..], &[url]].concat());
        assert!(done.err.contains(part), "{part}: {done:?}");
        assert!(done.err.contains("write postgres://USER@HOST"), "{done:?}");
    }
    place.write("bitcraps-db.toml", "[backup]\ndrill_server = 'other.db'\n");
    let done = place.ends(2, &["backup", "verify", "--restore"]);
    assert!(done.err.contains("backup.drill_server: "), "{done:?}");
    let alone = place.ends(2, &["backup", "verify", "--drill-server", "postgres://db2"]);
    assert!(alone.err.contains("--restore"), "{alone:?}");
}
