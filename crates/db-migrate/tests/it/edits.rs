//! Edits of applied migrations: cosmetic ones warn, semantic ones stop, both can be repaired.

use db_migrate::{Edit, Error, MigrateOptions, Problem, Repair, Target};
use db_testkit::{TestDb, both_engines};

use crate::support::{Folder, log_kinds, versions};

const UP: &str = "20240101000000_users/up.sql";

both_engines! {
    fn a_cosmetic_edit_is_a_warning_and_can_be_recorded(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        folder.write(
            UP,
            "/* the same */ create  TABLE users\r\n(id bigint primary key,\n name TEXT NOT NULL)",
        );
        let report = folder.run(&mut conn);
        assert_eq!(versions(&report), ["20240103000000"]);
        assert!(report.notices[0].contains("repair --cosmetic"), "{:?}", report.notices);

        let migrator = folder.migrator();
        let found = migrator.validate(conn.conn(), None).unwrap();
        assert!(found.is_clean(), "{found:?}");
        assert!(matches!(&found.problems[..], [Problem::Edited { edit: Edit::Cosmetic, .. }]));
        let repair = Repair { cosmetic: true, ..Repair::default() };
        let done = migrator.repair(conn.conn(), &repair).unwrap();
        assert_eq!(done.restamped, ["20240101000000_users"]);
        assert!(migrator.validate(conn.conn(), None).unwrap().problems.is_empty());
        assert_eq!(log_kinds(&migrator, &mut conn).last().map(String::as_str), Some("repaired"));
    }

    fn line_ends_are_cosmetic_inside_literals_too(db: TestDb) {
        let folder = Folder::new();
        let unix = "CREATE TABLE t (x TEXT DEFAULT 'one\ntwo');\n";
        folder.add("20240101000000_t", unix, "DROP TABLE t;");
        let mut conn = db.connect();
        folder.run(&mut conn);
        folder.write("20240101000000_t/up.sql", &unix.replace('\n', "\r\n"));
        let found = folder.migrator().validate(conn.conn(), None).unwrap();
        assert!(matches!(&found.problems[..], [Problem::Edited { edit: Edit::Cosmetic, .. }]));
        folder.run(&mut conn);
    }

    fn a_semantic_edit_stops_and_shows_the_lines(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "2");
        folder.write(
            UP,
            "-- people\nCREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL, age INT);\n",
        );
        let migrator = folder.migrator();
        let Err(Error::History(problems)) = migrator.run(conn.conn()) else {
            panic!("an edited migration must stop the run");
        };
        assert!(matches!(&problems[..], [Problem::Edited { edit: Edit::Semantic, .. }]));
        let found = migrator.validate(conn.conn(), None).unwrap();
        assert!(!found.is_sound());
        let changed: Vec<&str> = found.edits[0]
            .lines
            .iter()
            .map(|l| l.text.as_str())
            .filter(|l| l.contains("CREATE"))
            .collect();
        assert_eq!(changed.len(), 2);
        assert!(!changed[0].contains("age") && changed[1].contains("age"));

        let accept = Repair { cosmetic: false, accept: vec![Target::parse("users").unwrap()] };
        let done = migrator.repair(conn.conn(), &accept).unwrap();
        assert_eq!(done.accepted, ["20240101000000_users (deliberate edit)"]);
        assert_eq!(versions(&migrator.run(conn.conn()).unwrap()), ["20240103000000"]);
        let error = migrator.repair(conn.conn(), &accept).unwrap_err();
        assert!(error.to_string().contains("nothing to accept"), "{error}");
    }

    fn a_missing_file_stops_until_it_is_accepted(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        folder.add("20240104000000_more", "CREATE TABLE more (x INTEGER)", "DROP TABLE more");
        folder.remove("20240102000000_games");
        let migrator = folder.migrator();
        let Err(Error::History(problems)) = migrator.run(conn.conn()) else {
            panic!("a missing file must stop the run");
        };
        assert!(matches!(&problems[..], [Problem::Missing { version, .. }] if version == "20240102000000"));
        let accept = Repair { cosmetic: false, accept: vec![Target::parse("20240102").unwrap()] };
        migrator.repair(conn.conn(), &accept).unwrap();
        assert_eq!(versions(&migrator.run(conn.conn()).unwrap()), ["20240104000000"]);
    }

    fn an_out_of_order_file_names_its_cure(db: TestDb) {
        let folder = Folder::dice();
        let mut conn = db.connect();
        folder.run(&mut conn);
        let late = folder.add("20240101120000_late", "CREATE TABLE late (x INTEGER)", "DROP TABLE late");
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        assert!(error.to_string().contains("--allow-out-of-order"), "{error}");
        assert!(matches!(&error, Error::History(p) if matches!(&p[..], [Problem::OutOfOrder { .. }])));
        let allow = MigrateOptions { allow_out_of_order: true, ..MigrateOptions::default() };
        assert_eq!(versions(&folder.migrator().migrate(conn.conn(), &allow).unwrap()), ["20240101120000"]);
        // Rollback follows the order of application, not of versions.
        let back = folder.migrator().rollback(conn.conn()).unwrap();
        assert_eq!(versions(&back), ["20240101120000"]);
        std::fs::write(
            late.join("metadata.toml"),
            "run_in_transaction = true\nout_of_order = true\n",
        )
        .unwrap();
        assert_eq!(versions(&folder.run(&mut conn)), ["20240101120000"]);
    }
}
