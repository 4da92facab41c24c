//! Encrypted databases: the key comes from a file or a command, and the wrong one is told.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use db_testkit::TestDb;

use crate::support::{Done, Place, bare, finish};

const KEY: &str = "7c0de1f2a3b4958677c0de1f2a3b4958677c0de1f2a3b4958677c0de1f2a3b49";

/// A place with a file that holds the key.
fn place() -> Place {
    let place = Place::new(TestDb::sqlite());
    write_key(&place, "key", KEY);
    place
}

fn write_key(place: &Place, name: &str, key: &str) {
    place.write(name, &format!("{key}\n"));
    fs::set_permissions(place.path(name), Permissions::from_mode(0o600)).unwrap();
}

fn shows_no_key(done: &Done) {
    for text in [&done.out, &done.err] {
        assert!(!text.contains(&KEY[4..30]), "{done:#?}");
    }
}

#[test]
fn a_key_means_nothing_to_postgresql() {
    let place = place();
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let mut command = bare(place.root.path());
    let done = finish(command.args(["--database-url", url, "--key-file", "key", "status"]));
    assert_eq!(done.code, 2, "{done:#?}");
    // What stands in the environment may be for another database.
    let mut command = bare(place.root.path());
    command.env("BITCRAPS_DB_ENCRYPTION_KEY_FILE", "key");
    let done = finish(command.args(["--database-url", url, "status"]));
    assert_eq!(done.code, 9, "{done:#?}");
}

#[cfg(not(feature = "sqlcipher"))]
#[test]
fn a_key_that_could_not_be_used_is_not_passed_over() {
    let place = place();
    for arguments in [["--key-file", "key"], ["--key-command", "cat key"]] {
        let done = place.ends(2, &[&arguments[..], &["migrate"]].concat());
        let said = "is built without the feature `sqlcipher`";
        assert!(done.err.contains(said), "{done:#?}");
        assert!(!place.db.path().unwrap().exists());
    }
}

#[cfg(feature = "sqlcipher")]
mod with_sqlcipher {
    use std::path::Path;

    use super::*;
    use crate::support::{Running, files};

    /// The last digit is another one.
    fn write_wrong_key(place: &Place) {
        let mut wrong = KEY.to_owned();
        wrong.pop();
        write_key(place, "wrong", &format!("{wrong}8"));
    }

