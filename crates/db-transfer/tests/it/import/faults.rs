//! What is wrong is told with its place, all of it at once, and nothing stays.

use std::process::Command;
use std::thread;

use db_core::Engine;
use db_testkit::{TestDb, both_engines};
use db_transfer::format::Input;
use db_transfer::import::Import;

use super::{Place, told};

const SCHEMA: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
        age INTEGER CHECK (age >= 0), boss INTEGER REFERENCES users (id));
    CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id))";

both_engines! {
    fn another_separator_is_named(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (id INTEGER, name TEXT)");
        for (text, told) in [("id;name\n1;x\n", "semicolons"), ("id\tname\n1\tx\n", "tabs")] {
            let faults = place.faults(&place.import("t.csv", text));
            assert!(faults[0].problem.contains(told), "{faults:?}");
        }
        let faults = place.faults(&place.import("t.csv", "a;b\n1;x\n"));
        assert!(faults[0].problem.contains("no column"), "{faults:?}");
    }

    fn the_first_faults_of_all_kinds_come_in_one_go(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        place.execute("INSERT INTO users (id, name) VALUES (1, 'first')");
        let faults = place.faults(&place.import(
            "users.csv",
            "id,name,age\n2,a,x\n3,,1\n4,b\n5,first,1\n6,c,-1\n7,\"d\ne\",99999999999999999999\n8,fine,1\n",
        ));
        let told = told(&faults);
        let starts = [
            "users.csv:2:5: users.age: \"x\": is no integer",
            "users.csv:3:3: users.name: NULL: cannot be NULL",
            "users.csv:4:1: users: 2 fields where the header has 3 fields",
            "users.csv:5:3: users.name: \"first\": ",
            "users.csv:6:",
            "users.csv:8:4: users.age: \"99999999999999999999\": ",
        ];
        for start in starts {
            assert!(told.iter().any(|text| text.starts_with(start)), "{start}: {told:#?}");
        }
        assert_eq!(told.len(), starts.len(), "{told:#?}");
        assert_eq!(place.count("users"), "1");
        // As many as one asks for.
        let text = (0..50).map(|i| format!("{i},x\n")).collect::<Vec<_>>().concat();
        let import = place.import("users.csv", format!("id,age\n{text}"));
        assert_eq!(place.faults(&import).len(), 1, "the header is told alone");
        let import = place.import("users.csv", format!("id,age,name\n{}", text.replace("x\n", "x,n\n")));
        assert_eq!(place.faults(&import).len(), 20);
        assert_eq!(place.faults(&import.most_faults(3)).len(), 3);
    }

    fn without_our_checks_the_database_still_has_its_own(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        for text in ["id,name,age\n1,a,-5\n", "id,name\n1,a\n1,b\n", "id,name\n1,\n", "id,name,boss\n1,a,7\n"] {
            let faults = place.faults(&place.import("users.csv", text).validate(false));
            assert!(faults[0].problem.len() > 5, "{text}: {faults:?}");
            assert!(faults[0].place.is_some_and(|place| place.line >= 2), "{text}: {faults:?}");
        }
        assert_eq!(place.count("users"), "0");
    }

    fn rows_that_refer_to_nothing_are_named(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        // Its own rows may come later in the file.
        place.load("users.csv", "id,name,boss\n1,a,2\n2,b,\n");
        let faults = place.faults(&place.import("orders.csv", "id,user_id\n1,1\n2,77\n3,2\n4,078\n"));
        assert_eq!(
            told(&faults),
            [
                "orders.csv:3:3: orders.user_id: \"77\": refers to no row of users",
                "orders.csv:5:3: orders.user_id: \"078\": refers to no row of users",
            ]
        );
        assert_eq!(place.count("orders"), "0");
        let json = r#"[{"id":1,"user_id":5}]"#;
        let faults = place.faults(&place.import("orders.json", json));
        assert_eq!(told(&faults), ["orders.json:1:20: orders.user_id: 5: refers to no row of users"]);
    }

    fn a_header_that_does_not_fit_says_what_there_is(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let faults = place.faults(&place.import("users.csv", "id,nmae\n1,a\n"));
        let told = told(&faults);
        assert!(told[0].contains("no column \"nmae\", but id, name, age, boss"), "{told:?}");
        assert!(told[1].contains("\"name\" is missing"), "{told:?}");
        let faults = place.faults(&place.import("users.csv", "id,id,name\n"));
        assert!(faults[0].problem.contains("named twice"), "{faults:?}");
        let faults = place.faults(&place.import("users.csv", ""));
        assert!(faults[0].problem.contains("empty"), "{faults:?}");
        // Names may differ, and columns may be left out.
        let map = vec![("nmae".to_owned(), "name".to_owned()), ("x".to_owned(), String::new())];
        place.run(&place.import("users.csv", "ID,nmae,x\n1,a,b\n").map(map)).unwrap();
        assert_eq!(place.rows("SELECT id, name FROM users"), [["1", "a"]]);
    }
}

