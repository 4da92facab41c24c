//! The power goes, at every moment of a program's writing.
//!
//! What the program wrote and synced is written down once; then, for each moment, disks are made
//! that may have been left: of what was not synced, any sector may be there or not. FULL keeps what
//! it acknowledged; NORMAL may forget the last commits, and nothing else.

use std::path::Path;
use std::time::Duration;

use db_core::{Access, Connection, Database, DatabaseConfig, DatabaseUrl, Synchronous};
use db_testkit::disk::{Disk, Record};

use crate::support::{alone, config, execute, integrity, number, report, say, size};

/// Transactions of the script, in two sessions.
const TRANSACTIONS: u64 = 50;

/// Which part of the sectors such a disk has: none, all, or any.
#[derive(Debug, Clone, Copy)]
enum Luck {
    None,
    All,
    Chance,
}

const LUCK: [Luck; 4] = [Luck::None, Luck::Chance, Luck::All, Luck::Chance];

fn insert(conn: &mut db_core::Conn<'_>, seq: u64) -> Result<(), db_core::Error> {
    let filler = 200 + seq * 397 % 9_000;
    execute(
        conn,
        &format!("INSERT INTO heads VALUES ({seq}, zeroblob({filler}))"),
    )?;
    execute(
        conn,
        &format!("DELETE FROM heads WHERE seq = {}", seq.saturating_sub(20)),
    )?;
    execute(conn, &format!("INSERT INTO tails VALUES ({seq})"))?;
    execute(conn, "UPDATE total SET n = n + 1")
}

/// Two sessions of 25 transactions with checkpoints, each answer marked.
fn script(config: &DatabaseConfig, disk: &Disk) {
    let mut seq = 0;
    for session in 0..2 {
        let database = Database::open(config).unwrap();
        if session == 0 {
            let tables = "CREATE TABLE heads (seq INTEGER PRIMARY KEY, filler BLOB) STRICT;
                CREATE TABLE tails (seq INTEGER PRIMARY KEY) STRICT;
                CREATE TABLE total (n INTEGER NOT NULL) STRICT;
                INSERT INTO total VALUES (0);";
            database.write(|conn| execute(conn, tables)).unwrap();
            // Number 0 is that the tables are there.
            disk.mark(1);
        }
        for _ in 0..TRANSACTIONS / 2 {
            seq += 1;
            database.write(|conn| insert(conn, seq)).unwrap();
            disk.mark(seq + 1);
        }
        database.close(Duration::from_secs(10)).unwrap();
    }
}

/// How many transactions are there, each whole and in order; none if not even the tables are.
fn survivors(path: &Path) -> Option<u64> {
    let url = DatabaseUrl::parse(&format!("sqlite://{}", path.display())).unwrap();
    let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
    let conn = &mut connection.conn();
    integrity(conn).unwrap();
    let tables = "SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table'";
    let tables = number(conn, tables).unwrap();
    assert!(tables == 0 || tables == 3, "{tables} of 3 tables");
    if tables == 0 {
        return None;
    }
    let total = number(conn, "SELECT n FROM total").unwrap();
    for (what, sql, expected) in [
        ("rows", "SELECT count(*) AS n FROM tails", total),
        (
            "the last",
            "SELECT coalesce(max(seq), 0) AS n FROM tails",
            total,
        ),
        (
            "the other rows",
            "SELECT count(*) AS n FROM heads",
            total.min(20),
        ),
        (
            "the other last",
            "SELECT coalesce(max(seq), 0) AS n FROM heads",
            total,
        ),
    ] {
        assert_eq!(number(conn, sql).unwrap(), expected, "{what} of {total}");
    }
    Some(u64::try_from(total).unwrap())
}

struct Cuts<'a> {
    record: &'a Record,
    synchronous: Synchronous,
    root: &'a Path,
    seed: u64,
    made: u64,
    forgotten: u64,
}

impl Cuts<'_> {
    fn cut(&mut self, moment: usize, luck: Luck) {
        let seed = self.seed + self.made;
        let mut random = fastrand::Rng::with_seed(seed);
        let image = self.record.cut(moment, || match luck {
            Luck::None => false,
            Luck::All => true,
            Luck::Chance => random.bool(),
        });
        let folder = self.root.join("cut");
        std::fs::create_dir(&folder).unwrap();
        image.put_into(&folder).unwrap();
        let path = folder.join("test.db");
        let there = if path.exists() {
            survivors(&path)
        } else {
            None
        };
        let (answered, there) = (image.mark, there.map_or(0, |n| n + 1));
        let context = format!("moment {moment}, {luck:?}, seed {seed}");
        assert!(there <= answered + 1, "{context}: {there} of {answered}");
        if self.synchronous == Synchronous::Full {
            assert!(
                there >= answered,
                "{context}: {there} of {answered} answered"
            );
        }
        self.forgotten = self.forgotten.max(answered.saturating_sub(there));
        self.made += 1;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

fn cut_at_every_moment(synchronous: Synchronous, wal: bool) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("live");
    std::fs::create_dir(&folder).unwrap();
    let disk = Disk::over(&folder);
    disk.record();
    let config = config(&folder.join("test.db"))
        .synchronous(synchronous)
        .enable_wal(wal)
        .checkpoint_pages(12);
    script(&config, &disk);
    let record = disk.recorded();
    // For what is done after the cuts, which does not have to last.
    let _ours = Disk::over(root.path());
    let seed = size("SEED", 42);
    let mut cuts = Cuts {
        record: &record,
        synchronous,
        root: root.path(),
        seed,
        made: 0,
        forgotten: 0,
    };
    for moment in record.moments() {
        // Each luck in turn, unless there are disks for all.
        for disk in 0..size("DISKS", 1) {
            cuts.cut(
                moment,
                LUCK[(moment + usize::try_from(disk).unwrap()) % LUCK.len()],
            );
        }
    }
    let (made, forgotten) = (cuts.made, cuts.forgotten);
    if synchronous == Synchronous::Normal && wal {
        // Else the disks of this test lose nothing, and prove nothing.
        assert!(forgotten > 0, "NORMAL forgot nothing");
    }
    report(format_args!(
        "{synchronous:?}, {}: {made} cuts at {} moments, all sound, whole and in order; \
         at most {forgotten} acknowledged commits forgotten",
        if wal { "WAL" } else { "rollback journal" },
        record.moments().len()
    ));
    say("done");
}

#[test]
fn full_keeps_all_that_it_acknowledged() {
    alone("sqlite::power::full_keeps_all_that_it_acknowledged", |_| {
        cut_at_every_moment(Synchronous::Full, true);
    });
}

#[test]
fn full_keeps_it_without_a_write_ahead_log_too() {
    alone(
        "sqlite::power::full_keeps_it_without_a_write_ahead_log_too",
        |_| {
            cut_at_every_moment(Synchronous::Full, false);
        },
    );
}

#[test]
fn normal_forgets_only_the_last() {
    alone("sqlite::power::normal_forgets_only_the_last", |_| {
        cut_at_every_moment(Synchronous::Normal, true);
    });
}
