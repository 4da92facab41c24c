//! The way back: planned before anything is touched, in the order of application.

use db_migrate::{Error, Migrator, Source, Target};
use db_testkit::{TestDb, both_engines};

use crate::support::{Folder, catalog, diesel_versions, log_kinds, tables, versions};

both_engines! {
    fn each_step_back_leaves_what_was_there_before(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        let mut before = vec![catalog(&mut conn)];
        for position in ["1", "2", "3"] {
            folder.run_to(&mut conn, position);
            before.push(catalog(&mut conn));
        }
        for left in (0..3).rev() {
            let report = folder.migrator().rollback(conn.conn()).unwrap();
            assert_eq!(report.steps.len(), 1);
            assert_eq!(catalog(&mut conn), before[left]);
            assert_eq!(diesel_versions(&mut conn).len(), left);
        }
        assert!(folder.migrator().rollback(conn.conn()).unwrap().steps.is_empty());
        let kinds = log_kinds(&folder.migrator(), &mut conn);
        assert_eq!(kinds, ["applied", "applied", "applied", "reverted", "reverted", "reverted"]);
    }

    fn every_form_of_target_leads_back(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        for (target, left) in [("0", 0), ("1", 1), ("users", 1), ("2024-01-02", 2), ("-2", 1)] {
            folder.run(&mut conn);
            let target = Target::parse(target).unwrap();
            folder.migrator().rollback_to(conn.conn(), &target).unwrap();
            assert_eq!(diesel_versions(&mut conn).len(), left, "{target:?}");
        }
        let error = folder
            .migrator()
            .rollback_to(conn.conn(), &Target::Ordinal(3))
            .unwrap_err();
        assert!(error.to_string().contains("is not applied"), "{error}");
        let error = folder.migrator().rollback_to(conn.conn(), &Target::Back(9)).unwrap_err();
        assert!(error.to_string().contains("only 1 migration is applied"), "{error}");
    }

    fn steps_without_a_way_back_are_named_before_anything_is_touched(db: TestDb) {
        let folder = Folder::dice();
        folder.write("20240101000000_users/down.sql", "-- there is no way back\n");
        std::fs::remove_file(folder.path().join("20240102000000_games/down.sql")).unwrap();
        let mut conn = db.connect();
        folder.run(&mut conn);
        let before = catalog(&mut conn);
        let error = folder.migrator().rollback_to(conn.conn(), &Target::Ordinal(0)).unwrap_err();
        let Error::NoWayBack(steps) = &error else { panic!("{error}") };
        assert_eq!(
            *steps,
            ["20240102000000_games has no down.sql", "20240101000000_users has an empty down.sql"]
        );
        assert_eq!(catalog(&mut conn), before);
        assert_eq!(diesel_versions(&mut conn).len(), 3);
    }

    fn a_failing_script_stops_cleanly(db: TestDb) {
        let folder = Folder::dice();
        folder.write("20240102000000_games/down.sql", "DROP TABLE games;\nDROP TABLE nope;");
        let mut conn = db.connect();
        folder.run(&mut conn);
        let error = folder.migrator().rollback_to(conn.conn(), &Target::Ordinal(0)).unwrap_err();
        let Error::Failed { failure, report } = error else { panic!("{error}") };
        assert_eq!((failure.statement, failure.line), (Some(2), Some(2)));
        assert!(failure.to_string().contains("could not be reverted"), "{failure}");
        assert_eq!(versions(&report), ["20240103000000"]);
        assert_eq!(report.not_run.len(), 2);
        assert_eq!(tables(&mut conn), ["games", "users"]);
        assert_eq!(diesel_versions(&mut conn).len(), 2);
    }

    fn a_mended_down_script_counts_more_than_the_stored_one(db: TestDb) {
        let folder = Folder::dice();
        folder.write("20240103000000_bets/down.sql", "SELECT nope;");
        let mut conn = db.connect();
        folder.run(&mut conn);
        folder.migrator().rollback(conn.conn()).unwrap_err();
        folder.write(
            "20240103000000_bets/down.sql",
            "DELETE FROM users; ALTER TABLE users DROP COLUMN email;",
        );
        assert_eq!(versions(&folder.migrator().rollback(conn.conn()).unwrap()), ["20240103000000"]);
    }

    fn nothing_is_torn_from_under_a_half(db: TestDb) {
        let folder = Folder::dice();
        folder.add(
            "20240104000000_steps",
            "ALTER TABLE games ADD COLUMN stake INTEGER;\nSELECT nope;",
            "ALTER TABLE games DROP COLUMN stake;",
        );
        folder.write("20240104000000_steps/metadata.toml", "run_in_transaction = false\n");
        let mut conn = db.connect();
        let migrator = folder.migrator();
        migrator.run(conn.conn()).unwrap_err();
        let before = catalog(&mut conn);
        for error in [
            migrator.rollback(conn.conn()).unwrap_err(),
            migrator.rollback_to(conn.conn(), &Target::Ordinal(0)).unwrap_err(),
            migrator.preview_rollback(conn.conn(), None).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Refused(_)), "{error}");
            assert!(error.to_string().contains("repair --accept 20240104000000"), "{error}");
        }
        assert_eq!(catalog(&mut conn), before);
        let mended = "ALTER TABLE games ADD COLUMN stake INTEGER;\nSELECT 1;";
        folder.write("20240104000000_steps/up.sql", mended);
        folder.run(&mut conn);
        migrator.rollback_to(conn.conn(), &Target::Ordinal(0)).unwrap();
        assert!(tables(&mut conn).is_empty());
    }

    fn another_teams_migrations_are_left_alone(db: TestDb) {
        let (ours, theirs) = (Folder::dice(), Folder::new());
        theirs.add("20240109000000_stakes", "CREATE TABLE stakes (x INT);", "DROP TABLE stakes;");
        let mut conn = db.connect();
        ours.run(&mut conn);
        Migrator::new(Source::folder(theirs.path()).named("theirs")).run(conn.conn()).unwrap();
        let migrator = ours.migrator();
        assert_eq!(versions(&migrator.rollback(conn.conn()).unwrap()), ["20240103000000"]);
        let error = migrator.rollback_to(conn.conn(), &Target::Back(3)).unwrap_err();
        assert!(error.to_string().contains("only 2 migrations are applied"), "{error}");
        migrator.rollback_to(conn.conn(), &Target::Ordinal(0)).unwrap();
        assert_eq!(tables(&mut conn), ["stakes"]);
        assert_eq!(diesel_versions(&mut conn), ["20240109000000"]);
    }

    fn what_was_changed_by_hand_is_named_on_the_way_back(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        conn.execute("ALTER TABLE games ADD COLUMN stray INTEGER");
        let report = folder.migrator().rollback(conn.conn()).unwrap();
        assert_eq!(versions(&report), ["20240103000000"]);
        let named = |text: &str| text.contains("by hand") && text.contains("games.stray");
        assert!(report.notices.iter().any(|notice| named(notice)), "{:?}", report.notices);
        let log = folder.migrator().log(conn.conn()).unwrap();
        assert!(log.iter().any(|e| e.detail.as_deref().is_some_and(named)), "{log:?}");
    }
}
