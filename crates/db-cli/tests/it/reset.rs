//! `reset` gives nothing up that it cannot build again, and says what is gone if it must.

use db_testkit::{TestDb, both_engines};

use crate::support::Place;

/// With a row that a reset would lose.
fn with_a_guest(db: TestDb) -> Place {
    let place = Place::migrated(db);
    place
        .db
        .connect()
        .execute("INSERT INTO users (id, name) VALUES (7, 'guest')");
    place
}

/// Nothing was reverted: the same row cannot be added twice.
#[track_caller]
fn guest_is_there(place: &Place) {
    place
        .db
        .connect()
        .execute("INSERT INTO games (id, winner) VALUES (7, 7)");
}

both_engines! {
    fn a_script_that_cannot_be_begun_is_found_first(db: TestDb) {
        let place = with_a_guest(db);
        place.add("20240104000000_next", "SELECT 1; COMMIT; SELECT 2;", "SELECT 1;");
        let document = place.json(10, &["reset", "--force"]);
        assert_eq!(document["error"]["kind"], "script");
        assert!(document["error"]["rolled_back"].is_null(), "{document}");
        guest_is_there(&place);
    }

    fn an_applied_script_that_was_broken_since_is_found_first(db: TestDb) {
        let place = with_a_guest(db);
        place.write("migrations/20240102000000_games/up.sql", "SELECT 1; COMMIT; SELECT 2;");
        place.ends(10, &["reset", "--force"]);
        guest_is_there(&place);
    }

    fn what_has_no_file_is_not_reverted(db: TestDb) {
        let place = with_a_guest(db);
        std::fs::remove_dir_all(place.path("migrations/20240102000000_games")).unwrap();
        let missing = place.json(4, &["reset", "--force"]);
        assert_eq!(missing["error"]["details"]["problems"][0]["problem"], "missing");
        place.ok(&["repair", "--accept", "20240102000000"]);
        let accepted = place.ends(7, &["reset", "--force"]);
        assert!(accepted.err.contains("20240102000000 games"), "{accepted:?}");
        std::fs::remove_dir_all(place.path("migrations/20240103000000_house")).unwrap();
        place.ends(7, &["reset", "--force"]);
        guest_is_there(&place);
    }

    fn what_is_gone_is_said(db: TestDb) {
        let place = with_a_guest(db);
        place.add("20240104000000_next", "SELECT * FROM no_such_table;", "SELECT 1;");
        let failed = place.ends(10, &["reset", "--force"]);
        assert!(failed.err.contains("3 migrations reverted in"), "{failed:?}");
        assert!(failed.err.contains("Before that, 3 migrations were rolled back"), "{failed:?}");
        assert!(failed.err.contains("3 migrations applied in"), "{failed:?}");
        assert!(!failed.err.contains("in 0 "), "{failed:?}");
        assert!(!failed.err.contains("nothing was run"), "{failed:?}");
        let document = place.json(10, &["reset", "--force"]);
        let error = &document["error"];
        assert_eq!(error["rolled_back"]["migrations"].as_array().unwrap().len(), 3);
        assert_eq!(error["report"]["migrations"].as_array().unwrap().len(), 3);
        assert!(error["report"]["duration_us"].as_u64().unwrap() > 0, "{document}");
    }
}
