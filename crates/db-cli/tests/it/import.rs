//! Data from files, from the command line.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::thread::{self, JoinHandle};

use db_core::Engine;
use db_testkit::{TestDb, both_engines};

use crate::support::{Place, Running, bare, finish};

/// A pipe with a name, into which rows are written until nobody reads any more.
pub(crate) struct Endless {
    path: PathBuf,
    writer: Option<JoinHandle<()>>,
}

impl Endless {
    pub(crate) fn new(place: &Place, row: fn(u64) -> String, rows: u64) -> Self {
        let path = place.path("endless");
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let fifo = path.clone();
        let writer = thread::spawn(move || {
            let pipe = OpenOptions::new().write(true).open(fifo).unwrap();
            let mut pipe = BufWriter::new(pipe);
            let _reader_gone = (0..rows).try_for_each(|n| pipe.write_all(row(n).as_bytes()));
        });
        Self {
            path,
            writer: Some(writer),
        }
    }

    pub(crate) fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["import", self.path.to_str().unwrap()];
        all.extend_from_slice(more);
        all
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.join().unwrap();
        }
    }
}

pub(crate) fn user(n: u64) -> String {
    match n {
        0 => "id,name\n".to_owned(),
        _ => format!("{},name of {n}\n", n + 1000),
    }
}

/// Users, as a backup of them would have them.
fn users(place: &Place) -> Vec<Vec<String>> {
    use diesel::RunQueryDsl as _;
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        id: i64,
        #[diesel(sql_type = diesel::sql_types::Text)]
        name: String,
    }
    let sql = "SELECT CAST(id AS BIGINT) AS id, name FROM users ORDER BY id";
    let mut db = place.db.connect();
    let mut conn = db.conn();
    let rows: Vec<Row> = db_core::with_conn!(conn, |c| diesel::sql_query(sql).load(c)).unwrap();
    rows.into_iter()
        .map(|row| vec![row.id.to_string(), row.name])
        .collect()
}

