//! `kill -9` of a prune at random moments: what is left are whole backups, and the next one ends it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use db_backup::{Entry, LocalStore, VerifyOptions, list, verify};
use db_testkit::{TestDb, size};

/// Backups in the folder, and how many of them stay.
const BACKUPS: usize = 24;
const KEPT: usize = 3;

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let bytes = fs::read(file.path()).unwrap();
        fs::write(to.join(file.file_name()), bytes).unwrap();
    }
}

fn run(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitcraps-db"));
    command.current_dir(root).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn names(listing: &[Entry]) -> BTreeSet<String> {
    listing.iter().map(|entry| entry.name.to_string()).collect()
}

/// Attempts for one that is killed before it ends by itself, on a machine that is now slow, now fast.
const ATTEMPTS: u64 = 10;

/// `BITCRAPS_TEST_KILLS` sets how often; 200 are the promise.
#[expect(clippy::print_stdout, reason = "the figure of a long run")]
#[test]
fn a_killed_prune_leaves_whole_backups_and_the_next_one_ends_it() {
    let wanted = size("KILLS", 20);
    let db = TestDb::sqlite();
    db.connect()
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (7)");
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let url = db.url();
    let backup = ["--database-url", &url, "backup", "--dir", "template"];
    for _ in 0..BACKUPS {
        assert!(run(root, &backup).status().unwrap().success());
    }
    let store = LocalStore::new(root.join("backups"));
    let prune = [
        "--database-url",
        &url,
        "backup",
        "prune",
        "--dir",
        "backups",
        "--keep-days",
        "0",
        "--keep-last",
        "3",
    ];
    let began = Instant::now();
    copy(&root.join("template"), &root.join("backups"));
    let whole = Instant::now();
    assert!(run(root, &prune).status().unwrap().success());
    let time = whole.elapsed();
    let kept = names(&list(&store).unwrap().backups);
    assert_eq!(kept.len(), KEPT);
    let mut random = fastrand::Rng::with_seed(23);
    let (mut kills, mut midway) = (0, 0);
    for round in 0..wanted * ATTEMPTS {
        if kills == wanted {
            break;
        }
        copy(&root.join("template"), &root.join("backups"));
        let mut child = run(root, &prune).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + time.mul_f64(random.f64());
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::park_timeout(Duration::from_micros(200));
        }
        drop(child.kill());
        kills += u64::from(!child.wait().unwrap().success());
        let listing = list(&store).unwrap();
        assert!(
            listing.backups.iter().all(Entry::is_complete),
            "round {round}: {listing:?}"
        );
        let left = names(&listing.backups);
        assert!(left.is_superset(&kept), "round {round}: {left:?}");
        midway += u64::from(left.len() > KEPT && left.len() < BACKUPS);
        // The lock of the dead one is in nobody's way.
        assert!(
            run(root, &prune).status().unwrap().success(),
            "round {round}"
        );
        let listing = list(&store).unwrap();
        assert_eq!(names(&listing.backups), kept, "round {round}");
        for entry in &listing.backups {
            let manifest = entry.manifest.as_ref().unwrap();
            verify(&store, manifest, &VerifyOptions::default(), &mut |_| {}).unwrap();
        }
        for file in &listing.orphans {
            // Of one that was on its way out: a day later they go, too.
            assert!(
                !kept
                    .iter()
                    .any(|name| file.starts_with(&format!("{name}."))),
                "{file}"
            );
        }
    }
    println!("{kills} killed, {midway} midway, in {:?}", began.elapsed());
    assert_eq!(kills, wanted, "of {} attempts", wanted * ATTEMPTS);
    assert!(wanted < 20 || midway > 0, "none was killed midway");
}
