//! The forms that can be imported, with and without compression.

use std::io::Write as _;

use db_core::Engine;
use db_testkit::{TestDb, both_engines};
use db_transfer::export::Form as Out;
use db_transfer::format::{Form, Input};
use db_transfer::import::{Import, OnConflict};

use super::{Place, told};
use crate::export::exported;

const SCHEMA: &str = "CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE children (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parents (id),
                           score DOUBLE PRECISION, note TEXT DEFAULT 'none')";

both_engines! {
    fn csv_goes_into_the_table_of_its_name(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let report = place.load("parents.csv", "\u{feff}name,id\r\n\"a,\"\"b\"\"\",1\r\n=1+1,2\r\n\"\",3\r\n");
        assert_eq!((report.rows(), report.tables[0].table.as_str()), (3, "parents"));
        // Columns that are not there get their defaults, and a formula is text.
        place.load("children.csv", "id,parent_id,score\n1,1,1.5\n2,,\n");
        assert_eq!(
            place.rows("SELECT id, name FROM parents ORDER BY id"),
            [["1", "a,\"b\""], ["2", "=1+1"], ["3", ""]]
        );
        assert_eq!(
            place.rows("SELECT parent_id, score, note FROM children ORDER BY id"),
            [["1", "1.5", "none"], ["NULL", "NULL", "none"]]
        );
    }

    fn compressed_files_are_unpacked_whatever_they_are_called(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(b"id,name\n1,a\n").unwrap();
        place.load("parents.csv.gz", gz.finish().unwrap());
        let zst = zstd::encode_all(&b"id,name\n2,b\n"[..], 1).unwrap();
        place.load("parents.csv", &zst);
        assert_eq!(place.count("parents"), "2");
        // One that is cut off brings nothing.
        let faults = place.faults(&place.import("parents.csv.zst", &zst[..zst.len() - 2]));
        assert!(faults[0].problem.contains("damaged"), "{faults:?}");
    }

    fn documents_bring_several_tables_in_any_order(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let report = place.load("all.json", r#"{"format":"bitcraps-db","version":1,"engine":"sqlite","tables":[
            {"name":"children","columns":[{"name":"id"},{"name":"parent_id"},{"name":"score"},{"name":"note"}],
             "rows":[[1,7,2,"x"],[2,null,0.1,null]]},
            {"name":"parents","columns":[{"name":"id"},{"name":"name"}],"rows":[[7,"p"]]}]}"#);
        assert_eq!((report.rows(), report.tables.len()), (3, 2));
        assert_eq!(
            place.rows("SELECT parent_id, score, note FROM children ORDER BY id"),
            if place.engine() == Engine::Sqlite { [["7", "2.0", "x"], ["NULL", "0.1", "NULL"]] }
            else { [["7", "2", "x"], ["NULL", "0.1", "NULL"]] }
        );
        // The keys are as they were: neither can be put off by others.
        let db = &mut place.db.connect();
        db.conn().batch_execute("INSERT INTO children (id, parent_id) VALUES (9, 99)").unwrap_err();
    }

    fn lines_and_arrays_of_objects_are_read(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        place.load("parents.ndjson", "{\"id\":1,\"name\":\"a\"}\n{\"name\":\"b\",\"id\":2}\n");
        place.load("parents.json", "[{\"id\":3,\"name\":\"c\"}]");
        place.load("x.jsonl", "{\"$table\":\"parents\",\"columns\":[\"id\",\"name\"]}\n{\"id\":4,\"name\":\"d\"}\n\
                               {\"$table\":\"children\",\"columns\":[\"id\"]}\n{\"id\":4}\n");
        assert_eq!((place.count("parents"), place.count("children")), ("4".to_owned(), "1".to_owned()));
        // Of several tables one alone can be asked for.
        let two = "{\"$table\":\"parents\",\"columns\":[\"id\",\"name\"]}\n{\"id\":5,\"name\":\"d\"}\n\
                   {\"$table\":\"children\",\"columns\":[\"id\"]}\n{\"id\":5}\n";
        place.run(&place.import("y.ndjson", two).tables(Some("children".to_owned()))).unwrap();
        assert_eq!((place.count("parents"), place.count("children")), ("4".to_owned(), "2".to_owned()));
    }

    fn objects_need_not_have_all_members(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let objects = |n: u8| [
            format!("{{\"id\":{n}1}}"),
            format!("{{\"score\":1.5,\"id\":{n}2}}"),
            format!("{{\"note\":\"x\",\"id\":{n}3}}"),
        ];
        place.load("children.json", format!("[{}]", objects(1).join(",")));
        place.load("children.ndjson", objects(2).join("\n"));
        // A header says it all.
        let header = "{\"$table\":\"children\",\"columns\":[\"id\"]}\n";
        let faults = place.faults(&place.import("x.ndjson", format!("{header}{}", objects(3).join("\n"))));
        assert_eq!(faults.len(), 2, "{faults:?}");
        place.load("children.ndjson", format!("{}\n{header}{{\"id\":43}}", objects(4)[..2].join("\n")));
        let rows = |n: u8| place.rows(&format!(
            "SELECT id - {n}0, score, note FROM children WHERE id / 10 = {n} ORDER BY id"
        ));
        // As in a column that no object has, what is missing is the default.
        let expected = [["1", "NULL", "none"], ["2", "1.5", "none"], ["3", "NULL", "x"]];
        assert_eq!(rows(1), expected);
        assert_eq!(rows(2), expected);
        assert_eq!(rows(4), [["1", "NULL", "none"], ["2", "1.5", "none"], ["3", "NULL", "none"]]);
        // One that no table has is a fault like any other column.
        let faults = place.faults(&place.import("children.json", "[{\"id\":1},{\"id\":2,\"other\":3}]"));
        assert!(faults[0].problem.contains("no column \"other\""), "{faults:?}");
    }

    fn an_update_takes_nothing_from_what_a_row_does_not_name(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        place.load("children.csv", "id,score\n1,5\n2,6\n");
        let update = |text: &str| place.import("children.json", text).on_conflict(OnConflict::Update);
        for (text, line) in [
            ("[{\"id\":1,\"note\":\"a\"},\n{\"id\":2,\"note\":\"b\",\"score\":7}]", 1),
            ("[{\"id\":2,\"note\":\"b\",\"score\":7},\n{\"id\":1,\"note\":\"a\"}]", 2),
        ] {
            let faults = place.faults(&update(text));
            assert!(faults[0].problem.contains("the member \"score\" is missing"), "{faults:?}");
            assert_eq!((faults.len(), faults[0].place.unwrap().line), (1, line), "{faults:?}");
        }
        let scores = || place.rows("SELECT CAST(score AS INTEGER), note FROM children ORDER BY id");
        assert_eq!(scores(), [["5", "none"], ["6", "none"]]);
        place.run(&update("[{\"id\":1,\"note\":\"a\"},{\"id\":2,\"note\":\"b\"}]")).unwrap();
        assert_eq!(scores(), [["5", "a"], ["6", "b"]]);
    }

    fn a_document_without_anything_is_a_fault(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        for text in ["", " \n"] {
            let faults = place.faults(&place.import("parents.json", text));
            assert!(faults[0].problem.contains("empty"), "{faults:?}");
        }
        assert_eq!(place.load("parents.json", "[]").rows(), 0);
        // Lines are none, too, unless one says of which table there are no rows, as an export does.
        for text in ["", " \n\n"] {
            let faults = place.faults(&place.import("parents.ndjson", text));
            assert!(faults[0].problem.contains("empty") && faults[0].problem.contains("$table"), "{faults:?}");
        }
        for text in ["{\"$table\":null}\n", "{\"$table\":null}"] {
            assert_eq!(place.load("none.ndjson", text).rows(), 0);
        }
        let text = "{\"id\":1,\"name\":\"a\"}\n{\"$table\":null}\n{\"id\":2,\"name\":\"b\"}\n";
        let faults = place.faults(&place.import("parents.ndjson", text));
        assert_eq!(told(&faults), ["parents.ndjson:2:1: parents: only a first line can say that there is no table"]);
        let written = exported(&place.db, Out::Ndjson);
        assert_eq!(String::from_utf8_lossy(&written).lines().count(), 2, "a header for each table");
        assert_eq!(place.load("all.ndjson", written).rows(), 0);
        assert_eq!(place.load("parents.csv", "id,name\n").rows(), 0);
    }

    fn a_folder_of_csv_is_one_import(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        place.file("children.csv", "id,parent_id\n1,1\n");
        place.file("parents.csv", "id,name\n1,a\n");
        place.file("README.txt", "not me");
        let folder = Import::new(Input::File(place.dir.path().to_owned()));
        let report = place.run(&folder).unwrap();
        let tables: Vec<_> = report.tables.iter().map(|t| t.table.as_str()).collect();
        assert_eq!(tables, ["parents", "children"]);
        // All of it or nothing.
        place.file("children.csv", "id,parent_id\n2,1\n3,x\n");
        place.file("parents.csv", "id,name\n2,b\n");
        let faults = place.faults(&folder);
        assert_eq!(told(&faults), ["children.csv:3:3: children.parent_id: \"x\": is no integer"]);
        assert_eq!((place.count("parents"), place.count("children")), ("1".to_owned(), "1".to_owned()));
    }

    fn a_dry_run_does_everything_and_undoes_it(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let report = place.run(&place.import("parents.csv", "id,name\n1,a\n").dry_run(true)).unwrap();
        assert_eq!((report.rows(), report.dry_run), (1, true));
        assert_eq!(place.count("parents"), "0");
        let faults = place.faults(&place.import("children.csv", "id,parent_id\n1,1\n").dry_run(true));
        assert!(faults[0].problem.contains("parents"), "{faults:?}");
    }

    fn numbering_goes_on_behind_what_came(db: TestDb) {
        let key = if db.url().starts_with("postgres") {
            "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
        } else {
            "INTEGER PRIMARY KEY AUTOINCREMENT"
        };
        let place = Place::new(db, &format!("CREATE TABLE t (id {key}, a TEXT)"));
        place.load("t.csv", "id,a\n41,x\n7,y\n");
        place.execute("INSERT INTO t (a) VALUES ('z')");
        assert_eq!(place.rows("SELECT id FROM t WHERE a = 'z'"), [["42"]]);
        // What is undone moves nothing on.
        place.run(&place.import("t.csv", "id,a\n1000,x\n").dry_run(true)).unwrap();
        place.faults(&place.import("t.csv", "id,a\n1000,x\n41,x\n"));
        // What came is less: numbers do not go back.
        place.load("t.csv", "id,a\n8,y\n");
        place.execute("INSERT INTO t (a) VALUES ('last')");
        assert_eq!(place.rows("SELECT id FROM t WHERE a = 'last'"), [["43"]]);
    }

    fn triggers_fire_only_if_that_is_asked_for(db: TestDb) {
        let postgres = db.url().starts_with("postgres");
        let place = Place::new(db, if postgres {
            "CREATE TABLE t (a INTEGER); CREATE TABLE log (a INTEGER);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN INSERT INTO log VALUES (new.a); RETURN new; END';
             CREATE TRIGGER \"t;1\" AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
             CREATE TRIGGER t2 AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
             ALTER TABLE t DISABLE TRIGGER t2"
        } else {
            "CREATE TABLE t (a INTEGER); CREATE TABLE log (a INTEGER);
             CREATE TRIGGER t1 AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END"
        });
        place.load("t.csv", "a\n1\n");
        assert_eq!(place.count("log"), "0");
        place.run(&place.import("t.csv", "a\n2\n").fire_triggers(true)).unwrap();
        assert_eq!(place.count("log"), "1");
        // Whatever was on is on again, and nothing else.
        place.execute("INSERT INTO t VALUES (3)");
        assert_eq!(place.count("log"), "2");
    }
}

