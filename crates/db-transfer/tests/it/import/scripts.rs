//! Scripts of SQL.

use std::process::Command;

use db_core::{DatabaseUrl, Interrupt};
use db_testkit::{TestDb, both_engines};
use db_transfer::Error;
use db_transfer::format::Input;
use db_transfer::import::Import;

use super::{Place, told};

both_engines! {
    fn statements_run_in_one_transaction(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE old (a INTEGER)");
        let script = "BEGIN;\nCREATE TABLE t (a INTEGER);\nINSERT INTO t VALUES (1), (2);\nCOMMIT;\n";
        let report = place.load("x.sql", script);
        assert_eq!((report.statements, place.count("t").as_str()), (4, "2"));
        // A fault undoes what came before it.
        let script = "BEGIN;\nINSERT INTO t VALUES (3);\nCOMMIT;\nINSERT INTO\n nowhere VALUES (1);\n";
        let faults = place.faults(&place.import("x.sql", script));
        assert!(told(&faults)[0].starts_with("x.sql:4:1: "), "{faults:?}");
        assert_eq!(place.count("t"), "2");
        place.run(&place.import("x.sql", "INSERT INTO t VALUES (3)").dry_run(true)).unwrap();
        assert_eq!(place.count("t"), "2");
        for script in ["ROLLBACK", "SAVEPOINT a; ROLLBACK TO a", "SELECT 'never ends"] {
            place.faults(&place.import("x.sql", format!("INSERT INTO t VALUES (9);\n{script};")));
        }
        assert_eq!(place.count("t"), "2");
    }

    fn a_script_that_is_cut_off_brings_nothing(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (a INTEGER)");
        for (script, at) in [
            ("BEGIN;\nINSERT INTO t VALUES (1);\n", (1, 1)),
            ("INSERT INTO t VALUES (1);\nCOMMIT;\n begin;INSERT INTO t VALUES (2)", (3, 2)),
        ] {
            let faults = place.faults(&place.import("x.sql", script));
            let found = faults[0].place.map(|place| (place.line, place.column));
            assert_eq!(found, Some(at), "{script}: {faults:?}");
            assert!(faults[0].problem.contains("COMMIT"), "{script}: {faults:?}");
        }
        assert_eq!(place.count("t"), "0");
        place.load("x.sql", "BEGIN; INSERT INTO t VALUES (1); COMMIT; BEGIN; INSERT INTO t VALUES (2); END;");
        assert_eq!(place.count("t"), "2");
    }

    fn a_script_without_statements_is_a_fault(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (a INTEGER)");
        for script in ["", "-- nothing\n;\n"] {
            let faults = place.faults(&place.import("x.sql", script));
            assert!(faults[0].problem.contains("empty"), "{faults:?}");
        }
    }
}

/// SQLite passes over it wherever a word could begin, and runs the word behind it.
#[test]
fn a_byte_order_mark_hides_no_statement() {
    let place = Place::new(TestDb::sqlite(), "CREATE TABLE t (a INTEGER)");
    let beside = place.dir.path().join("beside.db");
    let beside = beside.to_str().unwrap();
    for hidden in [
        "COMMIT",
        "END; SELECT 1",
        "ROLLBACK",
        "PRAGMA journal_mode = WAL",
        &format!("COMMIT; \u{feff}ATTACH '{beside}' AS b; CREATE TABLE b.t (a)"),
        &format!("COMMIT; \u{feff}VACUUM INTO '{beside}'"),
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; \u{feff}END; COMMIT; SELECT 2; END",
    ] {
        let script =
            format!("INSERT INTO t VALUES (1);\n\u{feff}{hidden};\nnothing that is a statement;\n");
        place.faults(&place.import("x.sql", script));
        assert_eq!(place.count("t"), "0", "{hidden}");
        assert_eq!(place.rows("PRAGMA journal_mode"), [["delete"]]);
        assert!(!std::path::Path::new(beside).exists(), "{hidden}");
    }
    place.load(
        "x.sql",
        "\u{feff}INSERT \u{feff}INTO t VALUES (1);\n\u{feff}COMMIT;",
    );
    assert_eq!(place.count("t"), "1");
}

