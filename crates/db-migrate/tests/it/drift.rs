//! A schema changed by hand is seen, named, and never swallowed into the next fingerprint.

use db_migrate::{Drift, Error, MigrateOptions, Rebuild, Target, Unknown};
use db_testkit::{TestConn, TestDb, both_engines};

use crate::support::{Folder, log_kinds, versions};

fn names(drift: &Drift) -> Vec<String> {
    drift
        .differences()
        .iter()
        .map(|d| format!("{} {}", d.kind, d.name))
        .collect()
}

both_engines! {
    fn a_change_by_hand_is_named_and_stops_the_next_run(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        let migrator = folder.migrator();
        assert_eq!(migrator.validate(conn.conn(), None).unwrap().drift, Drift::None);
        conn.execute("ALTER TABLE users ADD COLUMN nickname TEXT; DROP INDEX idx_games_winner;
                      CREATE TABLE stray (x INTEGER)");
        let found = migrator.validate(conn.conn(), None).unwrap();
        assert_eq!(
            names(&found.drift),
            ["table stray", "column users.nickname", "index idx_games_winner"]
        );
        assert!(!found.is_sound());
        let Err(Error::Drift(differences)) = migrator.run(conn.conn()) else {
            panic!("drift must stop the run");
        };
        assert_eq!(differences.len(), 3);

        let accept = MigrateOptions { accept_drift: true, ..MigrateOptions::default() };
        let report = migrator.migrate(conn.conn(), &accept).unwrap();
        assert_eq!(versions(&report), ["20240103000000"]);
        assert!(report.notices[0].contains("changed by hand"), "{:?}", report.notices);
        assert_eq!(migrator.validate(conn.conn(), None).unwrap().drift, Drift::None);
        assert!(log_kinds(&migrator, &mut conn).contains(&"restamped".to_owned()));
    }

    fn a_refused_run_leaves_the_session_as_it_was(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        conn.execute("CREATE TABLE stray (x INTEGER)");
        let durability = match conn.engine() {
            db_core::Engine::Sqlite => "SELECT CAST(synchronous AS TEXT) AS text FROM pragma_synchronous",
            db_core::Engine::Postgres => "SELECT current_setting('synchronous_commit') AS text",
        };
        let before = crate::support::texts(&mut conn, durability);
        folder.migrator().run(conn.conn()).unwrap_err();
        assert_eq!(crate::support::texts(&mut conn, durability), before);
    }

    /// `status` goes by a seal as long as it is whole, and compares in full where it is not.
    fn status_sees_every_change_by_hand(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        let status = |conn: &mut TestConn| folder.migrator().status(conn.conn()).unwrap().drift;
        assert_eq!(status(&mut conn), Drift::None);
        for (change, undo, object) in [
            ("CREATE TABLE stray (x INTEGER)", "DROP TABLE stray", "table stray"),
            (
                "DROP INDEX idx_games_winner",
                "CREATE INDEX idx_games_winner ON games (winner)",
                "index idx_games_winner",
            ),
            (
                "ALTER TABLE users ADD COLUMN nick TEXT",
                "ALTER TABLE users DROP COLUMN nick",
                "column users.nick",
            ),
            (
                "CREATE VIEW winners AS SELECT winner FROM games",
                "DROP VIEW winners",
                "view winners",
            ),
        ] {
            conn.execute(change);
            let found = names(&status(&mut conn));
            assert!(found.contains(&object.to_owned()), "{change}: {found:?}");
            conn.execute(undo);
            assert_eq!(status(&mut conn), Drift::None, "{undo}");
        }
        conn.execute("DROP TABLE games");
        assert!(names(&status(&mut conn)).contains(&"table games".to_owned()));
    }

    fn undoing_the_change_undoes_the_drift(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        conn.execute("CREATE TABLE stray (x INTEGER); DROP TABLE stray; ANALYZE;
                      ALTER TABLE users RENAME TO people; ALTER TABLE people RENAME TO users");
        assert_eq!(folder.migrator().validate(conn.conn(), None).unwrap().drift, Drift::None);
    }

    fn a_history_without_a_stored_schema_is_unknown_not_drift(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        conn.execute("CREATE TABLE older (x INTEGER)");
        let found = folder.migrator().validate(conn.conn(), None).unwrap();
        assert_eq!(found.drift, Drift::Unknown { reason: Unknown::NeverTaken });
        // What was there before the first migration is the state to begin with.
        folder.run(&mut conn);
        assert_eq!(folder.migrator().validate(conn.conn(), None).unwrap().drift, Drift::None);
    }

    fn a_run_beside_a_look_is_no_drift(db: TestDb) {
        let folder = Folder::new();
        for number in 10..40 {
            folder.add(
                &format!("202401{number}000000_t{number}"),
                &format!("CREATE TABLE t{number} (x INTEGER); CREATE INDEX i{number} ON t{number} (x);"),
                &format!("DROP TABLE t{number};"),
            );
        }
        let migrator = folder.migrator();
        let mut conn = db.connect();
        for _ in 0..3 {
            std::thread::scope(|scope| {
                let run = scope.spawn(|| folder.run(&mut db.connect()).steps.len());
                while !run.is_finished() {
                    let found = migrator.validate(conn.conn(), None).unwrap();
                    assert!(found.is_sound(), "{:?} {:?}", found.drift, found.rebuild);
                    let drift = migrator.drift(conn.conn()).unwrap();
                    assert!(drift.differences().is_empty(), "{drift:?}");
                    let status = migrator.status(conn.conn()).unwrap();
                    assert!(status.drift.differences().is_empty(), "{:?}", status.drift);
                }
                assert_eq!(run.join().unwrap(), 30);
            });
            migrator.rollback_to(conn.conn(), &Target::Ordinal(0)).unwrap();
        }
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn vacuum_raises_no_false_alarm() {
        let folder = Folder::dice();
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run(&mut conn);
        conn.execute("VACUUM; ANALYZE; REINDEX; PRAGMA optimize");
        assert!(
            folder
                .migrator()
                .validate(conn.conn(), None)
                .unwrap()
                .is_clean()
        );
    }

    /// The stored schema says nothing here, but what the migrations build does.
    #[test]
    fn the_rebuilt_schema_is_compared_too() {
        let folder = Folder::dice();
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run(&mut conn);
        assert_eq!(
            folder
                .migrator()
                .validate(conn.conn(), None)
                .unwrap()
                .rebuild,
            Rebuild::Same
        );
        conn.execute("CREATE TABLE stray (x INTEGER)");
        let accept = MigrateOptions {
            accept_drift: true,
            ..MigrateOptions::default()
        };
        folder.migrator().migrate(conn.conn(), &accept).unwrap();
        let found = folder.migrator().validate(conn.conn(), None).unwrap();
        assert_eq!(found.drift, Drift::None);
        let Rebuild::Different { differences } = found.rebuild else {
            panic!("the stray table must be found");
        };
        assert_eq!(differences[0].name, "stray");
    }

    #[test]
    fn a_data_migration_that_needs_data_is_no_drift() {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_needs_data",
            "CREATE TABLE one (id INTEGER NOT NULL CHECK (id > 0));
             INSERT INTO one SELECT max(id) FROM games;",
            "DROP TABLE one;",
        );
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "3");
        conn.execute("INSERT INTO games (id) VALUES (5)");
        folder.run(&mut conn);
        let found = folder.migrator().validate(conn.conn(), None).unwrap();
        assert!(
            matches!(found.rebuild, Rebuild::Impossible { .. }),
            "{found:?}"
        );
        assert!(found.is_clean());
    }
}

mod postgres {
    use super::*;

    #[test]
    fn a_scratch_database_shows_what_the_migrations_build() {
        let folder = Folder::dice();
        let (db, scratch) = (TestDb::postgres(), TestDb::postgres());
        let (mut conn, mut empty) = (db.connect(), scratch.connect());
        folder.run(&mut conn);
        let migrator = folder.migrator();
        assert_eq!(
            migrator.validate(conn.conn(), None).unwrap().rebuild,
            Rebuild::Skipped
        );
        let found = migrator.validate(conn.conn(), Some(empty.conn())).unwrap();
        assert_eq!(found.rebuild, Rebuild::Same);
    }

    /// Two services in two schemas of one database do not take each other's work for drift.
    #[test]
    fn another_ledgers_schema_is_none_of_our_business() {
        let (ours, theirs) = (Folder::dice(), Folder::dice());
        let db = TestDb::postgres();
        let (mut a, mut b) = (db.connect(), db.connect());
        a.execute("CREATE SCHEMA a; CREATE SCHEMA b; SET search_path = a");
        b.execute("SET search_path = b");
        ours.run(&mut a);
        theirs.run_to(&mut b, "1");
        theirs.run(&mut b);
        for (folder, conn) in [(&ours, &mut a), (&theirs, &mut b)] {
            assert!(
                folder
                    .migrator()
                    .validate(conn.conn(), None)
                    .unwrap()
                    .is_clean()
            );
        }
        b.execute("CREATE TABLE stray (x INT)");
        assert!(ours.migrator().validate(a.conn(), None).unwrap().is_clean());
        assert!(
            !theirs
                .migrator()
                .validate(b.conn(), None)
                .unwrap()
                .is_clean()
        );
    }
}
