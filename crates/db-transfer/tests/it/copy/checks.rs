//! Checks that rows need not hold, or in other words, and values that a policy makes NULL.

use db_testkit::TestDb;
use db_transfer::copy::{Copy, CopyError, CopyReport};
use db_transfer::{OnNan, Policies};

use super::support::{copied, endpoint, lines, tables};

/// Kind and name of what is left out, in order.
fn left(report: &CopyReport) -> Vec<String> {
    let left = report.not_translated.iter();
    let mut left: Vec<String> = left.map(|l| format!("{} {}", l.kind, l.name)).collect();
    left.sort_unstable();
    left
}

/// In SQLite `n` is a text, of which `'9'` is more than `'100'`.
const LOOSE: &str = "
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE loose (id int PRIMARY KEY, n numeric(40, 20) CONSTRAINT few CHECK (n > 0 AND n < 100), p int);
INSERT INTO loose VALUES (1, 9, 7), (2, 1.00000000000000000001, NULL), (10, 50, NULL), (11, NULL, NULL);
ALTER TABLE loose ADD CONSTRAINT small CHECK (id < 5) NOT VALID;
ALTER TABLE loose ADD CONSTRAINT above CHECK (id > 0) NOT VALID;
ALTER TABLE loose ADD CONSTRAINT kept FOREIGN KEY (p) REFERENCES parent NOT VALID;
";

#[test]
fn checks_that_rows_break_are_foreseen_and_told_once_postgres() {
    let common = ["check loose.small", "part of a constraint loose.above"];
    for (to, more) in [
        (TestDb::postgres(), vec!["foreign key loose -> parent"]),
        (
            TestDb::sqlite(),
            vec!["check loose.few", "reference loose -> parent"],
        ),
    ] {
        let from = TestDb::postgres();
        from.connect().execute(LOOSE);
        let mut expected = [&common[..], &more].concat();
        expected.sort_unstable();
        let dry = Copy::new(endpoint(&from), endpoint(&to)).dry_run(true);
        let dry = dry.run().unwrap();
        assert_eq!((left(&dry), dry.misfits.count), (strings(&expected), 0));
        let reason = |name: &str| {
            let mut left = dry.not_translated.iter();
            left.find(|l| l.name == name).unwrap().reason.clone()
        };
        let rows = reason("loose.small");
        assert!(rows.starts_with("2 rows do not hold it"), "{rows}");
        assert_eq!(
            reason("loose -> parent"),
            "1 rows refer to what is not there"
        );
        if to.path().is_some() {
            assert_eq!(rows, "2 rows do not hold it, the first is 10");
        }
        let report = copied(&from, &to);
        assert_eq!((left(&report), report.rows), (strings(&expected), 4));
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// Rows are tried a thousand at a time.
#[test]
fn every_row_is_tried_postgres() {
    let (from, to) = (TestDb::postgres(), TestDb::sqlite());
    from.connect().execute(
        "CREATE TABLE many (n int, t text);
         INSERT INTO many SELECT i, repeat('x', 3000) FROM generate_series(1, 5000) i;
         ALTER TABLE many ADD CONSTRAINT odd CHECK (n % 1000 <> 7) NOT VALID;",
    );
    let report = copied(&from, &to);
    assert_eq!(left(&report), ["check many.odd"]);
    assert_eq!(
        report.not_translated[0].reason,
        "5 rows do not hold it, the first is number 7"
    );
}

#[test]
fn a_nan_has_no_place_where_null_has_none_postgres() {
    let policies = Policies {
        nan: OnNan::Null,
        ..Policies::default()
    };
    for (sql, expected) in [
        ("CREATE TABLE t (r double precision PRIMARY KEY)", 1),
        ("CREATE TABLE t (r real NOT NULL, n int)", 1),
        ("CREATE TABLE t (id int, r real, PRIMARY KEY (id, r))", 1),
        ("CREATE TABLE t (r double precision UNIQUE)", 0),
    ] {
        let (from, to) = (TestDb::postgres(), TestDb::sqlite());
        from.connect().execute(sql);
        let row = if sql.contains("(id") {
            "(1, 'NaN')"
        } else {
            "('NaN')"
        };
        from.connect()
            .execute(&format!("INSERT INTO t VALUES {row}"));
        let copy = || Copy::new(endpoint(&from), endpoint(&to)).policies(policies);
        let dry = copy().dry_run(true).run().unwrap();
        assert_eq!(dry.misfits.count, expected, "{sql}");
        match copy().run() {
            Ok(report) => assert_eq!((report.mapped, expected), (1, 0)),
            Err(CopyError::Misfits(misfits)) => {
                assert_eq!(misfits.count, expected);
                let reason = &misfits.first[0].reason;
                assert!(reason.contains("NULL is not allowed there"), "{reason}");
                assert!(tables(&to).is_empty());
            }
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

#[test]
fn lengths_are_kept_on_the_way_there_and_back_postgres() {
    let (from, file, back, again) = (
        TestDb::postgres(),
        TestDb::sqlite(),
        TestDb::postgres(),
        TestDb::sqlite(),
    );
    from.connect().execute(
        "CREATE TABLE t (id int PRIMARY KEY, \"V\" varchar(3), c char(2) NOT NULL DEFAULT 'x', w varchar);
         INSERT INTO t VALUES (1, 'äöü', 'a', repeat('x', 99)), (2, NULL, '', NULL);",
    );
    assert!(left(&copied(&from, &file)).is_empty());
    let sql = lines(
        &file,
        "SELECT sql AS line FROM sqlite_schema WHERE name = 't'",
    )
    .concat();
    assert!(
        sql.contains("length(\"V\") <= 3") && sql.contains("length(\"c\") <= 2"),
        "{sql}"
    );
    for (db, there) in [(&file, &back), (&back, &again)] {
        assert!(left(&copied(db, there)).is_empty());
    }
    for db in [&file, &again] {
        let mut connection = db.connect();
        let refused = connection
            .conn()
            .batch_execute("UPDATE t SET \"V\" = 'four' WHERE id = 1");
        assert!(
            refused.unwrap_err().to_string().contains("CHECK"),
            "{}",
            db.url()
        );
    }
}
