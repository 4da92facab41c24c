//! `kill -9` of a prune at random moments: what is left are whole backups, and the next one ends it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use db_backup::{Entry, LocalStore, VerifyOptions, list, verify};
use db_testkit::kill::{midway, was_killed, whole};
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
    let mut time = whole(&mut run(root, &prune));
    let kept = names(&list(&store).unwrap().backups);
    assert_eq!(kept.len(), KEPT);
    let mut random = fastrand::Rng::with_seed(23);
    let (mut kills, mut between) = (0, 0);
    for round in 0..wanted * ATTEMPTS {
        if kills == wanted {
            break;
        }
        copy(&root.join("template"), &root.join("backups"));
        let mut command = run(root, &prune);
        let status = midway(command.stderr(Stdio::null()), &mut time, random.f64());
        assert!(was_killed(status) || status.success(), "round {round}");
        kills += u64::from(was_killed(status));
        let listing = list(&store).unwrap();
        assert!(
            listing.backups.iter().all(Entry::is_complete),
            "round {round}: {listing:?}"
        );
        let left = names(&listing.backups);
        assert!(left.is_superset(&kept), "round {round}: {left:?}");
        between += u64::from(left.len() > KEPT && left.len() < BACKUPS);
        // The lock of the dead one is in nobody's way.
        assert!(
            run(root, &prune).status().unwrap().success(),
            "round {round}"
        );
        let listing = list(&store).unwrap();
        assert_eq!(names(&listing.backups), kept, "round {round}");
        for entry in &listing.backups {
            let manifest = entry.manifest.as_ref().unwrap();
            verify(&store, manifest, &VerifyOptions::new(), &mut |_| {}).unwrap();
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
    println!("{kills} killed, {between} midway, in {:?}", began.elapsed());
    assert_eq!(kills, wanted, "of {} attempts", wanted * ATTEMPTS);
    assert!(wanted < 20 || between > 0, "none was killed midway");
}
