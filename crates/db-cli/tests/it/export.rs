//! `export`: files, streams, and what stops them.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use db_core::Engine;
use db_testkit::{TestDb, both_engines};

use crate::large::watched;
use crate::support::{Done, Place, Running, finish};

/// A table with so many rows of some 600 bytes.
fn with_rows(db: TestDb, rows: u32) -> Place {
    let place = Place::migrated(db);
    fill(&place, rows);
    place
}

fn fill(place: &Place, rows: u32) {
    let insert = match place.engine() {
        Engine::Sqlite => format!(
            "CREATE TABLE IF NOT EXISTS big (id INTEGER PRIMARY KEY, t TEXT);
             DELETE FROM big;
             INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {rows})
             SELECT i, hex(randomblob(300)) FROM n"
        ),
        Engine::Postgres => format!(
            "CREATE TABLE IF NOT EXISTS big (id INTEGER PRIMARY KEY, t TEXT);
             DELETE FROM big;
             INSERT INTO big SELECT i, repeat(md5(i::text), 19) FROM generate_series(1, {rows}) i"
        ),
    };
    place.db.connect().conn().batch_execute(&insert).unwrap();
}

both_engines! {
    fn files_and_what_is_said_of_them(db: TestDb) {
        let place = Place::migrated(db);
        let done = place.ok(&["export", "--table", "users", "--output", "users.csv"]);
        assert_eq!(done.out, "1 row of 1 table, 19 B, in users.csv\n");
        assert_eq!(done.err, "");
        assert_eq!(std::fs::read_to_string(place.path("users.csv")).unwrap(), "id,name\r\n1,House;\r\n");
        let document = place.json(0, &["export", "--format", "csv", "--output", "csv"]);
        assert_eq!(document["engine"], place.engine().name());
        assert_eq!(document["rows"], 1);
        assert_eq!(document["tables"][0]["name"], "users");
        assert_eq!(document["files"].as_array().unwrap().len(), 2);
        assert_eq!(document["warnings"].as_array().unwrap().len(), 0);
        let done = place.ok(&["export", "--format", "csv", "--output", "csv"]);
        assert_eq!(done.out, "1 row of 2 tables, 30 B, in 2 files in csv\n");
        let done = place.ok(&["export", "--output", "all.sql.gz", "--quiet"]);
        assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
        let plain = Command::new("gzip").args(["-dc"]).arg(place.path("all.sql.gz")).output().unwrap();
        let stream = place.ok(&["export"]);
        assert_eq!(String::from_utf8(plain.stdout).unwrap(), stream.out);
        assert_eq!(stream.err, "");
    }

    fn the_data_can_be_all_of_standard_output(db: TestDb) {
        let place = Place::migrated(db);
        let done = place.ok(&["export", "--table", "users", "--format", "ndjson"]);
        let lines: Vec<&str> = done.out.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], r#"{"id":1,"name":"House;"}"#);
        let refused = place.json(2, &["export", "--table", "users"]);
        assert_eq!(refused["error"]["kind"], "usage");
        for wrong in [
            &["export", "--table", "nobody"][..],
            &["export", "--where", "id = 1"],
            &["export", "--schema-only", "--data-only"],
            &["export", "--format", "csv"],
            &["export", "--format", "xml"],
            &["export", "--table", "users", "--where", "id >", "--format", "csv"],
            &["export", "--output", ".", "--format", "json"],
            &["export", "--output", "no/such/folder/x.json"],
            &["export", "--output", "x.xlsx"],
            &["export", "--output", "users2.csv"],
            &["export", "--output", "new/"],
            &["export", "--output", "migrations/20240101000000_users/up.sql", "--format", "csv"],
        ] {
            let done = place.ends(2, wrong);
            assert_eq!(done.out, "", "{wrong:?}");
            assert!(!done.err.contains("make room"), "{done:?}");
        }
        for name in ["users2.csv", "new", "no"] {
            assert!(!place.path(name).exists(), "{name}");
        }
    }

    fn a_reader_who_has_seen_enough_is_no_error(db: TestDb) {
        let place = with_rows(db, 20_000);
        let mut command = place.command(&["export", "--table", "big", "--format", "csv"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "id,t\r\n");
        drop(lines);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        // A pipe with a name is a stream too.
        let fifo = place.path("pipe");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let mut command = place.command(&["export", "--table", "big", "--format", "csv", "--output", "pipe"]);
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(File::open(&fifo).unwrap());
        lines.read_line(&mut line).unwrap();
        drop(lines);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
    }

    fn a_signal_ends_it_and_leaves_no_file(db: TestDb) {
        let place = with_rows(db, 20_000);
        // Some tenths of a millisecond for each row: it would take seconds.
        let slow = match place.engine() {
            Engine::Sqlite => {
                "(WITH RECURSIVE c(x) AS (SELECT big.id UNION ALL SELECT x + 1 FROM c LIMIT 3000) \
                 SELECT count(*) FROM c) > 0"
            }
            Engine::Postgres => "pg_sleep(0.0005) IS NOT NULL",
        };
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            std::fs::create_dir_all(place.path("out")).unwrap();
            let command =
                place.command(&["export", "--table", "big", "--where", slow, "--output", "out/x.json"]);
            let running = Running::until(command, r#"{"event":"progress","phase":"export","table":"big""#);
            running.signal(signal);
            let done = running.wait();
            assert_eq!(done.code, code, "{done:?}");
            assert_eq!(done.document()["error"]["kind"], "interrupted");
            assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 0);
        }
    }

    fn what_a_killed_one_leaves_goes_with_the_next(db: TestDb) {
        let place = with_rows(db, 2_000);
        // Each row takes a while: it would take seconds.
        let slow = match place.engine() {
            Engine::Sqlite => {
                "(WITH RECURSIVE c(x) AS (SELECT big.id UNION ALL SELECT x + 1 FROM c LIMIT 300000) \
                 SELECT count(*) FROM c) > 0"
            }
            Engine::Postgres => "pg_sleep(0.05) IS NOT NULL",
        };
        let folder = place.path("out");
        std::fs::create_dir_all(&folder).unwrap();
        let names = || {
            let entries = std::fs::read_dir(&folder).unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let start = || {
            let mut command = place.command(&["export", "--table", "big", "--where", slow, "--output", "out/x.json"]);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while names().is_empty() {
                std::thread::yield_now();
            }
            child
        };
        // Not that of one which is still at work.
        let mut child = start();
        let draft = names();
        place.write("out/.bitcraps-export.notes.txt", "");
        place.ok(&["export", "--table", "users", "--output", "out/a.json"]);
        assert!(child.try_wait().unwrap().is_none());
        assert!(names().contains(&draft[0]), "{draft:?}: {:?}", names());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(names().contains(&draft[0]), "{draft:?}: {:?}", names());
        place.ok(&["export", "--table", "users", "--output", "out/b.json"]);
        assert_eq!(names(), [".bitcraps-export.notes.txt", "a.json", "b.json"]);
    }

    fn its_own_database_stays(db: TestDb) {
        let place = Place::migrated(db);
        let Some(path) = place.db.path() else { return };
        let path = path.to_str().unwrap();
        let done = place.ends(2, &["export", "--table", "users", "--output", path]);
        assert!(done.err.contains("is the database that is exported"), "{}", done.err);
        place.ok(&["status"]);
    }

    fn a_full_disk_is_13(db: TestDb) {
        let place = with_rows(db, 1_000);
        let done = place.ends(13, &["export", "--output", "/dev/full", "--format", "json"]);
        assert!(done.err.contains("/dev/full: No space left on device"), "{}", done.err);
        let mut command = place.command(&["export", "--format", "json"]);
        let code = command.stdout(File::options().write(true).open("/dev/full").unwrap()).status();
        assert_eq!(code.unwrap().code(), Some(13));
    }

    fn memory_does_not_grow_with_the_rows(db: TestDb) {
        let place = with_rows(db, 5_000);
        let mut peaks = Vec::new();
        for form in ["csv", "ndjson", "sql"] {
            peaks.push((form, peak(&place, form)));
        }
        fill(&place, 200_000);
        for (form, small) in peaks {
            let large = peak(&place, form);
            // 120 MB more went through.
            assert!(large < small + (16 << 20), "{form}: {small} and then {large} bytes");
        }
    }
}

/// The most memory that an export to a file held, in bytes.
fn peak(place: &Place, form: &str) -> u64 {
    let file = format!("out.{form}");
    let mut command = place.command(&["export", "--table", "big", "--output", &file]);
    // Not by `wait4`: that counts what this process had when it was forked.
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    watched(child, |_| ()).0
}

#[test]
fn a_missing_database_is_not_made() {
    let place = Place::new(TestDb::sqlite());
    let Done { code, out, .. } = finish(&mut place.command(&["export"]));
    assert_eq!((code, out.as_str()), (9, ""));
    place.ends(9, &["salvage", "--to", "saved.db"]);
    assert!(!place.db.path().unwrap().exists());
}
