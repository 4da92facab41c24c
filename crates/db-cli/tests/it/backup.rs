//! Backups from the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use db_testkit::TestDb;

use crate::sqlite::limits::{reachable_binary, unprivileged};
use crate::support::{BINARY, Place, bare, clean, finish};

pub(crate) const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
/// A secret key of nobody: it is in age's own documentation.
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

/// A database with all migrations of the test.
pub(crate) fn filled() -> Place {
    Place::migrated(TestDb::sqlite())
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}

#[test]
fn a_backup_is_made_listed_verified_and_restored() {
    let place = filled();
    let made = place.json(0, &["backup"]);
    let name = made["name"].as_str().unwrap();
    assert_eq!(made["manifest"], format!("{name}.json"));
    assert_eq!(made["files"][0], format!("{name}.db.zst"));
    assert_eq!(made["schema_version"], "20240103000000");
    assert_eq!(made["proof"]["level"], "quick");
    assert_eq!(
        names(&place.path("backups")),
        [format!("{name}.db.zst"), format!("{name}.json")]
    );

    let second = place.json(
        0,
        &["backup", "create", "--compress", "none", "--check", "full"],
    );
    assert_eq!(second["stored_bytes"], second["content_bytes"]);
    let listed = place.json(0, &["backup", "list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2);
    assert_eq!(listed["backups"][0]["name"], name);
    assert!(listed["backups"][0]["verified_at"].is_null());

    let verified = place.json(0, &["backup", "verify", name, "--check", "full"]);
    assert_eq!(
        (&verified["sound"], &verified["level"]),
        (&true.into(), &"full".into())
    );
    let drill = place.json(0, &["backup", "verify", name, "--restore"]);
    assert_eq!(drill["record"], format!("{name}.verified.json"));
    let listed = place.json(0, &["backup", "list"]);
    assert_eq!(listed["backups"][0]["verified_at"], drill["verified_at"]);

    let restored = place.json(0, &["restore", name, "--target", "new.db"]);
    assert_eq!(restored["kept"], serde_json::Value::Null);
    let mut status = bare(place.root.path());
    let status = finish(
        status
            .args(["--database-url", "new.db", "--migrations", "migrations"])
            .args(["validate"]),
    );
    assert_eq!(status.code, 0, "{status:?}");

    for (arguments, part) in [
        (
            &["backup"][..],
            "verified (quick check, foreign keys, hashes) in ",
        ),
        (&["backup", "list"], "backup_"),
        (&["backup", "verify"], "is as it was made"),
        (
            &["backup", "verify", "--restore"],
            "was restored on trial and is sound",
        ),
        (
            &["restore", "--target", "another.db"],
            "another.db is restored from backup_",
        ),
    ] {
        let done = place.ok(arguments);
        assert!(done.out.contains(part), "{arguments:?}: {done:?}");
    }
}

#[test]
fn progress_is_one_json_line_after_the_other() {
    let place = filled();
    let done = place.ok(&["backup", "--json"]);
    let mut phases = Vec::new();
    for line in done.err.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["event"], "progress");
        assert!(line["done"].as_u64() <= line["total"].as_u64());
        phases.push(line["phase"].as_str().unwrap().to_owned());
    }
    phases.dedup();
    assert_eq!(phases, ["copy", "check", "encode", "publish"]);
}

