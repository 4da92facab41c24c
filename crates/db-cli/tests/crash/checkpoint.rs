//! `kill -9` of `maintenance --checkpoint`: at random moments, and before each of its calls that write.
//!
//! `BITCRAPS_TEST_KILLS` sets how often. What was committed is there afterwards, from the log or from
//! the file, beside a connection that stays open and for one that opens it anew.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use db_core::{Access, Conn, Connection, DatabaseUrl};
use db_testkit::kill::{Calls, before_each_call, midway, was_killed, whole};
use db_testkit::size;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

/// So many runs there may be for one that is killed in time.
const MOST_ROUNDS: u64 = 10;

/// Calls between whose effects a kill can fall.
const CALLS: Calls<'_> = Calls {
    names: &["pwrite64", "fsync", "fdatasync", "ftruncate", "unlink"],
    unknown: &[],
};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// An application that has the database open, and does no checkpoints.
struct World {
    root: tempfile::TempDir,
    application: Connection,
    rows: i64,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::SqliteFile(root.path().join("live.db"));
        let mut application = Connection::open(&url, Access::Create).unwrap();
        application
            .conn()
            .batch_execute(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA wal_autocheckpoint = 0;
                 CREATE TABLE lines (id INTEGER PRIMARY KEY, text BLOB NOT NULL)",
            )
            .unwrap();
        Self {
            root,
            application,
            rows: 0,
        }
    }

    fn file(&self) -> PathBuf {
        self.root.path().join("live.db")
    }

    fn log_bytes(&self) -> u64 {
        let log = self.root.path().join("live.db-wal");
        std::fs::metadata(log).map_or(0, |meta| meta.len())
    }

    /// Commits so many rows of a kilobyte, and writes over some of the old ones.
    fn write(&mut self, rows: i64) {
        self.application
            .conn()
            .batch_execute(&format!(
                "BEGIN;
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO lines SELECT {} + i, randomblob(1000) FROM n;
                 UPDATE lines SET text = randomblob(1000) WHERE id % 17 = 0;
                 COMMIT",
                self.rows
            ))
            .unwrap();
        self.rows += rows;
    }

    /// Begins anew, so that rounds do not get longer.
    fn empty(&mut self) {
        self.application
            .conn()
            .batch_execute("DELETE FROM lines")
            .unwrap();
        self.rows = 0;
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn checkpoint<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .arg("--database-url")
            .arg(self.file())
            .args(["maintenance", "--checkpoint"])
    }

    /// Runs it to its end, after which the log is empty.
    fn whole(&self) -> Duration {
        let mut command = self.command(env!("CARGO_BIN_EXE_bitcraps-db"));
        let time = whole(self.checkpoint(&mut command));
        assert_eq!(self.log_bytes(), 0);
        time
    }

    #[track_caller]
    fn is_whole(&mut self, when: &str) {
        let rows = self.rows;
        let url = DatabaseUrl::SqliteFile(self.file());
        let mut anew = Connection::open(&url, Access::ReadWrite).unwrap();
        for connection in [&mut self.application, &mut anew] {
            let Conn::Sqlite(conn) = connection.conn() else {
                unreachable!()
            };
            let mut number = |sql: &str| sql_query(sql).get_result::<Number>(conn).unwrap().n;
            assert_eq!(
                number(
                    "SELECT count(*) AS n FROM pragma_integrity_check WHERE integrity_check = 'ok'"
                ),
                1,
                "{when}"
            );
            assert_eq!(number("SELECT count(*) AS n FROM lines"), rows, "{when}");
            let last = number("SELECT coalesce(max(id), 0) AS n FROM lines");
            assert_eq!(last, rows, "{when}");
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figure of a long run")]
#[test]
fn a_killed_checkpoint_loses_nothing() {
    let wanted = size("KILLS", 20);
    let mut world = World::new();
    world.write(3_000);
    let mut time = world.whole();
    let mut random = fastrand::Rng::with_seed(31);
    let (mut kills, mut round) = (0, 0);
    while kills < wanted {
        round += 1;
        assert!(round < wanted * MOST_ROUNDS, "{kills} were killed in time");
        world.empty();
        world.write(3_000);
        let mut command = world.command(env!("CARGO_BIN_EXE_bitcraps-db"));
        let status = midway(world.checkpoint(&mut command), &mut time, random.f64());
        kills += u64::from(was_killed(status));
        world.is_whole(&format!("round {round}"));
        // Nobody waits for the dead one, and its work is done by the next.
        world.write(1);
        world.is_whole(&format!("after round {round}"));
    }
    println!("{kills} of {round} checkpoints killed");
    world.whole();
    world.is_whole("at the end");
}

/// No random point, but all of them.
#[test]
fn a_checkpoint_that_is_killed_before_each_call_loses_nothing() {
    let mut world = World::new();
    world.write(10);
    let every = |at| at + 1;
    let killed = before_each_call(CALLS, every, |mut strace, when| {
        world.empty();
        world.write(20);
        world.whole();
        world.write(60);
        strace
            .current_dir(world.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .arg(env!("CARGO_BIN_EXE_bitcraps-db"));
        let done = world.checkpoint(&mut strace).status().unwrap();
        world.is_whole(when);
        done.success()
    });
    assert!(killed > 8, "{killed} calls");
    world.whole();
    world.is_whole("at the end");
}
