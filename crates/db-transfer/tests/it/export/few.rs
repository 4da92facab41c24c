//! Scripts of some tables: what they bring along, and what they say is missing.

use db_core::Interrupt;
use db_testkit::TestDb;
use db_transfer::Error;
use db_transfer::export::{Content, Options};
use db_transfer::format::Input;
use db_transfer::import::{Import, Report};

use super::{exported_with, load, postgres, postgres_with, sqlite_with, url};

/// What a script of `o.t` needs and cannot have.
const NEEDED: &str = "
CREATE TYPE mood AS ENUM ('sad');
CREATE DOMAIN small AS int CHECK (VALUE < 10);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE FUNCTION one() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE SEQUENCE alone;
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent VALUES (1);
";

const TABLES: &str = r#"
CREATE SCHEMA o;
CREATE TABLE o.t (id serial PRIMARY KEY, m mood[], s small DEFAULT one(), p int REFERENCES parent,
  n int DEFAULT nextval('alone'), x int GENERATED ALWAYS AS IDENTITY, t text UNIQUE CHECK (t <> ''));
CREATE INDEX ON o.t ((one()));
CREATE TRIGGER before BEFORE INSERT ON o.t FOR EACH ROW EXECUTE FUNCTION fire();
INSERT INTO o.t (m, p) VALUES ('{sad}', 1);
CREATE TABLE heir (b int) INHERITS (parent);
CREATE TABLE refers (t int REFERENCES o.t);
CREATE VIEW shown AS SELECT * FROM o.t;
CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE o.p1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE "p.2" PARTITION OF parts FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE p21 PARTITION OF "p.2" FOR VALUES FROM (10) TO (20);
INSERT INTO parts VALUES (1), (11), (12);
"#;

fn of(tables: &[&str], content: Content) -> Options {
    Options {
        tables: tables.iter().map(ToString::to_string).collect(),
        content,
        ..Options::default()
    }
}

fn warnings(db: &TestDb, tables: &[&str], content: Content) -> Vec<String> {
    exported_with(db, &of(tables, content)).1.warnings
}

fn count(db: &TestDb, from: &str) -> String {
    let mut rows = postgres(db)
        .rows(&format!("SELECT count(*) FROM {from}"))
        .unwrap();
    rows.remove(0).remove(0).unwrap()
}

fn import(db: &TestDb, script: &[u8]) -> Result<Report, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sql");
    std::fs::write(&path, script).unwrap();
    Import::new(Input::File(path)).run(&url(db), &Interrupt::default(), &mut |_| {})
}

#[test]
fn a_partitioned_table_brings_its_partitions_and_schemas() {
    let db = postgres_with(&format!("{NEEDED}{TABLES}"));
    let (script, report) = exported_with(&db, &of(&["parts"], Content::All));
    assert_eq!((report.rows, report.warnings.as_slice()), (3, &[][..]));
    let new = TestDb::postgres();
    load(&new, &script);
    let counts = ["parts", "o.p1", "p21"].map(|from| count(&new, from));
    assert_eq!(counts, ["3", "1", "2"]);
}

#[test]
fn what_a_script_needs_is_named_and_is_all_that_it_needs() {
    let db = postgres_with(&format!("{NEEDED}{TABLES}"));
    let (script, report) = exported_with(&db, &of(&["o.t"], Content::All));
    assert_eq!(
        report.warnings,
        [
            "the script needs what is not in it, and can be loaded only where that is: function fire(), \
             function one(), sequence alone, table parent, type mood[], type small"
        ]
    );
    let new = postgres_with(NEEDED);
    load(&new, &script);
    assert_eq!(count(&new, "o.t WHERE s = 1 AND m = '{sad}'"), "1");
    let heir = warnings(&db, &["heir"], Content::Schema);
    assert!(
        heir.concat().ends_with("only where that is: table parent"),
        "{heir:?}"
    );
    for (tables, content) in [
        (&["heir", "parent"][..], Content::All),
        (&["o.t"], Content::Data),
        (&[], Content::All),
    ] {
        assert_eq!(warnings(&db, tables, content), [""; 0], "{tables:?}");
    }
}

#[test]
fn rows_that_refer_to_each_other_are_loaded_without_the_schema() {
    let tables = "CREATE TABLE a (id int PRIMARY KEY, b int);
         CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, b int REFERENCES b);
         ALTER TABLE a ADD CONSTRAINT \"to \"\"b\" FOREIGN KEY (b) REFERENCES b DEFERRABLE;";
    let rows = "INSERT INTO a VALUES (1, NULL); INSERT INTO b VALUES (1, 1, 1); UPDATE a SET b = 1";
    let db = postgres_with(&format!("{tables}{rows}"));
    let (script, report) = exported_with(&db, &of(&[], Content::Data));
    let said = report.warnings.concat();
    assert!(
        said.contains("refer to each other") && said.contains("the owner of the tables"),
        "{said}"
    );
    let keys = "pg_constraint WHERE contype = 'f' AND NOT condeferred AND condeferrable = (conname = 'to \"b')";
    for imported in [false, true] {
        let new = postgres_with(tables);
        if imported {
            import(&new, &script).unwrap();
        } else {
            load(&new, &script);
        }
        assert_eq!(
            ["a", "b", keys].map(|from| count(&new, from)),
            ["1", "1", "3"]
        );
    }
    // Nothing is deferred for good, and no broken rows come in.
    let broken = String::from_utf8(script)
        .unwrap()
        .replace("1\t1\t1\n", "1\t7\t1\n");
    let new = postgres_with(tables);
    import(&new, broken.as_bytes()).unwrap_err();
    assert_eq!(count(&new, "a"), "0");
    assert_eq!(warnings(&db, &["b"], Content::Data), [""; 0]);
    let (script, report) = exported_with(&db, &Options::default());
    assert_eq!(report.warnings, [""; 0]);
    load(&TestDb::postgres(), &script);
}

#[test]
fn what_leads_out_of_the_tables_of_sqlite_is_named() {
    let db = sqlite_with(
        r#"CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE "my log" (t TEXT);
         CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES Parent (id));
         CREATE TRIGGER kept AFTER INSERT ON Child BEGIN
           INSERT INTO [MY LOG] VALUES ('parent'); UPDATE child SET p = NULL; END;
         CREATE TRIGGER other AFTER INSERT ON parent BEGIN DELETE FROM child; END;"#,
    );
    assert_eq!(
        warnings(&db, &["child"], Content::All),
        [
            "child refers to Parent, which is not in the script",
            "the trigger kept of Child names my log, which is not in the script"
        ]
    );
    for (tables, content) in [
        (&["child", "parent", "my log"][..], Content::All),
        (&["child"], Content::Data),
        (&[], Content::All),
    ] {
        assert_eq!(warnings(&db, tables, content), [""; 0], "{tables:?}");
    }
}