#[test]
fn what_is_wrong_has_its_exit_code() {
    let place = filled();
    place.write("identity.txt", IDENTITY);
    let none = place.ends(2, &["backup", "verify"]);
    assert!(
        none.err.contains("there is no folder ./backups"),
        "{none:?}"
    );
    let secret = place.json(0, &["backup", "--recipient", RECIPIENT]);
    let secret = secret["name"].as_str().unwrap();
    place.ends(12, &["backup", "verify"]);
    place.ends(12, &["restore", "--target", "x.db"]);
    place.ok(&["backup", "verify", "--identity", "identity.txt"]);
    place.write("wrong.txt", "not a key");
    let wrong = place.ends(12, &["backup", "verify", "--identity", "wrong.txt"]);
    assert!(!wrong.err.contains("not a key"), "{wrong:?}");
    place.ends(2, &["backup", "verify", "--identity", "missing.txt"]);
    let wrong = place.ends(2, &["backup", "--recipient", IDENTITY]);
    assert!(!wrong.err.contains(&IDENTITY[20..40]), "{wrong:?}");
    place.write("nobody.txt", "# nobody\n");
    place.ends(2, &["backup", "--recipients-file", "nobody.txt"]);
    for name in ["../x", "backup_2026", "backup_20261122_143005"] {
        place.ends(2, &["backup", "verify", name]);
    }
    place.ends(2, &["backup", "--compress", "20"]);
    place.ends(2, &["backup", "--dir", "ftp://somewhere"]);
    place.ends(2, &["backup", "list", "--dir", "x", "create"]);

    // A byte of the artifact, then of the manifest.
    let artifact = place.path(&format!("backups/{secret}.db.zst.age"));
    let mut bytes = fs::read(&artifact).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&artifact, &bytes).unwrap();
    let damaged = place.json(8, &["backup", "verify", "--identity", "identity.txt"]);
    assert_eq!(damaged["error"]["kind"], "backup_damaged");
    place.ends(
        8,
        &["restore", "--identity", "identity.txt", "--target", "x.db"],
    );
    assert!(!place.path("x.db").exists());
    let manifest = place.path(&format!("backups/{secret}.json"));
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("quick", "quiCk", 1)).unwrap();
    place.ends(8, &["backup", "verify"]);
    let listed = place.json(8, &["backup", "list"]);
    assert_eq!(listed["backups"][0]["complete"], false);

    // Somebody else is at it.
    let lock = fs::File::create(place.path("backups/.lock")).unwrap();
    lock.lock().unwrap();
    place.ends(6, &["backup"]);
    drop(lock);
    place.ok(&["backup"]);
}

#[test]
fn money_that_does_not_add_up_is_not_backed_up() {
    let db = TestDb::sqlite();
    db.migrate();
    let place = Place::new(db);
    place.write("bitcraps-db.toml", "");
    let made = place.json(0, &["backup"]);
    assert_eq!(made["proof"]["invariants"][0], "money");
    place.json(0, &["backup", "verify", "--restore"]);
    place.db.connect().execute(
        "INSERT INTO users (id, username, public_key, created_at) VALUES ('u', 'u', x'01', 0);
         INSERT INTO token_balances (user_id, balance) VALUES ('u', 5)
             ON CONFLICT (user_id) DO UPDATE SET balance = 5",
    );
    let refused = place.json(8, &["backup"]);
    assert_eq!(refused["error"]["kind"], "unsound");
    assert_eq!(
        names(&place.path("backups")).len(),
        3,
        "what is unsound was published"
    );
}