#[test]
fn a_table_that_ends_transactions_on_conflict_does_not_end_ours() {
    let place = Place::new(
        TestDb::sqlite(),
        "CREATE TABLE t (a INTEGER PRIMARY KEY ON CONFLICT ROLLBACK, b TEXT UNIQUE ON CONFLICT REPLACE);
         CREATE TABLE u (a);
         CREATE TRIGGER stop AFTER INSERT ON u BEGIN SELECT RAISE(ROLLBACK, 'stop'); END;
         INSERT INTO t VALUES (1, 'x')",
    );
    let faults = place.faults(&place.import("t.csv", "a,b\n2,y\n1,z\n3,x\n4,v\n"));
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert_eq!(place.rows("SELECT * FROM t"), [["1", "x"]]);
    // A trigger may end it, and then nothing more comes.
    let import = place.import("u.csv", "a\n1\n2\n3\n").fire_triggers(true);
    let faults = place.faults(&import);
    assert!(faults[0].problem.contains("stop"), "{faults:?}");
    assert_eq!(place.count("u"), "0");
    assert_eq!(place.engine(), Engine::Sqlite);
}

#[test]
fn what_the_server_alone_can_judge_has_its_place_too() {
    let place = Place::new(
        TestDb::postgres(),
        "CREATE TABLE t (a integer PRIMARY KEY, b timestamptz, c jsonb, d date UNIQUE)",
    );
    let rows = (0..2000)
        .map(|i| format!("{i},2020-01-01,{{}},\n"))
        .collect::<Vec<_>>()
        .concat();
    let text = format!(
        "a,b,c,d\n{rows}2000,yesterdayish,{{}},\n2001,,{{,\n2002,,,2020-01-01\n2003,,,2020-01-01\n17,,,\n2004,,,\n"
    );
    let faults = place.faults(&place.import("t.csv", text));
    let told = told(&faults);
    for start in [
        "t.csv:2002:6: t.b: \"yesterdayish\": invalid input",
        "t.csv:2003:7: t.c: \"{\": invalid input",
        "t.csv:2005:8: t.d: \"2020-01-01\": duplicate key",
        "t.csv:2006:1: t.a: \"17\": duplicate key",
    ] {
        assert!(
            told.iter().any(|text| text.starts_with(start)),
            "{start}: {told:#?}"
        );
    }
    assert_eq!(
        (told.len(), place.count("t").as_str()),
        (4, "0"),
        "{told:#?}"
    );
}

both_engines! {
    fn a_stream_is_judged_by_its_own_rows(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        // A row that refers to nothing since before.
        match place.engine() {
            Engine::Sqlite => place.execute("PRAGMA foreign_keys = OFF; INSERT INTO orders VALUES (1, 99)"),
            Engine::Postgres => place.execute(
                "ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey; INSERT INTO orders VALUES (1, 99);
                 ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID",
            ),
        }
        place.execute("INSERT INTO users (id, name) VALUES (1, 'a')");
        // A pipe can be read once.
        let pipe = place.dir.path().join("orders.csv");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for dry_run in [true, false] {
            let import = || Import::new(Input::File(pipe.clone())).dry_run(dry_run);
            thread::scope(|scope| {
                scope.spawn(|| std::fs::write(&pipe, "id,user_id\n2,1\n3,77\n").unwrap());
                let faults = place.faults(&import());
                assert!(faults.iter().any(|fault| fault.problem.contains("77")), "{faults:?}");
            });
            thread::scope(|scope| {
                scope.spawn(|| std::fs::write(&pipe, "id,user_id\n2,1\n").unwrap());
                place.run(&import()).unwrap();
            });
        }
        assert_eq!(place.count("orders"), "2");
    }
}

