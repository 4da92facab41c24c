//! The async door on both engines.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, channel};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use db_core::{AsyncDatabase, Database, DatabaseStats, Engine, Error, ErrorKind, RetryPolicy};
use db_testkit::{TestDb, both_engines};
use tokio::runtime::Runtime;

use super::leaks::{Place, THRESHOLD, stays, waits};
use super::{Hold, LONG, Log, Release, config, count, execute, hold, insert, open_with, until};

const SHORT: Duration = Duration::from_millis(60);

/// For a connection to be made, on a machine that has much else to do.
const ENOUGH: Duration = Duration::from_secs(3);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
}

/// One connection to read with, or one at all, so that calls can be made to wait.
fn open(db: &TestDb) -> AsyncDatabase {
    AsyncDatabase::new(open_with(db, |config| {
        config.max_connections(1).connection_timeout(LONG)
    }))
}

/// Looks once, so that the call is on its way.
async fn start<F: Future>(mut call: Pin<&mut F>) {
    poll_fn(|context| {
        assert!(
            call.as_mut().poll(context).is_pending(),
            "it has ended already"
        );
        Poll::Ready(())
    })
    .await;
}

/// Calls that have not begun.
fn pending(database: &Database) -> usize {
    match database.stats() {
        DatabaseStats::Sqlite(stats) => stats.pending_writes,
        DatabaseStats::Postgres(stats) => stats.gate.waiting,
        other => panic!("{other:?}"),
    }
}

/// Holds the right to write, on a thread of its own.
fn hold_writer(database: &Database) -> (thread::JoinHandle<()>, Release) {
    let (hold, release) = hold();
    let database = database.clone();
    let holder = thread::spawn(move || {
        database
            .write(|_| {
                hold.wait();
                Ok::<_, Error>(())
            })
            .unwrap();
    });
    release.await_inside();
    (holder, release)
}

