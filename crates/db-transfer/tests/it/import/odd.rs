//! What an export writes of unusual tables comes back, and what a file may say that is no row.

use db_testkit::{TestDb, both_engines};
use db_transfer::export::Form as Out;
use db_transfer::format::{Form, Input};
use db_transfer::import::{Import, OnConflict};

use super::{Place, told};
use crate::export::{exported, exported_csv};

const VIRTUAL: &str = "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE VIRTUAL TABLE ft USING fts5(title, \
     \"b.c\"); CREATE VIRTUAL TABLE \"r.x\" USING rtree(id, low, high)";

#[test]
fn virtual_tables_come_back() {
    let source = Place::new(TestDb::sqlite(), VIRTUAL);
    source.execute(
        "INSERT INTO ft VALUES ('one', 'x'), ('two', NULL); INSERT INTO \"r.x\" VALUES (3, 1.5, 2.5)",
    );
    let read = "SELECT title, \"b.c\" FROM ft WHERE ft MATCH 'one OR two' ORDER BY rowid";
    let check = |target: &Place| {
        assert_eq!(target.rows(read), source.rows(read));
        assert_eq!(target.rows("SELECT * FROM \"r.x\""), [["3", "1.5", "2.5"]]);
    };
    for (out, form) in [(Out::Json, Form::Json), (Out::Ndjson, Form::Ndjson)] {
        let written = exported(&source.db, out);
        for policy in [OnConflict::Error, OnConflict::Skip] {
            let target = Place::new(TestDb::sqlite(), VIRTUAL);
            let import = target.import("all", &written).form(Some(form));
            target.run(&import.on_conflict(policy)).unwrap();
            check(&target);
        }
    }
    let target = Place::new(TestDb::sqlite(), VIRTUAL);
    for (name, text) in exported_csv(&source.db).0 {
        target.file(&name, text);
    }
    let folder = Import::new(Input::File(target.dir.path().to_owned()));
    target.run(&folder).unwrap();
    check(&target);
}

#[test]
fn a_table_without_columns_comes_back_postgres() {
    let schema = "CREATE TABLE nocol (); CREATE TABLE t (a int)";
    let source = Place::new(TestDb::postgres(), schema);
    source.execute("INSERT INTO nocol DEFAULT VALUES; INSERT INTO nocol DEFAULT VALUES");
    for (out, form) in [(Out::Json, Form::Json), (Out::Ndjson, Form::Ndjson)] {
        let written = exported(&source.db, out);
        for policy in [OnConflict::Error, OnConflict::Skip] {
            let target = Place::new(TestDb::postgres(), schema);
            let import = target.import("all", &written).form(Some(form));
            target.run(&import.on_conflict(policy)).unwrap();
            assert_eq!(target.count("nocol"), "2", "{form:?} {policy:?}");
        }
    }
    let (files, report) = exported_csv(&source.db);
    assert_eq!(files.len(), 1, "CSV cannot hold the rows: {report:?}");
}