#[test]
fn a_table_whose_foreign_key_leads_nowhere_is_named() {
    let place = Place::new(
        TestDb::sqlite(),
        "CREATE TABLE u (id INTEGER PRIMARY KEY); CREATE TABLE p (a INTEGER, b INTEGER);
         CREATE TABLE t (id INTEGER PRIMARY KEY, x_id INTEGER REFERENCES x (id));
         CREATE TABLE m (id INTEGER PRIMARY KEY, b INTEGER REFERENCES p (b))",
    );
    let text = "{\"$table\":\"t\",\"columns\":[\"id\"]}\n{\"id\":1}\n\
                {\"$table\":\"m\",\"columns\":[\"id\"]}\n{\"id\":1}\n\
                {\"$table\":\"u\",\"columns\":[\"id\"]}\n{\"id\":1}\n";
    let faults = place.faults(&place.import("all.ndjson", text));
    let told = told(&faults);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].starts_with(
            "all.ndjson: t: no such table: main.x: its foreign key x_id refers to the table x"
        ) && told[0].contains("make that table"),
        "{told:#?}"
    );
    assert!(
        told[1].starts_with("all.ndjson: m: foreign key mismatch")
            && told[1].contains("--format sql"),
        "{told:#?}"
    );
    assert_eq!(place.count("u"), "0");
    place.execute("CREATE TABLE x (id INTEGER PRIMARY KEY)");
    place.load("t.csv", "id,x_id\n1,\n");
}

both_engines! {
    fn a_mistyped_table_is_told_with_the_one_that_was_meant(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let import = place.import("rows.csv", "id,name\n1,a\n").tables(["usres"]);
        let told = place.run(&import).unwrap_err().to_string();
        assert!(told.starts_with("there is no table \"usres\"; did you mean users? There are "), "{told}");
        let faults = place.faults(&place.import("order.csv", "id,name\n1,a\n"));
        assert!(faults[0].problem.contains("did you mean orders?"), "{faults:?}");
    }
}

#[test]
fn numbers_that_sqlite_would_change_are_faults() {
    let place = Place::new(TestDb::sqlite(), "CREATE TABLE t (a NUMERIC, b, c REAL)");
    let faults = place.faults(&place.import(
        "t.csv",
        "a,b,c\n1234567890.123456789,1,0.1234567890123456789\n0.1,12345678901234567890,1\n",
    ));
    assert_eq!(faults.len(), 2, "{faults:?}");
    let faults = place.faults(&place.import(
        "t.json",
        r#"[{"a":"1234567890.123456789"},{"b":1.00000000000000000001}]"#,
    ));
    assert_eq!(faults.len(), 2, "{faults:?}");
    place.load(
        "t.csv",
        "a,b,c\n0.1,0.30000000000000004,0.1234567890123456789\n",
    );
    assert_eq!(
        place.rows("SELECT a, b FROM t"),
        [["0.1", "0.30000000000000004"]]
    );
}

#[test]
fn numbering_never_goes_back() {
    let place = Place::new(
        TestDb::postgres(),
        "CREATE TABLE t (id integer GENERATED BY DEFAULT AS IDENTITY (START 1000) PRIMARY KEY, n integer);
         CREATE TABLE u (id serial, n integer); SELECT nextval('u_id_seq')",
    );
    place.load("t.csv", "id,n\n5,1\n");
    place.execute("INSERT INTO t (n) VALUES (2)");
    assert_eq!(place.rows("SELECT max(id) FROM t"), [["1000"]]);
    place.load("t.csv", "id,n\n2000,1\n");
    place.execute("INSERT INTO t (n) VALUES (2)");
    assert_eq!(place.rows("SELECT max(id) FROM t"), [["2001"]]);
    place.load("u.csv", "id,n\n1,1\n2,1\n");
    place.execute("INSERT INTO u (n) VALUES (2)");
    assert_eq!(place.rows("SELECT max(id) FROM u"), [["3"]]);
}

#[test]
fn a_row_that_a_trigger_refuses_is_named() {
    let place = Place::new(
        TestDb::postgres(),
        "CREATE TABLE t (a integer);
         CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF NEW.a = 2 THEN RAISE EXCEPTION 'not two'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()",
    );
    let import = place.import("t.csv", "a\n1\n2\n3\n2\n").fire_triggers(true);
    let faults = place.faults(&import);
    let lines: Vec<_> = faults
        .iter()
        .map(|fault| fault.place.unwrap().line)
        .collect();
    assert_eq!(lines, [3, 5], "{faults:?}");
    assert!(faults[0].problem.contains("not two"), "{faults:?}");
}
