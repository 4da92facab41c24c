//! The writer on real files: a group is formed by holding the right to write while others queue.

mod checkpoints;
mod concurrent;
mod ended;
mod groups;
mod limits;
mod members;
mod touched;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use super::*;
use crate::config::SqliteOptions;
use crate::sqlite::transactional::execute;
use crate::{DatabaseUrl, Engine};

const SCHEMA: &str = "
    CREATE TABLE entry (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL CHECK (amount > 0)) STRICT;
    CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE child (
        id INTEGER PRIMARY KEY,
        parent_id INTEGER NOT NULL REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED
    ) STRICT;
    CREATE TABLE guarded (id INTEGER PRIMARY KEY) STRICT;
    CREATE TRIGGER guard BEFORE INSERT ON guarded
    BEGIN SELECT RAISE(ROLLBACK, 'guarded'); END;";

/// A database file, its folder, and the commits that its writer made.
struct Bed {
    folder: tempfile::TempDir,
    writer: Writer,
    groups: Arc<Groups>,
}

/// The groups that were answered, in order.
#[derive(Default)]
struct Groups {
    seen: Mutex<Vec<GroupReport>>,
    checkpoints: Mutex<Option<Sender<()>>>,
}

impl Observer for Groups {
    fn group(&self, group: &GroupReport, _log: u64) {
        self.seen.lock().unwrap().push(*group);
    }

    fn checkpoint(&self, _took: Duration) {
        if let Some(sender) = &*self.checkpoints.lock().unwrap() {
            sender.send(()).unwrap();
        }
    }
}

impl Groups {
    /// Members of each group on the writer's thread, once there were so many of them in all. They
    /// are reported after their callers have been answered.
    fn sizes(&self, members: usize) -> Vec<usize> {
        loop {
            let seen = self.seen.lock().unwrap();
            let shared = seen.iter().filter(|group| !group.inline);
            let sizes: Vec<usize> = shared.map(|group| group.members).collect();
            drop(seen);
            if sizes.iter().sum::<usize>() >= members {
                return sizes;
            }
            std::thread::yield_now();
        }
    }
}

impl Writer {
    /// `write`, called at the caller's line.
    #[track_caller]
    fn run<T, E>(
        &self,
        deadline: Option<Instant>,
        closure: impl FnOnce(&mut SqliteConnection) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        self.write(deadline, Location::caller(), closure)
    }
}

impl Bed {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut SqliteOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&folder.path().join("bed.db"));
        // Forming a group must not depend on the machine's speed.
        options.group_age = Duration::from_mins(1);
        change(&mut options);
        let groups = Arc::new(Groups::default());
        let writer = open(options, Arc::<Groups>::clone(&groups));
        writer.run(None, |conn| execute(conn, SCHEMA)).unwrap();
        Self {
            folder,
            writer,
            groups,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bed.db")
    }

    /// A look by a connection of its own, which sees what is committed.
    fn number(&self, sql: &str) -> i64 {
        let url = DatabaseUrl::SqliteFile(self.path());
        let mut connection = crate::Connection::open_beside(&url, crate::Access::ReadWrite);
        let crate::Conn::Sqlite(conn) = connection.conn() else {
            unreachable!();
        };
        number(conn, sql)
    }

    fn entries(&self) -> i64 {
        self.number("SELECT count(*) AS n FROM entry")
    }

    /// Takes the right to write, on a thread of its own, until the hold is let go.
    fn hold<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Hold<'scope> {
        let (held, is_held) = channel();
        let (release, released): (Sender<()>, Receiver<()>) = channel();
        let thread = scope.spawn(move || {
            self.writer
                .run(None, move |_| {
                    held.send(()).unwrap();
                    // An error means that the hold was dropped, which lets go as well.
                    let _ = released.recv();
                    Ok::<_, Error>(())
                })
                .unwrap();
        });
        is_held.recv().unwrap();
        Hold {
            release: Some(release),
            thread: Some(thread),
        }
    }

    /// Waits until so many writes are in the queue.
    fn await_pending(&self, count: usize) {
        while self.writer.pending() != count {
            std::thread::yield_now();
        }
    }
}

/// The right to write, held.
struct Hold<'scope> {
    release: Option<Sender<()>>,
    thread: Option<std::thread::ScopedJoinHandle<'scope, ()>>,
}

impl Hold<'_> {
    fn let_go(mut self) {
        drop(self.release.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn options(path: &Path) -> SqliteOptions {
    let mut options = SqliteOptions::defaults(&format!("sqlite://{}", path.display()));
    options.cache_kib = 2_000;
    options
}

fn open(options: SqliteOptions, observer: Arc<dyn Observer>) -> Writer {
    let clock = Arc::new(TableClock::new());
    open_with(options, observer, clock)
}

fn open_with(
    options: SqliteOptions,
    observer: Arc<dyn Observer>,
    clock: Arc<TableClock>,
) -> Writer {
    let health = Arc::default();
    Writer::open(options, health, Arc::new(NoSnapshot), observer, clock).unwrap()
}

fn insert(conn: &mut SqliteConnection, id: i64) -> Result<(), Error> {
    statement(conn, &format!("INSERT INTO entry VALUES ({id}, 1)"))
}

/// Runs a prepared statement, which goes another way through Diesel than `execute`.
fn statement(conn: &mut SqliteConnection, sql: &str) -> Result<(), Error> {
    sql_query(sql)
        .execute(conn)
        .map(drop)
        .map_err(|e| Error::classify(Engine::Sqlite, &e))
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn number(conn: &mut SqliteConnection, sql: &str) -> i64 {
    sql_query(sql).get_result::<Number>(conn).unwrap().n
}