both_engines! {
    fn reads_and_writes_are_as_the_blocking_ones(db: TestDb) {
        let database = open(&db);
        runtime().block_on(async {
            for id in 1..=50 {
                database.write(move |conn| insert(conn, id)).await.unwrap();
                assert_eq!(database.read(count).await.unwrap(), id);
            }
            let broken = database.write(|conn| { insert(conn, 99)?; insert(conn, 99) }).await;
            assert_eq!(broken.unwrap_err().kind(), ErrorKind::Constraint);
            let refused = database.read(|conn| insert(conn, 99)).await;
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::ReadOnly);
            let mut runs = 0;
            let retried = database
                .write_with_retry(&RetryPolicy::new(), move |conn| {
                    runs += 1;
                    insert(conn, 100)?;
                    match runs {
                        3 => Ok(runs),
                        _ => Err(Error::new(ErrorKind::Serialization, "once more")),
                    }
                })
                .await;
            assert_eq!(retried.unwrap(), 3);
            assert_eq!(database.read(count).await.unwrap(), 51);
        });
    }

    fn dropped_before_it_began_it_never_does(db: TestDb) {
        let database = open(&db);
        let (holder, release) = hold_writer(database.blocking());
        runtime().block_on(async {
            // Never looked at, it is not even on its way.
            drop(database.write(|conn| insert(conn, 1)));
            for id in 2..=9 {
                let mut call = Box::pin(database.write(move |conn| insert(conn, id)));
                start(call.as_mut()).await;
                drop(call);
            }
            let last = database.write(|conn| insert(conn, 10));
            let mut last = Box::pin(last);
            start(last.as_mut()).await;
            drop(release);
            last.await.unwrap();
        });
        holder.join().unwrap();
        assert_eq!(database.blocking().read(count).unwrap(), 1);
    }

    fn dropped_after_it_began_it_is_whole(db: TestDb) {
        let database = open(&db);
        let outside = &mut db.connect();
        runtime().block_on(async {
            for round in 0..5_i64 {
                let (hold, release) = hold();
                let mut call = Box::pin(database.write(move |conn| {
                    insert(conn, 2 * round)?;
                    hold.wait();
                    insert(conn, 2 * round + 1)
                }));
                start(call.as_mut()).await;
                release.await_inside();
                drop(call);
                drop(release);
                until("both rows are there", || {
                    let rows = count(&mut outside.conn()).unwrap() - 2 * round;
                    assert!([0, 2].contains(&rows), "{rows} rows of two");
                    rows == 2
                });
            }
        });
    }

    fn a_panic_arrives_at_the_task_that_waits(db: TestDb) {
        let database = open(&db);
        runtime().block_on(async {
            for _ in 0..5 {
                let writes = database.clone();
                let task = tokio::spawn(async move {
                    writes
                        .write(|conn| -> Result<(), Error> {
                            insert(conn, 1)?;
                            std::panic::resume_unwind(Box::new("on purpose"))
                        })
                        .await
                });
                let panic = task.await.unwrap_err().into_panic();
                assert_eq!(*panic.downcast::<&str>().unwrap(), "on purpose");
                let reads = database.clone();
                let task = tokio::spawn(async move {
                    reads
                        .read(|_| -> Result<(), Error> {
                            std::panic::resume_unwind(Box::new("while reading"))
                        })
                        .await
                });
                let panic = task.await.unwrap_err().into_panic();
                assert_eq!(*panic.downcast::<&str>().unwrap(), "while reading");
                assert_eq!(database.read(count).await.unwrap(), 0);
            }
        });
    }

    fn waiting_has_its_deadline(db: TestDb) {
        let set = open_with(&db, |config| config.max_connections(1).connection_timeout(ENOUGH));
        let database = AsyncDatabase::new(set);
        let (holder, release) = hold_writer(database.blocking());
        runtime().block_on(async {
            let late = database.write(|conn| insert(conn, 1)).await;
            assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
            drop(release);
        });
        holder.join().unwrap();
        assert_eq!(database.blocking().read(count).unwrap(), 0);
    }

    fn closing_lets_what_runs_end_and_answers_everybody(db: TestDb) {
        let database = open(&db);
        let (hold, release) = hold();
        runtime().block_on(async {
            let runs = tokio::spawn({
                let database = database.clone();
                async move {
                    database.write(move |conn| { hold.wait(); insert(conn, 1) }).await
                }
            });
            // It began on a thread of its own.
            let inside = tokio::task::spawn_blocking(move || { release.await_inside(); release });
            let release = inside.await.unwrap();
            let waits: Vec<_> = (2..=5)
                .map(|id| Box::pin(database.write(move |conn| insert(conn, id))))
                .collect();
            let mut waits = waits;
            for call in &mut waits {
                start(call.as_mut()).await;
            }
            let late = database.close(SHORT).await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::Timeout, "{late}");
            for call in waits {
                let refused = call.await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Closed, "{refused}");
            }
            drop(release);
            let ran = runs.await.unwrap();
            // PostgreSQL was asked to end it.
            assert!(ran.is_ok() || db.engine() == Engine::Postgres, "{ran:?}");
            database.close(LONG).await.unwrap();
            for refused in [database.read(count).await, database.write(count).await] {
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
            }
        });
    }

    fn a_call_that_takes_too_long_is_reported_with_the_applications_line(db: TestDb) {
        let log = Log::default();
        let set = config(&db).held_threshold(THRESHOLD);
        let database = AsyncDatabase::new(log.of(|| Database::open(&set).unwrap()));
        each_is_reported(&log, &database);
    }

    fn who_waits_in_vain_is_told_for_whom(db: TestDb) {
        let set = open_with(&db, |config| config.max_connections(1).connection_timeout(ENOUGH));
        let database = AsyncDatabase::new(set);
        runtime().block_on(async {
            let ((hold, release), place) = (hold(), Place::default());
            let mut reads = Box::pin(database.read(stays(hold, &place)));
            start(reads.as_mut()).await;
            release.await_inside();
            place.is_named_to(database.read(|_| Ok(())).await);
            drop(release);
            reads.await.unwrap();
            let ((hold, release), place) = (super::hold(), Place::default());
            let mut writes = Box::pin(database.write(stays(hold, &place)));
            start(writes.as_mut()).await;
            release.await_inside();
            place.is_named_to(database.write(|_| Ok(())).await);
            place.is_named_to(database.close(SHORT).await);
            drop(release);
            // PostgreSQL was asked to end it.
            assert!(writes.await.is_ok() || db.engine() == Engine::Postgres);
        });
    }

    /// In a process of its own, where nobody else starts threads.
    fn ten_thousand_pending_writes_need_no_threads(db: TestDb) {
        const ALONE: &str = "BITCRAPS_TEST_ALONE";
        if std::env::var_os(ALONE).is_some() {
            return many_pending(&db);
        }
        let name = format!(
            "database::asynchronous::ten_thousand_pending_writes_need_no_threads::{}",
            db.engine().name()
        );
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(
            run.status.success() && said.contains("1 passed"),
            "{said}\n{}",
            String::from_utf8_lossy(&run.stderr)
        );
    }
}