#[test]
fn triggers_stay_quiet_in_a_script_postgres() {
    let place = Place::new(
        TestDb::postgres(),
        "CREATE TABLE t (a INTEGER); CREATE TABLE \"T.1\" (a INTEGER); CREATE TABLE log (a INTEGER);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN INSERT INTO log VALUES (new.a); RETURN new; END';
         CREATE TRIGGER g AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note();
         CREATE TRIGGER h AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
         CREATE TRIGGER always AFTER INSERT ON \"T.1\" FOR EACH ROW EXECUTE FUNCTION note();
         ALTER TABLE t DISABLE TRIGGER h; ALTER TABLE \"T.1\" ENABLE ALWAYS TRIGGER always",
    );
    let script = "BEGIN;\nINSERT INTO t VALUES (1);\nCOPY public.\"T.1\" (a) FROM stdin;\n2\n\\.\n\
        UPDATE ONLY t SET a = 3;\nCREATE TABLE own (a INTEGER);\n\
        CREATE TRIGGER g AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION note();\n\
        INSERT INTO own VALUES (4);\nCOMMIT;\n";
    let state = || place.rows("SELECT tgname, tgenabled FROM pg_trigger ORDER BY tgrelid, tgname");
    let before = state();
    place.load("x.sql", script);
    assert_eq!(place.count("log"), "0");
    let mut after = state();
    assert_eq!(after.pop().unwrap(), ["g", "O"], "the script's own");
    assert_eq!(after, before, "whatever was on is on again");
    let import = place.import("x.sql", "INSERT INTO t VALUES (5);");
    place.run(&import.fire_triggers(true)).unwrap();
    assert_eq!(place.rows("SELECT a FROM log"), [["5"]]);
    // Who does not own the table is told what helps.
    let script = "SET LOCAL ROLE pg_write_all_data; INSERT INTO t VALUES (6);";
    let import = place.import("x.sql", script);
    let error = place.run(&import).unwrap_err();
    let Error::Database { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        source
            .hint()
            .is_some_and(|hint| hint.contains("--fire-triggers")),
        "{error:?}"
    );
    place.run(&import.fire_triggers(true)).unwrap();
    assert_eq!(place.rows("SELECT a FROM log ORDER BY a"), [["5"], ["6"]]);
}

/// One of each engine's own beginnings.
#[test]
fn a_script_of_the_other_engine_is_named_postgres() {
    for (db, engine, scripts) in [
        (
            TestDb::postgres(),
            "SQLite",
            &["PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"][..],
        ),
        (
            TestDb::sqlite(),
            "PostgreSQL",
            &[
                "SET statement_timeout = 0;\n",
                "SELECT pg_catalog.set_config('search_path', '', false);\n",
                "BEGIN;\nCOPY p (id) FROM stdin;\n1\n\\.\n",
            ],
        ),
    ] {
        let place = Place::new(db, "CREATE TABLE p (id INTEGER PRIMARY KEY)");
        for script in scripts {
            let script = format!("{script}INSERT INTO p VALUES (1);\nCOMMIT;\n");
            let faults = place.faults(&place.import("x.sql", &script));
            let problem = &faults[0].problem;
            assert!(
                problem.contains(&format!("a script for {engine}")) && problem.contains("copy"),
                "{faults:?}"
            );
            assert_eq!(place.count("p"), "0");
        }
    }
}

