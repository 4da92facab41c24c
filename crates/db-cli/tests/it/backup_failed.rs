//! A verification that failed, as the operator meets it who looks later.

use std::fs;

use db_testkit::{TestDb, both_engines};
use serde_json::{Value, json};

use crate::support::Place;

both_engines! {
    fn a_verification_that_failed_is_seen_until_one_passes(db: TestDb) {
        let place = Place::migrated(db);
        let made = place.json(0, &["backup"]);
        let name = made["name"].as_str().unwrap();
        place.ok(&["backup", "verify", "--restore"]);
        let health = |code, more: bool| {
            let document = place.json(code, &["health", "--check", "restore_drill"]);
            let checks = document["checks"].as_array().unwrap();
            let check = checks.iter().find(|check| check["name"] == "restore_drill").unwrap();
            let told = check["observed"].as_str().unwrap();
            assert_eq!(told.ends_with("; 1 backup has failed a verification"), more, "{check}");
            // What was proven once is no lie.
            assert!(!told.contains("ever"), "{check}");
        };
        health(0, false);
        let file = place.path("backups").join(made["files"][0].as_str().unwrap());
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(&file, bad).unwrap();
        // Nobody has read it.
        place.ok(&["backup", "list"]);
        place.ends(8, &["backup", "verify"]);

        let listed = place.json(8, &["backup", "list"])["backups"][0].clone();
        assert_eq!((&listed["complete"], &listed["verified_at"]), (&json!(false), &Value::Null));
        let problem = listed["problems"][0].as_str().unwrap();
        assert!(problem.starts_with("its verification failed at 2"), "{problem}");
        let shown = place.ends(8, &["backup", "list"]);
        assert!(shown.out.contains(problem), "{shown:?}");
        assert!(!shown.err.contains("no manifest"), "{shown:?}");
        let status = place.json(8, &["backup", "status"]);
        assert_eq!(status["damaged"], json!([name]));
        assert_eq!(status["series"][0]["newest"], Value::Null);
        let shown = place.ends(8, &["backup", "status"]);
        assert!(shown.out.contains(&format!("damaged: {name}")), "{shown:?}");
        assert!(shown.out.contains("none of them can be relied on"), "{shown:?}");
        assert!(!shown.out.contains("nothing to restore"), "{shown:?}");
        health(8, true);
        // Another one is made, and proven; the first stays what it is.
        place.ok(&["backup"]);
        place.ok(&["backup", "verify", "--restore"]);
        place.ends(8, &["backup", "status"]);
        health(3, true);

        fs::write(&file, good).unwrap();
        place.ok(&["backup", "verify", name]);
        place.ok(&["backup", "list"]);
        place.ok(&["backup", "status"]);
        health(0, false);
    }

    /// Of a dump there is one check without a restore, and no other is told.
    fn the_check_that_is_told_is_the_one_that_was_made(db: TestDb) {
        let is_file = db.path().is_some();
        let place = Place::migrated(db);
        place.ok(&["backup"]);
        let level = if is_file { "full" } else { "quick" };
        let arguments = ["backup", "verify", "--check", "full"];
        assert_eq!(place.json(0, &arguments)["level"], level);
        let shown = place.ok(&arguments);
        assert!(shown.out.contains(&format!("{level} check in")), "{shown:?}");
        assert_eq!(place.json(0, &["backup", "verify", "--restore"])["level"], "full");
    }
}
