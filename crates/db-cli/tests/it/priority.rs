//! Backups step back on a busy machine: how nice the real processes are, as the kernel tells it.

use db_testkit::{Process, TestDb, both_engines};

use crate::support::{Place, Running};

/// The niceness of what makes backups, unless the tests themselves are nicer.
fn expected() -> i32 {
    Process::find("thread-self").unwrap().niceness.max(10)
}

/// The niceness of the thread that works, which is the first of its process. It may have ended: the kernel tells it
/// until somebody asks how it ended.
fn niceness(running: &Running) -> i32 {
    let pid = running.pid();
    let worker = Process::find(&format!("{pid}/task/{pid}"));
    worker.unwrap().niceness
}

both_engines! {
    fn backups_are_made_at_the_lower_priority(db: TestDb) {
        let place = Place::migrated(db);
        for (words, at_work) in [
            // First, because it makes none where a young one is.
            (&["backup", "schedule", "--once"][..], "started"),
            (&["backup"], "progress"),
            (&["backup", "create"], "progress"),
        ] {
            let wanted = format!("\"event\":\"{at_work}\"");
            let running = Running::until(place.command(words), &wanted);
            let seen = niceness(&running);
            let done = running.wait();
            assert_eq!(done.code, 0, "{words:?}: {done:?}");
            assert_eq!(seen, expected(), "{words:?}");
        }
    }

    /// Whoever waits for it wants it soon.
    fn a_trial_restore_by_hand_does_not_step_back(db: TestDb) {
        let place = Place::migrated(db);
        place.ok(&["backup"]);
        let command = place.command(&["backup", "verify", "--restore"]);
        let running = Running::until(command, "\"event\":\"progress\"");
        let seen = niceness(&running);
        assert_eq!(running.wait().code, 0);
        assert_eq!(seen, Process::find("thread-self").unwrap().niceness);
    }
}
