//! What the process does that will be killed.

use std::path::Path;

use db_core::{AsyncDatabase, Conn, Database, DatabaseConfig, Error};

use crate::support::{config, durable, execute, number, say};

pub(super) const ACCOUNTS: u64 = 20;
pub(super) const DEPOSIT: i64 = 1_000_000;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS heads (lane INTEGER, seq INTEGER, PRIMARY KEY (lane, seq)) STRICT;
    CREATE TABLE IF NOT EXISTS tails (lane INTEGER, seq INTEGER, PRIMARY KEY (lane, seq)) STRICT;
    CREATE TABLE IF NOT EXISTS accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL) STRICT;";

/// Four ways to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// One thread, durable.
    Single,
    /// Sixteen threads, durable, a checkpoint every 50 pages.
    Grouped,
    /// Four threads that move money between accounts, not synced, a checkpoint every 20 pages, and
    /// two that read the sum meanwhile.
    Transfers,
    /// A hundred tasks in the queue of the async door, durable.
    Async,
}

impl Workload {
    pub(super) const fn lanes(self) -> u64 {
        match self {
            Self::Single => 1,
            Self::Grouped => 16,
            Self::Transfers => 4,
            Self::Async => 100,
        }
    }

    /// Answers after which it is killed at the latest: a twentieth of a second's work, or so.
    pub(super) const fn answers_per_kill(self) -> u64 {
        match self {
            Self::Single => 150,
            Self::Grouped | Self::Async => 800,
            Self::Transfers => 400,
        }
    }

    fn config(self, path: &Path) -> DatabaseConfig {
        match self {
            Self::Single | Self::Async => durable(path),
            Self::Grouped => durable(path).checkpoint_pages(50),
            Self::Transfers => config(path).checkpoint_pages(20),
        }
    }
}

/// Writes until it is killed.
pub(super) fn work(workload: Workload, path: &Path) {
    let database = Database::open(&workload.config(path)).unwrap();
    database.write(create).unwrap();
    if workload == Workload::Async {
        return tasks(workload, database);
    }
    std::thread::scope(|scope| {
        for lane in 0..workload.lanes() {
            let database = &database;
            scope.spawn(move || {
                for seq in next(database, lane).. {
                    database
                        .write(|conn| step(conn, workload, lane, seq))
                        .unwrap();
                    say(format_args!("{lane} {seq}"));
                }
            });
        }
        if workload == Workload::Transfers {
            for _ in 0..2 {
                scope.spawn(|| -> () { watch(&database) });
            }
        }
    });
}

fn tasks(workload: Workload, database: Database) {
    let lanes: Vec<_> = (0..workload.lanes())
        .map(|lane| (lane, next(&database, lane)))
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let database = AsyncDatabase::new(database);
        let mut tasks = tokio::task::JoinSet::new();
        for (lane, first) in lanes {
            let database = database.clone();
            tasks.spawn(async move {
                for seq in first.. {
                    let write = database.write(move |conn| step(conn, workload, lane, seq));
                    write.await.unwrap();
                    say(format_args!("{lane} {seq}"));
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    });
}

fn create(conn: &mut Conn<'_>) -> Result<(), Error> {
    execute(conn, SCHEMA)?;
    for account in 0..ACCOUNTS {
        execute(
            conn,
            &format!("INSERT OR IGNORE INTO accounts VALUES ({account}, {DEPOSIT})"),
        )?;
    }
    Ok(())
}

/// Where the lane goes on after those that were killed.
fn next(database: &Database, lane: u64) -> u64 {
    let last = format!("SELECT coalesce(max(seq), 0) AS n FROM heads WHERE lane = {lane}");
    let last = database.read(|conn| number(conn, &last)).unwrap();
    u64::try_from(last).unwrap() + 1
}

/// One write. What it moves follows from its lane and number, so that it can be computed again.
fn step(conn: &mut Conn<'_>, workload: Workload, lane: u64, seq: u64) -> Result<(), Error> {
    execute(conn, &format!("INSERT INTO heads VALUES ({lane}, {seq})"))?;
    if workload == Workload::Transfers {
        let (from, to, amount) = transfer(lane, seq);
        for (account, change) in [(from, -amount), (to, amount)] {
            execute(
                conn,
                &format!("UPDATE accounts SET balance = balance + {change} WHERE id = {account}"),
            )?;
        }
    }
    execute(conn, &format!("INSERT INTO tails VALUES ({lane}, {seq})"))
}

/// From which account to which other one, and how much.
pub(super) fn transfer(lane: u64, seq: u64) -> (u64, u64, i64) {
    let from = (lane * 7 + seq) % ACCOUNTS;
    let to = (from + 1 + seq % 3) % ACCOUNTS;
    (from, to, 1 + i64::try_from(seq % 5).unwrap())
}

/// No read sees money on its way.
fn watch(database: &Database) -> ! {
    loop {
        let sum = database.read(|conn| number(conn, "SELECT sum(balance) AS n FROM accounts"));
        assert_eq!(sum.unwrap(), i64::try_from(ACCOUNTS).unwrap() * DEPOSIT);
    }
}
