//! `kill -9` of the program at random moments of a backup, of a restore over a database, and of `restore --finish`.
//!
//! `BITCRAPS_TEST_KILLS` sets how often. Afterwards there is nothing or a complete backup, the old
//! database or the new one, and the next run takes away what the dead one left.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use db_backup::{LocalStore, VerifyOptions};
use db_testkit::kill::{midway, was_killed, whole};
use db_testkit::size;
use db_testkit::versioned::{forget, kept, partial, read, write};

const OLD: i64 = 3;
const NEW: i64 = 5;

/// Rows of a kilobyte in each version.
const BALLAST: u32 = 8_000;

/// So many runs there may be for one that is killed in time.
const MOST_ROUNDS: u64 = 10;

struct World {
    root: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn database(&self) -> PathBuf {
        self.root.path().join("live.db")
    }

    fn backups(&self) -> PathBuf {
        self.root.path().join("backups")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitcraps-db"));
        command
            .current_dir(self.root.path())
            .arg("--database-url")
            .arg(self.database())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs it to its end, and tells how long that took.
    fn whole(&self, words: &[&str]) -> Duration {
        whole(&mut self.command(words))
    }

    /// Kills it after a random part of its usual time. Whether it was in time is told.
    fn kill(&self, words: &[&str], time: &mut Duration, random: &mut fastrand::Rng) -> bool {
        was_killed(midway(&mut self.command(words), time, random.f64()))
    }

    fn complete(&self, when: &str) -> usize {
        let store = LocalStore::new(self.backups());
        let listing = db_backup::list(&store).unwrap();
        for entry in &listing.backups {
            assert!(entry.is_complete(), "{when}: {entry:?}");
            let manifest = entry.manifest.as_ref().unwrap();
            db_backup::verify(&store, manifest, &VerifyOptions::new(), &mut |_| {}).unwrap();
        }
        listing.backups.len()
    }
}

#[test]
fn a_killed_backup_is_none_or_complete() {
    let wanted = size("KILLS", 20);
    let world = World::new();
    write(&world.database(), OLD, BALLAST);
    let ways = [&["backup"][..], &["backup", "create", "--compress", "none"]];
    let mut times = ways.map(|words| world.whole(words));
    let mut random = fastrand::Rng::with_seed(21);
    let mut found = BTreeSet::new();
    let (mut kills, mut round) = (0, 0);
    while kills < wanted {
        round += 1;
        assert!(round < wanted * MOST_ROUNDS, "{kills} were killed in time");
        for file in fs::read_dir(world.backups()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        let way = random.usize(..ways.len());
        kills += u64::from(world.kill(ways[way], &mut times[way], &mut random));
        found.insert(world.complete(&format!("round {round}")));
        assert_eq!(read(&world.database()), OLD, "round {round}");
    }
    assert!(
        found.contains(&0) && found.iter().all(|n| *n <= 1),
        "{found:?}"
    );
    world.whole(ways[0]);
    assert_eq!(partial(&world.backups()), [""; 0]);
}

#[test]
fn a_killed_restore_leaves_the_old_or_the_new() {
    let wanted = size("KILLS", 20);
    let world = World::new();
    write(&world.database(), NEW, BALLAST);
    world.whole(&["backup"]);
    let words = ["restore", "--force"];
    let mut time = world.whole(&words);
    let mut random = fastrand::Rng::with_seed(22);
    let (mut kills, mut round) = (0, 0);
    while kills < wanted {
        round += 1;
        assert!(round < wanted * MOST_ROUNDS, "{kills} were killed in time");
        forget(&world.database());
        write(&world.database(), OLD, BALLAST);
        kills += u64::from(world.kill(&words, &mut time, &mut random));
        let found = read(&world.database());
        assert!([OLD, NEW].contains(&found), "round {round}: {found}");
        if found == NEW {
            let kept = kept(&world.database(), "restore");
            assert_eq!(kept.len(), 1, "round {round}: {kept:?}");
            assert_eq!(read(&kept[0]), OLD, "round {round}");
        }
        assert_eq!(world.complete(&format!("round {round}")), 1);
    }
    world.whole(&words);
    assert_eq!(partial(world.root.path()), [""; 0]);
    assert_eq!(read(&world.database()), NEW);
}

/// What waits is proven, and perhaps the work of hours.
#[test]
fn a_killed_finish_leaves_the_old_or_the_new_and_never_loses_what_waits() {
    let wanted = size("KILLS", 20);
    let world = World::new();
    write(&world.database(), NEW, BALLAST);
    world.whole(&["backup"]);
    let waiting = world.root.path().join("live.db.restored-20251122T143005Z");
    let waits = waiting.to_str().unwrap();
    let begin = || {
        forget(&world.database());
        write(&world.database(), OLD, BALLAST);
        world.whole(&["restore", "--target", waits]);
    };
    let words = ["restore", "--finish", waits, "--force"];
    begin();
    let mut time = world.whole(&words);
    let mut random = fastrand::Rng::with_seed(24);
    let (mut kills, mut round) = (0, 0);
    let mut found = BTreeSet::new();
    while kills < wanted {
        round += 1;
        assert!(round < wanted * MOST_ROUNDS, "{kills} were killed in time");
        begin();
        kills += u64::from(world.kill(&words, &mut time, &mut random));
        let now = read(&world.database());
        assert_eq!(waiting.exists(), now == OLD, "round {round}: {now}");
        if now == OLD {
            assert_eq!(read(&waiting), NEW, "round {round}");
            world.whole(&words);
        }
        let kept = kept(&world.database(), "restore");
        assert_eq!(read(&kept[0]), OLD, "round {round}: {kept:?}");
        assert_eq!(read(&world.database()), NEW, "round {round}");
        assert_eq!(partial(world.root.path()), [""; 0], "round {round}");
        found.insert(now);
    }
    assert!(found.contains(&OLD), "{found:?}");
}