#[test]
fn columns_that_sqlite_computes_are_left_to_it() {
    let place = Place::new(
        TestDb::sqlite(),
        "CREATE TABLE t (a INTEGER, b INTEGER AS (a * 2) STORED) STRICT",
    );
    let report = place.load("t.csv", "a,b\n1,99\n");
    assert_eq!(place.rows("SELECT * FROM t"), [["1", "2"]]);
    assert!(report.notices[0].contains('b'), "{report:?}");
}

#[test]
fn types_of_postgres_arrive() {
    let place = Place::new(
        TestDb::postgres(),
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE SCHEMA \"s.1\";
         CREATE TABLE \"s.1\".t (a numeric, b timestamptz, c boolean, d bytea, e jsonb, f mood, g int[],
           h varchar(3), i uuid, j double precision)",
    );
    let text = "a,b,c,d,e,f,g,h,i,j\n\
        123456789012345678901234567890.5,1969-12-31 23:59:59.5,t,\\x00ff,\"{\"\"a\"\": 1}\",ok,\"{1,NULL}\",abc,\
        7D444840-9DC0-11D1-B245-5FFDCE74FAD2,NaN\n";
    let import = place
        .import("x.csv", text)
        .tables(Some("\"s.1\".t".to_owned()));
    place.run(&import).unwrap();
    let found =
        place.rows("SELECT a, extract(epoch from b), c, d, e, f, g, h, i, j FROM \"s.1\".t");
    assert_eq!(
        found,
        [[
            "123456789012345678901234567890.5",
            "-0.500000",
            "t",
            "\\x00ff",
            "{\"a\": 1}",
            "ok",
            "{1,NULL}",
            "abc",
            "7d444840-9dc0-11d1-b245-5ffdce74fad2",
            "NaN"
        ]]
    );
    let json = r#"[{"a":1e3,"c":false,"d":{"$blob":"00"},"e":{"k":["\u00e9",null]},"h":"ü","j":{"$real":"-Infinity"}},
                   {"e":"text","j":0.1},{"e":{"$json":null}}]"#;
    let import = place
        .import("x.json", json)
        .tables(Some("\"s.1\".t".to_owned()));
    place.run(&import).unwrap();
    assert_eq!(
        place.rows("SELECT a, c, d, e, h, j FROM \"s.1\".t OFFSET 1"),
        [
            [
                "1000",
                "f",
                "\\x00",
                "{\"k\": [\"é\", null]}",
                "ü",
                "-Infinity"
            ],
            ["NULL", "NULL", "NULL", "\"text\"", "NULL", "0.1"],
            ["NULL", "NULL", "NULL", "null", "NULL", "NULL"],
        ]
    );
}

#[test]
fn a_name_that_says_no_form_needs_one() {
    let place = Place::new(TestDb::sqlite(), "CREATE TABLE t (a)");
    let import = place.import("t.txt", "a\n1\n");
    assert!(
        place
            .run(&import)
            .unwrap_err()
            .to_string()
            .contains("--format")
    );
    let import = import.form(Some(Form::Csv));
    assert!(
        place
            .run(&import)
            .unwrap_err()
            .to_string()
            .contains("--table")
    );
    place.run(&import.tables(Some("T".to_owned()))).unwrap();
    let missing = place.import("u.csv", "a\n");
    assert!(
        place
            .run(&missing)
            .unwrap_err()
            .to_string()
            .contains("\"u\"")
    );
}
