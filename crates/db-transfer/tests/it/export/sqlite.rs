//! Everything that SQLite lets one store.

use db_core::bulk::{CellRef, SqliteBulk};
use db_testkit::TestDb;
use db_transfer::export::{Content, Form, Options};

use super::{exported, exported_csv, exported_with, load, sqlite, sqlite_with};

const HOSTILE: &str = "
PRAGMA application_id = 4711;
PRAGMA user_version = -3;
CREATE TABLE \"z parent\" (id INTEGER PRIMARY KEY AUTOINCREMENT, \"Größe \"\"x\"\", y\" TEXT);
CREATE TABLE child (
  \"select\" TEXT NOT NULL, \"order\" INTEGER REFERENCES \"z parent\" (id),
  PRIMARY KEY (\"select\")) WITHOUT ROWID; -- a comment
CREATE TABLE cells (n INTEGER PRIMARY KEY, v);
CREATE TABLE computed (a INTEGER, b INTEGER AS (a * 2) STORED, c INTEGER AS (a + 1), d TEXT) STRICT;
CREATE TABLE \"rowid taken\" (rowid TEXT, _rowid_ TEXT, oid TEXT);
CREATE TABLE empty (a, b);
CREATE TABLE one (only TEXT);
CREATE TABLE loop_a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES loop_b (id));
CREATE TABLE loop_b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES loop_a (id));
CREATE TABLE __diesel_schema_migrations (version TEXT PRIMARY KEY NOT NULL, run_on TEXT);
CREATE TABLE seen (what TEXT);
CREATE INDEX i ON cells (v) WHERE v IS NOT NULL;
CREATE VIEW shown AS SELECT v FROM cells;
CREATE TRIGGER tr AFTER INSERT ON one BEGIN INSERT INTO seen VALUES ('fired; -- no'); END;
CREATE VIRTUAL TABLE words USING fts5(title, body);
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
INSERT INTO \"z parent\" VALUES (7, 'it''s \"q\", ok'), (41, NULL);
DELETE FROM \"z parent\" WHERE id = 41;
INSERT INTO child VALUES ('b', 7), ('a', NULL);
INSERT INTO computed (a, d) VALUES (1, 'x'), (2, '');
INSERT INTO \"rowid taken\" VALUES ('r', 's', 't');
INSERT INTO loop_a VALUES (1, NULL); INSERT INTO loop_b VALUES (1, 1); UPDATE loop_a SET b = 1;
INSERT INTO __diesel_schema_migrations VALUES ('20240101', 'then');
INSERT INTO words VALUES ('dice', 'seven come eleven'), ('craps', 'snake eyes');
INSERT INTO boxes VALUES (1, -1.5, 2.5);
";

/// Values that no script can hold as they are, and what the edges are.
const CELLS: &[CellRef<'static>] = &[
    CellRef::Null,
    CellRef::Integer(i64::MIN),
    CellRef::Integer(i64::MAX),
    // The microseconds of a moment before 1970.
    CellRef::Integer(-86_400_000_000),
    CellRef::Real(1.0),
    CellRef::Real(0.1),
    CellRef::Real(1e300),
    CellRef::Real(5e-324),
    CellRef::Real(f64::INFINITY),
    CellRef::Real(f64::NEG_INFINITY),
    CellRef::Text(b""),
    CellRef::Text(b"1"),
    CellRef::Text("W\u{fc}rfel \u{1f3b2}".as_bytes()),
    CellRef::Text(b"a\0b"),
    CellRef::Text(b"a\r\nb\nc\rd"),
    CellRef::Text(b"\xff\xfe"),
    CellRef::Text(b"=cmd|' /C calc'!A0"),
    CellRef::Text(b"\\x41, \"q\""),
    CellRef::Text(b"\n.quit\n;\n--\n/*"),
    CellRef::Blob(b""),
    CellRef::Blob(b"\0\xff'"),
];

fn hostile() -> TestDb {
    let db = sqlite_with(HOSTILE);
    let mut bulk = sqlite(&db);
    bulk.execute("BEGIN").unwrap();
    {
        let mut insert = bulk.prepare("INSERT INTO cells (v) VALUES (?)").unwrap();
        for cell in CELLS {
            insert.run(&[*cell]).unwrap();
        }
    }
    bulk.execute("COMMIT").unwrap();
    db
}

