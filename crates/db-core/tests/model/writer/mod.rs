//! The writer's executor, model-checked: loom runs each test through every interleaving of its
//! threads (and every outcome that memory ordering allows), on a mock of the database.
//!
//! The modules under test are compiled a second time here, against loom's primitives in `sync`; so
//! neither a feature nor a flag of the compiler is needed, and `cargo test` checks them.
//!
//! A schedule may take a thread off its core up to [`PREEMPTIONS`] times where it did not have to
//! wait, as often as it likes where it did. `LOOM_MAX_PREEMPTIONS=6` looks further, in a minute.
//!
//! Of time there is none: a deadline counts as passed as soon as somebody waits for it, which lets
//! a withdrawal race with everything, and waiting on a condition never times out.

#[path = "../../../src/sqlite/writer/backend.rs"]
#[expect(dead_code, reason = "what only SQLite's side of the writer reads")]
mod backend;
#[path = "../../../src/sqlite/writer/executor/mod.rs"]
#[expect(dead_code, reason = "what only the writer's door calls")]
mod executor;
#[path = "../../../src/sqlite/writer/job.rs"]
mod job;
mod mock;
mod sync;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::held::Held;
use backend::Chores;
use executor::{Course, Executor, Limits, Served};
use loom::thread;
use mock::{Boxed, Disk, Mock};

/// Known faults of this kind need two; these are some ten thousand schedules a test.
const PREEMPTIONS: usize = 4;

type Writer = Arc<Executor<Mock>>;

fn limits() -> Limits {
    Limits {
        group_size: 2,
        group_size_async: 2,
        group_age: Duration::from_hours(1),
        max_pending: 8,
        busy_timeout: Duration::from_hours(1),
        linger: Duration::ZERO,
    }
}

/// Explores `body` with a writer's thread beside it; `close` is called and joined at the end.
/// `body` may start one thread more.
fn explore(
    limits: Limits,
    disk: impl Fn() -> Disk + Send + Sync + 'static,
    body: impl Fn(&Writer, &Arc<Disk>) + Send + Sync + 'static,
) {
    let mut model = loom::model::Builder::new();
    // What the environment says goes first.
    model.preemption_bound = model.preemption_bound.or(Some(PREEMPTIONS));
    model.check(move || {
        let disk = Arc::new(disk());
        let held = Arc::new(Held::new("writer", 1));
        let writer: Writer = Arc::new(Executor::new(Mock::new(Arc::clone(&disk)), limits, held));
        let (served, turns) = (Arc::clone(&writer), Arc::clone(&disk));
        let thread = thread::spawn(move || {
            let mut course = Course::default();
            while let Served::Until(_) = served.serve(&mut course) {
                turns.await_turn();
            }
        });
        body(&writer, &disk);
        writer.close(None).unwrap();
        thread.join().unwrap();
        assert!(disk.is_closed(), "the backend was closed, and once");
        let late: Result<(), Error> = unwrap(writer.run(None, |_| Ok(())));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
    });
}

fn unwrap<T>(answer: job::Answer<T, Error>) -> Result<T, Error> {
    answer.unwrap_or_else(|_| panic!("a closure panicked"))
}

/// Writes one number, and checks that the answer and the disk agree.
fn write(writer: &Writer, disk: &Disk, deadline: Option<Instant>, n: u32) -> Result<(), Error> {
    let told = unwrap(writer.run(deadline, |conn| {
        conn.insert(n);
        Ok(())
    }));
    assert_eq!(told.is_ok(), disk.holds(n), "{n}: told {told:?}");
    told
}

