//! Ctrl-C, SIGTERM, and a second run while the first goes on.

use db_testkit::{TestDb, both_engines};

use crate::support::{Place, Running};

/// The first statement of the endless migration took effect; the second is running.
const IN_THE_MIDDLE: &str = r#"{"event":"statement","number":1,"of":2}"#;

both_engines! {
    fn ctrl_c_rolls_back_what_is_running(db: TestDb) {
        stopped(db, "INT", 130);
    }

    fn sigterm_rolls_back_what_is_running(db: TestDb) {
        stopped(db, "TERM", 143);
    }

    fn ctrl_c_ends_a_dry_run(db: TestDb) {
        let place = Place::migrated(db);
        let temporary = place.path("tmp");
        std::fs::create_dir(&temporary).unwrap();
        place.add_endless("20240104000000_slow");
        let before = place.schema();
        let mut command = place.command(&["migrate", "--dry-run"]);
        command.env("TMPDIR", &temporary);
        let running = Running::until(command, "started");
        running.signal("INT");
        assert_eq!(running.wait().code, 130);
        assert_eq!(place.schema(), before);
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "the copy is gone");
    }

    fn a_second_run_waits_and_says_for_whom(db: TestDb) {
        let place = Place::migrated(db);
        place.add_endless("20240104000000_slow");
        let first = Running::until(place.command(&["migrate"]), IN_THE_MIDDLE);
        let refused = place.json(6, &["migrate", "--wait", "0"]);
        assert_eq!(refused["error"]["kind"], "locked");
        assert!(!refused["error"]["details"]["holder"].as_str().unwrap().is_empty());
        // A waiting run ends at once when it is interrupted.
        let second = Running::until(place.command(&["migrate", "--wait", "5m"]), "waiting_for_lock");
        second.signal("INT");
        assert_eq!(second.wait().code, 130);
        first.signal("INT");
        assert_eq!(first.wait().code, 130);
        assert_eq!(place.applied().len(), 3);
    }
}

#[track_caller]
fn stopped(db: TestDb, signal: &str, code: i32) {
    let place = Place::migrated(db);
    let before = place.schema();
    place.add(
        "20240104000000_dice",
        "CREATE TABLE dice (id BIGINT PRIMARY KEY);",
        "DROP TABLE dice;",
    );
    place.add_endless("20240105000000_slow");
    let running = Running::until(
        place.command(&["migrate", "--single-transaction"]),
        IN_THE_MIDDLE,
    );
    running.signal(signal);
    let done = running.wait();
    assert_eq!(done.code, code, "{done:?}");
    let document = done.document();
    assert_eq!(document["error"]["kind"], "interrupted");
    assert_eq!(document["error"]["exit_code"], code);
    assert_eq!(place.schema(), before);
    assert_eq!(place.applied().len(), 3);
    // Nothing is left locked.
    place.ok(&["migrate", "--to", "dice", "--wait", "0"]);
}