#[test]
fn a_script_writes_nothing_into_the_schema_of_sqlite() {
    let place = Place::new(TestDb::sqlite(), "CREATE TABLE p (id INTEGER PRIMARY KEY)");
    let row = "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table'";
    for script in [
        "UPDATE sqlite_master SET sql = 'create table p(x)' WHERE name = 'p';".to_owned(),
        "DELETE FROM [sqlite_schema];".to_owned(),
        format!("{row},'q','q',2,'CREATE TABLE q(x)');"),
        format!("{row},'p','p',0,'CREATE VIRTUAL TABLE p USING fts5(a)');"),
        format!("{row},'q','q',0,'CREATE VIRTUAL TABLE other USING fts5(a)');"),
        format!("{row},'q','q',0,'CREATE VIRTUAL TABLE nonsense');"),
    ] {
        let script = format!("PRAGMA writable_schema=ON;\n{script}\nINSERT INTO p VALUES (1);");
        let faults = place.faults(&place.import("x.sql", &script));
        assert_eq!(faults[0].place.unwrap().line, 2, "{script}: {faults:?}");
        assert_eq!(
            place.rows("SELECT name, sql FROM sqlite_schema"),
            [["p", "CREATE TABLE p (id INTEGER PRIMARY KEY)"]]
        );
        assert_eq!(place.count("p"), "0");
    }
}

#[test]
fn a_dump_with_virtual_tables_comes_back() {
    let source = Place::new(
        TestDb::sqlite(),
        "CREATE VIRTUAL TABLE \"f't\" USING fts5(a); INSERT INTO \"f't\" VALUES ('one'), ('two');
         CREATE TABLE z (a); CREATE VIRTUAL TABLE r USING rtree(id, low, high); INSERT INTO r VALUES (1, 2, 3)",
    );
    let shell = |args: &[&str]| {
        let done = Command::new("sqlite3").args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        done.stdout
    };
    let dump = shell(&[source.db.path().unwrap().to_str().unwrap(), ".dump"]);
    let target = Place::new(TestDb::sqlite(), "");
    target.load("dump.sql", &dump);
    assert_eq!(
        target.rows("SELECT a FROM \"f't\" WHERE \"f't\" MATCH 'two'"),
        [["two"]]
    );
    assert_eq!(target.rows("SELECT low FROM r"), [["2.0"]]);
    assert_eq!(target.rows("PRAGMA integrity_check"), [["ok"]]);
}

#[test]
fn a_foreign_key_that_is_none_does_not_stop_a_script() {
    let schema = "CREATE TABLE nullpk (a INTEGER PRIMARY KEY, b INTEGER);
        CREATE TABLE badfk (b INTEGER REFERENCES nullpk (b));
        CREATE TABLE c (p INTEGER REFERENCES nullpk (a));";
    let place = Place::new(TestDb::sqlite(), schema);
    let report = place.load(
        "x.sql",
        "INSERT INTO nullpk VALUES (1, 2); INSERT INTO badfk VALUES (2);",
    );
    assert!(report.notices[0].starts_with("badfk: "), "{report:?}");
    // The other keys are checked.
    let faults = place.faults(&place.import("x.sql", "INSERT INTO c VALUES (7);"));
    assert!(faults[0].problem.contains("no row of nullpk"), "{faults:?}");
    // What SQLite refuses by itself says what to do.
    let faults = place.faults(&place.import("nullpk.csv", "a\n3\n"));
    assert!(faults[0].problem.contains("unique"), "{faults:?}");
}

