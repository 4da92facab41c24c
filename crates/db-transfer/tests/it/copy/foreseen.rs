//! What a dry run says is what the copy does.

use std::sync::Mutex;

use db_testkit::TestDb;
use db_transfer::copy::{Copy, CopyError, CopyReport};
use db_transfer::{OnInvalidUtf8, OnNul, Phase, Policies};

use super::support::{copied, endpoint, lines, tables};

#[track_caller]
fn dry(from: &TestDb, to: &TestDb) -> CopyReport {
    let wanted = Copy::new(endpoint(from), endpoint(to)).dry_run(true);
    wanted.run().unwrap()
}

fn named(report: &CopyReport) -> Vec<String> {
    report
        .misfits
        .first
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn names_that_postgres_cannot_take_are_misfits_postgres() {
    for (sql, expected) in [
        (
            "CREATE TABLE t (ctid INTEGER)",
            "t: column ctid: each table of PostgreSQL has its own ctid",
        ),
        (
            "CREATE TABLE t (\"\" INTEGER)",
            "t: column \"\": PostgreSQL knows no empty names",
        ),
        (
            "CREATE TABLE \"\" (x INTEGER)",
            ": \"\": PostgreSQL knows no empty names",
        ),
    ] {
        let (from, to) = (TestDb::sqlite(), TestDb::postgres());
        from.connect().execute(sql);
        assert_eq!(named(&dry(&from, &to)), [expected]);
        let error = Copy::new(endpoint(&from), endpoint(&to)).run().unwrap_err();
        assert!(matches!(error, CopyError::Misfits(_)), "{error}");
        assert!(tables(&to).is_empty());
    }
}

#[test]
fn a_table_without_columns_is_a_misfit_postgres() {
    let from = TestDb::postgres();
    from.connect().execute("CREATE TABLE bare ()");
    for to in [TestDb::sqlite(), TestDb::postgres()] {
        assert_eq!(
            named(&dry(&from, &to)),
            ["bare: bare: a table without columns"]
        );
    }
}

/// A table or an index may not be called as SQLite's own are; a column may.
#[test]
fn names_that_sqlite_keeps_for_itself_are_misfits_postgres() {
    let from = TestDb::postgres();
    from.connect().execute(
        "CREATE TABLE t (sqlite_id int); INSERT INTO t VALUES (1); CREATE INDEX sqlite_i ON t (sqlite_id);
         CREATE TABLE sqlite_t (a int)",
    );
    let mut found = named(&dry(&from, &TestDb::sqlite()));
    found.sort();
    assert_eq!(
        found,
        [
            "sqlite_t: sqlite_t: names that begin with sqlite_ are SQLite's own",
            "t: index sqlite_i: names that begin with sqlite_ are SQLite's own",
        ]
    );
    from.connect()
        .execute("DROP TABLE sqlite_t; DROP INDEX sqlite_i");
    let to = TestDb::sqlite();
    assert_eq!(copied(&from, &to).rows, 1);
    assert_eq!(
        lines(&to, "SELECT CAST(sqlite_id AS TEXT) AS line FROM t"),
        ["1"]
    );
}

/// The tables are made and taken back, so that what cannot be made is known.
#[test]
fn what_cannot_be_made_is_found_by_a_dry_run_too_postgres() {
    let columns: Vec<String> = (0..1700).map(|n| format!("c{n} INTEGER")).collect();
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect()
        .execute(&format!("CREATE TABLE wide ({})", columns.join(", ")));
    for is_dry in [true, false] {
        let copy = Copy::new(endpoint(&from), endpoint(&to)).dry_run(is_dry);
        let error = copy.run().unwrap_err().to_string();
        assert!(error.contains("at most 1600 columns"), "{is_dry}: {error}");
        assert!(tables(&to).is_empty());
    }
}

#[test]
fn what_is_left_out_is_listed_by_a_dry_run_too_postgres() {
    let sql = "CREATE TABLE p (a INTEGER); CREATE TABLE c (b INTEGER REFERENCES p (a));
        INSERT INTO c VALUES (1)";
    for to in [TestDb::sqlite(), TestDb::postgres()] {
        let from = TestDb::sqlite();
        from.connect()
            .execute(&format!("PRAGMA foreign_keys = OFF; {sql}"));
        let told = |report: &CopyReport| -> Vec<String> {
            let left = report.not_translated.iter();
            left.filter(|l| l.reason.contains("foreign key mismatch") || l.kind == "foreign key")
                .map(|l| l.kind.to_owned())
                .collect()
        };
        let foreseen = dry(&from, &to);
        assert!(!told(&foreseen).is_empty(), "{foreseen:?}");
        // A foreign key that refers to no key goes along in a file, and does not stop the copy.
        let done = copied(&from, &to);
        assert!(!told(&done).is_empty(), "{done:?}");
        assert_eq!(lines(&to, "SELECT CAST(b AS TEXT) AS line FROM c"), ["1"]);
    }
}

#[test]
fn orphans_are_listed_by_a_dry_run_postgres() {
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(
        "PRAGMA foreign_keys = OFF; CREATE TABLE p (id INTEGER PRIMARY KEY);
         CREATE TABLE c (p INTEGER REFERENCES p (id)); INSERT INTO c VALUES (1), (2)",
    );
    let report = dry(&from, &to);
    let left: Vec<_> = report
        .not_translated
        .iter()
        .map(|l| (l.name.as_str(), l.reason.as_str()))
        .collect();
    assert_eq!(left, [("c (p) -> p", "2 rows refer to what is not there")]);
}

fn database(encoding: &str) -> TestDb {
    let db = TestDb::postgres();
    let name: String = lines(&db, "SELECT current_database()::text AS line").concat();
    let admin = TestDb::postgres();
    // Neither can be done in a transaction, as two statements at once are.
    admin
        .connect()
        .execute(&format!("DROP DATABASE \"{name}\""));
    admin.connect().execute(&format!(
        "CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    ));
    db
}

#[test]
fn letters_that_the_target_may_not_have_are_misfits_postgres() {
    let from = TestDb::sqlite();
    from.connect().execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'plain'), (2, 'Ł')",
    );
    let to = database("LATIN1");
    let found = named(&dry(&from, &to));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("t.x of the row 2: a character beyond ASCII")
            && found[0].contains("LATIN1"),
        "{found:?}"
    );
    from.connect().execute("DELETE FROM t WHERE id = 2");
    assert_eq!(copied(&from, &to).rows, 1);
}

