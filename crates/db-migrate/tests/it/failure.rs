//! A migration that fails: the place is named, the database is as it was, the log knows.

use db_core::ErrorKind;
use db_migrate::{Error, Outcome};
use db_testkit::{TestDb, both_engines};

use crate::support::{Folder, catalog, count, diesel_versions, log_kinds, texts, versions};

both_engines! {
    fn a_syntax_error_is_placed_and_undone(db: TestDb) {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_broken",
            "CREATE TABLE half (x INTEGER);\n-- é\nINSERT INTO users (id, name)\n  VALUES (2, 'é') WERE true;\n",
            "",
        );
        let mut conn = db.connect();
        folder.run_to(&mut conn, "3");
        let before = catalog(&mut conn);
        let Err(Error::Failed { failure, report }) = folder.migrator().run(conn.conn()) else {
            panic!("a broken migration must fail");
        };
        assert_eq!(failure.statement, Some(2));
        assert!(failure.file.ends_with("20240104000000_broken/up.sql"), "{}", failure.file);
        assert_eq!(failure.outcome, Outcome::RolledBack);
        assert_eq!(failure.kind, Some(ErrorKind::Statement));
        // A plain Diesel connection to SQLite gives no offset, so its statement's line is named.
        let line = match conn.engine() {
            db_core::Engine::Sqlite => 3,
            db_core::Engine::Postgres => 4,
        };
        assert_eq!(failure.line, Some(line), "{failure}");
        assert_eq!((report.steps.len(), report.not_run.len()), (0, 1));
        assert_eq!(catalog(&mut conn), before);
        assert_eq!(diesel_versions(&mut conn).len(), 3);
        let log = folder.migrator().log(conn.conn()).unwrap();
        let failed = log.last().unwrap();
        assert_eq!((failed.kind.as_str(), failed.statement), ("failed", Some(2)));
        assert!(failed.detail.as_ref().unwrap().contains("syntax error"), "{failed:?}");
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().is_sound());
    }

    fn a_connection_of_ours_names_the_very_line(db: TestDb) {
        let folder = Folder::new();
        folder.add("20240101000000_a", "SELECT 1;\n\nSELECT *\nFROM sqlite_nope\nWERE x;", "");
        let url = db_core::DatabaseUrl::parse(&db.url()).unwrap();
        let mut conn = db_core::Connection::open(&url, db_core::Access::Create).unwrap();
        let Err(Error::Failed { failure, .. }) = folder.migrator().run(conn.conn()) else {
            panic!("a broken migration must fail");
        };
        assert!(failure.line.is_some_and(|line| line >= 4), "{failure}");
    }

    fn what_came_before_stays(db: TestDb) {
        let folder = Folder::dice();
        folder.add("20240102120000_broken", "INSERT INTO games (id) VALUES (1); SELECT nope", "");
        let mut conn = db.connect();
        let Err(Error::Failed { report, .. }) = folder.migrator().run(conn.conn()) else {
            panic!("a broken migration must fail");
        };
        assert_eq!(versions(&report), ["20240101000000", "20240102000000"]);
        assert_eq!(report.not_run.len(), 2);
        assert!(!report.is_success());
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM games"), 0);
        folder.remove("20240102120000_broken");
        assert_eq!(versions(&folder.run(&mut conn)), ["20240103000000"]);
        assert_eq!(
            log_kinds(&folder.migrator(), &mut conn),
            ["applied", "applied", "failed", "applied"]
        );
    }

    fn an_empty_migration_is_recorded(db: TestDb) {
        let folder = Folder::new();
        folder.add("20240101000000_nothing", "-- nothing to do on this engine\n", "SELECT 1;");
        let mut conn = db.connect();
        assert_eq!(folder.run(&mut conn).steps[0].statements, 0);
        folder.migrator().rollback(conn.conn()).unwrap();
    }

    fn scripts_that_cannot_run_are_refused_before_the_first(db: TestDb) {
        let folder = Folder::dice();
        folder.add("20240104000000_nul", "SELECT 1;\nSELECT '\0';", "");
        let mut conn = db.connect();
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(matches!(error, Error::Script { .. }), "{error}");
        assert!(error.to_string().contains("up.sql:2"), "{error}");
        assert!(crate::support::tables(&mut conn).is_empty());
    }
}