#[test]
fn two_callers_are_both_answered_after_their_commit() {
    explore(limits(), Disk::default, |writer, disk| {
        let other = {
            let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
            thread::spawn(move || write(&writer, &disk, None, 1).unwrap())
        };
        write(writer, disk, None, 2).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_lingering_writer_misses_no_wake_up() {
    let lingering = Limits {
        linger: Duration::from_hours(1),
        ..limits()
    };
    explore(lingering, Disk::default, |writer, disk| {
        let other = {
            let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
            thread::spawn(move || write(&writer, &disk, None, 1).unwrap())
        };
        write(writer, disk, None, 2).unwrap();
        // The writer's thread may be lingering by now.
        write(writer, disk, None, 3).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_withdrawn_write_was_not_begun_and_a_begun_one_is_waited_for() {
    explore(limits(), Disk::default, |writer, disk| {
        let other = {
            let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
            thread::spawn(move || write(&writer, &disk, None, 1).unwrap())
        };
        match write(writer, disk, Some(Instant::now()), 2) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout),
        }
        other.join().unwrap();
    });
}

#[test]
fn an_error_and_a_panic_stay_with_their_caller() {
    for panics in [false, true] {
        explore(limits(), Disk::default, move |writer, disk| {
            let other = {
                let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
                thread::spawn(move || write(&writer, &disk, None, 1).unwrap())
            };
            let told = writer.run(None, |conn| {
                conn.insert(2);
                if panics {
                    // Without the noise of the panic hook, a million times.
                    std::panic::resume_unwind(Box::new(2_u8));
                }
                Err::<(), _>(Error::new(ErrorKind::NotFound, "own"))
            });
            match told {
                Err(payload) => assert_eq!(payload.downcast_ref(), Some(&2_u8)),
                Ok(told) => assert_eq!(told.unwrap_err().kind(), ErrorKind::NotFound),
            }
            assert!(!disk.holds(2));
            other.join().unwrap();
        });
    }
}

#[test]
fn nobody_who_shared_an_ended_transaction_is_told_of_success() {
    explore(limits(), Disk::default, |writer, disk| {
        let other = {
            let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
            thread::spawn(move || match write(&writer, &disk, None, 1) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::TransactionEnded),
            })
        };
        let told = unwrap(writer.run(None, |conn| {
            conn.insert(2);
            conn.end();
            Ok(())
        }));
        assert_eq!(told.unwrap_err().kind(), ErrorKind::TransactionEnded);
        assert!(!disk.holds(2));
        other.join().unwrap();
    });
}

#[test]
fn a_failed_commit_fails_all_who_shared_it_and_no_one_else() {
    explore(limits(), Disk::that_fails_once, |writer, disk| {
        let other = {
            let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
            thread::spawn(move || write(&writer, &disk, None, 1).is_err())
        };
        let failed = write(writer, disk, None, 2).is_err();
        assert!(
            failed | other.join().unwrap(),
            "the failure was told to nobody"
        );
    });
}

/// Whoever writes alone is told by the COMMIT.
#[test]
fn who_owes_something_is_told_so_also_where_the_transaction_is_lost() {
    explore(limits(), Disk::that_is_taken_away_once, |writer, disk| {
        let other = {
            let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
            thread::spawn(move || match write(&writer, &disk, None, 1) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::Busy),
            })
        };
        let answers = Arc::new(std::sync::Mutex::new(Vec::new()));
        let job = Boxed::new(2, false, Arc::clone(&answers), Arc::clone(disk)).that_owes();
        writer.submit(Box::new(job));
        other.join().unwrap();
        writer.close(None).unwrap();
        assert_eq!(*answers.lock().unwrap(), [false]);
    });
}

#[test]
fn a_caller_that_has_to_wait_for_another_process_hands_over() {
    explore(limits(), Disk::that_is_busy_once, |writer, disk| {
        let other = {
            let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
            thread::spawn(move || write(&writer, &disk, None, 1).unwrap())
        };
        match write(writer, disk, Some(Instant::now()), 2) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout),
        }
        other.join().unwrap();
    });
}

#[test]
fn a_close_meets_a_write() {
    explore(limits(), Disk::default, |writer, disk| {
        let other = {
            let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
            thread::spawn(move || match write(&writer, &disk, None, 1) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
            })
        };
        writer.close(None).unwrap();
        other.join().unwrap();
    });
}