fn one(bulk: &SqliteBulk, sql: &str) -> i64 {
    let mut rows = bulk.prepare(sql).unwrap();
    assert!(rows.step().unwrap());
    match rows.cell(0).unwrap() {
        CellRef::Integer(number) => number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_form_is_as_it_was() {
    let db = hostile();
    for (name, form) in [
        ("sqlite_sql", Form::Sql),
        ("sqlite_json", Form::Json),
        ("sqlite_ndjson", Form::Ndjson),
    ] {
        let bytes = exported(&db, form);
        insta::assert_snapshot!(name, String::from_utf8(bytes).unwrap());
    }
    let (files, report) = exported_csv(&db);
    insta::assert_debug_snapshot!("sqlite_csv", files);
    let mixed: Vec<_> = report
        .warnings
        .iter()
        .filter(|w| w.contains("cells.v"))
        .collect();
    assert_eq!(mixed.len(), 1, "{:?}", report.warnings);
    assert!(
        mixed[0].contains("integers and reals and texts and blobs"),
        "{}",
        mixed[0]
    );
}

#[test]
fn a_script_makes_the_same_database() {
    let db = hostile();
    let script = exported(&db, Form::Sql);
    let again = TestDb::sqlite();
    load(&again, &script);
    assert_eq!(exported(&again, Form::Sql), script);
    for form in [Form::Json, Form::Ndjson] {
        assert_eq!(exported(&again, form), exported(&db, form));
    }
    assert_eq!(exported_csv(&again).0, exported_csv(&db).0);
    let mut bulk = sqlite(&again);
    for (sql, number) in [
        // Triggers were made after the rows, and fire from now on.
        ("SELECT count(*) FROM seen", 0),
        ("SELECT rowid FROM words WHERE words MATCH 'eleven'", 1),
        ("SELECT id FROM boxes WHERE x0 < 0 AND x1 > 2", 1),
        ("SELECT seq FROM sqlite_sequence", 41),
        ("SELECT user_version FROM pragma_user_version", -3),
        ("SELECT count(*) FROM pragma_foreign_key_check", 0),
        (
            "SELECT count(*) FROM shown",
            i64::try_from(CELLS.len()).unwrap(),
        ),
        ("SELECT b + c FROM computed WHERE a = 2", 7),
        (
            "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
            0,
        ),
    ] {
        assert_eq!(one(&bulk, sql), number, "{sql}");
    }
    bulk.execute("INSERT INTO words VALUES ('new', 'eleven'); INSERT INTO one VALUES ('x')")
        .unwrap();
    assert_eq!(
        one(
            &bulk,
            "SELECT count(*) FROM words WHERE words MATCH 'eleven'"
        ),
        2
    );
    assert_eq!(one(&bulk, "SELECT count(*) FROM seen"), 1);
    // Cells are what they were, to the bit.
    let mut rows = bulk.prepare("SELECT v FROM cells ORDER BY n").unwrap();
    for cell in CELLS {
        assert!(rows.step().unwrap());
        assert_eq!(rows.cell(0).unwrap(), *cell);
    }
}

/// A full-text index whose texts are in a table that is named as if the index had made it.
#[test]
fn texts_that_an_index_is_over_are_rows_like_any_other() {
    let schema = "CREATE TABLE notes_content (id INTEGER PRIMARY KEY, body TEXT, author TEXT);
         CREATE VIRTUAL TABLE notes USING fts5 (body, content = 'notes_content', content_rowid = 'id');
         CREATE VIRTUAL TABLE own USING fts5 (body);";
    let db = sqlite_with(&format!(
        "{schema} INSERT INTO notes_content VALUES (5, 'seven come eleven', 'Ann');
         INSERT INTO notes (notes) VALUES ('rebuild'); INSERT INTO own VALUES ('snake eyes')"
    ));
    let (files, _) = exported_csv(&db);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["notes.csv", "notes_content.csv", "own.csv"]);
    assert_eq!(files[1].1, "id,body,author\r\n5,seven come eleven,Ann\r\n");
    for form in [Form::Json, Form::Ndjson] {
        let text = String::from_utf8(exported(&db, form)).unwrap();
        assert!(
            text.contains("Ann") && !text.contains("own_content"),
            "{text}"
        );
    }
    let script = exported(&db, Form::Sql);
    let again = TestDb::sqlite();
    load(&again, &script);
    assert_eq!(exported(&again, Form::Sql), script);
    let found = "SELECT rowid FROM notes WHERE notes MATCH 'eleven'";
    assert_eq!(one(&sqlite(&again), found), 5);
}

#[test]
fn a_part_is_a_part() {
    let db = hostile();
    let part = |content, tables: &[&str]| {
        let options = Options {
            form: Some(Form::Sql),
            tables: tables.iter().map(|name| (*name).to_owned()).collect(),
            content,
            ..Options::default()
        };
        String::from_utf8(exported_with(&db, &options).0).unwrap()
    };
    let tables = ["child", "Z PARENT", "one"];
    let schema = part(Content::Schema, &tables);
    assert!(
        !schema.contains("INSERT INTO child") && schema.contains("CREATE TRIGGER tr"),
        "{schema}"
    );
    assert!(
        !schema.contains("CREATE VIEW") && !schema.contains("CREATE INDEX i"),
        "{schema}"
    );
    let data = part(Content::Data, &tables);
    assert!(!data.contains("CREATE"), "{data}");
    // Parents go first, in whatever order they are named.
    let (parent, child) = (
        data.find("INSERT INTO \"z parent\""),
        data.find("INSERT INTO \"child\""),
    );
    assert!(parent.unwrap() < child.unwrap(), "{data}");
    let again = TestDb::sqlite();
    let whole = part(Content::Schema, &[]);
    load(&again, whole.as_bytes());
    load(&again, part(Content::Data, &tables).as_bytes());
    let named = |db: &TestDb| {
        let options = Options {
            form: Some(Form::Ndjson),
            tables: tables.iter().map(|name| (*name).to_owned()).collect(),
            ..Options::default()
        };
        exported_with(db, &options).0
    };
    assert_eq!(named(&again), named(&db));
}
