//! `kill -9` of the program at random moments of a backup and of a restore over a database.
//!
//! `BITCRAPS_TEST_KILLS` sets how often. Afterwards there is nothing or a complete backup, the old
//! database or the new one, and the next run takes away what the dead one left.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use db_backup::{LocalStore, VerifyOptions};
use db_core::{Access, Conn, Connection, DatabaseUrl};
use db_testkit::size;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

const OLD: i64 = 3;
const NEW: i64 = 5;

/// So many runs there may be for one that is killed in time.
const MOST_ROUNDS: u64 = 10;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

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
        let began = Instant::now();
        assert!(self.command(words).status().unwrap().success(), "{words:?}");
        began.elapsed()
    }

    /// Kills it after a random part of its usual time. Whether it was in time is told; if not, it was
    /// faster than before.
    fn kill(&self, words: &[&str], time: &mut Duration, random: &mut fastrand::Rng) -> bool {
        let began = Instant::now();
        let until = began + time.mul_f64(random.f64());
        let mut child = self.command(words).spawn().unwrap();
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::park_timeout(Duration::from_micros(500));
        }
        drop(child.kill());
        let killed = child.wait().unwrap().signal() == Some(9);
        if !killed {
            *time = (*time).min(began.elapsed());
        }
        killed
    }

    fn complete(&self, when: &str) -> usize {
        let store = LocalStore::new(self.backups());
        let listing = db_backup::list(&store).unwrap();
        for entry in &listing.backups {
            assert!(entry.is_complete(), "{when}: {entry:?}");
            let manifest = entry.manifest.as_ref().unwrap();
            db_backup::verify(&store, manifest, &VerifyOptions::default(), &mut |_| {}).unwrap();
        }
        listing.backups.len()
    }

    /// Removes the database and all that was kept of it.
    fn forget(&self) {
        for path in files(self.root.path()) {
            if name(&path).starts_with("live.db") {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn partial(folder: &Path) -> Vec<String> {
    let names = files(folder).into_iter().map(|path| name(&path));
    names.filter(|name| name.contains(".partial")).collect()
}

/// A database in WAL mode whose version is `version`, with ballast, so that there is work to kill.
fn write_database(path: &Path, version: i64) {
    let url = DatabaseUrl::SqliteFile(path.to_owned());
    let mut connection = Connection::open(&url, Access::Create).unwrap();
    connection
        .conn()
        .batch_execute(&format!(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE IF NOT EXISTS versions (n INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS ballast (x);
             BEGIN;
             DELETE FROM versions; INSERT INTO versions VALUES ({version});
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 8000)
             INSERT INTO ballast SELECT randomblob(1000) FROM c;
             COMMIT;"
        ))
        .unwrap();
}

/// Opens it as an application does; a damaged one panics.
fn version(path: &Path) -> i64 {
    let url = DatabaseUrl::SqliteFile(path.to_owned());
    let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
    let Conn::Sqlite(conn) = connection.conn() else {
        unreachable!()
    };
    let mut number = |sql: &str| sql_query(sql).get_result::<Number>(conn).unwrap().n;
    assert_eq!(
        number("SELECT count(*) AS n FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
        1
    );
    number("SELECT n FROM versions")
}

#[test]
fn a_killed_backup_is_none_or_complete() {
    let wanted = size("KILLS", 20);
    let world = World::new();
    write_database(&world.database(), OLD);
    let ways = [&["backup"][..], &["backup", "create", "--compress", "none"]];
    let mut times = ways.map(|words| world.whole(words));
    let mut random = fastrand::Rng::with_seed(21);
    let mut found = BTreeSet::new();
    let (mut kills, mut round) = (0, 0);
    while kills < wanted {
        round += 1;
        assert!(round < wanted * MOST_ROUNDS, "{kills} were killed in time");
        for path in files(&world.backups()) {
            fs::remove_file(path).unwrap();
        }
        let way = random.usize(..ways.len());
        kills += u64::from(world.kill(ways[way], &mut times[way], &mut random));
        found.insert(world.complete(&format!("round {round}")));
        assert_eq!(version(&world.database()), OLD, "round {round}");
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
    write_database(&world.database(), NEW);
    world.whole(&["backup"]);
    let words = ["restore", "--force"];
    let mut time = world.whole(&words);
    let mut random = fastrand::Rng::with_seed(22);
    let (mut kills, mut round) = (0, 0);
    while kills < wanted {
        round += 1;
        assert!(round < wanted * MOST_ROUNDS, "{kills} were killed in time");
        world.forget();
        write_database(&world.database(), OLD);
        kills += u64::from(world.kill(&words, &mut time, &mut random));
        let found = version(&world.database());
        assert!([OLD, NEW].contains(&found), "round {round}: {found}");
        if found == NEW {
            let kept: Vec<_> = files(world.root.path())
                .into_iter()
                .filter(|path| name(path).contains(".before-restore-"))
                .collect();
            assert_eq!(kept.len(), 1, "round {round}: {kept:?}");
            assert_eq!(version(&kept[0]), OLD, "round {round}");
        }
        assert_eq!(world.complete(&format!("round {round}")), 1);
    }
    world.whole(&words);
    assert_eq!(partial(world.root.path()), [""; 0]);
    assert_eq!(version(&world.database()), NEW);
}
