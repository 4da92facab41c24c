//! A run with nothing to do goes by one digest, which everything that matters breaks.

use std::fs;

use db_migrate::{Error, MigrateOptions, Migrator, Problem, RustMigration, Source, Target};
use db_testkit::{TestConn, TestDb, both_engines};

use crate::support::{Folder, diesel_versions, versions};

const UP: &str = "20240101000000_users/up.sql";
const EDITED: &str = "CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT, age INT);\n";

/// Makes the ledger's rows unreadable, so that whoever reads them fails; or readable again.
fn spoil(conn: &mut TestConn, (from, to): (&str, &str)) {
    conn.execute(&format!(
        "UPDATE __db_migrate_ledger SET status = '{to}' WHERE status = '{from}'"
    ));
}

const SPOILT: (&str, &str) = ("applied", "spoilt");
const MENDED: (&str, &str) = ("spoilt", "applied");

/// Whether a run finds nothing to do without a look at the rows.
fn is_told_at_once(migrator: &Migrator, conn: &mut TestConn) -> bool {
    spoil(conn, SPOILT);
    let run = migrator.run(conn.conn());
    spoil(conn, MENDED);
    match run {
        Ok(report) => {
            assert!(
                report.steps.is_empty() && report.notices.is_empty(),
                "{report:?}"
            );
            true
        }
        Err(Error::UnknownStatus { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

both_engines! {
    fn whatever_matters_makes_a_run_look_at_the_rows(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        let told = |conn: &mut TestConn| is_told_at_once(&folder.migrator(), conn);
        assert!(told(&mut conn));

        // The files.
        let text = fs::read_to_string(folder.path().join(UP)).unwrap();
        folder.write(UP, EDITED);
        assert!(!told(&mut conn));
        assert!(matches!(folder.migrator().run(conn.conn()), Err(Error::History(_))));
        folder.write(UP, &format!("{text}-- a remark\n"));
        assert!(!told(&mut conn));
        assert_eq!(folder.run(&mut conn).notices.len(), 1, "a remark is made each time");
        assert_eq!(folder.run(&mut conn).notices.len(), 1, "a remark is made each time");
        folder.write(UP, &text);
        assert!(told(&mut conn));
        folder.remove("20240102000000_games");
        assert!(!told(&mut conn));
        let Err(Error::History(problems)) = folder.migrator().run(conn.conn()) else {
            panic!("a missing file must stop the run");
        };
        assert!(matches!(&problems[..], [Problem::Missing { .. }]), "{problems:?}");
        folder.add(
            "20240102000000_games",
            "CREATE TABLE games (id BIGINT PRIMARY KEY, winner BIGINT REFERENCES users (id));\n\
             CREATE INDEX idx_games_winner ON games (winner);",
            "DROP TABLE games;",
        );
        assert!(told(&mut conn));

        // The sets that the migrations speak for.
        let empty = Folder::new();
        let two = folder.migrator().and(Source::folder(empty.path()).named("other"));
        assert!(!is_told_at_once(&two, &mut conn));
        let renamed = Migrator::new(Source::folder(folder.path()).named("renamed"));
        assert!(!is_told_at_once(&renamed, &mut conn));

        // Diesel's table.
        conn.execute("UPDATE __diesel_schema_migrations SET run_on = '2020-01-01 00:00:00' WHERE version = '20240103000000'");
        assert!(!told(&mut conn));
        let report = folder.run(&mut conn);
        assert!(report.notices[0].contains("took over what diesel applied"), "{report:?}");
        conn.execute("DELETE FROM __diesel_schema_migrations WHERE version = '20240103000000'");
        assert!(!told(&mut conn));
        conn.execute("DROP TABLE __diesel_schema_migrations");
        assert!(!told(&mut conn));
    }

    fn a_run_that_leaves_something_leaves_no_digest(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        assert!(!is_told_at_once(&folder.migrator(), &mut conn));
        assert_eq!(folder.run(&mut conn).steps.len(), 1);
        assert!(is_told_at_once(&folder.migrator(), &mut conn));
        // A target has to be looked for, even if it cannot change anything.
        let nowhere = MigrateOptions {
            target: Some(Target::parse("nowhere").unwrap()),
            ..MigrateOptions::default()
        };
        assert!(folder.migrator().migrate(conn.conn(), &nowhere).is_err());
        folder.migrator().rollback(conn.conn()).unwrap();
        assert_eq!(versions(&folder.run(&mut conn)), ["20240103000000"]);
    }

    fn what_changes_a_row_takes_the_digest_away(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        // Files and Diesel's rows are what they were; only the ledger has a half.
        let half = folder.add("20240104000000_half", "CREATE TABLE half (x INT);\nSELECT nope;", "");
        folder.write("20240104000000_half/metadata.toml", "run_in_transaction = false\n");
        folder.migrator().run(conn.conn()).unwrap_err();
        fs::remove_dir_all(half).unwrap();
        assert_eq!(diesel_versions(&mut conn).len(), 3);
        let Err(Error::History(problems)) = folder.migrator().run(conn.conn()) else {
            panic!("a half without its file must stop the run");
        };
        assert!(matches!(&problems[..], [Problem::Missing { .. }]), "{problems:?}");
    }

    /// Of these only the ledger knows.
    fn migrations_in_rust_are_told_by_what_they_declare(db: TestDb) {
        let migrator = |checksum: &str| {
            let step = RustMigration::new("20240101000000_dice", checksum, |conn| {
                Ok(conn.batch_execute("CREATE TABLE dice (face INT)")?)
            });
            Migrator::new(Source::rust(vec![
                step.with_down(|conn| Ok(conn.batch_execute("DROP TABLE dice")?)),
            ]))
        };
        let mut conn = db.connect();
        assert_eq!(migrator("1").run(conn.conn()).unwrap().steps.len(), 1);
        assert!(is_told_at_once(&migrator("1"), &mut conn));
        assert!(!is_told_at_once(&migrator("2"), &mut conn));
        assert!(matches!(migrator("2").run(conn.conn()), Err(Error::History(_))));
        migrator("1").rollback(conn.conn()).unwrap();
        assert_eq!(migrator("1").run(conn.conn()).unwrap().steps.len(), 1);
    }
}
