//! Everything that PostgreSQL lets one store.

use db_testkit::TestDb;
use db_transfer::export::{Content, Form, Options};

use super::{exported, exported_csv, exported_with, load, open, postgres, postgres_with};

const HOSTILE: &str = r#"
CREATE SCHEMA "other Schema";
CREATE TYPE mood AS ENUM ('sad', 'it''s "ok", so');
CREATE DOMAIN small AS integer CHECK (VALUE < 100);
CREATE DOMAIN smaller AS small CHECK (VALUE < 10);
CREATE TABLE "z parent" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Größe ""x"", y" text);
CREATE TABLE child ("select" text PRIMARY KEY, "order" bigint REFERENCES "z parent" (id));
CREATE TABLE "other Schema".child (id serial PRIMARY KEY, p bigint REFERENCES "z parent" (id));
CREATE TABLE cells (
  n int PRIMARY KEY, b boolean, i2 smallint, i8 bigint, f4 real, f8 double precision, num numeric,
  t text, c char(4), bytes bytea, j json, jb jsonb, at timestamptz, d date, iv interval, u uuid,
  m mood, s smaller, ints int[], texts text[][], addr inet, r int4range, p point);
CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c text DEFAULT 'x');
CREATE TABLE keyless (a json, b text);
CREATE TABLE empty ();
CREATE TABLE parts (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM ('1900-01-01') TO ('2000-01-01');
CREATE TABLE parts_new PARTITION OF parts FOR VALUES FROM ('2000-01-01') TO ('2100-01-01');
CREATE TABLE base (a int);
CREATE TABLE heir (b int) INHERITS (base);
CREATE TABLE __diesel_schema_migrations (version text PRIMARY KEY, run_on timestamp);
CREATE SEQUENCE alone START 5;
CREATE VIEW shown AS SELECT t FROM cells;
CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n FROM child;
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''fired''; END';
INSERT INTO "z parent" ("Größe ""x"", y") VALUES ('a'), (E'tab\there\\ \n.\n\\.\n'), (NULL);
INSERT INTO child VALUES ('b', 2), ('a', NULL);
CREATE TRIGGER never BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION fire();
INSERT INTO "other Schema".child (p) VALUES (1), (3);
INSERT INTO cells VALUES
 (1, true, -32768, 9223372036854775807, '1.5', 0.1, 12345678901234567890.1230, '', 'ab',
  '\x00ff', '{"b" : 1,  "a": [1, null]}', '{"b": 1, "a": 2}', '1969-07-20 20:17:40.123456+00',
  '0044-03-15 BC', '1 year -2 days 03:04:05.6', '00000000-0000-0000-0000-000000000001',
  'it''s "ok", so', 7, '{1,NULL,3}', '{{"a,b","NULL"},{"\"",""}}', '10.0.0.0/8', '[1,5)', '(1,2)'),
 (2, false, 0, 0, 'NaN', 'Infinity', 'NaN', E'line\r\nend "q", é', NULL, '', 'null', '"x"', '-infinity',
  'infinity', NULL, NULL, 'sad', NULL, '{}', NULL, NULL, 'empty', NULL),
 (3, NULL, NULL, NULL, '-Infinity', 1, '-Infinity', '=1+1', NULL, NULL, '{"$blob": "00"}', NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO computed (a) VALUES (1), (2);
INSERT INTO keyless VALUES ('{"z":1}', 'b'), ('[]', NULL);
INSERT INTO empty DEFAULT VALUES;
INSERT INTO parts VALUES (2, '2020-01-01'), (1, '1960-01-01');
INSERT INTO base VALUES (1); INSERT INTO heir VALUES (2, 3);
SELECT nextval('alone');
"#;

fn hostile() -> TestDb {
    postgres_with(HOSTILE)
}

fn one(db: &TestDb, sql: &str) -> String {
    let mut rows = postgres(db).rows(sql).unwrap();
    rows.remove(0).remove(0).unwrap()
}

#[test]
fn every_form_is_as_it_was() {
    let db = hostile();
    for (name, form) in [
        ("postgres_json", Form::Json),
        ("postgres_ndjson", Form::Ndjson),
    ] {
        let text = String::from_utf8(exported(&db, form)).unwrap();
        insta::assert_snapshot!(name, text);
        let documents = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
        for value in documents {
            value.unwrap();
        }
    }
    let (files, report) = exported_csv(&db);
    insta::assert_debug_snapshot!("postgres_csv", files);
    let no_columns = "empty has no columns, so CSV cannot hold its rows; json can";
    assert_eq!(
        report.warnings,
        [
            "the rows of kept are left out: it is a materialized view",
            no_columns
        ]
    );
    // What pg_dump writes differs from version to version; what is ours does not.
    let options = Options {
        form: Some(Form::Sql),
        content: Content::Data,
        ..Options::default()
    };
    let (script, _) = exported_with(&db, &options);
    insta::assert_snapshot!("postgres_sql_data", String::from_utf8(script).unwrap());
}

#[test]
fn a_script_makes_the_same_database() {
    let db = hostile();
    let script = exported(&db, Form::Sql);
    let again = TestDb::postgres();
    load(&again, &script);
    assert_eq!(exported(&again, Form::Sql), script);
    for form in [Form::Json, Form::Ndjson] {
        assert_eq!(exported(&again, form), exported(&db, form));
    }
    assert_eq!(exported_csv(&again).0, exported_csv(&db).0);
    for (sql, value) in [
        ("SELECT nextval('alone')", "6"),
        ("SELECT nextval('\"other Schema\".child_id_seq')", "3"),
        ("SELECT count(*) FROM parts_old", "1"),
        ("SELECT n FROM kept", "2"),
        ("SELECT sum(b) FROM computed", "6"),
        (
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated",
            "2",
        ),
        ("INSERT INTO \"z parent\" DEFAULT VALUES RETURNING id", "4"),
    ] {
        assert_eq!(one(&again, sql), value, "{sql}");
    }
}

#[test]
fn sorted_exports_do_not_depend_on_how_rows_are_stored() {
    let sorted = |db: &TestDb| {
        let options = Options {
            form: Some(Form::Ndjson),
            sorted: true,
            ..Options::default()
        };
        exported_with(db, &options).0
    };
    let db = hostile();
    let before = sorted(&db);
    let text = String::from_utf8(before.clone()).unwrap();
    assert!(text.find("\"select\":\"a\"").unwrap() < text.find("\"select\":\"b\"").unwrap());
    postgres(&db)
        .execute("UPDATE cells SET b = b WHERE n = 1; UPDATE keyless SET b = b WHERE b = 'b'")
        .unwrap();
    assert_eq!(sorted(&db), before);
}

#[test]
fn parents_come_first_over_all_schemas() {
    let db = hostile();
    let source = open(&db);
    let names: Vec<_> = source
        .shape
        .tables
        .iter()
        .map(|table| table.name.to_string())
        .collect();
    let at = |name: &str| names.iter().position(|other| other == name).unwrap();
    assert!(
        at("z parent") < at("child") && at("z parent") < at("other Schema.child"),
        "{names:?}"
    );
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("parts_") || name == "shown"),
        "{names:?}"
    );
    assert!(source.shape.cycles.is_empty());
}
