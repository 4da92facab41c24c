//! A dry run that really runs, and leaves the database as it was.

use db_migrate::{Error, MigrateOptions, Report, Target};
use db_testkit::{TestDb, both_engines};

use crate::support::{Folder, catalog, count, diesel_versions, log_kinds, tables, versions};

both_engines! {
    fn everything_is_run_and_nothing_is_changed(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "1");
        let before = catalog(&mut conn);
        let report = folder.migrator().dry_run(conn.conn(), &MigrateOptions::default()).unwrap();
        assert!(report.rehearsal);
        assert_eq!(versions(&report), ["20240102000000", "20240103000000"]);
        assert_eq!(catalog(&mut conn), before);
        assert_eq!(diesel_versions(&mut conn).len(), 1);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM users"), 0);
        assert_eq!(log_kinds(&folder.migrator(), &mut conn), ["applied"]);
        assert_eq!(versions(&folder.run(&mut conn)).len(), 2);
    }

    fn an_empty_database_stays_empty(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        let report = folder.migrator().dry_run(conn.conn(), &MigrateOptions::default()).unwrap();
        assert_eq!(report.steps.len(), 3);
        assert_eq!(report.steps[2].rows_changed, Some(1));
        assert!(tables(&mut conn).is_empty());
        assert!(!folder.migrator().status(conn.conn()).unwrap().initialized);
    }

    fn a_failure_is_found_without_harm(db: TestDb) {
        let folder = Folder::dice();
        folder.add("20240104000000_broken", "CREATE TABLE half (x INT);\nSELECT nope;", "");
        let mut conn = db.connect();
        folder.run_to(&mut conn, "3");
        let error = folder.migrator().dry_run(conn.conn(), &MigrateOptions::default()).unwrap_err();
        let Error::Failed { failure, report } = error else { panic!("{error}") };
        assert!(report.rehearsal);
        assert_eq!((failure.statement, failure.line), (Some(2), Some(2)));
        assert_eq!(tables(&mut conn), ["games", "users"]);
        assert_eq!(log_kinds(&folder.migrator(), &mut conn), ["applied"; 3]);
    }
}

both_engines! {
    fn what_the_way_back_takes_away_is_counted(db: TestDb) {
        let folder = Folder::dice();
        folder.add("20240104000000_notes", "CREATE TABLE notes (a INT);", "DROP TABLE notes;\nDROP TABLE kept;");
        folder.add(
            "20240105000000_rebuilt",
            "ALTER TABLE notes ADD COLUMN b INT;",
            "CREATE TABLE kept (a INT);\nINSERT INTO kept SELECT a FROM notes;\n\
             CREATE TABLE new_notes (a INT);\nINSERT INTO new_notes SELECT a FROM notes;\n\
             DROP TABLE notes;\nALTER TABLE new_notes RENAME TO notes;",
        );
        let mut conn = db.connect();
        let up = folder.run(&mut conn);
        assert!(up.steps.iter().all(|step| step.dropped.is_none()));
        conn.execute("INSERT INTO notes (a) VALUES (1), (2), (3); INSERT INTO users (id, name) VALUES (2, 'a');\
             INSERT INTO games VALUES (7, 2)");
        let before = catalog(&mut conn);
        let lost = |report: &Report| -> Vec<Vec<(String, Option<u64>)>> {
            let steps = report.steps.iter().map(|step| step.dropped.clone().unwrap());
            steps.map(|tables| tables.into_iter().map(|table| (table.name, table.rows)).collect()).collect()
        };
        let all = Target::parse("0").unwrap();
        let report = folder.migrator().dry_run_rollback(conn.conn(), Some(&all)).unwrap();
        // As the database is: what another step makes or deletes does not count.
        let of = |name: &str, rows: Option<u64>| vec![(name.to_owned(), rows)];
        let notes = vec![("kept".to_owned(), Some(0_u64)), ("notes".to_owned(), Some(3))];
        assert_eq!(lost(&report), [vec![], notes, vec![], of("games", Some(1)), of("users", Some(2))]);
        assert_eq!(catalog(&mut conn), before);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM notes"), 3);
        // Once it is done, nobody can count any more.
        let back = folder.migrator().rollback_to(conn.conn(), &Target::parse("1").unwrap()).unwrap();
        let notes = vec![("kept".to_owned(), None), ("notes".to_owned(), None)];
        assert_eq!(lost(&back), [vec![], notes, vec![], of("games", None)]);
    }
}

mod postgres {
    use super::*;

    #[test]
    fn the_locks_of_each_statement_are_shown() {
        let folder = Folder::dice();
        let db = TestDb::postgres();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        let report = folder
            .migrator()
            .dry_run(conn.conn(), &MigrateOptions::default())
            .unwrap();
        let locks = &report.steps[0].locks[0];
        assert_eq!((locks.statement, locks.line), (1, 1));
        assert_eq!(locks.locks, ["AccessExclusiveLock on users"]);
        assert_eq!(report.steps[0].rows_changed, Some(1));
    }

    #[test]
    fn sequences_that_move_on_are_named() {
        let folder = Folder::new();
        folder.add(
            "20240101000000_jump",
            "SELECT setval('s', 1000);",
            "SELECT 1;",
        );
        let db = TestDb::postgres();
        let mut conn = db.connect();
        conn.execute("CREATE SEQUENCE s");
        let report = folder
            .migrator()
            .dry_run(conn.conn(), &MigrateOptions::default())
            .unwrap();
        assert!(
            report.notices[0].contains("have moved on: public.s"),
            "{:?}",
            report.notices
        );
    }

    #[test]
    fn what_cannot_run_in_a_transaction_is_listed() {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_index",
            "CREATE INDEX CONCURRENTLY i ON users (name);",
            "DROP INDEX CONCURRENTLY i;",
        );
        folder.write(
            "20240104000000_index/metadata.toml",
            "run_in_transaction = false",
        );
        let db = TestDb::postgres();
        let mut conn = db.connect();
        let report = folder
            .migrator()
            .dry_run(conn.conn(), &MigrateOptions::default())
            .unwrap();
        assert_eq!(report.steps.len(), 4);
        assert!(report.steps[3].not_rehearsed.is_some());
        assert!(tables(&mut conn).is_empty());
    }
}

mod sqlite {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_file_is_not_touched() {
        let folder = Folder::dice();
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "1");
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)");
        drop(conn);
        let hash = || Sha256::digest(std::fs::read(db.path().unwrap()).unwrap());
        let before = hash();
        let url = db_core::DatabaseUrl::parse(&db.url()).unwrap();
        let mut reader = db_core::Connection::open(&url, db_core::Access::ReadOnly).unwrap();
        folder
            .migrator()
            .dry_run(reader.conn(), &MigrateOptions::default())
            .unwrap();
        drop(reader);
        assert_eq!(hash(), before);
    }
}
