//! What does not fit is found before a row is written, and named.

use db_core::Engine;
use db_testkit::TestDb;
use db_transfer::copy::{Copy, CopyError, Misfits};
use db_transfer::{OnInvalidUtf8, OnNan, OnNul, Policies};

use super::support::{endpoint, lines, tables};

#[track_caller]
fn refused(from: &TestDb, to: &TestDb) -> Misfits {
    match Copy::new(endpoint(from), endpoint(to)).run() {
        Err(CopyError::Misfits(misfits)) => {
            if to.engine() == Engine::Postgres {
                assert!(tables(to).is_empty(), "nothing stays");
            } else {
                assert!(!to.path().unwrap().exists(), "nothing stays");
            }
            misfits
        }
        other => panic!("{other:?}"),
    }
}

const ODD: &str = "
CREATE TABLE odd (id INTEGER PRIMARY KEY, n INTEGER, t TEXT, r REAL, b BLOB, j TEXT_JSON);
INSERT INTO odd VALUES (1, 'twelve', 'fine', 1.5, x'00', '{}');
INSERT INTO odd VALUES (2, 1.5, 'a' || char(0) || 'b', 1, x'00', '[1,]');
INSERT INTO odd VALUES (3, x'01', CAST(x'ff41' AS TEXT), 'text', 'text', '\"\\u0000\"');
INSERT INTO odd VALUES (4, NULL, NULL, 9007199254740993, NULL, NULL);
";

#[test]
fn each_value_is_named_with_its_row_postgres() {
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(ODD);
    let misfits = refused(&from, &to);
    let found: Vec<String> = misfits.first.iter().map(ToString::to_string).collect();
    let expected = [
        "odd.n of the row 1: a text where an integer belongs (\"twelve\")",
        "odd.n of the row 2: a real number where an integer belongs (1.5)",
        "odd.t of the row 2: a NUL character, which PostgreSQL cannot hold in a text (\"a\\0b\")",
        "odd.j of the row 2: JSON that PostgreSQL refuses: it is not JSON (\"[1,]\")",
        "odd.n of the row 3: a blob where an integer belongs (x'01')",
        "odd.t of the row 3: text that is not UTF-8 (\"\u{fffd}A\")",
        "odd.r of the row 3: a text where a real number belongs (\"text\")",
        "odd.b of the row 3: a text where a blob belongs (\"text\")",
        "odd.j of the row 3: JSON that PostgreSQL refuses: \\u0000 is no character of a text there (\"\\\"\\\\u0000\\\"\")",
    ];
    assert_eq!(found, expected);
    assert_eq!(misfits.count, 9);
}

#[test]
fn a_dry_run_names_them_and_writes_nothing_postgres() {
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(ODD);
    let report = Copy::new(endpoint(&from), endpoint(&to))
        .dry_run(true)
        .most_misfits(2)
        .run()
        .unwrap();
    assert_eq!((report.misfits.count, report.misfits.first.len()), (9, 2));
    assert!(tables(&to).is_empty());
}

#[test]
fn they_are_mapped_if_that_is_wanted_postgres() {
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(
        "CREATE TABLE odd (t TEXT);
         INSERT INTO odd VALUES ('a' || char(0) || 'b'), (CAST(x'ff41' AS TEXT)), ('plain')",
    );
    assert_eq!(refused(&from, &to).count, 2);
    let policies = Policies {
        nul: OnNul::Strip,
        invalid_utf8: OnInvalidUtf8::Replace,
        nan: OnNan::Refuse,
    };
    let report = Copy::new(endpoint(&from), endpoint(&to))
        .policies(policies)
        .run()
        .unwrap();
    assert_eq!(report.mapped, 2);
    assert_eq!(
        lines(&to, "SELECT t AS line FROM odd"),
        ["ab", "\u{fffd}A", "plain"]
    );
}

#[test]
fn not_a_number_is_refused_or_null_postgres() {
    let (from, to) = (TestDb::postgres(), TestDb::sqlite());
    from.connect().execute(
        "CREATE TABLE odd (id int PRIMARY KEY, r double precision, f real);
         INSERT INTO odd VALUES (1, 'NaN', 1), (2, 'Infinity', 'NaN'), (3, 1, '-Infinity')",
    );
    let misfits = refused(&from, &to);
    assert_eq!(misfits.count, 2);
    assert_eq!(
        misfits.first[0].to_string(),
        "odd.r of the row 1: NaN, for which SQLite stores NULL (\"NaN\")"
    );
    let policies = Policies {
        nan: OnNan::Null,
        ..Policies::default()
    };
    let report = Copy::new(endpoint(&from), endpoint(&to))
        .policies(policies)
        .run()
        .unwrap();
    assert_eq!(report.mapped, 2);
    assert_eq!(
        lines(
            &to,
            "SELECT coalesce(r, 'none') || ' ' || coalesce(f, 'none') AS line FROM odd"
        ),
        ["none 1.0", "Inf none", "1.0 -Inf"]
    );
}