#[test]
fn bytes_of_a_server_that_does_not_look_are_found_by_a_dry_run_postgres() {
    let from = database("SQL_ASCII");
    from.connect().execute(
        "CREATE TABLE t (id int PRIMARY KEY, x text);
         INSERT INTO t VALUES (1, 'plain'), (2, E'\\xff')",
    );
    let to = TestDb::postgres();
    for is_dry in [true, false] {
        let copy = Copy::new(endpoint(&from), endpoint(&to)).dry_run(is_dry);
        let error = copy.run().unwrap_err();
        assert!(
            matches!(&error, CopyError::Database { doing, .. } if doing == "reading t"),
            "{error}"
        );
        assert!(tables(&to).is_empty());
    }
}

/// A key that a policy changes must not become another row's, whose key would then be left out.
#[test]
fn keys_that_a_policy_makes_the_same_are_misfits_postgres() {
    let policies = Policies {
        nul: OnNul::Strip,
        invalid_utf8: OnInvalidUtf8::Replace,
        ..Policies::default()
    };
    for (sql, column) in [
        (
            "CREATE TABLE t (n TEXT PRIMARY KEY); INSERT INTO t VALUES ('a' || char(0) || 'b'), ('ab')",
            "n",
        ),
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT UNIQUE);
             INSERT INTO t (n) VALUES (char(0) || 'ab'), ('ab' || char(0)), (NULL)",
            "n",
        ),
        (
            "CREATE TABLE t (a INTEGER, b TEXT); CREATE UNIQUE INDEX i ON t (a, b);
             INSERT INTO t VALUES (1, CAST(x'ff' AS TEXT)), (2, CAST(x'fe' AS TEXT)), (2, CAST(x'fd' AS TEXT))",
            "b",
        ),
    ] {
        let (from, to) = (TestDb::sqlite(), TestDb::postgres());
        from.connect().execute(sql);
        match Copy::new(endpoint(&from), endpoint(&to)).policies(policies).run() {
            Err(CopyError::Misfits(found)) => {
                assert_eq!(found.count, 1, "{found:?}");
                assert_eq!(found.first[0].column.as_deref(), Some(column));
                assert!(found.first[0].reason.contains("the key of another row"), "{found:?}");
            }
            other => panic!("{other:?}"),
        }
        assert!(tables(&to).is_empty());
    }
    // Those that stay apart go along.
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(
        "CREATE TABLE t (n TEXT PRIMARY KEY); INSERT INTO t VALUES ('a' || char(0)), ('b' || char(0)), ('c')",
    );
    let copy = Copy::new(endpoint(&from), endpoint(&to)).policies(policies);
    let report = copy.run().unwrap();
    assert_eq!((report.mapped, report.not_translated.len()), (2, 0));
}

/// A look at values may take as long as the copy: it is told while it goes on, each row once.
#[test]
fn a_look_at_values_tells_how_far_it_is_postgres() {
    const ROWS: u64 = 10_000;
    let (from, to) = (TestDb::sqlite(), TestDb::postgres());
    from.connect().execute(&format!(
        "CREATE TABLE t (n TEXT);
         INSERT INTO t WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {ROWS})
             SELECT CAST(x AS TEXT) FROM c"
    ));
    let told = Mutex::new(Vec::new());
    Copy::new(endpoint(&from), endpoint(&to))
        .dry_run(true)
        .on_progress(|progress| {
            if progress.phase == Phase::Inspect && progress.table.is_some() {
                told.lock()
                    .unwrap()
                    .push((progress.rows, progress.rows_expected));
            }
        })
        .run()
        .unwrap();
    let told = told.into_inner().unwrap();
    assert!(told.len() > 2, "{told:?}");
    assert!(
        told.iter().all(|(_, expected)| *expected == Some(ROWS)),
        "{told:?}"
    );
    assert_eq!(
        told.iter().map(|(rows, _)| *rows).max(),
        Some(ROWS),
        "{told:?}"
    );
}