/// Whether it is the caller whose time is over or the close, and in whatever order: nobody stands
/// still for a turn that does not come.
#[test]
fn a_close_does_not_wait_for_a_turn_that_nobody_will_use() {
    for caller_is_late in [true, false] {
        let disk = Disk::behind_a_stopped_process;
        explore(limits(), disk, move |writer, disk| {
            let other = {
                let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
                let deadline = caller_is_late.then(Instant::now);
                thread::spawn(move || write(&writer, &disk, deadline, 1).unwrap_err().kind())
            };
            let expected = if caller_is_late {
                writer.close(None).unwrap();
                [ErrorKind::Timeout, ErrorKind::Closed]
            } else {
                if let Err(late) = writer.close(Some(Instant::now())) {
                    assert_eq!(late.kind(), ErrorKind::Timeout);
                }
                [ErrorKind::Busy, ErrorKind::Closed]
            };
            let kind = other.join().unwrap();
            assert!(expected.contains(&kind), "{kind:?}");
        });
    }
}

#[test]
fn chores_of_which_the_backend_reminds_are_done_without_a_further_write() {
    explore(limits(), Disk::default, |writer, disk| {
        let other = {
            let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
            thread::spawn(move || write(&writer, &disk, None, 1).unwrap())
        };
        disk.leave_chores();
        writer.remind();
        disk.await_chores();
        other.join().unwrap();
    });
}

#[test]
fn chores_are_done_between_writes_and_stop_nobody() {
    // Overdue, it is due like the other, but by the clock.
    let overdue = Chores::At(Instant::now());
    for chores in [Chores::Now, overdue] {
        let disk = move || Disk::with_chores(chores);
        explore(limits(), disk, |writer, disk| {
            let other = {
                let (writer, disk) = (Arc::clone(writer), Arc::clone(disk));
                thread::spawn(move || write(&writer, &disk, None, 1).unwrap())
            };
            write(writer, disk, None, 2).unwrap();
            other.join().unwrap();
        });
    }
}

#[test]
fn a_submitted_write_is_answered_once_unless_nobody_waits() {
    for abandoned in [false, true] {
        explore(limits(), Disk::default, move |writer, disk| {
            let answers = Arc::new(std::sync::Mutex::new(Vec::new()));
            let job = Boxed::new(3, abandoned, Arc::clone(&answers), Arc::clone(disk));
            writer.submit(Box::new(job));
            write(writer, disk, None, 2).unwrap();
            writer.close(None).unwrap();
            let expected: &[bool] = if abandoned { &[] } else { &[true] };
            assert_eq!(*answers.lock().unwrap(), expected);
            assert_eq!(disk.holds(3), !abandoned);
        });
    }
}

/// A lent closure by itself, through every schedule there is.
#[test]
fn a_lent_closure_is_used_by_one_thread_at_a_time() {
    loom::model(|| {
        let place = Arc::new(loom::sync::Mutex::new(None));
        let notice = Arc::new(loom::sync::Condvar::new());
        let taker = {
            let (place, notice) = (Arc::clone(&place), Arc::clone(&notice));
            thread::spawn(move || {
                let mut place = place.lock().unwrap();
                while place.is_none() {
                    place = notice.wait(place).unwrap();
                }
                let mut job: job::JobRef<u32> = place.take().unwrap();
                drop(place);
                job.run(&mut 20);
                job.finish(None);
            })
        };
        let mut borrowed = 1;
        let answer = job::lend(
            |conn: &mut u32| {
                borrowed += *conn;
                Ok::<_, Error>(borrowed)
            },
            None,
            |job| {
                *place.lock().unwrap() = Some(job);
                notice.notify_one();
            },
            |_| panic!("there is no deadline"),
        );
        assert_eq!(unwrap(answer).unwrap(), 21);
        assert_eq!(borrowed, 21);
        taker.join().unwrap();
    });
}

#[test]
fn a_job_that_is_lost_lets_its_caller_go() {
    loom::model(|| {
        let answer = job::lend(|_: &mut u32| Ok(()), None, drop, |_| ());
        let told = unwrap(answer).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::OutcomeUnknown);
    });
}