#[test]
fn names_that_differ_in_case_only_are_refused_postgres() {
    let (from, to) = (TestDb::postgres(), TestDb::sqlite());
    from.connect()
        .execute("CREATE TABLE a (x int, \"X\" int); CREATE TABLE \"A\" (y int)");
    let misfits = refused(&from, &to);
    let found: Vec<String> = misfits.first.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found
            .iter()
            .all(|text| text.contains("only their case differs")),
        "{found:?}"
    );
    let long = "n".repeat(64);
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect()
        .execute(&format!("CREATE TABLE \"{long}\" (x INTEGER)"));
    assert!(
        refused(&from, &to).first[0]
            .to_string()
            .contains("cuts names after 63 bytes")
    );
}

#[test]
fn a_target_that_is_not_empty_is_refused_postgres() {
    let from = TestDb::sqlite();
    from.connect().execute("CREATE TABLE t (x INTEGER)");
    for to in [TestDb::sqlite(), TestDb::postgres()] {
        to.connect()
            .execute("CREATE TABLE mine (x INTEGER); INSERT INTO mine VALUES (1)");
        let error = Copy::new(endpoint(&from), endpoint(&to)).run().unwrap_err();
        assert!(matches!(error, CopyError::NotEmpty { .. }), "{error}");
        assert!(error.to_string().contains("mine"), "{error}");
        assert_eq!(
            lines(&to, "SELECT CAST(x AS TEXT) AS line FROM mine"),
            ["1"]
        );
        assert_eq!(tables(&to), ["mine"]);
    }
    let error = Copy::new(endpoint(&from), endpoint(&from))
        .run()
        .unwrap_err();
    assert!(error.to_string().contains("the same database"), "{error}");
}

#[test]
fn a_broken_reference_is_told_postgres() {
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(
        "PRAGMA foreign_keys = OFF; CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE c (p INTEGER REFERENCES p (id)); INSERT INTO c VALUES (1)",
    );
    let report = Copy::new(endpoint(&from), endpoint(&to)).run().unwrap();
    let left: Vec<_> = report.not_translated.iter().map(|l| l.kind).collect();
    assert_eq!(left, ["foreign key"]);
    assert!(
        report.not_translated[0].reason.contains("violates"),
        "{:?}",
        report.not_translated
    );
}

/// Large tables are looked at by several connections, each of which has its own part.
#[test]
fn every_row_of_a_large_table_is_looked_at_postgres() {
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(
        "CREATE TABLE plain (id INTEGER PRIMARY KEY, n INTEGER);
         CREATE TABLE wide (id INTEGER PRIMARY KEY, n INTEGER);
         CREATE TABLE named (rowid TEXT PRIMARY KEY, n INTEGER);
         CREATE TABLE without (id INTEGER PRIMARY KEY, n INTEGER) WITHOUT ROWID;
         CREATE TABLE keyless (n INTEGER);
         WITH RECURSIVE i (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < 60000)
         INSERT INTO plain SELECT i, iif(i % 20000 = 0, 'x', i) FROM i;
         INSERT INTO wide SELECT (id - 30000) * 307445734561825, n FROM plain;
         INSERT INTO wide VALUES (-9223372036854775808, 'first'), (9223372036854775807, 'last');
         INSERT INTO named SELECT 'k' || id, n FROM plain;
         INSERT INTO without SELECT id, n FROM plain;
         INSERT INTO keyless SELECT n FROM plain;",
    );
    let report = Copy::new(endpoint(&from), endpoint(&to))
        .workers(3)
        .dry_run(true)
        .most_misfits(30)
        .run()
        .unwrap();
    let of = |table: &str| {
        let misfits = report.misfits.first.iter().map(ToString::to_string);
        let rows = misfits.filter_map(|one| {
            let row = one.strip_prefix(&format!("{table}.n of the row "))?;
            Some(row.split_once(": a text")?.0.to_owned())
        });
        rows.collect::<Vec<_>>()
    };
    let rows = ["0", "20000", "40000", "60000"];
    assert_eq!(of("plain"), rows);
    assert_eq!(of("without"), rows);
    assert_eq!(of("named"), rows.map(|row| format!("\"k{row}\"")));
    let places = ["number 1", "number 20001", "number 40001", "number 60001"];
    assert_eq!(of("keyless"), places);
    assert_eq!(
        of("wide"),
        [
            "-9223372036854775808",
            "-9223372036854750000",
            "-3074457345618250000",
            "3074457345618250000",
            "9223372036854750000",
            "9223372036854775807"
        ]
    );
    assert_eq!(report.misfits.count, 22);
}
