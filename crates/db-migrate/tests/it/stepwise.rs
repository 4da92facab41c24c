//! Migrations outside a transaction: they record how far they came, and go on from there.

use db_migrate::{Drift, Error, Outcome, Repair, State, Status, Target, Unknown};
use db_testkit::{TestDb, both_engines};

use crate::support::{Folder, applied, count, diesel_versions, tables, versions};

const OUTSIDE: &str = "run_in_transaction = false\n";
const UP: &str = "20240101000000_steps/up.sql";

fn steps(up: &str) -> Folder {
    let folder = Folder::new();
    folder.add(
        "20240101000000_steps",
        up,
        "DROP TABLE one; DROP TABLE two;",
    );
    folder.write("20240101000000_steps/metadata.toml", OUTSIDE);
    folder
}

both_engines! {
    fn a_failed_one_goes_on_where_it_stopped(db: TestDb) {
        let folder = steps("CREATE TABLE one (x INT);\nSELECT nope;\nCREATE TABLE two (x INT);");
        let mut conn = db.connect();
        let Err(Error::Failed { failure, .. }) = folder.migrator().run(conn.conn()) else {
            panic!("it must fail");
        };
        assert_eq!((failure.statement, failure.outcome), (Some(2), Outcome::Recorded { done: 1 }));
        assert!(failure.to_string().contains("goes on from there"), "{failure}");
        assert_eq!(tables(&mut conn), ["one"]);
        assert!(applied(&folder.migrator(), &mut conn).is_empty());
        let status = folder.migrator().status(conn.conn()).unwrap();
        assert_eq!(status.pending[0].state, State::Incomplete);
        let found = folder.migrator().validate(conn.conn(), None).unwrap();
        assert_eq!(found.incomplete, ["20240101000000_steps"]);

        folder.write(UP, "create table one (x int); -- done\nCREATE TABLE two (x INT);");
        let report = folder.run(&mut conn);
        assert_eq!(versions(&report), ["20240101000000"]);
        assert!(report.notices[0].contains("goes on after statement 1"), "{:?}", report.notices);
        assert_eq!(tables(&mut conn), ["one", "two"]);
        assert_eq!(diesel_versions(&mut conn), ["20240101000000"]);
        let row = folder.migrator().history(conn.conn()).unwrap().remove(0);
        assert_eq!((row.status, row.statements_done), (Status::Applied, 2));
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().is_clean());
        folder.migrator().rollback(conn.conn()).unwrap();
        assert!(tables(&mut conn).is_empty());
    }

    fn what_took_effect_must_not_be_edited(db: TestDb) {
        let folder = steps("CREATE TABLE one (x INT);\nSELECT nope;");
        let mut conn = db.connect();
        folder.migrator().run(conn.conn()).unwrap_err();
        folder.write(UP, "CREATE TABLE uno (x INT);\nSELECT 1;");
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(error.to_string().contains("stopped after 1 statement,"), "{error}");
        assert_eq!(tables(&mut conn), ["one"]);
    }

    fn a_half_can_be_accepted_as_it_is(db: TestDb) {
        let folder = steps("CREATE TABLE one (x INT);\nSELECT nope;");
        let mut conn = db.connect();
        folder.migrator().run(conn.conn()).unwrap_err();
        let accept = Repair { cosmetic: false, accept: vec![Target::Ordinal(1)] };
        let done = folder.migrator().repair(conn.conn(), &accept).unwrap();
        assert!(done.accepted[0].contains("half way"), "{done:?}");
        assert_eq!(diesel_versions(&mut conn), ["20240101000000"]);
        assert!(folder.run(&mut conn).steps.is_empty());
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM __db_migrate_ledger"), 1);
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().drift == Drift::None);
        folder.add("20240102000000_next", "CREATE TABLE next (x INT);", "DROP TABLE next;");
        assert_eq!(folder.run(&mut conn).steps.len(), 1);
    }

    fn a_half_without_its_file_is_named_and_can_be_forgotten(db: TestDb) {
        let folder = steps("CREATE TABLE one (x INT);\nSELECT nope;");
        let mut conn = db.connect();
        folder.migrator().run(conn.conn()).unwrap_err();
        folder.remove("20240101000000_steps");
        folder.add("20240102000000_next", "CREATE TABLE next (x INT);", "DROP TABLE next;");

        let status = folder.migrator().status(conn.conn()).unwrap();
        let shown: Vec<_> = status.pending.iter().map(|e| (e.version.as_str(), e.state)).collect();
        assert_eq!(
            shown,
            [("20240101000000", State::Incomplete), ("20240102000000", State::Pending)]
        );
        assert_eq!(status.problems.len(), 1);
        assert!(!folder.migrator().validate(conn.conn(), None).unwrap().is_sound());
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(error.to_string().contains("repair --accept 20240101000000"), "{error}");

        let error = folder.migrator().baseline(conn.conn(), &Target::Ordinal(2)).unwrap_err();
        assert!(error.to_string().contains("recorded already"), "{error}");

        let accept = Repair {
            cosmetic: false,
            accept: vec![Target::parse("20240101000000").unwrap()],
        };
        let done = folder.migrator().repair(conn.conn(), &accept).unwrap();
        assert!(done.accepted[0].contains("forgotten"), "{done:?}");
        assert_eq!(folder.migrator().drift(conn.conn()).unwrap(), Drift::None);
        assert_eq!(versions(&folder.run(&mut conn)), ["20240102000000"]);
        assert_eq!(tables(&mut conn), ["next", "one"]);
    }
}

