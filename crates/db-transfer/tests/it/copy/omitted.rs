//! What does not go along is listed, and what is listed does not go along.

use db_testkit::TestDb;
use db_transfer::copy::{Copy, CopyReport};

use super::support::{copied, endpoint, lines};

/// Kind and name of what is left out, in order.
fn left(report: &CopyReport) -> Vec<String> {
    let left = report.not_translated.iter();
    let mut left: Vec<String> = left.map(|l| format!("{} {}", l.kind, l.name)).collect();
    left.sort_unstable();
    left
}

#[test]
fn virtual_tables_are_listed_on_the_way_to_either_engine_postgres() {
    let from = TestDb::sqlite();
    from.connect().execute(
        "CREATE VIRTUAL TABLE words USING fts5 (word); INSERT INTO words VALUES ('one'), ('two');
         CREATE VIRTUAL TABLE boxes USING rtree (id, x, y); INSERT INTO boxes VALUES (1, 0, 1);
         CREATE TABLE plain (id INTEGER PRIMARY KEY); INSERT INTO plain VALUES (1)",
    );
    let expected = ["virtual table boxes", "virtual table words"];
    for to in [TestDb::postgres(), TestDb::sqlite()] {
        let dry = Copy::new(endpoint(&from), endpoint(&to))
            .dry_run(true)
            .run();
        assert_eq!(left(&dry.unwrap()), expected);
        let report = copied(&from, &to);
        assert_eq!(left(&report), expected);
        assert_eq!(report.rows, 1);
    }
    // Nobody misses what was not asked for.
    let to = TestDb::postgres();
    let chosen = Copy::new(endpoint(&from), endpoint(&to))
        .tables(["plain"])
        .run();
    assert!(left(&chosen.unwrap()).is_empty());
}

/// Whatever a module keeps is named, and what may be anybody's goes along.
#[test]
fn the_tables_of_virtual_tables_are_named_too_postgres() {
    let from = TestDb::sqlite();
    from.connect().execute(
        "CREATE TABLE notes_content (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes_content VALUES (1, 'x');
         CREATE VIRTUAL TABLE notes USING fts5 (body, content = 'notes_content', content_rowid = 'id');
         CREATE TABLE vecs_rows (id INTEGER PRIMARY KEY); INSERT INTO vecs_rows VALUES (1);
         PRAGMA writable_schema = ON;
         INSERT INTO sqlite_schema VALUES ('table', 'vecs', 'vecs', 0, 'CREATE VIRTUAL TABLE vecs USING vec0 (a)')",
    );
    for to in [TestDb::postgres(), TestDb::sqlite()] {
        let report = copied(&from, &to);
        assert_eq!(left(&report), ["virtual table notes", "virtual table vecs"]);
        let reason = |name: &str| {
            let mut left = report.not_translated.iter();
            left.find(|l| l.name == name).unwrap().reason.clone()
        };
        let kept = reason("notes");
        assert!(
            kept.contains("nor notes_config, notes_data, notes_docsize, notes_idx is copied"),
            "{kept}"
        );
        // The texts that an index is over are rows like any other, whatever their table is called.
        assert_eq!(
            lines(&to, "SELECT id || body AS line FROM notes_content"),
            ["1x"]
        );
        let plain = reason("vecs");
        assert!(
            plain.contains("what may be its own goes along: vecs_rows;"),
            "{plain}"
        );
        assert_eq!(
            lines(&to, "SELECT CAST(id AS TEXT) AS line FROM vecs_rows"),
            ["1"]
        );
    }
    let asked = |name: &str| {
        let to = TestDb::postgres();
        let copy = Copy::new(endpoint(&from), endpoint(&to)).tables([name]);
        copy.run().unwrap_err().to_string()
    };
    assert!(asked("notes").starts_with("notes is a virtual table"));
    assert!(asked("notes_data").starts_with("notes_data belongs to a virtual table"));
    let told = asked("vecs_row");
    assert!(
        told.contains("there is no table \"vecs_row\"; did you mean vecs_rows?"),
        "{told}"
    );
}

