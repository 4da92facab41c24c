//! Backups step back on a busy machine: how nice the real processes are, as the kernel tells it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use db_testkit::{Process, TestDb, awake, both_engines};

use crate::support::{Place, Running};

/// The niceness of what makes backups, for one that began at this one.
fn expected(start: i32) -> i32 {
    start.max(10)
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
        awake(|start| {
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
                assert_eq!(seen, expected(start), "{words:?}");
            }
        });
    }

    /// Whoever waits for it wants it soon.
    fn a_trial_restore_by_hand_does_not_step_back(db: TestDb) {
        let place = Place::migrated(db);
        place.ok(&["backup"]);
        awake(|start| {
            let command = place.command(&["backup", "verify", "--restore"]);
            let running = Running::until(command, "\"event\":\"progress\"");
            let seen = niceness(&running);
            assert_eq!(running.wait().code, 0);
            assert_eq!(seen, start);
        });
    }
}

/// PostgreSQL's programs, of which `pg_dump` writes down how nice it is, each time that it is started.
fn telling(folder: &Path, told: &Path) {
    let path = std::env::var_os("PATH").unwrap();
    let real = |name: &str| -> PathBuf {
        let found = std::env::split_paths(&path).map(|folder| folder.join(name));
        found.into_iter().find(|path| path.is_file()).unwrap()
    };
    fs::create_dir(folder).unwrap();
    symlink(real("pg_restore"), folder.join("pg_restore")).unwrap();
    let script = format!(
        "#!/bin/sh\ncut -d' ' -f19 /proc/self/stat >> '{}'\nexec '{}' \"$@\"\n",
        told.display(),
        real("pg_dump").display()
    );
    let program = folder.join("pg_dump");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_programs_of_a_backup_step_back_as_well_postgres() {
    let place = Place::migrated(TestDb::postgres());
    let (bin, told) = (place.path("bin"), place.path("told"));
    telling(&bin, &told);
    awake(|start| {
        place.ok(&["backup", "--pg-bin", bin.to_str().unwrap()]);
        let told = fs::read_to_string(&told).unwrap();
        let seen: Vec<i32> = told.lines().map(|line| line.parse().unwrap()).collect();
        assert!(!seen.is_empty());
        assert!(seen.iter().all(|one| *one == expected(start)), "{seen:?}");
    });
}