/// The operator in need: the data is broken already, and has to be saved as it is.
#[test]
fn what_is_not_sound_can_be_kept_as_such() {
    let db = TestDb::sqlite();
    db.migrate();
    let place = Place::new(db);
    place.write("bitcraps-db.toml", "");
    let sound = place.json(0, &["backup"])["name"].clone();
    place.json(0, &["backup", "verify", "--restore"]);
    place.db.connect().execute(
        "INSERT INTO users (id, username, public_key, created_at) VALUES ('u', 'u', x'01', 0);
         INSERT INTO token_balances (user_id, balance) VALUES ('u', 5)
             ON CONFLICT (user_id) DO UPDATE SET balance = 5;
         PRAGMA foreign_keys = OFF;
         DELETE FROM users WHERE id = 'u'",
    );
    let refused = place.json(8, &["backup"]);
    assert_eq!(refused["error"]["kind"], "unsound");
    let made = place.json(0, &["backup", "create", "--accept-unsound"]);
    let found = made["proof"]["unsound"].as_array().unwrap();
    let found: Vec<_> = found.iter().map(|f| f.as_str().unwrap()).collect();
    assert!(
        found.iter().any(|f| f.contains("has no parent in users")),
        "{found:?}"
    );
    assert!(found.iter().any(|f| f.starts_with("money: ")), "{found:?}");
    let name = made["name"].as_str().unwrap();

    // It is shown, and is as it was made, and is not sound; a trial of it proves nothing.
    let listed = place.json(0, &["backup", "list"]);
    assert_eq!(listed["backups"][1]["unsound"], made["proof"]["unsound"]);
    assert!(place.ok(&["backup", "list"]).out.contains("not sound: "));
    let status = place.json(3, &["backup", "status"]);
    assert_eq!(status["unsound"][0], name);
    assert_eq!(status["series"][0]["newest"], sound);
    assert_eq!(status["series"][0]["newest_unsound"], name);
    // The latest is the newest sound one; this one has to be named.
    assert_eq!(place.json(0, &["backup", "verify"])["name"], sound);
    let verified = place.json(8, &["backup", "verify", name]);
    assert_eq!(verified["sound"], false);
    assert!(
        place
            .ends(8, &["backup", "verify", name])
            .out
            .contains("NOT SOUND")
    );
    place.json(8, &["backup", "verify", name, "--restore"]);
    let listed = place.json(0, &["backup", "list"]);
    assert!(listed["backups"][1]["verified_at"].is_null());
    // A sound one stays for its sake, and a schedule makes none.
    let pruned = place.json(
        0,
        &["backup", "prune", "--keep-last", "1", "--keep-days", "0"],
    );
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 0, "{pruned}");
    place.ends(2, &["backup", "schedule", "--once", "--accept-unsound"]);

    // Without the migrations of other tests, to which this schema is a newer one.
    let restore = |words: &[&str]| {
        let mut command = bare(place.root.path());
        command.args(["--database-url", &place.db.url(), "restore"]);
        finish(command.args(words))
    };
    // No word for something else takes it.
    let refused = restore(&[name, "--target", "new.db", "--force"]);
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(
        refused.err.contains("was not sound when it was made"),
        "{refused:?}"
    );
    assert!(refused.err.contains("--accept-unsound"), "{refused:?}");
    let done = restore(&[name, "--target", "new.db", "--accept-unsound"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.err.contains("was not sound"), "{done:?}");
    assert!(done.out.contains("NOT SOUND"), "{done:?}");
    let done = restore(&["latest", "--target", "sound.db", "--json"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.document()["name"], sound);
    assert_eq!(done.document()["sound"], true);
    assert!(done.err.contains("passed over"), "{done:?}");
    // Another database that is there is not replaced by the only one that has backups, unless named.
    let other = TestDb::sqlite();
    other.migrate();
    let over = |words: &[&str]| {
        let mut command = bare(place.root.path());
        command.args(["--database-url", &other.url(), "restore", "--force"]);
        finish(command.args(words))
    };
    let refused = over(&["latest"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.err.contains("holds no backup of this database"),
        "{refused:?}"
    );
    let named = over(&["latest", "--of", "sqlite"]);
    assert_eq!(named.code, 0, "{named:?}");
    place.ends(
        2,
        &["backup", "prune", "--of", "nobody.db", "--keep-last", "1"],
    );
}

/// What is encrypted in the store is not plain there for the time of a trial, nor after a kill of one.
#[test]
fn trials_of_encrypted_backups_leave_nothing_plain_in_the_store() {
    let place = filled();
    place.write("identity.txt", IDENTITY);
    place.db.connect().execute(
        "CREATE TABLE large (x); INSERT INTO large WITH RECURSIVE c (x) AS \
         (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 20000) SELECT randomblob(1000) FROM c",
    );
    place.ok(&["backup", "--recipient", RECIPIENT]);
    let before = names(&place.path("backups"));
    let scratch = place.path("scratch");
    let temporary = place.path("temporary");
    fs::create_dir(&temporary).unwrap();
    for (name, folder) in [("--scratch", &scratch), ("", &temporary)] {
        for kind in [&["--restore"][..], &[]] {
            let mut command = place.command(&["backup", "verify", "--identity", "identity.txt"]);
            command.args(kind).env("TMPDIR", &temporary);
            if !name.is_empty() {
                command.arg(name).arg(folder);
            }
            command
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null());
            let is_there = || holds_plain(folder);
            // What a trial that came to its end notes is no part of a backup.
            let backups = || {
                let mut names = names(&place.path("backups"));
                names.retain(|name| !name.ends_with(".verified.json"));
                names
            };
            let mut tries = 0;
            // On a busy machine it may be at its end before it is killed.
            while !is_there() {
                tries += 1;
                assert!(
                    tries < 100,
                    "{name} is not used, or it was never killed in time"
                );
                let mut child = command.spawn().unwrap();
                // Killed as soon as something plain is there.
                while !is_there() && child.try_wait().unwrap().is_none() {
                    assert_eq!(backups(), before);
                    std::thread::yield_now();
                }
                child.kill().unwrap();
                child.wait().unwrap();
                assert_eq!(backups(), before);
            }
            // The next one takes it away.
            let mut command = place.command(&["backup", "verify", "--identity", "identity.txt"]);
            command.env("TMPDIR", &temporary);
            if !name.is_empty() {
                command.arg(name).arg(folder);
            }
            let done = finish(&mut command);
            assert_eq!(done.code, 0, "{done:?}");
            assert!(!is_there());
        }
    }
    // A folder that somebody else has prepared is not used.
    let own = fs::read_dir(&temporary).unwrap().next().unwrap().unwrap();
    fs::set_permissions(own.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = place.command(&["backup", "verify", "--identity", "identity.txt"]);
    let done = finish(command.env("TMPDIR", &temporary));
    assert_eq!(done.code, 7, "{done:?}");
}

/// Whether a file below it begins as a database does.
fn holds_plain(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return holds_plain(&path);
        }
        fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3"))
    })
}