#[test]
fn what_the_shell_of_sqlite_dumps_is_imported_into_a_new_file() {
    let source = Place::new(
        TestDb::sqlite(),
        "CREATE TABLE c (id INTEGER PRIMARY KEY AUTOINCREMENT, p REFERENCES p (id), t TEXT, r REAL, b BLOB);
         CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE INDEX i ON c (t); CREATE VIEW v AS SELECT ';' AS x;
         CREATE TRIGGER g AFTER INSERT ON c BEGIN UPDATE c SET r = 1; DELETE FROM p WHERE 0; END;
         INSERT INTO p VALUES (5);
         INSERT INTO c VALUES (41, 5, 'it''s;' || char(10) || '--', 1e300, x'00ff')",
    );
    let dump = Command::new("sqlite3")
        .arg(source.db.path().unwrap())
        .arg(".dump")
        .output();
    let Ok(dump) = dump else {
        panic!("the tests need the sqlite3 shell");
    };
    assert!(dump.status.success());
    let file = source.file("dump.sql", &dump.stdout);
    let path = source.dir.path().join("new.db");
    let url = DatabaseUrl::SqliteFile(path.clone());
    let import = Import::new(Input::File(file)).may_create(true);
    import
        .run(&url, &Interrupt::default(), &mut |_| {})
        .unwrap();
    let again = Command::new("sqlite3")
        .arg(&path)
        .arg(".dump")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        String::from_utf8_lossy(&dump.stdout)
    );
    // Into the same file a second time: refused, and it stays as it is. Into a new one that fails: gone.
    import
        .run(&url, &Interrupt::default(), &mut |_| {})
        .unwrap_err();
    let url = DatabaseUrl::SqliteFile(source.dir.path().join("other.db"));
    let broken = source
        .import(
            "broken.sql",
            "CREATE TABLE t (a); INSERT INTO u VALUES (1);",
        )
        .may_create(true);
    broken
        .run(&url, &Interrupt::default(), &mut |_| {})
        .unwrap_err();
    assert!(!source.dir.path().join("other.db").exists());
}

#[test]
fn a_script_of_sqlite_stays_within_its_database() {
    let place = Place::new(
        TestDb::sqlite(),
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p INTEGER REFERENCES p (id))",
    );
    let other = place.dir.path().join("other.db");
    for (script, part) in [
        (format!("ATTACH '{}' AS o; CREATE TABLE o.t (a)", other.display()), "one database"),
        (format!("/* x */ VACUUM INTO '{}'", other.display()), "one database"),
        ("PRAGMA journal_mode = OFF".to_owned(), "PRAGMA"),
        ("pragma /**/ main.foreign_keys = on".to_owned(), "PRAGMA"),
        (".shell touch x".to_owned(), "shell"),
        ("INSERT INTO c VALUES (1)".to_owned(), "no row of p"),
        ("INSERT INTO p VALUES (1); INSERT OR ROLLBACK INTO p VALUES (1); INSERT INTO p VALUES (2)".to_owned(), "UNIQUE"),
    ] {
        let faults = place.faults(&place.import("x.sql", &script));
        assert!(faults[0].problem.contains(part), "{script}: {faults:?}");
        assert_eq!((place.count("p"), place.count("c")), ("0".to_owned(), "0".to_owned()));
    }
    assert!(!other.exists());
}

#[test]
fn a_script_of_psql_brings_its_rows_by_copy() {
    let place = Place::new(TestDb::postgres(), "CREATE TABLE witness (a integer)");
    let script = "\\restrict x\nSET client_encoding = 'UTF8';\n\
        CREATE TABLE public.t (id integer, t text);\n\
        CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql AS $_$ SELECT 1; $_$;\n\
        COPY public.t (id, t) FROM stdin;\n1\ta;\\tb\n2\t\\N\n\\.\n\n\
        SELECT pg_catalog.setval('public.s', 5, true);\nALTER TABLE ONLY public.t ADD PRIMARY KEY (id);\n\\unrestrict x\n";
    let script = format!("CREATE SEQUENCE s;\n{script}");
    // The backslash comes between statements.
    place.load("x.sql", &script);
    assert_eq!(
        place.rows("SELECT * FROM t ORDER BY id"),
        [["1", "a;\tb"], ["2", "NULL"]]
    );
    for (script, part) in [
        ("COPY witness FROM '/etc/passwd'", "FROM stdin"),
        ("COPY witness FROM PROGRAM 'id'", "FROM stdin"),
        ("COPY witness TO STDOUT", "FROM stdin"),
        (
            "COPY witness (a) FROM stdin WITH (FORMAT csv)",
            "FROM stdin",
        ),
        ("COPY witness FROM stdin;\n1\nx\n\\.\n", "line 2"),
        ("COPY witness FROM stdin;\n1\n", "never end"),
        ("SELECT 1 \\gexec\n", "psql"),
        (
            "INSERT INTO witness VALUES (1); COMMIT; ROLLBACK;",
            "one transaction",
        ),
    ] {
        let faults = place.faults(&place.import("x.sql", script));
        assert!(faults[0].problem.contains(part), "{script}: {faults:?}");
        assert_eq!(place.count("witness"), "0");
    }
}

