//! `kill -9` at points of backups, and of a restore to a point in time.
//!
//! Each round starts this very test binary again, which is killed at one of its steps or after a
//! random time. `BITCRAPS_TEST_KILLS` sets how often.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use db_backup::postgres::{RecoveryTarget, restore_base};
use db_backup::{
    LocalStore, Method, Progress, RestoreOptions, Selector, VerifyOptions, create, find, list,
    verify,
};
use db_testkit::size;

use super::gaps::world;
use super::{options, place, run_as, source};

/// What the child does: the role, the folder of the backups, and the URL or the target, by lines.
const TASK: &str = "BITCRAPS_TEST_PG_TASK";
/// The step at which the child kills itself; without one it runs on.
const STEP: &str = "BITCRAPS_TEST_PG_STEP";

/// The child of the tests here; by itself it does nothing.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let step: Option<u64> = std::env::var(STEP).ok().map(|text| text.parse().unwrap());
    let mut steps = 0;
    let mut on_step = |_: Progress| {
        if step == Some(steps) {
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
        }
        steps += 1;
    };
    let lines: Vec<&str> = task.lines().collect();
    let store = LocalStore::new(lines[1]);
    match lines[0] {
        "restore" => {
            let manifest = find(&store, Selector::Latest).unwrap();
            let mut options = RestoreOptions::default();
            options.postgres.run_as = run_as();
            let place = (Path::new(lines[2]), &RecoveryTarget::End);
            restore_base(&store, &manifest, place, &options, &mut on_step).unwrap();
        }
        method => {
            let method = if method == "base" {
                Method::Base
            } else {
                Method::Logical
            };
            create(&source(lines[2]), &store, &options(method), &mut on_step).unwrap();
        }
    }
    std::fs::write(format!("{}.steps", lines[1]), steps.to_string()).unwrap();
}

fn start(task: &str, step: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "postgres::kills::child", "--nocapture"])
        .env(TASK, task)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(step) = step {
        command.env(STEP, step.to_string());
    }
    command.spawn().unwrap()
}

/// Runs it to its end, and tells its steps and its time.
fn whole(task: &str) -> (u64, Duration) {
    let began = Instant::now();
    assert!(start(task, None).wait().unwrap().success(), "{task}");
    let steps = format!("{}.steps", task.lines().nth(1).unwrap());
    let counted = std::fs::read_to_string(steps).unwrap().parse().unwrap();
    (counted, began.elapsed())
}

/// Every second one at a step, the others after a random time.
fn kill(task: &str, (steps, time): (u64, Duration), random: &mut fastrand::Rng) -> bool {
    let mut child = if random.bool() {
        start(task, Some(random.u64(..steps)))
    } else {
        let mut child = start(task, None);
        let until = Instant::now() + time.mul_f64(random.f64());
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        drop(child.kill());
        child
    };
    child.wait().unwrap().signal() == Some(9)
}

/// Waits until no program of a dead process works on this place any more.
fn wait_until_gone(place: &str) {
    let is_at_work = || {
        let processes = Path::new("/proc").read_dir().unwrap().flatten();
        let mut lines = processes.filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
        lines.any(|line| String::from_utf8_lossy(&line).contains(place))
    };
    let since = Instant::now();
    while is_at_work() {
        assert!(since.elapsed() < Duration::from_mins(1), "{place}");
        std::thread::yield_now();
    }
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
    let task = format!("{role}\n{}\n{url}", backups.display());
    let run = whole(&task);
    let mut random = fastrand::Rng::with_seed(31);
    let (mut kills, rounds) = (0, size("KILLS", 6));
    let mut made = 1;
    for round in 0..rounds {
        kills += u64::from(kill(&task, run, &mut random));
        let listing = list(&store).unwrap();
        for entry in &listing.backups {
            assert!(entry.is_complete(), "round {round}: {entry:?}");
        }
        let found = listing.backups.len();
        assert!(found == made || found == made + 1, "round {round}: {found}");
        made = found;
        let newest = find(&store, Selector::Latest).unwrap();
        verify(&store, &newest, &VerifyOptions::default(), &mut |_| ()).unwrap();
    }
    assert!(kills * 2 >= rounds, "{kills} of {rounds}");
    whole(&task);
    assert_eq!(hidden(&backups), [""; 0]);
    // Nothing of the dead ones holds the server's log.
    let mut connection = db_core::Connection::open(&fill, db_core::Access::ReadOnly).unwrap();
    let slots = "SELECT 1 / (count(*) = 0)::int FROM pg_replication_slots";
    let since = Instant::now();
    while connection.conn().batch_execute(slots).is_err() {
        assert!(since.elapsed() < Duration::from_mins(1), "a slot stays");
    }
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
    let run = whole(&task);
    let mut random = fastrand::Rng::with_seed(32);
    let (mut kills, rounds) = (0, size("KILLS", 6));
    for round in 0..rounds {
        if target.exists() {
            std::fs::remove_dir_all(&target).unwrap();
        }
        kills += u64::from(kill(&task, run, &mut random));
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
    whole(&task);
    assert_eq!(hidden(&parent), [""; 0]);
    assert!(target.join("PG_VERSION").exists());
}