both_engines! {
    fn a_way_back_that_stops_says_what_stays(db: TestDb) {
        let folder = steps("CREATE TABLE one (x INT);\nCREATE TABLE two (x INT);");
        folder.write("20240101000000_steps/down.sql", "DROP TABLE one;\nSELECT nope;");
        let mut conn = db.connect();
        folder.run(&mut conn);
        match folder.migrator().dry_run_rollback(conn.conn(), None) {
            // What took effect did so on the copy.
            Err(Error::Failed { failure, .. }) => assert_eq!(failure.outcome, Outcome::RolledBack),
            Ok(report) => assert!(report.steps[0].not_rehearsed.is_some(), "{report:?}"),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(tables(&mut conn), ["one", "two"]);
        let Err(Error::Failed { failure, .. }) = folder.migrator().rollback(conn.conn()) else {
            panic!("it must fail");
        };
        assert_eq!(failure.outcome, Outcome::Recorded { done: 1 });
        assert!(failure.to_string().contains("1 statement took effect"), "{failure}");
        assert_eq!(diesel_versions(&mut conn).len(), 1);
        assert_eq!(tables(&mut conn), ["two"]);

        let status = folder.migrator().status(conn.conn()).unwrap();
        assert_eq!(status.applied[0].state, State::Reverting);
        assert_eq!(status.drift, Drift::Unknown { reason: Unknown::HalfReverted });
        for error in [
            folder.migrator().run(conn.conn()).unwrap_err(),
            folder.migrator().ensure_current(conn.conn()).unwrap_err(),
        ] {
            assert!(matches!(error, Error::History(_)), "{error}");
            assert!(error.to_string().contains("`rollback` goes on with it"), "{error}");
        }

        folder.write("20240101000000_steps/down.sql", "DROP TABLE IF EXISTS one;\nDROP TABLE two;");
        let error = folder.migrator().rollback(conn.conn()).unwrap_err();
        assert!(error.to_string().contains("down.sql stopped after 1 statement,"), "{error}");
        folder.write("20240101000000_steps/down.sql", "drop table one; -- done\nDROP TABLE two;");
        let report = folder.migrator().rollback(conn.conn()).unwrap();
        assert!(report.notices.iter().any(|n| n.contains("goes on after statement 1 of 2")), "{report:?}");
        assert!(tables(&mut conn).is_empty());
        assert!(diesel_versions(&mut conn).is_empty());
        assert_eq!(versions(&folder.run(&mut conn)), ["20240101000000"]);
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().is_clean());
    }

    fn a_half_way_back_goes_on_without_its_file(db: TestDb) {
        let folder = steps("CREATE TABLE one (x INT);\nCREATE TABLE two (x INT);");
        folder.add("20240102000000_later", "CREATE TABLE later (x INT);", "DROP TABLE later;");
        folder.write("20240102000000_later/metadata.toml", OUTSIDE);
        folder.write("20240101000000_steps/down.sql", "DROP TABLE one;\nINSERT INTO two SELECT y FROM extra;\nDROP TABLE two;");
        let mut conn = db.connect();
        folder.run(&mut conn);
        let all = Target::Ordinal(0);
        folder.migrator().rollback_to(conn.conn(), &all).unwrap_err();
        assert_eq!(tables(&mut conn), ["two"]);
        conn.execute("CREATE TABLE extra (y INT)");
        folder.remove("20240101000000_steps");
        folder.migrator().rollback_to(conn.conn(), &all).unwrap();
        assert_eq!(tables(&mut conn), ["extra"]);
        assert!(diesel_versions(&mut conn).is_empty());
    }

    fn a_half_way_back_can_be_accepted_as_applied(db: TestDb) {
        let folder = steps("CREATE TABLE one (x INT);\nCREATE TABLE two (x INT);");
        folder.write("20240101000000_steps/down.sql", "DROP TABLE one;\nSELECT nope;");
        let mut conn = db.connect();
        folder.run(&mut conn);
        folder.migrator().rollback(conn.conn()).unwrap_err();
        conn.execute("CREATE TABLE one (x INT)");
        let accept = Repair { cosmetic: false, accept: vec![Target::Ordinal(1)] };
        let done = folder.migrator().repair(conn.conn(), &accept).unwrap();
        assert!(done.accepted[0].contains("stopped on its way back"), "{done:?}");
        let status = folder.migrator().status(conn.conn()).unwrap();
        assert_eq!((status.applied[0].state, status.drift), (State::Applied, Drift::None));
        folder.migrator().ensure_current(conn.conn()).unwrap();
    }

    /// The first statement fails, so nothing took effect: the migration is applied as before.
    fn a_way_back_that_did_nothing_is_no_half(db: TestDb) {
        let folder = steps("CREATE TABLE one (x INT);\nCREATE TABLE two (x INT);");
        folder.write("20240101000000_steps/down.sql", "SELECT nope;\nDROP TABLE one;");
        let mut conn = db.connect();
        folder.run(&mut conn);
        folder.migrator().rollback(conn.conn()).unwrap_err();
        folder.migrator().ensure_current(conn.conn()).unwrap();
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().is_clean());
    }

    fn a_transaction_of_the_script_does_not_hide_its_error(db: TestDb) {
        let folder = steps("CREATE TABLE one (x INT);\nBEGIN;\nCREATE TABLE two (x INT);\nSELECT nope;\nCOMMIT;");
        let mut conn = db.connect();
        let Err(Error::Failed { failure, .. }) = folder.migrator().run(conn.conn()) else {
            panic!("it must fail");
        };
        assert_eq!((failure.statement, failure.line), (Some(4), Some(4)), "{failure}");
        assert_eq!(tables(&mut conn), ["one"]);
        let log = folder.migrator().log(conn.conn()).unwrap();
        assert_eq!(log.last().unwrap().kind, "failed");
    }
}