#[test]
fn the_configuration_file_says_where_and_how() {
    let place = filled();
    place.write("identity.txt", IDENTITY);
    place.write(
        "etc/c.toml",
        &format!(
            "[backup]\ndir = '../kept'\nrecipients = ['{RECIPIENT}']\nidentity = '../identity.txt'\n\
             compress = 'none'\ncheck = 'full'\n"
        ),
    );
    let made = place.json(0, &["--config", "etc/c.toml", "backup"]);
    assert!(made["files"][0].as_str().unwrap().ends_with(".db.age"));
    assert_eq!(made["proof"]["level"], "full");
    assert_eq!(names(&place.path("kept")).len(), 2);
    place.json(0, &["--config", "etc/c.toml", "backup", "verify"]);
    // What is said on the command line counts first.
    let made = place.json(
        0,
        &[
            "--config",
            "etc/c.toml",
            "backup",
            "--dir",
            "x",
            "--compress",
            "1",
        ],
    );
    assert!(made["files"][0].as_str().unwrap().ends_with(".db.zst.age"));
    place.write("etc/wrong.toml", "[backup]\nfolder = 'x'\n");
    place.ends(2, &["--config", "etc/wrong.toml", "backup"]);
}

#[test]
fn what_is_made_is_private_whatever_the_umask() {
    let place = filled();
    let run = |arguments: &[&str]| {
        let mut shell = clean(Command::new("sh"), place.root.path());
        shell.args(["-c", "umask 000; exec \"$@\"", "sh", BINARY]);
        shell.args([
            "--database-url",
            &place.db.url(),
            "--migrations",
            "migrations",
        ]);
        let done = finish(shell.args(arguments));
        assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
    };
    run(&["backup", "--dir", "deep/er"]);
    run(&["backup", "--dir", "deep/er", "--recipient", RECIPIENT]);
    run(&["backup", "--dir", "deep/er", "--compress", "none"]);
    run(&["backup", "verify", "--restore", "--dir", "deep/er"]);
    run(&["restore", "--dir", "deep/er", "--target", "new.db"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in ["deep", "deep/er"] {
        assert_eq!(mode(&place.path(folder)), 0o700, "{folder}");
    }
    let mut files: Vec<_> = fs::read_dir(place.path("deep/er"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() >= 8, "{files:?}");
    files.push(place.path("new.db"));
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// Runs it where files may not grow beyond so many blocks of 512 bytes: a full disk, on every system
/// and without a mount.
fn limited(place: &Place, blocks: u32, arguments: &[&str]) -> crate::support::Done {
    let mut shell = clean(Command::new("sh"), place.root.path());
    shell.args([
        "-c",
        &format!("ulimit -f {blocks}; exec \"$@\""),
        "sh",
        BINARY,
    ]);
    shell.args([
        "--database-url",
        &place.db.url(),
        "--migrations",
        "migrations",
    ]);
    finish(shell.args(arguments))
}

#[test]
fn a_full_disk_leaves_no_partial_backup_and_no_half_restore() {
    let place = filled();
    place.db.connect().execute(
        "CREATE TABLE large (x); INSERT INTO large WITH RECURSIVE c (x) AS \
         (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 2000) SELECT randomblob(1000) FROM c",
    );
    place.ok(&["backup"]);
    let before = names(&place.path("backups"));
    for arguments in [
        &["backup", "--compress", "none"][..],
        &["backup"],
        &["backup", "--recipient", RECIPIENT],
    ] {
        for blocks in [1, 8, 100, 1_000] {
            let done = limited(&place, blocks, arguments);
            assert_eq!(done.code, 13, "{blocks}: {done:?}");
            assert_eq!(names(&place.path("backups")), before, "{blocks}");
        }
    }
    let database = place.db.path().unwrap().to_owned();
    let content = fs::read(&database).unwrap();
    for blocks in [1, 8, 100, 1_000] {
        let done = limited(&place, blocks, &["restore", "--force"]);
        assert_eq!(done.code, 13, "{blocks}: {done:?}");
        assert_eq!(fs::read(&database).unwrap(), content, "{blocks}");
        let done = limited(&place, blocks, &["restore", "--target", "new.db"]);
        assert_eq!(done.code, 13, "{blocks}: {done:?}");
        assert!(!place.path("new.db").exists());
        let left = names(place.root.path());
        assert!(
            left.iter().all(|name| !name.contains("partial")),
            "{left:?}"
        );
    }
    // There is room again.
    place.ok(&["backup"]);
    place.ok(&["restore", "--force"]);
}

#[test]
fn a_folder_that_may_not_be_written() {
    let place = filled();
    place.ok(&["backup"]);
    let root = place.root.path();
    let open = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(root, 0o755);
    let binary = reachable_binary(root);
    let backups = place.path("backups");
    for name in names(&backups) {
        open(&backups.join(name), 0o644);
    }
    open(&backups, 0o555);
    open(&place.path("backups/.lock"), 0o644);
    let run = |arguments: &[&str]| {
        let mut command = clean(unprivileged(&binary), root);
        finish(command.args(["--migrations", "migrations"]).args(arguments))
    };
    // A backup can be read and verified from there, and nothing can be put into it.
    let verified = run(&["backup", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(run(&["backup", "list"]).code, 0);
    let drill = run(&["backup", "verify", "--restore"]);
    assert_eq!(drill.code, 14, "{drill:?}");
    open(&place.path("migrations"), 0o755);
    let made = run(&["--database-url", &place.db.url(), "backup"]);
    assert_eq!(made.code, 14, "{made:?}");
    let restored = run(&["restore", "--target", "new.db"]);
    assert_eq!(restored.code, 14, "{restored:?}");
    open(&backups, 0o755);
}