both_engines! {
    fn a_column_that_begins_with_a_byte_order_mark_comes_back(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (\"\u{feff}\" INTEGER, \"\u{feff}a\" INTEGER); INSERT INTO t VALUES (1, 2)");
        let (files, _) = exported_csv(&place.db);
        place.execute("DELETE FROM t");
        place.load("t.csv", &files[0].1);
        assert_eq!(place.rows("SELECT * FROM t"), [["1", "2"]]);
    }

    fn tables_can_be_left_out(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE a (id INTEGER); CREATE TABLE b (id INTEGER); CREATE TABLE c (id INTEGER)");
        let text = "{\"$table\":\"a\",\"columns\":[\"id\"]}\n{\"id\":1}\n\
                    {\"$table\":\"nobody\",\"columns\":[\"id\"]}\n{\"id\":1}\n\
                    {\"$table\":\"c\",\"columns\":[\"id\"]}\n{\"id\":1}\n";
        let import = place.import("all.ndjson", text);
        let faults = place.faults(&import);
        assert_eq!(faults[0].table, None, "the table before has nothing to do with it: {faults:?}");
        place.run(&import.tables(["a", "c"])).unwrap();
        assert_eq!((place.count("a"), place.count("b"), place.count("c")), ("1".to_owned(), "0".to_owned(), "1".to_owned()));
        std::fs::remove_file(place.dir.path().join("all.ndjson")).unwrap();
        place.file("a.csv", "id\n2\n");
        place.file("b.csv", "id\n2\n");
        place.file("nobody.csv", "id\n2\n");
        std::fs::create_dir(place.dir.path().join("o.csv")).unwrap();
        let folder = || Import::new(Input::File(place.dir.path().to_owned()));
        place.run(&folder().tables(["a", "b"])).unwrap();
        assert_eq!((place.count("a"), place.count("b")), ("2".to_owned(), "1".to_owned()));
        let missing = place.run(&folder().tables(["a", "c"])).unwrap_err();
        assert!(missing.to_string().contains("no file of c"), "{missing}");
    }

    fn a_column_that_map_names_has_to_be_there(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (id INTEGER, name TEXT)");
        let map = |from: &str| place.import("t.csv", "id,title\n1,x\n")
            .map(vec![("title".to_owned(), "name".to_owned()), (from.to_owned(), String::new())]);
        let faults = place.faults(&map("foo"));
        assert_eq!(told(&faults), ["t.csv: --map foo=…: the file has no column \"foo\""]);
        assert_eq!(place.count("t"), "0");
        place.run(&map("id")).unwrap();
        assert_eq!(place.count("t"), "1");
    }

    fn rows_that_cannot_be_known_again_are_told(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (id INTEGER); CREATE TABLE u (id INTEGER); CREATE UNIQUE INDEX i ON u (id)");
        for (table, told) in [("t", true), ("u", false)] {
            let import = place.import(&format!("{table}.csv"), "id\n1\n").on_conflict(OnConflict::Skip);
            let report = place.run(&import).unwrap();
            assert_eq!(report.notices.iter().any(|n| n.contains("no key")), told, "{report:?}");
        }
    }

    fn only_a_type_is_left_to_the_database(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (id INTEGER NOT NULL)");
        let of_type = |text: &str| place.faults(&place.import("t.csv", text)).iter().any(|f| f.is_of_type);
        assert!(of_type("id\nthree\n"));
        assert!(!of_type("nobody\n1\n"));
    }

    fn an_update_that_meets_another_row_does_not_name_itself(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE); \
                                    INSERT INTO t VALUES (1, 'one'), (2, 'two')");
        let import = place.import("t.csv", "id,name\n1,two\n").on_conflict(OnConflict::Update);
        let told = place.faults(&import)[0].to_string();
        assert!(!told.contains("update changes it") && told.contains("another row has the value"), "{told}");
    }
}

#[test]
fn what_no_server_takes_is_not_left_to_it_postgres() {
    let place = Place::new(TestDb::postgres(), "CREATE TABLE t (a text)");
    for text in [&b"a\n\"x\0y\"\n"[..], b"a\nx\xff\n"] {
        let faults = place.faults(&place.import("t.csv", text));
        assert!(!faults[0].is_of_type, "{faults:?}");
    }
}

#[test]
fn a_file_of_the_other_engine_names_copy_postgres() {
    let source = Place::new(TestDb::sqlite(), "CREATE TABLE t (at INTEGER)");
    source.execute("INSERT INTO t VALUES (1755993848883000)");
    let written = exported(&source.db, Out::Json);
    let target = Place::new(TestDb::postgres(), "CREATE TABLE t (at timestamptz)");
    let faults = target.faults(&target.import("o.json", &written));
    assert!(faults[0].problem.contains("`copy`"), "{faults:?}");
    let own = Place::new(
        TestDb::sqlite(),
        "CREATE TABLE t (at BLOB NOT NULL, b INTEGER NOT NULL)",
    );
    let faults = own.faults(&own.import("o.json", &written));
    assert!(!faults[0].problem.contains("`copy`"), "{faults:?}");
}