mod sqlite {
    use db_migrate::MigrateOptions;
    use db_testkit::TestDb;

    use super::*;
    use crate::support::sqlite;

    /// `OR ROLLBACK` ends the migration's transaction from inside; nothing of it may remain.
    #[test]
    fn a_statement_that_ends_the_transaction_undoes_everything() {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_or_rollback",
            "CREATE TABLE half (x INTEGER);\nINSERT OR ROLLBACK INTO users (id, name) VALUES (1, 'twice');",
            "",
        );
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "3");
        let before = catalog(&mut conn);
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error}");
        assert_eq!(catalog(&mut conn), before);
        assert_eq!(diesel_versions(&mut conn).len(), 3);
    }

    /// What was applied before the check failed stays, and is told.
    #[test]
    fn a_check_that_fails_afterwards_tells_what_was_applied() {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_orphan",
            "PRAGMA foreign_keys = OFF;\nINSERT INTO games (id, winner) VALUES (1, 99);",
            "",
        );
        folder.write(
            "20240104000000_orphan/metadata.toml",
            "run_in_transaction = false\n",
        );
        let db = TestDb::sqlite();
        let options = MigrateOptions {
            verify: true,
            ..MigrateOptions::default()
        };
        let error = folder
            .migrator()
            .migrate(db.connect().conn(), &options)
            .unwrap_err();
        let Error::Unsound {
            when,
            report: Some(report),
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!((when, versions(&report).len()), ("after the run", 4));
    }

    /// The log and the session's end write too, and must not wait for the other writer again.
    #[test]
    fn a_locked_database_is_waited_for_once() {
        const WAIT: std::time::Duration = std::time::Duration::from_secs(3);
        let folder = Folder::dice();
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        conn.execute(&format!("PRAGMA busy_timeout = {}", WAIT.as_millis()));
        let mut other = db.connect();
        other.execute("BEGIN IMMEDIATE; INSERT INTO users (id, name) VALUES (7, 'seven')");
        let started = std::time::Instant::now();
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        let waited = started.elapsed();
        assert_eq!(error.database_kind(), Some(ErrorKind::Busy), "{error}");
        assert!(waited >= WAIT && waited < 2 * WAIT, "{waited:?}");
        let patience = count(
            &mut conn,
            "SELECT timeout AS count FROM pragma_busy_timeout",
        );
        assert_eq!(patience, 3_000);
        other.execute("ROLLBACK");
        folder.run(&mut conn);
    }

    #[test]
    fn integrity_and_foreign_keys_are_verified_on_request() {
        let folder = Folder::dice();
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        let options = MigrateOptions {
            verify: true,
            ..MigrateOptions::default()
        };
        folder.run_to(&mut conn, "2");
        folder.migrator().migrate(conn.conn(), &options).unwrap();
        conn.execute("PRAGMA foreign_keys = OFF; INSERT INTO games (id, winner) VALUES (1, 99)");
        folder.add(
            "20240104000000_more",
            "CREATE TABLE more (x INTEGER)",
            "DROP TABLE more",
        );
        let error = folder
            .migrator()
            .migrate(conn.conn(), &options)
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("1 row of games has no parent in users"),
            "{error}"
        );
        assert_eq!(diesel_versions(&mut conn).len(), 3);
    }

    #[test]
    fn a_new_file_is_switched_to_wal_and_an_old_one_keeps_its_mode() {
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        let mode =
            |conn: &mut _| texts(conn, "SELECT journal_mode AS text FROM pragma_journal_mode");
        assert_eq!(mode(&mut conn), ["delete"]);
        Folder::dice().run(&mut conn);
        assert_eq!(mode(&mut conn), ["wal"]);
        let synchronous = texts(
            &mut conn,
            "SELECT CAST(synchronous AS TEXT) AS text FROM pragma_synchronous",
        );
        assert_eq!(synchronous, ["2"]);

        let old = TestDb::sqlite();
        let mut conn = old.connect();
        conn.execute("CREATE TABLE older (x INTEGER)");
        Folder::dice().run(&mut conn);
        assert_eq!(mode(&mut conn), ["delete"]);
    }

    #[test]
    fn a_full_database_leaves_everything_as_it_was() {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_big",
            "CREATE TABLE big (x BLOB);\nINSERT INTO big VALUES (zeroblob(3000000));",
            "DROP TABLE big;",
        );
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "3");
        let before = catalog(&mut conn);
        diesel::connection::SimpleConnection::batch_execute(
            sqlite(&mut conn),
            "PRAGMA max_page_count = 60",
        )
        .unwrap();
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert_eq!(error.database_kind(), Some(ErrorKind::DiskFull), "{error}");
        assert_eq!(catalog(&mut conn), before);
        conn.execute("PRAGMA max_page_count = 100000");
        assert_eq!(versions(&folder.run(&mut conn)), ["20240104000000"]);
    }
}

