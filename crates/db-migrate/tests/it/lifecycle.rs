//! From an empty database to the last migration, with everything the ledger remembers of it.

use std::sync::{Arc, Mutex};

use db_migrate::{
    Error, Event, MigrateOptions, Migrator, RustMigration, Source, State, Status, Target,
};
use db_testkit::{TestDb, both_engines};

use crate::support::{
    Folder, applied, catalog, count, diesel_versions, log_kinds, tables, versions,
};

both_engines! {
    fn everything_pending_is_applied_once(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        let report = folder.run(&mut conn);
        assert!(report.is_success());
        assert_eq!(
            versions(&report),
            ["20240101000000", "20240102000000", "20240103000000"]
        );
        assert_eq!(report.steps[1].statements, 2);
        assert_eq!(tables(&mut conn), ["games", "users"]);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM users"), 1);
        assert_eq!(diesel_versions(&mut conn), versions(&report));

        let again = folder.run(&mut conn);
        assert!(again.steps.is_empty());
        assert_eq!(log_kinds(&folder.migrator(), &mut conn), ["applied"; 3]);
    }

    fn the_ledger_remembers_text_who_and_when(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        let history = folder.migrator().history(conn.conn()).unwrap();
        let first = &history[0];
        assert_eq!(
            (first.sequence, first.folder_name.as_str(), first.set.as_str(), first.status),
            (1, "20240101000000_users", "main", Status::Applied)
        );
        assert_eq!(
            (first.applied_by.as_str(), first.applied_at.as_str()),
            ("tester", "2026-01-02T03:04:05.678901Z")
        );
        let stored = crate::support::texts(
            &mut conn,
            "SELECT up_sql || down_sql AS text FROM __db_migrate_ledger WHERE sequence = 1",
        );
        assert!(stored[0].starts_with("-- people\nCREATE TABLE users"), "{stored:?}");
        assert!(stored[0].ends_with("DROP TABLE users;"));
        // PostgreSQL's catalog is read where it is worth its time, and always at the end.
        let prints: Vec<_> = history.iter().map(|row| row.fingerprint.clone()).collect();
        assert!(prints[2].is_some());
        if conn.engine() == db_core::Engine::Sqlite {
            assert!(prints.iter().all(Option::is_some));
        }
        assert_ne!(prints[0], prints[2]);
    }

    fn a_target_stops_in_between(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        assert_eq!(versions(&folder.run_to(&mut conn, "games")).len(), 2);
        let status = folder.migrator().status(conn.conn()).unwrap();
        assert_eq!(status.current_version.as_deref(), Some("20240102000000"));
        assert_eq!(status.pending.len(), 1);
        assert_eq!(
            (status.pending[0].position, status.pending[0].state),
            (3, State::Pending)
        );
        let back = MigrateOptions {
            target: Some(Target::Ordinal(1)),
            ..MigrateOptions::default()
        };
        let error = folder.migrator().migrate(conn.conn(), &back).unwrap_err();
        assert!(matches!(error, Error::WrongDirection(_)), "{error}");
        assert!(error.to_string().contains("`rollback` goes back"), "{error}");
    }

    fn a_look_changes_nothing(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        let before = catalog(&mut conn);
        let migrator = folder.migrator();
        let status = migrator.status(conn.conn()).unwrap();
        assert!(!status.initialized);
        assert_eq!((status.applied.len(), status.pending.len()), (0, 3));
        assert_eq!(migrator.pending(conn.conn()).unwrap().len(), 3);
        assert!(migrator.log(conn.conn()).unwrap().is_empty());
        assert!(!migrator.validate(conn.conn(), None).unwrap().is_clean());
        assert!(matches!(migrator.ensure_current(conn.conn()), Err(Error::Pending(p)) if p.len() == 3));
        assert_eq!(catalog(&mut conn), before);
        let ledger = match conn.engine() {
            db_core::Engine::Sqlite => "SELECT count(*) AS count FROM sqlite_schema",
            db_core::Engine::Postgres => {
                "SELECT count(*) AS count FROM pg_class WHERE relname LIKE '\\_\\_d%'"
            }
        };
        assert_eq!(count(&mut conn, ledger), 0);
    }

    fn sql_and_rust_merge_into_one_order(db: TestDb) {
        let folder = Folder::dice();
        let rust = |with: &str| {
            Source::rust(vec![
                RustMigration::new("20240102120000_first_game", with, |conn| {
                    Ok(conn.batch_execute("INSERT INTO games (id) VALUES (7)")?)
                })
                .with_down(|conn| Ok(conn.batch_execute("DELETE FROM games")?)),
            ])
        };
        let both = |with: &str| {
            Migrator::new(Source::folder(folder.path()).named("main")).and(rust(with))
        };
        let mut conn = db.connect();
        let report = both("v1").run(conn.conn()).unwrap();
        assert_eq!(report.steps[2].name, "first_game");
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM games"), 1);
        // diesel_cli, which cannot see it, must not stumble over it.
        assert_eq!(diesel_versions(&mut conn).len(), 3);
        assert_eq!(applied(&both("v1"), &mut conn).len(), 4);
        // Its declared checksum stands for its text.
        let error = both("v2").run(conn.conn()).unwrap_err();
        assert!(matches!(error, Error::History(_)), "{error}");
        let report = both("v1").rollback_to(conn.conn(), &Target::Back(2)).unwrap();
        assert_eq!(versions(&report), ["20240103000000", "20240102120000"]);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM games"), 0);
    }

    fn a_rust_migration_may_nest_transactions_but_not_leave_one(db: TestDb) {
        let mut conn = db.connect();
        let nested = RustMigration::new("20240101000000_nested", "1", |conn| {
            use diesel::Connection;
            let made: diesel::QueryResult<()> = match conn {
                db_core::Conn::Sqlite(c) => c.transaction(nested_table),
                db_core::Conn::Postgres(c) => c.transaction(nested_table),
            };
            Ok(made?)
        });
        let failing = RustMigration::new("20240102000000_failing", "1", |conn| {
            conn.batch_execute("CREATE TABLE half (x INTEGER)")?;
            Err("no dice".into())
        });
        let migrator = Migrator::new(Source::rust(vec![nested, failing]));
        let error = migrator.run(conn.conn()).unwrap_err();
        let Error::Failed { failure, report } = error else {
            panic!("{error}");
        };
        assert_eq!((failure.message.as_str(), failure.statement), ("no dice", None));
        assert_eq!(report.steps.len(), 1);
        assert_eq!(tables(&mut conn), ["nested"]);
    }

    fn a_rust_migration_that_commits_or_panics_is_found_out(db: TestDb) {
        let mut conn = db.connect();
        let commits = RustMigration::new("20240101000000_commits", "1", |conn| {
            conn.batch_execute("CREATE TABLE stays (x INTEGER)")?;
            Ok(conn.batch_execute("COMMIT")?)
        });
        let error = Migrator::new(Source::rust(vec![commits])).run(conn.conn()).unwrap_err();
        let Error::Failed { failure, .. } = &error else { panic!("{error}") };
        assert_eq!(failure.outcome, db_migrate::Outcome::Partial);
        assert!(diesel_versions(&mut conn).is_empty());

        let other = TestDb::new(db.engine());
        let mut conn = other.connect();
        let panics = RustMigration::new("20240101000000_panics", "1", |conn| {
            conn.batch_execute("CREATE TABLE half (x INTEGER)")?;
            panic!("no dice");
        });
        let error = Migrator::new(Source::rust(vec![panics])).run(conn.conn()).unwrap_err();
        assert!(error.to_string().contains("it panicked: no dice"), "{error}");
        assert!(tables(&mut conn).is_empty());
        // The connection and the lock are free again.
        assert_eq!(Folder::dice().run(&mut conn).steps.len(), 3);
    }

    fn several_sets_share_a_database(db: TestDb) {
        let (core, world) = (Folder::dice(), Folder::new());
        world.add("20230101000000_worlds", "CREATE TABLE worlds (id INTEGER)", "DROP TABLE worlds");
        let set = |folder: &Folder, name: &str| Source::folder(folder.path()).named(name);
        let mut conn = db.connect();
        Migrator::new(set(&core, "core")).run(conn.conn()).unwrap();
        // The other team's migration is older than the last applied one, but of another set.
        Migrator::new(set(&world, "world")).run(conn.conn()).unwrap();
        for migrator in [
            Migrator::new(set(&core, "core")),
            Migrator::new(set(&world, "world")),
            Migrator::new(set(&core, "core")).and(set(&world, "world")),
        ] {
            migrator.ensure_current(conn.conn()).unwrap();
            assert!(migrator.run(conn.conn()).unwrap().steps.is_empty());
        }
        let history = Migrator::new(set(&core, "core")).history(conn.conn()).unwrap();
        assert_eq!(history[3].set, "world");
        // A set may lag behind its database, whatever the versions of the other set are.
        world.add("20230201000000_maps", "CREATE TABLE maps (id INTEGER)", "DROP TABLE maps");
        Migrator::new(set(&world, "world")).run(conn.conn()).unwrap();
        world.remove("20230201000000_maps");
        let both = Migrator::new(set(&core, "core")).and(set(&world, "world"));
        let error = both.ensure_current(conn.conn()).unwrap_err();
        assert!(matches!(error, Error::NewerDatabase(_)), "{error}");
    }

    fn progress_is_told_in_order(db: TestDb) {
        let folder = Folder::dice();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let mut conn = db.connect();
        folder
            .migrator()
            .on_event(move |event| sink.lock().unwrap().push(event.clone()))
            .run(conn.conn())
            .unwrap();
        let seen = seen.lock().unwrap();
        assert!(matches!(seen[0], Event::Planned { migrations: 3, .. }));
        let started = seen.iter().filter(|e| matches!(e, Event::Started { .. })).count();
        let statements = seen.iter().filter(|e| matches!(e, Event::Statement { .. })).count();
        let finished = seen.iter().filter(|e| matches!(e, Event::Finished { .. })).count();
        assert_eq!((started, statements, finished), (3, 5, 3));
    }

    fn all_in_one_transaction_is_all_or_nothing(db: TestDb) {
        let folder = Folder::dice();
        folder.add("20240104000000_broken", "CREATE TABLE ok (x INTEGER); SELECT nope;", "");
        let options = MigrateOptions {
            single_transaction: true,
            ..MigrateOptions::default()
        };
        let mut conn = db.connect();
        let error = folder.migrator().migrate(conn.conn(), &options).unwrap_err();
        let Error::Failed { report, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((report.steps.len(), report.not_run.len()), (0, 4));
        assert!(tables(&mut conn).is_empty());
        folder.remove("20240104000000_broken");
        assert_eq!(folder.migrator().migrate(conn.conn(), &options).unwrap().steps.len(), 3);
        assert_eq!(log_kinds(&folder.migrator(), &mut conn), ["failed", "applied", "applied", "applied"]);
    }

    fn a_newer_database_is_refused(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        folder.remove("20240103000000_bets");
        let older = folder.migrator();
        assert!(matches!(older.run(conn.conn()), Err(Error::NewerDatabase(p)) if p.len() == 1));
        assert!(matches!(older.ensure_current(conn.conn()), Err(Error::NewerDatabase(_))));
        // It can still go back, with the text that the ledger keeps.
        let report = older.rollback(conn.conn()).unwrap();
        assert_eq!(versions(&report), ["20240103000000"]);
        older.ensure_current(conn.conn()).unwrap();
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM users"), 0);
    }

    fn a_baseline_declares_what_is_there(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        conn.execute("CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL)");
        let declared = folder
            .migrator()
            .baseline(conn.conn(), &Target::parse("users").unwrap())
            .unwrap();
        assert_eq!(versions(&declared), ["20240101000000"]);
        assert_eq!(diesel_versions(&mut conn), ["20240101000000"]);
        assert_eq!(versions(&folder.run(&mut conn)).len(), 2);
        let error = folder.migrator().baseline(conn.conn(), &Target::Ordinal(2)).unwrap_err();
        assert!(error.to_string().contains("recorded already"), "{error}");
    }

    fn the_log_cannot_be_rewritten(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        for sql in ["UPDATE __db_migrate_events SET actor = 'x'", "DELETE FROM __db_migrate_events"] {
            let error = conn.conn().batch_execute(sql).unwrap_err().to_string();
            assert!(error.contains("append-only"), "{error}");
        }
        if conn.engine() == db_core::Engine::Sqlite {
            let forged = "INSERT OR REPLACE INTO __db_migrate_events (id, at, kind, actor)
                          VALUES (1, 'x', 'forged', 'nobody')";
            let error = conn.conn().batch_execute(forged).unwrap_err().to_string();
            assert!(error.contains("append-only"), "{error}");
        }
    }

    fn a_connection_inside_a_transaction_is_refused(db: TestDb) {
        use diesel::Connection;
        let folder = Folder::dice();
        let mut conn = db.connect();
        let error = match &mut conn {
            db_testkit::TestConn::Sqlite(c) => {
                c.begin_test_transaction().unwrap();
                folder.migrator().run(c)
            }
            db_testkit::TestConn::Postgres(c) => {
                c.begin_test_transaction().unwrap();
                folder.migrator().run(c)
            }
        }
        .unwrap_err();
        assert!(error.to_string().contains("inside a transaction"), "{error}");
    }
}

fn nested_table<C: diesel::connection::SimpleConnection>(conn: &mut C) -> diesel::QueryResult<()> {
    conn.batch_execute("CREATE TABLE nested (x INTEGER)")
}
