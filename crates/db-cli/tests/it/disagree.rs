//! Files, history and schema that do not agree: codes 4, 5, 7 and 8, and the way out.

use db_testkit::{TestDb, both_engines};

use crate::support::Place;

both_engines! {
    fn an_edit_stops_everything_until_it_is_accepted(db: TestDb) {
        let place = Place::migrated(db);
        place.write(
            "migrations/20240101000000_users/up.sql",
            "-- people\nCREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT);\n",
        );
        place.add("20240104000000_next", "CREATE TABLE next (id BIGINT PRIMARY KEY);", "DROP TABLE next;");
        let done = place.ends(4, &["migrate"]);
        assert!(done.err.contains("20240101000000 users was edited"), "{done:?}");
        assert!(done.err.contains("hint: `bitcraps-db validate` shows the lines"), "{done:?}");
        let found = place.ends(4, &["validate"]);
        assert!(
            found.out.contains("- CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL);"),
            "{found:?}"
        );
        assert!(
            found.out.contains("+ CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT);"),
            "{found:?}"
        );
        let status = place.ends(4, &["status", "--check"]);
        assert!(status.out.contains("edited") && status.out.contains("problem:"), "{status:?}");
        place.ends(7, &["repair", "--accept", "games"]);
        let done = place.ok(&["repair", "--accept", "20240101000000"]);
        assert!(done.out.contains("accepted: 20240101000000_users"), "{done:?}");
        place.ok(&["migrate"]);
    }

    fn a_cosmetic_edit_is_a_note(db: TestDb) {
        let place = Place::migrated(db);
        place.write(
            "migrations/20240101000000_users/up.sql",
            "-- all people\r\ncreate table users (\r\n id BIGINT PRIMARY KEY, name TEXT NOT NULL);\r\n",
        );
        let done = place.ok(&["validate"]);
        assert!(done.out.contains("note: 20240101000000 users was edited"), "{done:?}");
        place.ok(&["migrate"]);
        let repaired = place.json(0, &["repair", "--cosmetic"]);
        assert_eq!(repaired["restamped"][0], "20240101000000_users");
        assert!(!place.ok(&["validate"]).out.contains("note:"));
    }

    fn a_late_file_needs_permission(db: TestDb) {
        let place = Place::migrated(db);
        place.add("20240101120000_late", "CREATE TABLE late (id BIGINT PRIMARY KEY);", "DROP TABLE late;");
        let done = place.ends(4, &["migrate"]);
        assert!(done.err.contains("--allow-out-of-order"), "{done:?}");
        place.ends(4, &["status", "--check"]);
        place.ok(&["migrate", "--allow-out-of-order"]);
        place.ok(&["status", "--check"]);
    }

    fn a_missing_file_and_a_newer_database(db: TestDb) {
        let place = Place::migrated(db);
        std::fs::rename(
            place.path("migrations/20240103000000_house"),
            place.path("house"),
        )
        .unwrap();
        let newer = place.json(7, &["migrate"]);
        assert_eq!(newer["error"]["kind"], "newer_database");
        place.ends(7, &["validate"]);
        let told = place.ends(7, &["migrate"]);
        assert!(told.err.contains("restore its file") && told.err.contains("`rollback`"), "{told:?}");
        assert!(!told.err.contains("install the newer"), "{told:?}");
        let told = place.ends(7, &["repair", "--accept", "20240103000000"]);
        assert!(told.err.contains("restore its file, or `rollback`"), "{told:?}");
        place.ok(&["rollback", "--force"]);
        assert_eq!(place.applied().len(), 2);
        place.ok(&["migrate"]);
        std::fs::rename(place.path("house"), place.path("migrations/20240103000000_house")).unwrap();
        std::fs::remove_dir_all(place.path("migrations/20240102000000_games")).unwrap();
        let missing = place.json(4, &["migrate"]);
        assert_eq!(missing["error"]["details"]["problems"][0]["problem"], "missing");
        // A file that is gone has no lines that differ.
        assert!(missing["error"]["hint"].is_null(), "{missing}");
        assert!(!place.ok(&["status"]).out.contains("shows"), "nothing is promised");
        // The ledger still knows the way back.
        place.ok(&["rollback", "1", "--force"]);
        assert_eq!(place.applied(), ["20240101000000"]);
    }

    fn a_change_by_hand_is_drift(db: TestDb) {
        let place = Place::new(db);
        place.ok(&["migrate", "--to", "2"]);
        place.db.connect().execute("ALTER TABLE users ADD COLUMN nickname TEXT");
        let found = place.ends(5, &["validate"]);
        assert!(found.out.contains("changed by hand: column users.nickname: added"), "{found:?}");
        place.ends(5, &["status", "--check"]);
        let status = place.json(0, &["status"]);
        assert_eq!(status["schema_valid"], false);
        let refused = place.json(5, &["migrate"]);
        assert_eq!(refused["error"]["details"]["differences"][0]["name"], "users.nickname");
        assert_eq!(place.applied().len(), 2);
        let done = place.ok(&["migrate", "--force"]);
        assert!(done.err.contains("taken as it is"), "{done:?}");
        place.ok(&["status", "--check"]);
    }

    /// It would be stored as the schema's state, and nothing would find it any more.
    fn a_rollback_over_a_change_by_hand_needs_force(db: TestDb) {
        let place = Place::migrated(db);
        place.db.connect().execute("DROP INDEX idx_games_winner");
        let refused = place.json(5, &["rollback"]);
        assert_eq!(refused["error"]["details"]["differences"][0]["name"], "idx_games_winner");
        let refused = place.ends(5, &["rollback"]);
        assert!(refused.err.contains("`rollback --force`"), "{refused:?}");
        assert_eq!(place.applied().len(), 3);
        place.ends(5, &["status", "--check"]);
        place.ok(&["rollback", "--force"]);
        assert_eq!(place.applied().len(), 2);
    }

    fn an_empty_folder_hides_no_wrong_path(db: TestDb) {
        let place = Place::migrated(db);
        std::fs::create_dir(place.path("empty")).unwrap();
        std::fs::rename(place.path("migrations"), place.path("real")).unwrap();
        std::fs::rename(place.path("empty"), place.path("migrations")).unwrap();
        let done = place.ends(4, &["migrate"]);
        assert!(done.err.contains("migrations: there are no migrations here"), "{done:?}");
        assert!(done.err.contains("has 3 applied migrations"), "{done:?}");
        assert!(done.err.contains("hint: name the right folder"), "{done:?}");
        let status = place.ends(4, &["status", "--check"]);
        assert!(status.out.contains("there are no migrations here"), "{status:?}");
        let document = place.json(4, &["validate"]);
        assert_eq!(document["problems"][0]["problem"], "no_migrations");
        place.ends(4, &["migrate", "--dry-run"]);
        // Of another name, it may be a set that has none yet.
        place.ok(&["--migrations", "real", "migrate"]);
        let fresh = Place::new(TestDb::new(place.engine()));
        std::fs::remove_dir_all(fresh.path("migrations")).unwrap();
        std::fs::create_dir(fresh.path("migrations")).unwrap();
        let done = fresh.ok(&["migrate"]);
        assert!(done.out.contains("there are no migrations"), "{done:?}");
    }

    fn an_empty_down_script_is_no_way_back(db: TestDb) {
        let place = Place::migrated(db);
        place.write("migrations/20240102000000_games/down.sql", "-- nothing here\n");
        let before = place.schema();
        let done = place.json(7, &["rollback", "0", "--force"]);
        assert_eq!(done["error"]["kind"], "no_way_back");
        assert_eq!(done["error"]["details"]["steps"][0], "20240102000000_games has an empty down.sql");
        assert_eq!(place.schema(), before);
        assert_eq!(place.applied().len(), 3);
    }

    fn a_rebuild_that_was_asked_for_and_is_impossible_is_no_success(db: TestDb) {
        let place = Place::migrated(db);
        std::fs::remove_dir_all(place.path("migrations/20240102000000_games")).unwrap();
        place.ok(&["repair", "--accept", "20240102000000"]);
        place.ok(&["validate"]);
        let done = place.ends(3, &["validate", "--rebuild"]);
        assert!(done.out.contains("problem: the schema cannot be built anew"), "{done:?}");
        assert!(done.out.contains("20240102000000_games has no file"), "{done:?}");
        assert!(!done.out.contains("schema agree"), "{done:?}");
        let document = place.json(3, &["validate", "--rebuild"]);
        assert_eq!(document["valid"], false);
    }
}