both_engines! {
    fn tables_without_a_history_are_a_case_for_baseline(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        conn.execute("CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL)");
        for error in [
            folder.migrator().dry_run(conn.conn(), &db_migrate::MigrateOptions::default()).unwrap_err(),
            folder.migrator().run(conn.conn()).unwrap_err(),
        ] {
            let Error::Failed { failure, .. } = error else { panic!("{error}") };
            assert_eq!(failure.kind, Some(ErrorKind::AlreadyExists));
            assert!(failure.to_string().contains("`baseline TARGET`"), "{failure}");
        }
        folder.migrator().baseline(conn.conn(), &db_migrate::Target::Ordinal(1)).unwrap();
        folder.run(&mut conn);
        // With a history it is an ordinary mistake.
        folder.add("20240104000000_twice", "CREATE TABLE users (id BIGINT);", "");
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(!error.to_string().contains("baseline"), "{error}");
    }

    fn a_script_that_makes_its_own_table_twice_is_no_case_for_baseline(db: TestDb) {
        let folder = Folder::new();
        folder.add("20240101000000_twice", "CREATE TABLE t (x INT); CREATE TABLE t (x INT);", "");
        let error = folder.migrator().run(db.connect().conn()).unwrap_err();
        assert!(!error.to_string().contains("baseline"), "{error}");
    }

    fn a_script_without_a_statement_is_noted(db: TestDb) {
        let folder = Folder::new();
        folder.add("20240101000000_template", "-- template: what changes, and why.\n", "");
        let report = folder.run(&mut db.connect());
        assert!(report.notices[0].contains("20240101000000_template/up.sql holds no statement"), "{report:?}");
    }
}

mod postgres {
    use db_migrate::{Migrator, RustMigration, Source};
    use db_testkit::TestDb;

    use super::*;

    #[test]
    fn the_search_path_of_a_migration_does_not_outlive_it() {
        let folder = Folder::new();
        folder.add(
            "20240101000000_elsewhere",
            "CREATE SCHEMA elsewhere; SET search_path = elsewhere; CREATE TABLE t (x INT);",
            "DROP SCHEMA elsewhere CASCADE;",
        );
        folder.add(
            "20240102000000_here",
            "CREATE TABLE here (x INT);",
            "DROP TABLE here;",
        );
        let db = TestDb::postgres();
        let mut conn = db.connect();
        folder.run(&mut conn);
        assert_eq!(
            texts(
                &mut conn,
                "SELECT schemaname::text AS text FROM pg_tables WHERE tablename = 'here'"
            ),
            ["public"]
        );
        assert_eq!(diesel_versions(&mut conn).len(), 2);
        folder
            .migrator()
            .rollback_to(conn.conn(), &db_migrate::Target::Ordinal(0))
            .unwrap();
    }

    #[test]
    fn the_role_and_path_of_a_migration_do_not_outlive_it() {
        let folder = Folder::new();
        folder.add(
            "20240101000000_as_someone",
            "CREATE SCHEMA other; GRANT ALL ON SCHEMA other TO pg_monitor; SET ROLE pg_monitor;
             SET SCHEMA 'other'; CREATE TABLE t (x INT);",
            "DROP SCHEMA other CASCADE;",
        );
        folder.add(
            "20240102000000_here",
            "CREATE TABLE here (x INT);",
            "DROP TABLE here;",
        );
        let db = TestDb::postgres();
        let mut conn = db.connect();
        folder.run(&mut conn);
        let schema = "SELECT schemaname::text AS text FROM pg_tables WHERE tablename = 'here'";
        assert_eq!(texts(&mut conn, schema), ["public"]);
    }