/// Every kind of call, each at a line of its own.
fn each_is_reported(log: &Log, database: &AsyncDatabase) {
    let policy = RetryPolicy::new();
    runtime().block_on(async {
        database.read(waits(log)).await.unwrap();
        database.write(waits(log)).await.unwrap();
        let retried = database.write_with_retry(&policy, waits(log));
        retried.await.unwrap();
    });
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn many_pending(db: &TestDb) {
    let (calls, connections) = match db.engine() {
        Engine::Sqlite => (10_000_i64, 4),
        // Each takes three round trips: the number of threads is the same.
        Engine::Postgres => (2_000, 4),
    };
    let set = open_with(db, |config| {
        config.max_connections(connections).connection_timeout(LONG)
    });
    let database = AsyncDatabase::new(set);
    let holds: Vec<_> = match db.engine() {
        Engine::Sqlite => vec![hold_writer(database.blocking())],
        Engine::Postgres => (0..connections)
            .map(|_| hold_writer(database.blocking()))
            .collect(),
    };
    runtime().block_on(async {
        let mut all = tokio::task::JoinSet::new();
        for id in 0..calls {
            let database = database.clone();
            all.spawn(async move { database.write(move |conn| insert(conn, id)).await });
        }
        if db.engine() == Engine::Sqlite {
            let calls = usize::try_from(calls).unwrap();
            until("all wait", || pending(database.blocking()) == calls);
        } else {
            until("some wait", || pending(database.blocking()) > 0);
        }
        let most = threads();
        for (holder, release) in holds {
            drop(release);
            holder.join().unwrap();
        }
        let mut most = most;
        while let Some(done) = all.join_next().await {
            done.unwrap().unwrap();
            most = most.max(threads());
        }
        assert!(most < 20, "{most} threads");
    });
    assert_eq!(database.blocking().read(count).unwrap(), calls);
}

/// Something that ends slowly, and holds a handle of the database until it has.
struct Slow {
    until: Receiver<()>,
    _database: Database,
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.until.recv().unwrap_err();
    }
}

/// A write that its caller has given up is dropped on the writer's thread. If it has the last
/// handle, that thread must not wait for itself.
#[test]
fn the_last_handle_may_end_on_the_writers_thread() {
    let db = TestDb::sqlite();
    let database = open(&db);
    let path = db.path().unwrap().with_extension("db-wal");
    let (holder, release) = hold_writer(database.blocking());
    assert!(path.exists());
    let (others_are_gone, until_then) = channel();
    let slow = Slow {
        until: until_then,
        _database: database.blocking().clone(),
    };
    runtime().block_on(async {
        let mut call = Box::pin(database.write(move |conn| {
            let _slow = &slow;
            insert(conn, 1)
        }));
        start(call.as_mut()).await;
    });
    drop(database);
    drop(release);
    holder.join().unwrap();
    drop(others_are_gone);
    // Only a writer that ends takes its log away.
    until("the log is gone", || !path.exists());
    let again = Database::open(&config(&db)).unwrap();
    assert_eq!(again.read(count).unwrap(), 0);
    again
        .write(|conn| execute(conn, "DELETE FROM parents"))
        .unwrap();
}

#[test]
fn in_memory_it_is_the_same() {
    let log = Log::default();
    let set = db_core::DatabaseConfig::new("sqlite::memory:").held_threshold(THRESHOLD);
    let database = AsyncDatabase::new(log.of(|| Database::open(&set).unwrap()));
    each_is_reported(&log, &database);
    runtime().block_on(async {
        database
            .write(|conn| execute(conn, super::SCHEMA))
            .await
            .unwrap();
        let mut all = tokio::task::JoinSet::new();
        for id in 0..200 {
            let database = database.clone();
            all.spawn(async move { database.write(move |conn| insert(conn, id)).await });
        }
        while let Some(done) = all.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(database.read(count).await.unwrap(), 200);
        let (hold, release): (Hold, Release) = hold();
        let mut call = Box::pin(database.write(move |conn| {
            insert(conn, 500)?;
            hold.wait();
            insert(conn, 501)
        }));
        start(call.as_mut()).await;
        release.await_inside();
        drop(call);
        drop(release);
        // It waits behind the one that was dropped.
        assert_eq!(database.read(count).await.unwrap(), 202);
        database.close(LONG).await.unwrap();
        assert_eq!(
            database.read(count).await.unwrap_err().kind(),
            ErrorKind::Closed
        );
    });
}
