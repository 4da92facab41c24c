//! The way back: planned before anything is touched, in the order of application.

use db_migrate::{Error, Event, Migrator, Problem, Repair, Source, Target};
use db_testkit::{TestDb, both_engines};

use crate::support::{Folder, catalog, diesel_versions, log_kinds, tables, versions};

both_engines! {
    fn a_dry_run_reverts_everything_and_leaves_everything(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        let before = (catalog(&mut conn), log_kinds(&folder.migrator(), &mut conn));
        let all = Target::Ordinal(0);
        let report = folder.migrator().dry_run_rollback(conn.conn(), Some(&all)).unwrap();
        assert!(report.rehearsal);
        // Not even about the numbers of our own log, which have moved on.
        assert!(report.notices.is_empty(), "{report:?}");
        assert_eq!(versions(&report), ["20240103000000", "20240102000000", "20240101000000"]);
        let one = folder.migrator().dry_run_rollback(conn.conn(), None).unwrap();
        assert_eq!(versions(&one), ["20240103000000"]);
        folder.write("20240102000000_games/down.sql", "DROP TABLE games;\nDROP TABLE nope;");
        let error = folder.migrator().dry_run_rollback(conn.conn(), Some(&all)).unwrap_err();
        let Error::Failed { failure, report } = error else { panic!("{error}") };
        assert_eq!((failure.statement, report.rehearsal), (Some(2), true));
        folder.write("20240102000000_games/down.sql", "");
        let error = folder.migrator().dry_run_rollback(conn.conn(), Some(&all)).unwrap_err();
        assert!(matches!(error, Error::NoWayBack(_)), "{error}");
        let after = (catalog(&mut conn), log_kinds(&folder.migrator(), &mut conn));
        assert_eq!(after, before);
        assert_eq!(diesel_versions(&mut conn).len(), 3);
        assert!(folder.migrator().validate(conn.conn(), None).unwrap().is_clean());
    }

    fn only_what_was_confirmed_is_reverted(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        let migrator = folder.migrator();
        let plan = migrator.preview_rollback(conn.conn(), None).unwrap();
        folder.run(&mut conn);
        let before = catalog(&mut conn);
        let error = migrator.rollback_as_planned(conn.conn(), None, &plan).unwrap_err();
        let Error::PlanChanged { confirmed, now } = &error else { panic!("{error}") };
        assert_eq!(*confirmed, ["20240102000000"]);
        assert_eq!(*now, ["20240103000000"]);
        assert_eq!(catalog(&mut conn), before);
        let all = Target::Ordinal(0);
        let plan = migrator.preview_rollback(conn.conn(), Some(&all)).unwrap();
        migrator.rollback_as_planned(conn.conn(), Some(&all), &plan).unwrap();
        let error = migrator.rollback_as_planned(conn.conn(), Some(&all), &plan).unwrap_err();
        assert!(error.to_string().contains("would now revert nothing"), "{error}");
    }

    /// Another run between the look and the lock is found under the lock.
    fn the_plan_is_compared_under_the_lock_too(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        let plan = folder.migrator().preview_rollback(conn.conn(), None).unwrap();
        let (inside, is_inside) = std::sync::mpsc::channel();
        let (finish, may_finish) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (inside, may_finish) = (inside, std::sync::Mutex::new(may_finish));
                folder
                    .migrator()
                    .on_event(move |event| {
                        if matches!(event, Event::Started { .. }) {
                            inside.send(()).unwrap();
                            may_finish.lock().unwrap().recv().unwrap();
                        }
                    })
                    .rollback(db.connect().conn())
                    .unwrap();
            });
            is_inside.recv().unwrap();
            let finish = std::sync::Mutex::new(finish);
            let error = folder
                .migrator()
                .on_event(move |event| {
                    if matches!(event, Event::WaitingForLock { .. }) {
                        finish.lock().unwrap().send(()).unwrap();
                    }
                })
                .rollback_as_planned(conn.conn(), None, &plan)
                .unwrap_err();
            assert!(matches!(error, Error::PlanChanged { .. }), "{error}");
        });
        assert_eq!(diesel_versions(&mut conn).len(), 2);
    }

    fn what_has_no_file_any_more_is_reverted_from_the_ledger(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        folder.remove("20240103000000_bets");
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(matches!(error, Error::NewerDatabase(_)), "{error}");
        assert!(error.to_string().contains("`rollback`, which reverts it"), "{error}");
        let accept = Repair { cosmetic: false, accept: vec![Target::Ordinal(3)] };
        let error = folder.migrator().repair(conn.conn(), &accept).unwrap_err();
        assert!(error.to_string().contains("restore its file, or `rollback`"), "{error}");
        assert_eq!(versions(&folder.migrator().rollback(conn.conn()).unwrap()), ["20240103000000"]);
        folder.remove("20240102000000_games");
        folder.remove("20240101000000_users");
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(error.to_string().contains("has 2 applied migrations"), "{error}");
        let error = folder.migrator().ensure_current(conn.conn()).unwrap_err();
        assert!(matches!(error, Error::History(_)), "{error}");
        let status = folder.migrator().status(conn.conn()).unwrap();
        assert!(matches!(status.problems[..], [Problem::NoMigrations { applied: 2, others: 0, .. }]));
        folder.migrator().rollback_to(conn.conn(), &Target::Back(2)).unwrap();
        assert!(tables(&mut conn).is_empty());
        assert!(folder.migrator().run(conn.conn()).unwrap().steps.is_empty());
    }

    fn an_empty_folder_of_another_set_is_only_worth_a_note(db: TestDb) {
        let (folder, plugin) = (Folder::dice(), Folder::new());
        let mut conn = db.connect();
        folder.run(&mut conn);
        let theirs = Migrator::new(Source::folder(plugin.path()).named("plugin"));
        let report = theirs.run(conn.conn()).unwrap();
        assert!(report.notices[0].contains("3 applied migrations, of other sets"), "{report:?}");
        theirs.ensure_current(conn.conn()).unwrap();
    }

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
