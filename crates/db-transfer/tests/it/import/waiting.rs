//! A wait for somebody else's lock is told.

use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use db_core::{Engine, Interrupt};
use db_testkit::{TestDb, both_engines};
use db_transfer::export::{Content, Form, Options, Output, export};
use db_transfer::source::Source;
use db_transfer::{Error, OnWait};

use super::Place;

/// Whoever waits for longer is told nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Does something while another connection holds a lock, until that is told.
fn held<T>(place: &Place, lock: &str, what: impl FnOnce(OnWait) -> Result<T, Error>) -> String {
    let (told, hear) = mpsc::channel();
    let told = Mutex::new(told);
    let mut other = place.db.connect();
    other.conn().batch_execute(lock).unwrap();
    thread::scope(|scope| {
        let holder = scope.spawn(move || {
            let holder = hear.recv_timeout(PATIENCE);
            other.conn().batch_execute("ROLLBACK").unwrap();
            holder.unwrap()
        });
        let on_wait = OnWait::new(move |holder| {
            let _told_before = told.lock().unwrap().send(holder.to_owned());
        });
        what(on_wait).unwrap();
        holder.join().unwrap()
    })
}

both_engines! {
    fn an_import_tells_for_whom_it_waits(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (id INTEGER PRIMARY KEY)");
        let (lock, who) = match place.engine() {
            Engine::Sqlite => ("BEGIN IMMEDIATE", "another program that writes"),
            Engine::Postgres => (
                "SET application_name = 'the other'; BEGIN; LOCK TABLE t IN SHARE MODE",
                " of the other (",
            ),
        };
        for (name, text) in [("t.csv", "id\n1\n"), ("t.sql", "INSERT INTO t VALUES (2);")] {
            let holder = held(&place, lock, |on_wait| place.run(&place.import(name, text).on_wait(on_wait)));
            assert!(holder.contains(who), "{holder}");
        }
        assert_eq!(place.count("t"), "2");
    }
}

#[test]
fn an_export_tells_for_whom_it_waits_postgres() {
    let place = Place::new(
        TestDb::postgres(),
        "CREATE TABLE t (id INTEGER PRIMARY KEY)",
    );
    // The catalog is read before the lock is there.
    for (form, content) in [(Form::Ndjson, Content::Data), (Form::Sql, Content::All)] {
        let mut source = Source::open(&place.url(), None, &Interrupt::default()).unwrap();
        let lock =
            "SET application_name = 'the other'; BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE";
        let holder = held(&place, lock, |on_wait| {
            let options = Options {
                form: Some(form),
                content,
                on_wait,
                ..Options::default()
            };
            let to = Output::Stream(Box::new(std::io::sink()));
            export(&mut source, &place.url(), &options, to, &mut |_| {})
        });
        assert!(holder.contains(" of the other ("), "{form:?}: {holder}");
    }
}

#[test]
fn an_import_tells_that_a_file_does_not_open() {
    let place = Place::new(
        TestDb::sqlite(),
        "PRAGMA journal_mode = DELETE; CREATE TABLE t (id INTEGER PRIMARY KEY)",
    );
    let holder = held(&place, "BEGIN EXCLUSIVE", |on_wait| {
        place.run(&place.import("t.csv", "id\n1\n").on_wait(on_wait))
    });
    assert!(
        holder.contains("seems to keep everybody out of"),
        "{holder}"
    );
}

/// Without WAL a commit waits for those who read.
#[test]
fn an_import_tells_that_its_commit_waits_for_a_reader() {
    let place = Place::new(
        TestDb::sqlite(),
        "PRAGMA journal_mode = DELETE; CREATE TABLE t (id INTEGER PRIMARY KEY)",
    );
    let reads = "BEGIN; SELECT count(*) FROM t";
    for (name, text) in [("t.csv", "id\n1\n"), ("t.sql", "INSERT INTO t VALUES (2);")] {
        let holder = held(&place, reads, |on_wait| {
            place.run(&place.import(name, text).on_wait(on_wait))
        });
        assert_eq!(holder, "another program that reads the database", "{name}");
    }
    assert_eq!(place.count("t"), "2");
}

/// What does not fit into memory is written while rows come, for which nobody may read either.
#[test]
fn an_import_tells_that_its_rows_wait_for_a_reader() {
    let place = Place::new(
        TestDb::sqlite(),
        "PRAGMA journal_mode = DELETE; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)",
    );
    let long = "x".repeat(1 << 20);
    let rows: Vec<String> = (0..80).map(|id| format!("{id},{long}\n")).collect();
    let import = place.import("t.csv", format!("id,x\n{}", rows.concat()));
    let dry = import.dry_run(true);
    let holder = held(&place, "BEGIN; SELECT count(*) FROM t", |on_wait| {
        place.run(&dry.on_wait(on_wait))
    });
    assert_eq!(holder, "another program that reads the database");
}