const GUARDED: &str = "
CREATE TABLE parent (id int PRIMARY KEY, a int);
CREATE TABLE heir (b int) INHERITS (parent);
CREATE TABLE guarded (id int PRIMARY KEY, owner text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (owner = current_user);
CREATE UNLOGGED TABLE fast (id int PRIMARY KEY);
CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER there FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far (id int) SERVER there;
CREATE TABLE loose (id int, p int);
INSERT INTO loose VALUES (1, NULL);
ALTER TABLE loose ADD CONSTRAINT unchecked CHECK (id < 5) NOT VALID;
ALTER TABLE loose ADD CONSTRAINT unkept FOREIGN KEY (p) REFERENCES guarded (id) NOT VALID;
ALTER TABLE loose ADD CONSTRAINT alone CHECK (id > 0) NO INHERIT;
INSERT INTO guarded VALUES (1, 'somebody');
";

#[test]
fn what_guards_rows_and_joins_tables_is_listed_postgres() {
    for (to, more) in [
        (TestDb::postgres(), Some("part of a table fast")),
        (TestDb::sqlite(), None),
    ] {
        let from = TestDb::postgres();
        from.connect().execute(GUARDED);
        let mut expected = vec![
            "foreign table far",
            "inheritance heir",
            "other foreign data wrapper nowhere",
            "other foreign server there",
            "part of a constraint alone",
            "part of a constraint loose.unchecked",
            "part of a constraint loose.unkept",
            "policy guarded.own",
            "row security guarded",
        ];
        expected.extend(more);
        expected.sort_unstable();
        assert_eq!(left(&copied(&from, &to)), expected);
    }
}

const KEYS: &str = "
CREATE TABLE p (id int PRIMARY KEY);
CREATE TABLE later (p int CONSTRAINT put_off REFERENCES p DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE sooner (p int CONSTRAINT at_once REFERENCES p DEFERRABLE INITIALLY IMMEDIATE,
  n int CONSTRAINT late UNIQUE DEFERRABLE);
";

#[test]
fn only_what_of_deferred_constraints_changes_is_listed_postgres() {
    let (from, to) = (TestDb::postgres(), TestDb::postgres());
    from.connect().execute(KEYS);
    assert_eq!(
        left(&copied(&from, &to)),
        ["part of a constraint late", "part of a foreign key at_once"]
    );
    let of = "SELECT concat_ws(' ', conname, condeferrable, condeferred) AS line FROM pg_constraint \
        WHERE conname IN ('put_off', 'at_once', 'late') ORDER BY 1";
    assert_eq!(lines(&to, of), ["at_once t t", "late f f", "put_off t t"]);
}

const CASES: &str = "
CREATE TABLE a (name TEXT COLLATE NOCASE UNIQUE, plain TEXT UNIQUE);
CREATE TABLE b (code TEXT, other TEXT CHECK (other LIKE 'x%'), PRIMARY KEY (code COLLATE RTRIM) ON CONFLICT REPLACE);
CREATE TABLE c (n INTEGER NOT NULL ON CONFLICT IGNORE, m INTEGER UNIQUE ON CONFLICT ABORT,
  t TEXT DEFAULT 'on conflict replace', p TEXT REFERENCES a (plain) DEFERRABLE INITIALLY IMMEDIATE);
CREATE UNIQUE INDEX i ON c (t) WHERE t LIKE 'x%';
CREATE UNIQUE INDEX j ON c (t COLLATE NOCASE);
";

#[test]
fn cases_that_count_and_rows_that_replace_are_listed_postgres() {
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(CASES);
    assert_eq!(
        left(&copied(&from, &to)),
        [
            "collation a.name",
            "collation b.primary key ( code collate rtrim ) on conflict replace",
            "collation j",
            "part of a constraint b.other",
            "part of a constraint b.primary key ( code collate rtrim ) on conflict replace",
            "part of a constraint c.n",
            "part of a constraint c.p",
            "part of an index i",
        ]
    );
    // The same engine loses nothing of it.
    let same = TestDb::sqlite();
    assert!(left(&copied(&from, &same)).is_empty());
}

#[test]
fn texts_without_case_are_listed_on_the_way_to_sqlite_postgres() {
    let from = TestDb::postgres();
    from.connect().execute(
        "CREATE EXTENSION citext; CREATE DOMAIN mail AS citext; \
         CREATE TABLE t (a citext UNIQUE, b mail, c text UNIQUE)",
    );
    let to = TestDb::sqlite();
    assert_eq!(
        left(&copied(&from, &to)),
        [
            "collation t.a",
            "collation t.b",
            "extension citext",
            "type mail"
        ]
    );
}

#[test]
fn defaults_are_the_same_values_postgres() {
    let (from, to) = (TestDb::postgres(), TestDb::sqlite());
    from.connect().execute(
        "CREATE TABLE d (id int PRIMARY KEY, b bytea DEFAULT '\\x00ff', e bytea DEFAULT '', n int DEFAULT -5)",
    );
    assert!(left(&copied(&from, &to)).is_empty());
    to.connect().execute("INSERT INTO d (id) VALUES (1)");
    let made = "SELECT typeof(b) || hex(b) || typeof(e) || length(e) || n AS line FROM d";
    assert_eq!(lines(&to, made), ["blob00FFblob0-5"]);

    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(
        "CREATE TABLE d (id INTEGER PRIMARY KEY, n INTEGER DEFAULT -5, r REAL DEFAULT +1.5)",
    );
    assert!(left(&copied(&from, &to)).is_empty());
    to.connect().execute("INSERT INTO d DEFAULT VALUES");
    assert_eq!(
        lines(&to, "SELECT concat_ws(' ', n, r) AS line FROM d"),
        ["-5 1.5"]
    );
}

#[test]
fn names_of_two_schemas_that_become_one_are_told_so_postgres() {
    let (from, to) = (TestDb::postgres(), TestDb::sqlite());
    from.connect()
        .execute("CREATE SCHEMA s2; CREATE TABLE s2.dom (a int); CREATE TABLE \"s2.dom\" (a int)");
    let error = Copy::new(endpoint(&from), endpoint(&to)).run().unwrap_err();
    let db_transfer::copy::CopyError::Misfits(misfits) = error else {
        panic!("{error:?}");
    };
    let told = misfits.first[0].to_string();
    assert!(told.contains("SQLite has no schemas"), "{told}");
}
