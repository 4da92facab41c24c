//! What PostgreSQL has and SQLite does not.

use db_testkit::TestDb;

use db_transfer::copy::{Copy, CopyError};

use super::support::{contents, copied, endpoint, lines};

const EVERYTHING: &str = "
CREATE SCHEMA audit;
CREATE TYPE mood AS ENUM ('sad', 'so so', 'it''s fine');
CREATE TABLE kinds (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, small smallint, big bigint, f real, d double precision,
  n numeric(40, 10), exact numeric, flag boolean DEFAULT true, t text DEFAULT 'x', v varchar(9), c char(3),
  b bytea, ts timestamptz DEFAULT now(), plain timestamp, day date, clock time, span interval,
  u uuid, j json, jb jsonb, words text[], m mood DEFAULT 'sad', net inet,
  twice bigint GENERATED ALWAYS AS (small * 2) STORED,
  CONSTRAINT small_range CHECK (small BETWEEN -5 AND 5000), CONSTRAINT v_in CHECK (v IN ('a', 'b')),
  CONSTRAINT t_like CHECK (t ~ '^[^0]*$'), UNIQUE (u));
INSERT INTO kinds (small, big, f, d, n, exact, t, v, c, b, ts, plain, day, clock, span, u, j, jb, words, m, net)
VALUES
 (-5, -9223372036854775808, 0.1, 1e-300, 12345678901234567890.0123456789, 0.1, E'tab\\tline\\nback\\\\', 'a', 'x',
  '\\x00ff', '1969-12-31 23:59:59.999999+00', '0044-03-15 12:00:00 BC', '4713-01-01 BC', '23:59:60', '1 mon -1 day',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\" : 1, \"a\": 2}', '{\"b\": 1.0, \"a\": [1e2]}',
  '{a,NULL,\"b c\"}', 'it''s fine', '10.0.0.0/8'),
 (5000, 9223372036854775807, 'Infinity', '-Infinity', NULL, 12, '', 'b', '', '', 'infinity', 'infinity', 'infinity',
  '00:00', '-00:00:00.000001', NULL, 'null', '\"x\"', '{}', 'sad', NULL),
 (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL);
