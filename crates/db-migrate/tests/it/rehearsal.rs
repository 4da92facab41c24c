//! A dry run that really runs, and leaves the database as it was.

use db_migrate::{DroppedTable, Error, MigrateOptions, Report, Target};
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

    /// By the name that it still has, if a later step drops it.
    fn what_is_only_renamed_is_not_taken_away(db: TestDb) {
        let folder = Folder::dice();
        folder.add("20240104000000_notes", "CREATE TABLE notes (a INT);", "DROP TABLE old_notes;");
        folder.add(
            "20240105000000_renamed",
            "SELECT 1;",
            "ALTER TABLE notes RENAME TO old_notes;\nALTER TABLE users RENAME TO players;\nCREATE TABLE notes (b INT);",
        );
        let mut conn = db.connect();
        folder.run(&mut conn);
        conn.execute("INSERT INTO notes (a) VALUES (1), (2), (3)");
        let back = Target::parse("3").unwrap();
        let report = folder.migrator().dry_run_rollback(conn.conn(), Some(&back)).unwrap();
        assert_eq!(lost(&report), [vec![], vec![("notes".to_owned(), Some(3))]]);
        assert_eq!(tables(&mut conn), ["games", "notes", "users"]);
        let done = folder.migrator().rollback_to(conn.conn(), &back).unwrap();
        assert_eq!(lost(&done), [vec![], vec![("notes".to_owned(), None)]]);
        assert_eq!(tables(&mut conn), ["games", "notes", "players"]);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM players"), 1);
    }

    fn a_table_that_takes_a_name_does_not_hide_what_had_it(db: TestDb) {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_more",
            "CREATE TABLE empty (a INT);\nCREATE TABLE emptied (a INT);\nCREATE TABLE taken (a INT);\n\
             CREATE TABLE other (a INT);\nCREATE TABLE last (a INT);",
            // On SQLite the next table gets the number and the page of the last one.
            "DROP TABLE last;\nCREATE TABLE next (a INT);\nINSERT INTO next VALUES (1);\n\
             DROP TABLE empty;\nCREATE TABLE empty (a INT, b INT);\n\
             DROP TABLE emptied;\nCREATE TABLE emptied (a INT);\n\
             DROP TABLE taken;\nALTER TABLE other RENAME TO taken;",
        );
        let mut conn = db.connect();
        folder.run(&mut conn);
        conn.execute(
            "INSERT INTO last VALUES (1), (2); INSERT INTO emptied VALUES (1), (2), (3);\
             INSERT INTO taken VALUES (1), (2), (3), (4); INSERT INTO other VALUES (1)",
        );
        let before = catalog(&mut conn);
        let report = folder.migrator().dry_run_rollback(conn.conn(), None).unwrap();
        let of = |rows: [Option<u64>; 3]| -> Vec<_> {
            let names = ["emptied", "last", "taken"].map(str::to_owned);
            names.into_iter().zip(rows).collect()
        };
        assert_eq!(lost(&report), [of([Some(3), Some(2), Some(4)])]);
        assert_eq!(catalog(&mut conn), before);
        // Whether the table that is there again held anything can no longer be told.
        let done = folder.migrator().rollback(conn.conn()).unwrap();
        let mut all = of([None; 3]);
        all.insert(1, ("empty".to_owned(), None));
        assert_eq!(lost(&done), [all]);
        assert!(!tables(&mut conn).iter().any(|name| name.contains("mark")));
    }
}

/// Of each step, the tables that are gone and their rows.
fn lost(report: &Report) -> Vec<Vec<(String, Option<u64>)>> {
    let steps = report
        .steps
        .iter()
        .map(|step| step.dropped.clone().unwrap());
    let of = |table: DroppedTable| (table.name, table.rows);
    steps
        .map(|tables| tables.into_iter().map(of).collect())
        .collect()
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

    /// Its name reads otherwise, and that of another one as its own did.
    #[test]
    fn what_is_in_another_schema_now_is_not_taken_away() {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_aside",
            "CREATE SCHEMA old; CREATE SCHEMA older; CREATE TABLE notes (a INT); CREATE TABLE older.bets (a INT);",
            "ALTER TABLE notes SET SCHEMA old; ALTER SCHEMA older RENAME TO oldest; \
             ALTER TABLE users SET SCHEMA old; CREATE TABLE users (a INT);",
        );
        let db = TestDb::postgres();
        let mut conn = db.connect();
        folder.run(&mut conn);
        conn.execute("INSERT INTO notes VALUES (1); INSERT INTO older.bets VALUES (1)");
        let report = folder
            .migrator()
            .dry_run_rollback(conn.conn(), None)
            .unwrap();
        assert_eq!(lost(&report), [vec![]]);
        let done = folder.migrator().rollback(conn.conn()).unwrap();
        assert_eq!(lost(&done), [vec![]]);
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
