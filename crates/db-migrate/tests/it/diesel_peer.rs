//! Diesel's own harness, which diesel_cli is built on, before, after and between ours.

use db_core::with_conn;
use db_migrate::{Drift, Status, Unknown};
use db_testkit::{TestConn, TestDb, both_engines};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};

use crate::support::{
    Folder, applied, catalog, diesel_versions, log_kinds, tables, texts, versions,
};

fn source(folder: &Folder) -> FileBasedMigrations {
    FileBasedMigrations::from_path(folder.path()).unwrap()
}

fn diesel_run(folder: &Folder, conn: &mut TestConn) -> usize {
    let mut conn = conn.conn();
    with_conn!(conn, |c| c
        .run_pending_migrations(source(folder))
        .unwrap()
        .len())
}

fn diesel_revert(folder: &Folder, conn: &mut TestConn) {
    let mut conn = conn.conn();
    with_conn!(conn, |c| c.revert_last_migration(source(folder)).unwrap());
}

fn diesel_has_pending(folder: &Folder, conn: &mut TestConn) -> bool {
    let mut conn = conn.conn();
    with_conn!(conn, |c| c.has_pending_migration(source(folder)).unwrap())
}

both_engines! {
    fn what_diesel_migrated_is_taken_over(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        assert_eq!(diesel_run(&folder, &mut conn), 3);
        let status = folder.migrator().status(conn.conn()).unwrap();
        assert_eq!((status.applied.len(), status.unrecorded.len()), (3, 3));
        folder.migrator().ensure_current(conn.conn()).unwrap();
        let report = folder.run(&mut conn);
        assert!(report.steps.is_empty() && report.notices[0].contains("took over"), "{report:?}");
        let history = folder.migrator().history(conn.conn()).unwrap();
        assert!(history.iter().all(|row| row.status == Status::Adopted && row.checksums.is_some()));
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().is_clean());
        // Edits are seen from here on, and the way back is known.
        folder.write("20240101000000_users/up.sql", "SELECT 1");
        folder.migrator().run(conn.conn()).unwrap_err();
        folder.remove("20240103000000_bets");
        folder.migrator().rollback(conn.conn()).unwrap();
        assert_eq!(diesel_versions(&mut conn).len(), 2);
    }

    fn diesel_goes_on_after_us(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        assert!(diesel_has_pending(&folder, &mut conn));
        assert_eq!(diesel_run(&folder, &mut conn), 1);
        assert!(!diesel_has_pending(&folder, &mut conn));
        let found = folder.migrator().validate(conn.conn(), None).unwrap();
        assert_eq!(found.drift, Drift::Unknown { reason: Unknown::ChangedByDiesel });
        diesel_revert(&folder, &mut conn);
        diesel_revert(&folder, &mut conn);
        let found = folder.migrator().validate(conn.conn(), None).unwrap();
        assert_eq!(found.drift, Drift::Unknown { reason: Unknown::ChangedByDiesel });
        let report = folder.run(&mut conn);
        assert!(report.notices.iter().any(|n| n.contains("reverted")), "{report:?}");
        assert_eq!(versions(&report), ["20240102000000", "20240103000000"]);
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().is_clean());
        assert!(log_kinds(&folder.migrator(), &mut conn).contains(&"reverted_outside".to_owned()));
        // redo
        diesel_revert(&folder, &mut conn);
        assert_eq!(diesel_run(&folder, &mut conn), 1);
        assert_eq!(folder.run(&mut conn).steps.len(), 0);
        assert_eq!(applied(&folder.migrator(), &mut conn).len(), 3);
    }

    fn both_build_the_same_schema(db: TestDb) {
        let folder = Folder::dice();
        let mut ours = db.connect();
        folder.run(&mut ours);
        let other = TestDb::new(db.engine());
        let mut theirs = other.connect();
        diesel_run(&folder, &mut theirs);
        assert_eq!(catalog(&mut ours), catalog(&mut theirs));
        assert_eq!(diesel_versions(&mut ours), diesel_versions(&mut theirs));
    }

    fn a_dropped_table_of_diesel_is_made_anew(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        conn.execute("DROP TABLE __diesel_schema_migrations");
        let report = folder.run(&mut conn);
        assert!(report.steps.is_empty());
        assert_eq!(diesel_versions(&mut conn).len(), 3);
        assert!(!diesel_has_pending(&folder, &mut conn));
        assert_eq!(tables(&mut conn), ["games", "users"]);
    }

    fn an_adopted_migration_without_file_is_reported(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        diesel_run(&folder, &mut conn);
        folder.remove("20240102000000_games");
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(error.to_string().contains("its file is gone"), "{error}");
        let error = folder
            .migrator()
            .rollback_to(conn.conn(), &db_migrate::Target::Ordinal(1))
            .unwrap_err();
        assert!(error.to_string().contains("is not stored"), "{error}");
    }

    fn what_diesel_redid_is_taken_over_with_its_new_text(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        diesel_revert(&folder, &mut conn);
        folder.write(
            "20240103000000_bets/up.sql",
            "ALTER TABLE users ADD COLUMN email TEXT; ALTER TABLE users ADD COLUMN phone TEXT;",
        );
        assert_eq!(diesel_run(&folder, &mut conn), 1);
        let found = folder.migrator().validate(conn.conn(), None).unwrap();
        assert_eq!(found.drift, Drift::Unknown { reason: Unknown::ChangedByDiesel });
        assert!(found.problems.is_empty(), "{found:?}");
        let report = folder.run(&mut conn);
        assert!(report.steps.is_empty() && report.notices[0].contains("took over"), "{report:?}");
        let history = folder.migrator().history(conn.conn()).unwrap();
        let words: Vec<_> = history.iter().map(|row| row.status).collect();
        assert_eq!(words, [Status::Applied, Status::Applied, Status::Adopted]);
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().is_clean());
        assert!(folder.run(&mut conn).notices.is_empty());
    }

    fn diesels_rows_have_our_moment(db: TestDb) {
        let run_on = |conn: &mut TestConn| {
            texts(
                conn,
                "SELECT DISTINCT CAST(run_on AS TEXT) AS text FROM __diesel_schema_migrations",
            )
        };
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        assert_eq!(run_on(&mut conn), ["2026-01-02 03:04:05"]);
        conn.execute("DROP TABLE __diesel_schema_migrations");
        folder.run(&mut conn);
        assert_eq!(run_on(&mut conn), ["2026-01-02 03:04:05"]);
        assert!(!diesel_has_pending(&folder, &mut conn));
        assert!(folder.migrator().status(conn.conn()).unwrap().unrecorded.is_empty());

        let other = TestDb::new(db.engine());
        let mut conn = other.connect();
        folder.migrator().baseline(conn.conn(), &db_migrate::Target::Ordinal(3)).unwrap();
        assert_eq!(run_on(&mut conn), ["2026-01-02 03:04:05"]);
        assert!(folder.migrator().status(conn.conn()).unwrap().unrecorded.is_empty());
    }

    fn a_half_that_diesel_finished_is_not_run_again(db: TestDb) {
        let folder = Folder::new();
        folder.add(
            "20240101000000_steps",
            "CREATE TABLE one (x INT);\nSELECT nope;",
            "DROP TABLE one;",
        );
        folder.write("20240101000000_steps/metadata.toml", "run_in_transaction = false\n");
        let mut conn = db.connect();
        folder.migrator().run(conn.conn()).unwrap_err();
        folder.write(
            "20240101000000_steps/up.sql",
            "DROP TABLE one; CREATE TABLE one (x INT); CREATE TABLE two (x INT);",
        );
        assert_eq!(diesel_run(&folder, &mut conn), 1);
        let report = folder.run(&mut conn);
        assert!(report.steps.is_empty(), "{report:?}");
        let row = folder.migrator().history(conn.conn()).unwrap().remove(0);
        assert_eq!(row.status, Status::Adopted);
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().is_clean());
    }

    fn what_is_taken_over_beside_a_half_has_a_place_of_its_own(db: TestDb) {
        let folder = Folder::new();
        folder.add("20240101000000_users", "CREATE TABLE users (x INT);", "DROP TABLE users;");
        let half = "CREATE TABLE one (x INT);\nSELECT nope;";
        folder.add("20240103000000_steps", half, "DROP TABLE one;");
        folder.write("20240103000000_steps/metadata.toml", "run_in_transaction = false\n");
        let mut conn = db.connect();
        folder.migrator().run(conn.conn()).unwrap_err();
        folder.add("20240102000000_games", "CREATE TABLE games (x INT);", "DROP TABLE games;");
        // As diesel_cli leaves it, which would have run the half too.
        conn.execute(
            "CREATE TABLE games (x INT);
             INSERT INTO __diesel_schema_migrations (version) VALUES ('20240102000000')",
        );
        folder.write("20240103000000_steps/up.sql", "CREATE TABLE one (x INT);\nSELECT 1;");
        assert_eq!(versions(&folder.run(&mut conn)), ["20240103000000"]);
        assert_eq!(applied(&folder.migrator(), &mut conn).len(), 3);
    }
}
