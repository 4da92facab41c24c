//! `kill -9` at points of backups, and of a restore to a point in time.
//!
//! Each round starts this very test binary again, which is killed at one of its steps or after a
//! random time. `BITCRAPS_TEST_KILLS` sets how often.

use std::path::Path;

use db_backup::postgres::{RecoveryTarget, restore_base};
use db_backup::{
    LocalStore, Method, RestoreOptions, Selector, VerifyOptions, create, find, list, verify,
};
use db_testkit::kill::{Work, Worker};
use db_testkit::{size, wait_until};

use super::faults::command_lines;
use super::gaps::world;
use super::{as_account, options, place, source};

/// The worker of the tests here, told by a role, the folder of the backups, and the URL or the target; by
/// itself it does nothing.
#[test]
fn worker() {
    let Some(mut at) = Work::of_this_process() else {
        return;
    };
    let task = at.task.clone();
    let lines: Vec<&str> = task.lines().collect();
    let store = LocalStore::new(lines[1]);
    match lines[0] {
        "restore" => {
            let manifest = find(&store, Selector::Latest).unwrap();
            let options = RestoreOptions::new().with_postgres(as_account());
            let place = (Path::new(lines[2]), &RecoveryTarget::End);
            restore_base(&store, &manifest, place, &options, &mut |_| at.step()).unwrap();
        }
        method => {
            let method = if method == "base" {
                Method::Base
            } else {
                Method::Logical
            };
            let source = source(lines[2]);
            create(&source, &store, &options(method), &mut |_| at.step()).unwrap();
        }
    }
    at.done();
}

/// A worker with these lines.
pub(super) fn told(task: String) -> Worker {
    Worker::new("postgres::kills::worker", task)
}

/// Waits until no program of a dead process works on this place any more.
fn wait_until_gone(place: &str) {
    wait_until("the dead one's programs to end", || {
        !command_lines().iter().any(|line| line.contains(place))
    });
}

/// Hidden names in a folder: nothing but its lock, when all is well.
fn hidden(folder: &Path) -> Vec<String> {
    let names = folder.read_dir().unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.') && name != ".lock")
        .collect()
}

fn backup_is_killed(role: &str) {
    let cluster = db_testkit::cluster(&[]);
    let (folder, store) = place();
    let backups = folder.path().join("backups");
    let url = cluster.url();
    let url_of_dump = url.clone();
    let fill = db_core::DatabaseUrl::parse(&url_of_dump).unwrap();
    let mut connection = db_core::Connection::open(&fill, db_core::Access::ReadWrite).unwrap();
    let rows = "CREATE TABLE dice AS SELECT n, md5(n::text) FROM generate_series(1, 50000) n";
    connection.conn().batch_execute(rows).unwrap();
    drop(connection);
    let worker = told(format!("{role}\n{}\n{url}", backups.display()));
    let mut usual = worker.whole();
    let mut random = fastrand::Rng::with_seed(31);
    let (mut kills, rounds) = (0, size("KILLS", 6));
    let mut made = 1;
    for round in 0..rounds {
        let killed = worker.kill(&mut usual, &mut |below| random.u64(..below));
        kills += u64::from(killed);
        let listing = list(&store).unwrap();
        for entry in &listing.backups {
            assert!(entry.is_complete(), "round {round}: {entry:?}");
        }
        let found = listing.backups.len();
        assert!(found == made || found == made + 1, "round {round}: {found}");
        made = found;
        let newest = find(&store, Selector::Latest).unwrap();
        verify(&store, &newest, &VerifyOptions::new(), &mut |_| ()).unwrap();
    }
    assert!(kills * 2 >= rounds, "{kills} of {rounds}");
    worker.whole();
    assert_eq!(hidden(&backups), [""; 0]);
    // Nothing of the dead ones holds the server's log.
    let mut connection = db_core::Connection::open(&fill, db_core::Access::ReadOnly).unwrap();
    let slots = "SELECT 1 / (count(*) = 0)::int FROM pg_replication_slots";
    wait_until("the slots to go", || {
        connection.conn().batch_execute(slots).is_ok()
    });
}

#[test]
fn a_killed_dump_is_none_or_complete() {
    backup_is_killed("dump");
}

#[test]
fn a_killed_base_backup_is_none_or_complete() {
    backup_is_killed("base");
}

#[test]
fn a_killed_restore_leaves_the_whole_folder_or_none() {
    let world = world();
    let backups = world.folder.path().join("backups");
    let parent = world.folder.path().join("servers");
    std::fs::create_dir(&parent).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&parent, open).unwrap();
    let target = parent.join("data");
    let task = format!("restore\n{}\n{}", backups.display(), target.display());
    let worker = told(task);
    let mut usual = worker.whole();
    let mut random = fastrand::Rng::with_seed(32);
    let (mut kills, rounds) = (0, size("KILLS", 6));
    for round in 0..rounds {
        if target.exists() {
            std::fs::remove_dir_all(&target).unwrap();
        }
        let killed = worker.kill(&mut usual, &mut |below| random.u64(..below));
        kills += u64::from(killed);
        wait_until_gone(parent.to_str().unwrap());
        // The next one needs what a whole one has; and it takes away what dead ones left.
        if target.exists() {
            for (file, there) in [
                ("PG_VERSION", true),
                ("backup_label.old", true),
                ("postmaster.pid", false),
                ("recovery.signal", false),
            ] {
                assert_eq!(target.join(file).exists(), there, "round {round}: {file}");
            }
        }
        assert!(
            hidden(&parent).len() <= 1,
            "round {round}: {:?}",
            hidden(&parent)
        );
        let listing = list(&world.store).unwrap();
        assert!(listing.backups.iter().all(db_backup::Entry::is_complete));
    }
    assert!(kills * 2 >= rounds, "{kills} of {rounds}");
    if target.exists() {
        std::fs::remove_dir_all(&target).unwrap();
    }
    worker.whole();
    assert_eq!(hidden(&parent), [""; 0]);
    assert!(target.join("PG_VERSION").exists());
}