#[test]
fn a_script_of_psql_cannot_hide_a_commit() {
    let place = Place::new(TestDb::postgres(), "CREATE TABLE witness (a integer)");
    for script in [
        // A function that is called begin, and a text that is called end.
        "CREATE FUNCTION begin() RETURNS integer LANGUAGE sql AS 'SELECT 1'; COMMIT; SELECT 'x' AS end;",
        "SET standard_conforming_strings = off;\nSELECT 'a\\'; COMMIT; --';",
        "SELECT pg_catalog.set_config('standard_conforming_strings', 'off', false);",
        "SELECT 1 -- x\r; COMMIT; SELECT 2\n;",
        "\x0b-- x\rCOMMIT AND CHAIN\n;\nSELECT 1/0;",
        "SELECT setval('s', 1; COMMIT; SELECT 2);",
    ] {
        let script = format!("INSERT INTO witness VALUES (1);\n{script}\nSELECT 1/0;\n");
        place.faults(&place.import("x.sql", &script));
        assert_eq!(place.count("witness"), "0", "{script}");
    }
    place.load(
        "x.sql",
        "SET standard_conforming_strings = on;\nINSERT INTO witness VALUES (1);",
    );
    assert_eq!(place.count("witness"), "1");
}

#[test]
fn sequences_stay_where_they_are_if_a_script_is_undone() {
    let place = Place::new(
        TestDb::postgres(),
        "CREATE SEQUENCE s; CREATE SEQUENCE used MAXVALUE 9; SELECT nextval('s'), nextval('used');
         CREATE TABLE t (id integer); INSERT INTO t VALUES (70)",
    );
    let script = "SELECT pg_catalog.setval('public.s', 500, true);\nSELECT setval('used', 9);\n";
    let state = || {
        place.rows("SELECT s.last_value, s.is_called, used.last_value, used.is_called FROM s, used")
    };
    place.faults(&place.import("x.sql", format!("{script}SELECT 1/0;")));
    place
        .run(&place.import("x.sql", script).dry_run(true))
        .unwrap();
    assert_eq!(state(), [["1", "t", "1", "t"]]);
    place.load("x.sql", script);
    assert_eq!(state(), [["501", "f", "9", "t"]]);
    // As a function of a query, and seen by what follows.
    place.load(
        "x.sql",
        "SELECT setval('s', max(id), false) FROM t; INSERT INTO t SELECT nextval('s') + 1;",
    );
    assert_eq!(place.rows("SELECT max(id) FROM t"), [["71"]]);
    for wrong in [
        "SELECT setval('s', 1), setval('s', 2)",
        "SELECT setval('t', 1)",
        "SELECT setval('used', 10)",
    ] {
        place.faults(&place.import("x.sql", wrong));
    }
}

#[test]
fn a_new_row_without_its_parent_does_not_hide_behind_an_old_one() {
    let place = Place::new(
        TestDb::sqlite(),
        "PRAGMA foreign_keys = OFF; CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE c (p INTEGER REFERENCES p (id)); INSERT INTO c VALUES (1)",
    );
    let faults = place.faults(&place.import("x.sql", "INSERT INTO c VALUES (2);"));
    assert!(faults[0].problem.contains("1 more rows"), "{faults:?}");
    place.load(
        "x.sql",
        "INSERT INTO p VALUES (7); INSERT INTO c VALUES (7);",
    );
    assert_eq!(place.count("c"), "2");
}
