//! Checks that rows need not hold, or in other words, and values that a policy makes NULL.

use db_core::{Access, Connection};
use db_migrate::Drift;
use db_migrate::catalog::Scope;
use db_migrate::catalog::model::Model;
use db_testkit::TestDb;
use db_transfer::copy::{BoxError, Copy, CopyError, CopyReport, Endpoint, Schema};
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
        (TestDb::postgres(), vec!["foreign key loose (p) -> parent"]),
        (
            TestDb::sqlite(),
            vec!["check loose.few", "reference loose (p) -> parent"],
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
            reason("loose (p) -> parent"),
            "1 rows refer to what is not there"
        );
        if to.path().is_some() {
            assert_eq!(rows, "2 rows do not hold it, the first is 10");
        }
        let report = copied(&from, &to);
        assert_eq!((left(&report), report.rows), (strings(&expected), 4));
    }
}

/// Two keys lead to nowhere, and one holds.
const THRICE: &str = "
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE thrice (id int PRIMARY KEY, p int, q int, r int);
INSERT INTO thrice VALUES (1, 7, NULL, NULL), (2, 8, 9, NULL);
ALTER TABLE thrice ADD CONSTRAINT one FOREIGN KEY (p) REFERENCES parent NOT VALID;
ALTER TABLE thrice ADD CONSTRAINT two FOREIGN KEY (q) REFERENCES parent NOT VALID;
ALTER TABLE thrice ADD CONSTRAINT three FOREIGN KEY (r) REFERENCES parent NOT VALID;
";

#[test]
fn each_foreign_key_to_one_parent_is_told_postgres() {
    for (to, kind) in [
        (TestDb::postgres(), "foreign key"),
        (TestDb::sqlite(), "reference"),
    ] {
        let from = TestDb::postgres();
        from.connect().execute(THRICE);
        let mut expected = [
            format!("{kind} thrice (p) -> parent"),
            format!("{kind} thrice (q) -> parent"),
            "part of a constraint thrice.three".to_owned(),
        ];
        expected.sort_unstable();
        let dry = Copy::new(endpoint(&from), endpoint(&to)).dry_run(true);
        let dry = dry.run().unwrap();
        assert_eq!(left(&dry), expected);
        let broken = dry.not_translated.iter().filter(|l| l.kind == kind);
        let rows: Vec<&str> = broken.map(|l| &l.reason[..2]).collect();
        assert_eq!(rows, ["2 ", "1 "]);
        let report = copied(&from, &to);
        assert_eq!(left(&report), expected);
        assert_eq!(report.rows, 2);
    }
}

const UNCHECKED: &str = "
PRAGMA ignore_check_constraints = ON;
CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CONSTRAINT small CHECK (n < 5), m INTEGER CONSTRAINT more CHECK (m > 0));
INSERT INTO t VALUES (1, 1, 1), (2, 9, 1), (3, NULL, NULL), (4, 7, -1);
CREATE TABLE bare (x TEXT CONSTRAINT yes CHECK (x <> 'no'));
INSERT INTO bare VALUES ('yes'), ('no');
CREATE TABLE odd (x TEXT CONSTRAINT whole CHECK (json_extract(x, '$.a') > 0), n INTEGER CONSTRAINT few CHECK (n < 5));
INSERT INTO odd VALUES ('{', 9);
";

#[test]
fn checks_that_rows_of_sqlite_break_are_foreseen_and_the_rows_go_along_postgres() {
    let common = [
        "check bare.yes",
        "check odd.few",
        "check t.more",
        "check t.small",
    ];
    // PostgreSQL has no such function.
    for (to, more) in [
        (TestDb::postgres(), Some("check odd.whole")),
        (TestDb::sqlite(), None),
    ] {
        let from = TestDb::sqlite();
        from.connect().execute(UNCHECKED);
        let mut expected: Vec<&str> = common.into_iter().chain(more).collect();
        expected.sort_unstable();
        let dry = Copy::new(endpoint(&from), endpoint(&to)).dry_run(true);
        let dry = dry.run().unwrap();
        assert_eq!(left(&dry), expected);
        let reason = |name: &str| {
            let mut left = dry.not_translated.iter();
            left.find(|l| l.name == name).unwrap().reason.clone()
        };
        let rows = reason("t.small");
        assert!(
            rows.starts_with("2 rows do not hold it, the first is 2"),
            "{rows}"
        );
        let row = reason("bare.yes");
        assert!(row.starts_with("the row rowid 2 does not hold it"), "{row}");
        let report = copied(&from, &to);
        assert_eq!((left(&report), report.rows), (strings(&expected), 7));
    }
}

/// The tables of a migration, which has made the source too.
struct Made(&'static str);

impl Schema for Made {
    fn apply(&self, target: &Endpoint) -> Result<(), BoxError> {
        let mut connection = Connection::open(&target.url, Access::Create)?;
        Ok(connection.conn().batch_execute(self.0)?)
    }

    fn remove(&self, target: &Endpoint) -> Result<(), BoxError> {
        let mut connection = Connection::open(&target.url, Access::ReadWrite)?;
        Ok(connection.conn().batch_execute("DROP TABLE t")?)
    }

    fn preview(&self, _: &Endpoint) -> Result<Model, BoxError> {
        let db = TestDb::postgres();
        db.connect().execute(self.0);
        Ok(Model::read(&mut db.connect().conn(), &Scope::default())?)
    }

    fn drift(&self, _: &Endpoint) -> Result<Drift, BoxError> {
        Ok(Drift::None)
    }
}

/// Only checks that the migrations make there too are in the way.
#[test]
fn rows_that_break_a_check_of_migrations_are_misfits_postgres() {
    let from = TestDb::sqlite();
    from.connect().execute(
        "PRAGMA ignore_check_constraints = ON;
         CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CONSTRAINT small CHECK (n < 5) CONSTRAINT own CHECK (n < 3));
         INSERT INTO t VALUES (1, 4), (2, 9)",
    );
    let schema =
        Made("CREATE TABLE t (id bigint PRIMARY KEY, n bigint CONSTRAINT small CHECK (n < 5))");
    for to in [TestDb::postgres(), TestDb::sqlite()] {
        let copy = || Copy::new(endpoint(&from), endpoint(&to)).schema(&schema);
        let dry = copy().dry_run(true).run().unwrap();
        let told: Vec<String> = dry.misfits.first.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["t: check t.small: the row 2 does not hold it"]);
        assert!(copy().run().is_err());
        assert!(tables(&to).is_empty(), "{:?}", tables(&to));
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
