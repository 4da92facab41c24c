//! `--dry-run` of every command that has it changes nothing: no byte of a file, no row of a server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use db_core::Engine;
use db_testkit::{TestDb, both_engines};
use serde_json::Value;

use crate::published::commands;
use crate::support::{Place, bare, files, finish};

/// Each command with `--dry-run`, and what it ends with: what it would do is done, or found wrong.
const TABLE: &[(&[&str], i32)] = &[
    (&["migrate"], 0),
    (&["migrate", "--single-transaction", "--verify"], 0),
    (&["migrate", "--to", "nowhere"], 2),
    (&["rollback"], 0),
    (&["rollback", "0", "--force"], 0),
    (&["import", "users.csv"], 0),
    (
        &[
            "import",
            "users.csv",
            "--on-conflict",
            "update",
            "--skip-validation",
        ],
        0,
    ),
    (&["import", "wrong.csv", "--table", "users"], 11),
    (&["import", "statements.sql"], 0),
    (&["copy", "--to", "copied.db"], 0),
    (&["copy", "--to", "taken.db"], 7),
    (&["copy", "--to", "no.db"], 8),
    (&["maintenance"], 0),
    (
        &[
            "maintenance",
            "--check",
            "--analyze",
            "--reindex",
            "--vacuum",
        ],
        0,
    ),
    (
        &["backup", "prune", "--keep-days", "0", "--keep-last", "1"],
        0,
    ),
];

#[test]
fn every_command_with_a_dry_run_is_in_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let mut with: Vec<Vec<String>> = Vec::new();
    for words in commands() {
        let help = finish(bare(folder.path()).args(&words).arg("--help"));
        assert_eq!(help.code, 0, "{words:?}: {help:?}");
        if help.out.contains("--dry-run") {
            with.push(words);
        }
    }
    assert!(with.len() >= 6, "{with:?}");
    for words in &with {
        let is_in_the_table = TABLE.iter().any(|(arguments, _)| {
            arguments.len() >= words.len() && arguments[..words.len()] == words[..]
        });
        assert!(
            is_in_the_table,
            "{words:?} has --dry-run, and no row in the table"
        );
    }
}

/// All that could be changed: files with their content, and what a server holds.
#[derive(Debug, PartialEq, Eq)]
struct World {
    files: BTreeMap<PathBuf, Vec<u8>>,
    data: String,
    status: Value,
}

impl World {
    fn of(place: &Place) -> Self {
        // Read before the files are: reading makes an index of the write-ahead log.
        let data = place
            .ok(&["export", "--format", "json", "--output", "-"])
            .out;
        let mut status = place.json(0, &["status"]);
        // PostgreSQL's files grow and shrink as it likes.
        status["size_bytes"] = Value::Null;
        let mut all = files(place.root.path());
        if let Some(database) = place.db.path() {
            all.extend(files(database.parent().unwrap()));
        }
        // The index of the log is rebuilt by whoever opens the file.
        all.retain(|path, content| {
            let path = path.to_string_lossy();
            // Who only reads makes a log, and may not remove it; an empty one says nothing.
            let is_empty_log = path.ends_with("-wal") && content.is_empty();
            !path.ends_with("-shm") && !is_empty_log
        });
        Self {
            files: all,
            data,
            status,
        }
    }
}

both_engines! {
    fn a_dry_run_leaves_everything_as_it_is(db: TestDb) {
        let place = Place::new(db);
        place.ok(&["migrate"]);
        place.write("users.csv", "id,name\n2,two\n3,three\n");
        place.write("wrong.csv", "id,name\nfour,4\n");
        place.write("statements.sql", "INSERT INTO users (id, name) VALUES (9, 'nine');\n");
        for _ in 0..2 {
            place.ok(&["backup"]);
        }
        place.ok(&["import", "users.csv"]);
        place.write("users.csv", "id,name\n4,four\n5,five\n");
        let mut taken = bare(place.root.path());
        taken.args(["--database-url", "taken.db", "--migrations", "migrations", "migrate"]);
        assert_eq!(finish(&mut taken).code, 0);
        place.write("no.db", "somebody's");
        place.add("20240104000000_dice", "CREATE TABLE dice (id BIGINT PRIMARY KEY);", "DROP TABLE dice;");
        let before = World::of(&place);
        assert!(before.files.len() > 8 && before.data.contains("three"), "{before:#?}");
        if place.engine() == Engine::Sqlite {
            assert!(before.files.contains_key(place.db.path().unwrap()));
        }
        for (arguments, code) in TABLE {
            for more in [&[][..], &["--json"]] {
                let arguments = [*arguments, &["--dry-run"], more].concat();
                place.ends(*code, &arguments);
                let after = World::of(&place);
                let names = |world: &World| world.files.keys().cloned().collect::<Vec<_>>();
                assert_eq!(names(&after), names(&before), "{arguments:?}");
                for (path, content) in &before.files {
                    assert!(after.files[path] == *content, "{arguments:?} changed {}", path.display());
                }
                assert_eq!(after.data, before.data, "{arguments:?}");
                assert_eq!(after.status, before.status, "{arguments:?}");
            }
        }
    }
}