CREATE TABLE audit.log (\"At\" timestamptz, kind int REFERENCES kinds (id));
INSERT INTO audit.log VALUES ('2024-02-29 12:00:00.5+01', 1);
CREATE TABLE parts (day date NOT NULL, n int) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO parts VALUES ('2024-06-01', 1), ('2024-06-02', 2);
CREATE TABLE parent (a int);
CREATE TABLE heir (b int) INHERITS (parent);
INSERT INTO parent VALUES (1);
INSERT INTO heir VALUES (2, 3);
CREATE INDEX by_day ON kinds (day DESC, lower(t)) WHERE flag;
CREATE INDEX by_words ON kinds USING gin (words);
CREATE VIEW moods AS SELECT m FROM kinds;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
COMMENT ON TABLE kinds IS 'of everything';
";

#[test]
fn every_type_arrives_in_sqlite_postgres() {
    let (before, after) = (TestDb::postgres(), TestDb::sqlite());
    before.connect().execute(EVERYTHING);
    let report = copied(&before, &after);
    let text = |sql: &str| lines(&after, sql);
    let declared = "SELECT name || ' ' || type AS line FROM pragma_table_info('kinds')";
    assert_eq!(
        text(declared).join(", "),
        "id INTEGER, small INTEGER, big INTEGER, f REAL, d REAL, n TEXT, exact NUMERIC, flag BOOLEAN, \
         t TEXT, v TEXT, c TEXT, b BLOB, ts TEXT, plain TEXT, day TEXT, clock TEXT, span TEXT, u TEXT, \
         j TEXT, jb TEXT, words TEXT, m TEXT, net TEXT, twice INTEGER"
    );
    let row = "SELECT concat_ws('|', small, big, d, n, exact, flag, t, c, hex(b), ts, plain, day, clock, span, u, \
        j, jb, words, m, net) AS line FROM kinds WHERE id = 1";
    assert_eq!(
        text(row),
        [
            "-5|-9223372036854775808|1.0e-300|12345678901234567890.0123456789|0.1|1|tab\tline\nback\\|x  |00FF|\
          1969-12-31 23:59:59.999999+00:00|0044-03-15 12:00:00 BC|4713-01-01 BC|24:00:00|1 mon -1 days|\
          a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|{\"a\" : 1, \"a\": 2}|{\"a\": [100], \"b\": 1.0}|\
          {a,NULL,\"b c\"}|it's fine|10.0.0.0/8"
        ]
    );
    assert_eq!(
        text("SELECT \"At\" AS line FROM \"audit.log\""),
        ["2024-02-29 11:00:00.5+00:00"]
    );
    // Each row once, although PostgreSQL shows it under two names.
    assert_eq!(report.rows, 3 + 1 + 2 + 1 + 1);
    let checks = "SELECT sql AS line FROM sqlite_schema WHERE name = 'kinds'";
    let sql = text(checks).concat();
    assert!(
        sql.contains("v_in") && sql.contains("small_range") && !sql.contains("t_like"),
        "{sql}"
    );
    let left: Vec<String> = report
        .not_translated
        .iter()
        .map(|l| format!("{} {}", l.kind, l.name))
        .collect();
    for expected in [
        "check kinds.t_like",
        "default kinds.ts",
        "generated column kinds.twice",
        "index by_words",
        "view moods",
        "partitioning parts",
        "type mood",
    ] {
        assert!(left.contains(&expected.to_owned()), "{expected}: {left:#?}");
    }
    assert!(
        left.iter().any(|l| l.starts_with("function one")),
        "{left:#?}"
    );
}

#[test]
fn every_type_arrives_in_another_postgres() {
    let (before, after) = (TestDb::postgres(), TestDb::postgres());
    before.connect().execute(EVERYTHING);
    copied(&before, &after);
    for table in ["kinds", "audit.log", "parts", "ONLY parent", "heir"] {
        let sql = format!("SELECT t::text AS line FROM {table} t ORDER BY 1");
        assert_eq!(lines(&before, &sql), lines(&after, &sql), "{table}");
    }
    let keys = "SELECT conname || pg_get_constraintdef(oid) AS line FROM pg_constraint \
        WHERE connamespace::regnamespace::text IN ('public', 'audit') AND contype <> 'c' ORDER BY 1";
    // The server writes some checks in other words when it reads them again.
    let checks = "SELECT conname::text AS line FROM pg_constraint WHERE contype = 'c' \
        AND connamespace::regnamespace::text = 'public' ORDER BY 1";
    assert_eq!(lines(&before, checks), lines(&after, checks));
    assert_eq!(lines(&before, keys), lines(&after, keys));
    let indexes = "SELECT indexdef AS line FROM pg_indexes WHERE tablename = 'kinds' ORDER BY 1";
    assert_eq!(lines(&before, indexes), lines(&after, indexes));
    after
        .connect()
        .execute("INSERT INTO kinds (small) VALUES (1)");
    assert_eq!(
        lines(
            &after,
            "SELECT concat(id, t, m, ts IS NULL) AS line FROM kinds WHERE small = 1"
        ),
        ["4xsadf"]
    );
}

const OWN_TYPES: &str = "
CREATE SCHEMA kinds;
CREATE TYPE kinds.mood AS ENUM ('sad', 'o k');
CREATE DOMAIN small AS integer DEFAULT 3 NOT NULL CONSTRAINT below CHECK (VALUE < 100);
CREATE DOMAIN smaller AS small CHECK (VALUE < 10) CHECK (VALUE > -10);
CREATE TYPE \"a pair\" AS (\"the x\" smaller, mood kinds.mood[], t text COLLATE \"C\", n numeric(5, 2));
CREATE TYPE kinds.span AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi, MULTIRANGE_TYPE_NAME = kinds.\"spans s\");
CREATE DOMAIN spans AS kinds.span[] CHECK (array_length(VALUE, 1) < 5);
CREATE DOMAIN name AS varchar(20) COLLATE \"C\";
CREATE FUNCTION fits(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE DOMAIN unused AS text CHECK (fits(VALUE));
CREATE TABLE t (id int PRIMARY KEY, s small, p \"a pair\", ps \"a pair\"[], sp spans, m kinds.\"spans s\", n public.name);
INSERT INTO t VALUES
  (1, 5, ROW(7, '{sad,NULL,\"o k\"}', 'it''s, \"', 1.5), ARRAY[ROW(1, NULL, NULL, NULL)::\"a pair\"], '{\"[1,2.5)\",empty}',
   '{[1,2),[3,)}', 'x'),
  (2, 2, NULL, '{}', NULL, NULL, NULL);
ALTER DOMAIN small ADD CONSTRAINT odd CHECK (VALUE % 2 = 1) NOT VALID;
";

#[test]
fn types_of_a_database_arrive_in_another_as_such_postgres() {
    let (before, after) = (TestDb::postgres(), TestDb::postgres());
    before.connect().execute(OWN_TYPES);
    let report = copied(&before, &after);
    let left: Vec<_> = report.not_translated.iter().map(|l| l.kind).collect();
    assert_eq!(left, ["function"]);
    for sql in [
        "SELECT t::text AS line FROM t ORDER BY 1",
        "SELECT attname || ' ' || format_type(atttypid, atttypmod) AS line FROM pg_attribute \
         WHERE attrelid IN ('t'::regclass, '\"a pair\"'::regclass) AND attnum > 0 ORDER BY attrelid, attnum",
        "SELECT concat_ws(' ', conname, contypid::regtype, pg_get_constraintdef(oid)) AS line FROM pg_constraint \
         WHERE contypid <> 0 AND contype = 'c' AND conname <> 'unused_check' \
         AND connamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT concat_ws(' ', typname, typnotnull, typdefault, typcollation) AS line FROM pg_type \
         WHERE typnamespace IN ('public'::regnamespace, 'kinds'::regnamespace) AND typname NOT LIKE '%unused' ORDER BY 1",
    ] {
        let there = lines(&before, sql);
        assert!(there.len() > 1);
        assert_eq!(there, lines(&after, sql));
    }
    let refused = after
        .connect()
        .conn()
        .batch_execute("INSERT INTO t VALUES (3, 4)");
    assert!(refused.unwrap_err().to_string().contains("odd"));
}

#[test]
fn numbers_that_sqlite_has_stay_numbers_postgres() {
    let (before, after) = (TestDb::postgres(), TestDb::sqlite());
    before.connect().execute(
        "CREATE TABLE n (a numeric, b numeric, c numeric);
         INSERT INTO n VALUES (1.50, 0.1000000000000000055, 'NaN'), (12345678901234567, 1, 1)",
    );
    copied(&before, &after);
    assert_eq!(
        contents(&after).join("\n").matches("t\"").count(),
        4,
        "b and c are texts: {:?}",
        contents(&after)
    );
    assert_eq!(
        lines(&after, "SELECT typeof(a) || a AS line FROM n"),
        ["real1.5", "integer12345678901234567"]
    );
}

#[test]
fn references_that_are_broken_in_the_source_go_along_and_are_listed_postgres() {
    let source = TestDb::sqlite();
    source.connect().execute(
        "PRAGMA foreign_keys = OFF; CREATE TABLE a (id INTEGER PRIMARY KEY); \
         CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a); \
         INSERT INTO b VALUES (1, 7), (2, 8), (3, NULL)",
    );
    for (target, kind) in [
        (TestDb::sqlite(), "reference"),
        (TestDb::postgres(), "foreign key"),
    ] {
        let report = copied(&source, &target);
        assert_eq!(report.rows, 3);
        let left: Vec<_> = report
            .not_translated
            .iter()
            .map(|l| (l.kind, l.name.as_str()))
            .collect();
        assert_eq!(left, [(kind, "b (a) -> a")]);
        assert!(!report.checked.contains(&"foreign keys".to_owned()));
    }
}

#[test]
fn a_default_that_is_no_value_of_its_type_is_listed_and_the_others_go_along_postgres() {
    let (source, target) = (TestDb::sqlite(), TestDb::postgres());
    source.connect().execute(
        "CREATE TABLE d (id INTEGER PRIMARY KEY, n INTEGER DEFAULT '', yes BOOLEAN DEFAULT TRUE, \
         no BOOLEAN DEFAULT 'f', odd BOOLEAN DEFAULT 7, t TEXT DEFAULT 'x'); \
         INSERT INTO d (n, odd) VALUES (1, 1)",
    );
    let report = copied(&source, &target);
    let mut left: Vec<_> = report
        .not_translated
        .iter()
        .map(|l| (l.kind, l.name.as_str()))
        .collect();
    left.sort_unstable();
    assert_eq!(left, [("default", "d.n"), ("default", "d.odd")]);
    target.connect().execute("INSERT INTO d DEFAULT VALUES");
    let made = "SELECT concat_ws(',', id, yes, no, t) AS line FROM d ORDER BY id DESC LIMIT 1";
    assert_eq!(lines(&target, made), ["2,t,f,x"]);
}

#[test]
fn what_only_postgresql_can_say_is_listed_postgres() {
    let (source, target) = (TestDb::postgres(), TestDb::sqlite());
    source.connect().execute(
        "CREATE TABLE p (a int, b int, c text COLLATE \"C\", z double precision, \
           id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, UNIQUE (a, b)); \
         CREATE TABLE q (a int, b int, r int4range, EXCLUDE USING gist (r WITH &&), \
           FOREIGN KEY (a, b) REFERENCES p (a, b) MATCH FULL DEFERRABLE INITIALLY DEFERRED); \
         CREATE INDEX wide ON p (a) INCLUDE (b); CREATE SEQUENCE alone; \
         INSERT INTO p (a, z) SELECT 1, '-0' FROM generate_series(1, 9); DELETE FROM p WHERE id > 5",
    );
    let report = copied(&source, &target);
    let mut left: Vec<_> = report
        .not_translated
        .iter()
        .map(|l| format!("{} {}", l.kind, l.name))
        .collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            "collation p.c",
            "exclusion constraint q_r_excl",
            "identity p.id",
            "numbering p.id",
            "part of a foreign key q_a_b_fkey",
            "part of an index wide",
            "sequence alone",
        ]
    );
}

#[test]
fn tables_that_change_while_the_copy_begins_are_refused_postgres() {
    let (source, target) = (TestDb::postgres(), TestDb::sqlite());
    source
        .connect()
        .execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let done = Copy::new(endpoint(&source), endpoint(&target))
        .lock_source(true)
        .on_estimate(|_| source.connect().execute("ALTER TABLE t ADD COLUMN b int"))
        .run();
    assert!(matches!(done, Err(CopyError::Changed)), "{done:?}");
    assert!(!target.path().unwrap().exists());
}
