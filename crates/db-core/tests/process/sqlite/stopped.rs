//! A process that is stopped in the middle of a write, and those that wait for it.

use std::path::Path;
use std::time::{Duration, Instant};

use db_core::{AsyncDatabase, Database, DatabaseStats, Error, ErrorKind};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::support::{
    File, Worker, await_line, config, execute, integrity, number, open, role, say,
};

/// How long the others wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Added to a deadline on a busy machine. Much less than what a wait without an end would take.
const SLACK: Duration = Duration::from_secs(30);

/// A caller that gives up before `busy_timeout`, which is 30 s, and one that does not.
fn impatient(path: &Path) -> Database {
    Database::open(&config(path).connection_timeout(PATIENCE)).unwrap()
}

fn enduring(path: &Path) -> Database {
    let config = config(path).connection_timeout(SLACK);
    Database::open(&config.busy_timeout(PATIENCE)).unwrap()
}

fn insert(database: &Database, n: u64) -> Result<(), Error> {
    database.write(|conn| execute(conn, &format!("INSERT INTO t VALUES ({n})")))
}

fn signal(worker: &Worker, signal: Signal) {
    let id = Pid::from_raw(worker.id().try_into().unwrap()).unwrap();
    kill_process(id, signal).unwrap();
    if signal == Signal::STOP {
        // All its threads stand still.
        let (_, status) = waitpid(Some(id), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped());
    }
}

#[test]
fn behind_a_stopped_process_writes_fail_in_time_and_databases_close() {
    const TEST: &str =
        "sqlite::stopped::behind_a_stopped_process_writes_fail_in_time_and_databases_close";
    if let Some(role) = role() {
        let database = open(&role.path);
        database
            .write(|conn| {
                execute(conn, "INSERT INTO t VALUES (0)")?;
                say("inside");
                await_line("go");
                Ok::<_, Error>(())
            })
            .unwrap();
        return database.close(SLACK).unwrap();
    }
    let file = File::new();
    let first = open(file.path());
    first
        .write(|conn| execute(conn, "CREATE TABLE t (n INTEGER)"))
        .unwrap();
    let (short, long) = (impatient(file.path()), enduring(file.path()));
    let (closed, dropped) = (impatient(file.path()), impatient(file.path()));
    let mut worker = Worker::start(TEST, file.path(), &[]);
    worker.await_said("inside");
    signal(&worker, Signal::STOP);

    let since = Instant::now();
    for (database, kind) in [
        (&long, ErrorKind::Busy),
        (&short, ErrorKind::Timeout),
        (&closed, ErrorKind::Timeout),
        (&dropped, ErrorKind::Timeout),
        // Again, in the place that was kept.
        (&long, ErrorKind::Busy),
    ] {
        let error = insert(database, 1).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains("another process"), "{text}");
        assert!(
            text.contains("test.db-turn") || text.contains("test.db-next"),
            "{text}"
        );
    }
    assert!(since.elapsed() >= 5 * PATIENCE);
    assert!(
        since.elapsed() < 5 * PATIENCE + SLACK,
        "{:?}",
        since.elapsed()
    );

    // `busy_timeout` of these is 30 s; nobody waits for it. Reads are none of this.
    let since = Instant::now();
    closed.close(SLACK).unwrap();
    drop(dropped);
    assert!(since.elapsed() < SLACK / 2, "{:?}", since.elapsed());
    let rows = long
        .read(|conn| number(conn, "SELECT count(*) AS n FROM t"))
        .unwrap();
    assert_eq!(rows, 0);

    // A write that still waits when the close's time is over is refused, and holds nobody up.
    let waiting = open(file.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let task = AsyncDatabase::new(waiting.clone());
        let write = tokio::spawn(async move {
            task.write(|conn| execute(conn, "INSERT INTO t VALUES (2)"))
                .await
        });
        let is_queued =
            || matches!(waiting.stats(), DatabaseStats::Sqlite(stats) if stats.pending_writes > 0);
        while !is_queued() {
            tokio::task::yield_now().await;
        }
        let since = Instant::now();
        let late = waiting.close(PATIENCE).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        let refused = write.await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Closed);
        drop(waiting);
        assert!(since.elapsed() < SLACK / 2, "{:?}", since.elapsed());
    });

    signal(&worker, Signal::CONT);
    worker.tell("go");
    worker.finish();
    for n in 3..=102 {
        for database in [&first, &short, &long] {
            insert(database, n).unwrap();
        }
    }
    let after = open(file.path());
    after.read(integrity).unwrap();
    let rows = after
        .read(|conn| number(conn, "SELECT count(*) AS n FROM t"))
        .unwrap();
    assert_eq!(
        rows, 301,
        "one of the stopped process, and none that failed"
    );
}
