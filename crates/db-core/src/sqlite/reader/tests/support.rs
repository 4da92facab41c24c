//! A database with one table, and other processes that use it.

use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::prelude::*;

use crate::cache::TableClock;
use crate::config::SqliteOptions;
use crate::error::Error;
use crate::metrics::PoolMetrics;
use crate::sqlite::database::SqliteDatabase;
use crate::sqlite::reader::{Anchor, ReaderStats};
use crate::sqlite::writer::NoObserver;
use crate::{Access, Conn, Connection, DatabaseUrl, Engine};

diesel::table! {
    numbers (id) {
        id -> BigInt,
        n -> BigInt,
    }
}

/// Longer than anything here takes on a busy machine, and not for ever.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// An open database with the table `numbers`, in a folder of its own.
pub(super) struct Fixture {
    pub(super) db: SqliteDatabase,
    pub(super) folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut SqliteOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&folder.path().join("test.db"));
        change(&mut options);
        let it = Self {
            db: open(&options),
            folder,
        };
        it.write(|c| {
            execute(
                c,
                "CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
            )
        })
        .unwrap();
        it
    }

    #[track_caller]
    pub(super) fn read<T, E: From<Error>>(
        &self,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.db.read(None, Location::caller(), f)
    }

    #[track_caller]
    pub(super) fn write<T: Send, E: From<Error> + Send>(
        &self,
        f: impl FnOnce(&mut Conn<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        self.db.write(None, Location::caller(), f)
    }

    pub(super) fn stats(&self) -> ReaderStats {
        self.db.stats().readers.unwrap()
    }

    pub(super) fn anchor(&self) -> &Anchor {
        self.db.anchor().unwrap()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    pub(super) fn url(&self) -> DatabaseUrl {
        DatabaseUrl::SqliteFile(self.path())
    }

    /// Inserts `n` and returns its id.
    pub(super) fn insert(&self, n: i64) -> i64 {
        self.write(|c| insert(c, n)).unwrap()
    }

    pub(super) fn count(&self) -> i64 {
        self.read(count).unwrap()
    }

    pub(super) fn newest(&self) -> i64 {
        self.read(newest).unwrap()
    }

    pub(super) fn wal_bytes(&self) -> u64 {
        std::fs::metadata(format!("{}-wal", self.path().display()))
            .unwrap()
            .len()
    }

    /// Starts another process on the same database, at `task` in [`other_process`].
    pub(super) fn process(&self, task: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", CHILD_TEST, "--nocapture"])
            .env(TASK, task)
            .env(DATABASE, self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        Process(command.spawn().unwrap())
    }
}

/// Another process, ended with the test.
pub(super) struct Process(Child);

impl Process {
    pub(super) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Tells it to come to an end, and waits for that.
    pub(super) fn finish(mut self) -> ExitStatus {
        drop(self.0.stdin.take());
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is gone already where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const TASK: &str = "BITCRAPS_TEST_READER_TASK";
const DATABASE: &str = "BITCRAPS_TEST_READER_DATABASE";
const CHILD_TEST: &str = "sqlite::reader::tests::support::other_process";

/// Not a test of its own: what [`Fixture::process`] starts does its work in here.
#[test]
fn other_process() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let url = DatabaseUrl::SqliteFile(PathBuf::from(std::env::var_os(DATABASE).unwrap()));
    let open = || Connection::open_beside(&url, Access::ReadWrite);
    match task.as_str() {
        "open and close 1000 times" => {
            for _ in 0..1_000 {
                let mut connection = open();
                count(&mut connection.conn()).unwrap();
            }
        }
        "insert once" => {
            insert(&mut open().conn(), -1).unwrap();
        }
        "insert and checkpoint until told" => {
            let mut connection = open();
            let told = std::thread::spawn(|| std::io::stdin().lines().count());
            execute(&mut connection.conn(), "PRAGMA wal_autocheckpoint = 200").unwrap();
            while !told.is_finished() {
                insert(&mut connection.conn(), -1).unwrap();
            }
        }
        "truncate the log" => {
            let done = checkpoint(&mut open().conn(), "TRUNCATE");
            assert_eq!(done.busy, 0, "{done:?}");
        }
        other => panic!("no task {other:?}"),
    }
}

#[derive(Debug, QueryableByName)]
pub(super) struct Checkpoint {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    pub(super) busy: i32,
    #[diesel(sql_type = diesel::sql_types::Integer)]
    #[expect(
        dead_code,
        reason = "shown when the checkpoint was not what it should be"
    )]
    pub(super) log: i32,
}

pub(super) fn checkpoint(conn: &mut Conn<'_>, mode: &str) -> Checkpoint {
    diesel::sql_query(format!("PRAGMA wal_checkpoint({mode})"))
        .get_result(sqlite(conn))
        .unwrap()
}

/// The result of a statement as this crate's error, which `read` and `write` take.
pub(super) fn classify<T>(result: QueryResult<T>) -> Result<T, Error> {
    result.map_err(|e| Error::classify(Engine::Sqlite, &e))
}

pub(super) fn sqlite<'c>(conn: &'c mut Conn<'_>) -> &'c mut SqliteConnection {
    match conn {
        Conn::Sqlite(conn) => conn,
        Conn::Postgres(_) => unreachable!(),
    }
}

pub(super) fn execute(conn: &mut Conn<'_>, sql: &str) -> Result<(), Error> {
    classify(conn.batch_execute(sql))
}

pub(super) fn insert(conn: &mut Conn<'_>, n: i64) -> Result<i64, Error> {
    let conn = sqlite(conn);
    classify(
        diesel::insert_into(numbers::table)
            .values(numbers::n.eq(n))
            .execute(conn),
    )?;
    classify(
        diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT last_insert_rowid()")
            .get_result(conn),
    )
}

pub(super) fn count(conn: &mut Conn<'_>) -> Result<i64, Error> {
    classify(numbers::table.count().get_result(sqlite(conn)))
}

/// The highest id, 0 if there is none.
pub(super) fn newest(conn: &mut Conn<'_>) -> Result<i64, Error> {
    let id = numbers::table.select(diesel::dsl::max(numbers::id));
    classify(id.get_result::<Option<i64>>(sqlite(conn))).map(Option::unwrap_or_default)
}

/// Keeps one processor busy inside SQLite for about `thousands` of steps.
pub(super) fn work(conn: &mut Conn<'_>, thousands: u32) -> Result<(), Error> {
    execute(
        conn,
        &format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {thousands}00)
             SELECT count(*) FROM n"
        ),
    )
}

/// Looks again and again, giving way to other threads, until it is so.
#[track_caller]
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it never came to this: {what}");
        std::thread::yield_now();
    }
}

/// The settings of the house for this file.
pub(super) fn options(path: &Path) -> SqliteOptions {
    SqliteOptions::defaults(&format!("sqlite://{}", path.display()))
}

pub(super) fn open(options: &SqliteOptions) -> SqliteDatabase {
    let metrics = PoolMetrics::new(Engine::Sqlite, "test");
    let clock = Arc::new(TableClock::new());
    SqliteDatabase::open(options, Arc::new(NoObserver), metrics, &clock).unwrap()
}