both_engines! {
    fn rows_come_in_and_are_told(db: TestDb) {
        let place = Place::migrated(db);
        place.write("users.csv", "id,name\n2,\"a,b\"\n3,=1+1\n");
        let done = place.json(0, &["import", "users.csv"]);
        assert_eq!((&done["rows"], &done["tables"][0]["table"], &done["dry_run"]),
                   (&2.into(), &"users".into(), &false.into()));
        assert_eq!(users(&place), [["1", "House;"], ["2", "a,b"], ["3", "=1+1"]]);
        let told = place.ok(&["import", "users.csv", "--on-conflict", "skip"]);
        assert!(told.out.contains("users        0        2"), "{told:?}");
        place.write("one.csv", "id,name\n9,x\n");
        let told = place.ok(&["import", "one.csv", "--table", "users"]);
        assert!(told.out.starts_with("1 row into users, "), "{told:?}");
    }

    fn bad_input_ends_with_11_and_changes_nothing(db: TestDb) {
        let place = Place::migrated(db);
        place.write("users.csv", "id,name\n2,x\nthree,\n");
        let done = place.ends(11, &["import", "users.csv"]);
        assert!(done.err.contains("users.csv:3:1: users.id: \"three\": is no integer"), "{done:?}");
        assert!(done.err.contains("users.csv:3:7: users.name: NULL: cannot be NULL"), "{done:?}");
        assert!(done.err.contains("hint: nothing was changed"), "{done:?}");
        let told = place.json(11, &["import", "users.csv"]);
        let fault = &told["error"]["details"]["faults"][0];
        assert_eq!((&told["error"]["kind"], &fault["line"], &fault["column"], &fault["value"]),
                   (&"bad_input".into(), &3.into(), &"id".into(), &"\"three\"".into()));
        assert_eq!(users(&place).len(), 1);
        let done = place.ends(2, &["import", "nowhere.csv"]);
        assert!(done.err.contains("hint: check the path"), "{done:?}");
        place.write("nobody.csv", "id\n1\n");
        for (file, skippable) in [("users.csv", true), ("nobody.csv", false)] {
            let done = place.ends(11, &["import", file]);
            assert_eq!(done.err.contains("--skip-validation"), skippable, "{done:?}");
        }
        place.ends(2, &["import", "users.csv", "--map", "x"]);
        place.ends(2, &["import", "users.csv", "--table", "nobody"]);
    }

    fn a_script_that_is_no_whole_one_ends_with_11(db: TestDb) {
        let place = Place::migrated(db);
        place.write("empty.sql", "");
        place.write("cut.sql", "BEGIN;\nINSERT INTO users (id, name) VALUES (9, 'x');\n");
        place.ends(11, &["import", "empty.sql"]);
        let done = place.ends(11, &["import", "cut.sql"]);
        assert!(done.err.contains("cut.sql:1:1: ") && done.err.contains("COMMIT"), "{done:?}");
        assert_eq!(users(&place).len(), 1);
        place.write("one.sql", "INSERT INTO users (id, name) VALUES (9, 'x');\n");
        let done = place.ok(&["import", "one.sql"]);
        assert!(done.out.starts_with("1 statement, "), "{done:?}");
    }

    fn a_mistyped_table_is_told_with_the_one_that_was_meant(db: TestDb) {
        let place = Place::migrated(db);
        place.write("rows.csv", "id,name\n2,x\n");
        for command in [["import", "rows.csv", "--table", "uesrs"], ["export", "--output=x.csv", "--table", "uesrs"]] {
            let done = place.ends(2, &command);
            assert!(done.err.contains("there is no table \"uesrs\"; did you mean users? There are "), "{done:?}");
        }
    }

    fn a_wait_for_a_lock_is_told(db: TestDb) {
        let place = Place::migrated(db);
        place.write("users.csv", "id,name\n2,x\n");
        place.add("20240104000000_dice", "CREATE TABLE dice (id BIGINT PRIMARY KEY);", "DROP TABLE dice;");
        let (lock, commands): (_, &[&[&str]]) = match place.engine() {
            Engine::Sqlite => ("BEGIN IMMEDIATE", &[&["import", "users.csv"], &["migrate"]]),
            // `migrate` tells of each of its tries, as another test shows.
            Engine::Postgres => (
                "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE",
                &[&["import", "users.csv"], &["export", "--format=json", "--output=x.json", "--table=users"]],
            ),
        };
        for command in commands {
            let mut other = place.db.connect();
            other.conn().batch_execute(lock).unwrap();
            let running = Running::until(place.command(command), "waiting_for_lock");
            other.conn().batch_execute("ROLLBACK").unwrap();
            let done = running.wait();
            assert_eq!(done.code, 0, "{done:?}");
            assert_eq!(done.err.matches("waiting_for_lock").count(), 1, "{done:?}");
        }
    }

    fn the_last_word_of_progress_is_all(db: TestDb) {
        let place = Place::migrated(db);
        let rows: String = (0..20_001).map(user).collect();
        place.write("users.csv", &rows);
        for command in [["import", "users.csv"], ["export", "--output=x.ndjson"]] {
            let done = place.run(&[&command[..], &["--json"]].concat());
            let lines = done.err.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let lines: Vec<_> = lines.filter(|line| line["event"] == "progress").collect();
            let last = lines.last().unwrap();
            assert_eq!((&last["rows"], &last["seconds_left"]), (&last["rows_expected"], &0.into()), "{lines:#?}");
            assert!(last["rows"].as_u64() >= Some(20_000), "{last}");
            for line in &lines {
                let rate = line["rows_per_second"].as_u64().unwrap();
                assert!((1..100_000_000).contains(&rate), "{line}");
            }
        }
    }

    fn a_killed_import_leaves_nothing(db: TestDb) {
        let place = Place::migrated(db);
        for signal in ["KILL", "INT"] {
            let endless = Endless::new(&place, user, u64::MAX);
            let arguments = endless.arguments(&["--format", "csv", "--table", "users"]);
            let running = Running::until(place.command(&arguments), "\"event\":\"progress\"");
            running.signal(signal);
            let code = running.wait().code;
            assert_eq!(code, if signal == "INT" { 130 } else { -1 });
            drop(endless);
            std::fs::remove_file(place.path("endless")).unwrap();
            assert_eq!(users(&place), [["1", "House;"]], "{signal}");
        }
        place.ok(&["validate"]);
    }

    /// 128 MiB of rows, each of 16 KiB, pass through a program that never holds more than a few of them.
    fn memory_stays_the_same_however_much_comes(db: TestDb) {
        const ROWS: u64 = 8 << 10;
        fn row(n: u64) -> String {
            match n {
                0 => "id,name\n".to_owned(),
                _ => format!("1,{}\n", "x".repeat(16 << 10)),
            }
        }
        let place = Place::migrated(db);
        let endless = Endless::new(&place, row, u64::MAX);
        let arguments = endless.arguments(&["--format", "csv", "--table", "users", "--on-conflict", "skip"]);
        let running = Running::until(place.command(&arguments), "\"event\":\"progress\"");
        let first = peak(running.pid());
        let mut read = 0;
        while read < ROWS * (16 << 10) {
            read = number(&format!("/proc/{}/io", running.pid()), "rchar:");
            thread::yield_now();
        }
        let last = peak(running.pid());
        running.signal("KILL");
        running.wait();
        drop(endless);
        assert!(last < first + (16 << 10), "{first} KiB, then {last} KiB");
    }
}

#[test]
fn an_empty_script_makes_no_database() {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("empty.sql"), "").unwrap();
    let mut command = bare(folder.path());
    command.args(["--database-url", "sqlite://typo.db", "import", "empty.sql"]);
    let done = finish(&mut command);
    assert_eq!(done.code, 11, "{done:?}");
    assert!(!folder.path().join("typo.db").exists());
}

/// The most memory that a process has had, in KiB.
fn peak(pid: u32) -> u64 {
    number(&format!("/proc/{pid}/status"), "VmHWM:")
}

fn number(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.split_ascii_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}