    /// One slow reader must not make every later SELECT wait behind the migration.
    #[test]
    fn a_lock_that_cannot_be_had_is_tried_again() {
        let folder = Folder::dice();
        let db = TestDb::postgres();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        let mut reader = db.connect();
        reader.execute("SET application_name = 'report'; BEGIN; SELECT * FROM users");
        let pid = count(&mut reader, "SELECT pg_backend_pid()::bigint AS count");
        let (tried, retried) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // The reader ends once the migration has been turned away.
                retried.recv().unwrap();
                reader.execute("COMMIT");
            });
            let report = folder
                .migrator()
                .on_event(move |event| {
                    if let db_migrate::Event::Retrying {
                        reason, blockers, ..
                    } = event
                    {
                        assert_eq!(reason, "canceling statement due to lock timeout");
                        let [blocker] = blockers.as_slice() else {
                            panic!("{blockers:?}")
                        };
                        assert_eq!(i64::from(blocker.pid), pid);
                        assert_eq!(blocker.application.as_deref(), Some("report"));
                        assert_eq!(blocker.state.as_deref(), Some("idle in transaction"));
                        assert!(blocker.user.is_some() && blocker.query_start.is_some());
                        let _ = tried.send(());
                    }
                })
                .run(conn.conn())
                .unwrap();
            assert_eq!(versions(&report), ["20240103000000"]);
        });
        assert_eq!(diesel_versions(&mut conn).len(), 3);
    }

    /// A reader is not in the way of rows that are added, and is not accused.
    #[test]
    fn who_is_in_the_way_is_named_when_patience_ends() {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_more",
            "INSERT INTO users (id, name) VALUES (2, 'two');",
            "",
        );
        let db = TestDb::postgres();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "3");
        let mut reader = db.connect();
        reader.execute("SET application_name = 'reader'; BEGIN; SELECT * FROM users");
        let mut writer = db.connect();
        writer.execute("SET application_name = 'writer'; BEGIN; LOCK TABLE users IN SHARE MODE");
        let error = folder
            .migrator()
            .wait(std::time::Duration::ZERO)
            .run(conn.conn())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the tables are in use by backend"),
            "{error}"
        );
        assert!(error.contains("(writer, user "), "{error}");
        assert!(!error.contains("reader"), "{error}");
    }

    #[test]
    fn an_outer_begin_and_commit_say_nothing_new() {
        let folder = Folder::new();
        folder.add(
            "20240101000000_wrapped",
            "BEGIN;\nCREATE TABLE t (x INT);\nCOMMIT;\n",
            "BEGIN; DROP TABLE t; COMMIT;",
        );
        let db = TestDb::postgres();
        let mut conn = db.connect();
        folder.run(&mut conn);
        folder.migrator().rollback(conn.conn()).unwrap();
    }

    #[test]
    fn detail_and_hint_of_the_server_are_told() {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_orphan",
            "INSERT INTO games (id, winner) VALUES (1, 99);",
            "",
        );
        let db = TestDb::postgres();
        let mut conn = db.connect();
        let error = folder.migrator().run(conn.conn()).unwrap_err().to_string();
        folder.remove("20240104000000_orphan");
        assert!(
            error.contains("Key (winner)=(99) is not present in table \"users\"."),
            "{error}"
        );
        let in_rust = RustMigration::new("20240105000000_hint", "1", |conn| {
            Ok(conn.batch_execute(
                "DO $$ BEGIN RAISE 'no' USING DETAIL = 'why', HINT = 'do it'; END $$",
            )?)
        });
        let error = Migrator::new(Source::rust(vec![in_rust]).named("rust"))
            .run(conn.conn())
            .unwrap_err()
            .to_string();
        assert!(error.contains("no: why (do it)"), "{error}");
    }
}