    fn holds(folder: &Path, text: &str) -> bool {
        files(folder).values().any(|bytes| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        })
    }

    #[test]
    fn every_command_works_with_the_key() {
        let place = place();
        let with = |code: i32, arguments: &[&str]| {
            let done = place.ends(code, &[&["--key-file", "key"][..], arguments].concat());
            shows_no_key(&done);
            done
        };
        with(0, &["status"]);
        with(0, &["migrate", "--dry-run"]);
        with(0, &["migrate", "--to", "1"]);
        with(3, &["status", "--check"]);
        with(0, &["migrate", "--dry-run", "-vv"]);
        with(0, &["migrate", "--verify"]);
        with(0, &["status", "--check", "--json"]);
        with(0, &["validate"]);
        with(0, &["repair"]);
        with(0, &["rollback", "--dry-run"]);
        with(0, &["rollback", "--force"]);
        with(0, &["reset", "--force"]);
        with(0, &["status", "--check"]);
        let folder = place.db.path().unwrap().parent().unwrap();
        for text in ["CREATE TABLE users", "House;", "SQLite format 3"] {
            assert!(!holds(folder, text), "{text}");
        }
    }

    #[test]
    fn the_wrong_key_and_no_key_touch_nothing() {
        let place = place();
        write_wrong_key(&place);
        place.ok(&["--key-file", "key", "migrate"]);
        let folder = place.db.path().unwrap().parent().unwrap().to_owned();
        let before = files(&folder);
        for (key, kind) in [
            (&["--key-file", "wrong"][..], "wrong_key"),
            (&["--key-command", "cat wrong"], "wrong_key"),
            (&[], "key_missing"),
        ] {
            for command in [
                &["status"][..],
                &["migrate"],
                &["migrate", "--dry-run"],
                &["validate"],
                &["rollback", "--force"],
                &["reset", "--force"],
            ] {
                let arguments = [key, command].concat();
                let document = place.json(12, &arguments);
                assert_eq!(document["error"]["kind"], kind, "{arguments:?}");
                let done = place.ends(12, &arguments);
                assert_eq!(done.out, "", "{done:#?}");
                shows_no_key(&done);
                // Nor does SQLCipher write anything of its own.
                assert!(!done.err.contains("CORE"), "{done:#?}");
                assert_eq!(files(&folder), before, "{arguments:?}");
            }
        }
        place.ok(&["--key-file", "key", "status", "--check"]);
    }

    #[test]
    fn a_file_that_is_not_encrypted_does_not_take_a_key() {
        let place = place();
        place.ok(&["migrate"]);
        let document = place.json(12, &["--key-file", "key", "status"]);
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains("it is not encrypted"), "{message}");
        place.ok(&["status", "--check"]);
    }

    #[test]
    fn the_nearest_word_counts() {
        let place = place();
        write_wrong_key(&place);
        place.ok(&["--key-file", "key", "migrate"]);
        let url = place.db.url();
        let run = |code: i32, variables: &[(&str, &str)], arguments: &[&str]| {
            let mut command = bare(place.root.path());
            command.envs(variables.iter().copied());
            command.args(["--database-url", &url, "status"]);
            let done = finish(command.args(arguments));
            assert_eq!(done.code, code, "{variables:?} {arguments:?}: {done:#?}");
            shows_no_key(&done);
        };
        let file = ("BITCRAPS_DB_ENCRYPTION_KEY_FILE", "key");
        let command = ("BITCRAPS_DB_ENCRYPTION_KEY_COMMAND", "cat key");
        let wrong = ("BITCRAPS_DB_ENCRYPTION_KEY_FILE", "wrong");
        run(12, &[], &[]);
        run(0, &[file], &[]);
        run(0, &[command], &[]);
        run(2, &[file, command], &[]);
        run(12, &[wrong], &[]);
        run(0, &[wrong], &["--key-file", "key"]);
        run(0, &[wrong], &["--key-command", "cat key"]);
        run(2, &[], &["--key-file", "key", "--key-command", "cat key"]);
        place.write("bitcraps-db.toml", "encryption_key_file = 'key'");
        run(0, &[], &[]);
        run(12, &[wrong], &[]);
        place.write(
            "bitcraps-db.toml",
            "encryption_key_command = ['cat', 'key']",
        );
        run(0, &[], &[]);
        // The digits themselves are no place where they are, and not repeated.
        run(2, &[("BITCRAPS_DB_ENCRYPTION_KEY_FILE", KEY)], &[]);
        run(2, &[("BITCRAPS_DB_ENCRYPTION_KEY_COMMAND", KEY)], &[]);
        run(12, &[], &["--key-command", "false"]);
        run(2, &[], &["--key-command", "cat key | head"]);
        fs::set_permissions(place.path("key"), Permissions::from_mode(0o644)).unwrap();
        run(2, &[file], &[]);
    }

    #[test]
    fn neither_a_rehearsal_nor_a_crash_leaves_anything_to_read() {
        let place = place();
        place.add(
            "20240104000000_canary",
            "INSERT INTO users (id, name) VALUES (2, 'the canary sings');",
            "DELETE FROM users WHERE id = 2;",
        );
        place.ok(&["--key-file", "key", "migrate"]);
        place.add_endless("20240105000000_slow");
        let temporary = tempfile::tempdir().unwrap();
        let arguments = ["--key-command", "cat key", "migrate", "--dry-run"];
        let mut command = place.command(&arguments);
        command.env("TMPDIR", temporary.path());
        let running = Running::until(command, "20240105000000");
        // The copy is there, and encrypted.
        let copies = files(temporary.path());
        assert!(
            copies
                .iter()
                .any(|(path, bytes)| path.ends_with("rehearsal.db") && !bytes.is_empty()),
            "{:?}",
            copies.keys()
        );
        for text in ["the canary sings", "CREATE TABLE users", "SQLite format 3"] {
            assert!(!holds(temporary.path(), text), "{text}");
        }
        let of_process = |file: &str| {
            let bytes = fs::read(format!("/proc/{}/{file}", running.pid())).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        for file in ["cmdline", "environ"] {
            assert!(!of_process(file).contains(&KEY[4..30]), "{file}");
        }
        let limits = of_process("limits");
        let cores = limits
            .lines()
            .find(|line| line.starts_with("Max core file"));
        let words: Vec<&str> = cores.unwrap().split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{limits}");
        running.signal("INT");
        assert_eq!(running.wait().code, 130);
        assert_eq!(files(temporary.path()).len(), 0);
    }
}