mod postgres {
    use super::*;
    use crate::support::texts;

    fn concurrently() -> Folder {
        let folder = Folder::new();
        folder.add(
            "20240101000000_t",
            "CREATE TABLE t (x INT); INSERT INTO t VALUES (1), (1);",
            "DROP TABLE t;",
        );
        folder.add(
            "20240102000000_index",
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_t_x ON t (x);",
            "DROP INDEX CONCURRENTLY idx_t_x;",
        );
        folder.write("20240102000000_index/metadata.toml", OUTSIDE);
        folder
    }

    fn valid(conn: &mut db_testkit::TestConn) -> Vec<String> {
        texts(
            conn,
            "SELECT indisvalid::text AS text FROM pg_index WHERE indexrelid::regclass::text = 'idx_t_x'",
        )
    }

    #[test]
    fn an_invalid_index_is_found_and_rebuilt() {
        let folder = concurrently();
        let db = TestDb::postgres();
        let mut conn = db.connect();
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error}");
        assert_eq!(valid(&mut conn), ["false"]);
        conn.execute("DELETE FROM t; INSERT INTO t VALUES (1)");
        let report = folder.run(&mut conn);
        assert!(
            report.notices.iter().any(|n| n.contains("left invalid")),
            "{:?}",
            report.notices
        );
        assert_eq!(valid(&mut conn), ["true"]);
        folder.migrator().rollback(conn.conn()).unwrap();
        assert!(valid(&mut conn).is_empty());
    }

    #[test]
    fn concurrently_inside_a_transaction_is_refused_with_the_cure() {
        let folder = concurrently();
        std::fs::remove_file(folder.path().join("20240102000000_index/metadata.toml")).unwrap();
        let db = TestDb::postgres();
        let mut conn = db.connect();
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(
            error.to_string().contains("run_in_transaction = false"),
            "{error}"
        );
        assert!(tables(&mut conn).is_empty());
    }
}

mod sqlite {
    use super::*;

    /// The pragma is among the statements that a second run skips; without it the DROP would
    /// delete the children.
    #[test]
    fn what_was_set_for_the_session_is_set_again() {
        let folder = Folder::new();
        folder.add(
            "20240101000000_tables",
            "CREATE TABLE p (id INTEGER PRIMARY KEY);
             CREATE TABLE c (p INTEGER REFERENCES p (id) ON DELETE CASCADE);
             INSERT INTO p VALUES (1); INSERT INTO c VALUES (1), (1);",
            "SELECT 1;",
        );
        let rebuild = "PRAGMA foreign_keys = OFF;\nCREATE TABLE p2 (id INTEGER PRIMARY KEY);
             INSERT INTO p2 SELECT idd FROM p;\nDROP TABLE p;\nALTER TABLE p2 RENAME TO p;";
        folder.add("20240102000000_rebuild", rebuild, "SELECT 1;");
        folder.write("20240102000000_rebuild/metadata.toml", OUTSIDE);
        let db = TestDb::sqlite();
        let mut first = db.connect();
        folder.migrator().run(first.conn()).unwrap_err();
        // The pragma of a script does not outlive it either.
        assert_eq!(
            count(
                &mut first,
                "SELECT foreign_keys AS count FROM pragma_foreign_keys"
            ),
            1
        );
        drop(first);
        folder.write(
            "20240102000000_rebuild/up.sql",
            &rebuild.replace("idd", "id"),
        );
        let mut second = db.connect();
        folder.run(&mut second);
        assert_eq!(count(&mut second, "SELECT count(*) AS count FROM c"), 2);
    }

    #[test]
    fn vacuum_and_journal_mode_run_outside_a_transaction() {
        let folder = steps(
            "CREATE TABLE one (x INT); CREATE TABLE two (x INT); VACUUM; PRAGMA journal_mode = DELETE;",
        );
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run(&mut conn);
        let mode = crate::support::texts(
            &mut conn,
            "SELECT journal_mode AS text FROM pragma_journal_mode",
        );
        assert_eq!(mode, ["delete"]);
    }
}
