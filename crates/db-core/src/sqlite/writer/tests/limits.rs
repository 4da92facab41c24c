//! Deadlines, overload, and the close.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::sqlite::writer::turnstile::Turnstile;

/// Long enough that a test which meets it has failed.
const LONG: Duration = Duration::from_mins(1);

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(30)
}

#[test]
fn a_caller_whose_time_is_over_takes_its_write_back() {
    let bed = Bed::new();
    let begun = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let late = bed.writer.run(Some(soon()), |conn| {
            begun.store(true, Ordering::Relaxed);
            insert(conn, 1)
        });
        let late = late.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        assert!(late.hint().unwrap().contains("`connection_timeout`"));
        assert_eq!(bed.writer.pending(), 0);
        hold.let_go();
    });
    bed.writer.run(None, |conn| insert(conn, 2)).unwrap();
    assert!(!begun.load(Ordering::Relaxed));
    assert_eq!(bed.entries(), 1);
}

#[test]
fn a_write_that_has_begun_is_waited_for() {
    let bed = &Bed::new();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        // Far enough away to be taken up in time even on a slow machine; it passes in the closure.
        let deadline = Instant::now() + Duration::from_secs(2);
        let (never, nothing): (Sender<()>, Receiver<()>) = channel();
        let slow = scope.spawn(move || {
            bed.writer.run(Some(deadline), move |conn| {
                while Instant::now() <= deadline {
                    let left = deadline.saturating_duration_since(Instant::now());
                    assert!(
                        nothing
                            .recv_timeout(left + Duration::from_millis(1))
                            .is_err()
                    );
                }
                insert(conn, 1)
            })
        });
        bed.await_pending(1);
        hold.let_go();
        slow.join().unwrap().unwrap();
        drop(never);
    });
    assert_eq!(bed.entries(), 1);
}

#[test]
fn more_than_may_wait_are_refused_at_once() {
    let bed = Bed::with(|options| options.max_waiters = 2);
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        for id in 1..=2 {
            let bed = &bed;
            scope.spawn(move || bed.writer.run(None, |conn| insert(conn, id)).unwrap());
        }
        bed.await_pending(2);
        let refused = bed.writer.run(None, |conn| insert(conn, 3)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        assert!(refused.hint().unwrap().contains("`max_waiters`"));
        hold.let_go();
    });
    assert_eq!(bed.entries(), 2);
}

#[test]
fn the_close_waits_for_what_is_queued_and_lets_nothing_in() {
    let bed = Bed::new();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        for id in 1..=5 {
            let bed = &bed;
            scope.spawn(move || bed.writer.run(None, |conn| insert(conn, id)).unwrap());
        }
        bed.await_pending(5);
        let closing = scope.spawn(|| bed.writer.close(Some(Instant::now() + LONG)));
        while bed
            .writer
            .run(Some(soon()), |_| Ok::<_, Error>(()))
            .unwrap_err()
            .kind()
            != ErrorKind::Closed
        {
            std::thread::yield_now();
        }
        hold.let_go();
        closing.join().unwrap().unwrap();
    });
    assert_eq!(bed.entries(), 5);
    let refused = bed.writer.run(None, |conn| insert(conn, 6)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
    bed.writer.close(None).unwrap();
}

#[test]
fn a_close_whose_time_is_over_refuses_what_is_queued() {
    let bed = Bed::new();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let queued = scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 1)));
        bed.await_pending(1);
        let late = bed.writer.close(Some(soon())).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout);
        let refused = queued.join().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Closed);
        hold.let_go();
        bed.writer.close(None).unwrap();
    });
    assert_eq!(bed.entries(), 0);
}

/// The first caller's patience ends while others have just come: it alone is told so, and is not
/// taken for one of them if it has gone by itself.
#[test]
fn each_waits_for_another_program_as_long_as_it_may() {
    let timeout = Duration::from_secs(2);
    let bed = Bed::with(|options| options.busy_timeout = timeout);
    let url = DatabaseUrl::SqliteFile(bed.path());
    let mut other = crate::Connection::open_beside(&url, crate::Access::ReadWrite);
    other.conn().batch_execute("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let began = Instant::now();
            // Its own deadline comes a little before the writer's thread gives up.
            let deadline = began + Duration::from_millis(1_900);
            bed.writer.run(Some(deadline), |conn| insert(conn, 1))
        });
        bed.await_pending(1);
        wait_for(Duration::from_millis(1_500));
        let began = Instant::now();
        let late = scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 2)));
        let error = first.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let error = late.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(began.elapsed() >= timeout, "{:?}", began.elapsed());
    });
    other.conn().batch_execute("ROLLBACK").unwrap();
    bed.writer.run(None, |conn| insert(conn, 3)).unwrap();
    assert_eq!(bed.entries(), 1);
}

/// The turn comes when its only caller has gone, before `busy_timeout` and after it, and also when
/// the next caller has come meanwhile.
#[test]
fn a_turn_that_comes_too_late_is_given_back_or_used() {
    for (busy_timeout, kind) in [
        (LONG, ErrorKind::Timeout),
        (Duration::from_millis(30), ErrorKind::Busy),
    ] {
        let bed = &Bed::with(|options| options.busy_timeout = busy_timeout);
        let mut other = Turnstile::open(&bed.path().canonicalize().unwrap()).unwrap();
        for id in 1..=3 {
            while !other.try_enter().unwrap() {
                std::thread::yield_now();
            }
            let deadline = (kind == ErrorKind::Timeout).then(soon);
            let late = bed.writer.run(deadline, |conn| insert(conn, 0));
            let late = late.unwrap_err();
            assert_eq!(late.kind(), kind, "{late}");
            let names_it = late.to_string().contains("bed.db-turn");
            // The writer's thread may not have come so far in so short a time.
            assert!(names_it || kind == ErrorKind::Timeout, "{late}");
            if kind == ErrorKind::Timeout {
                std::thread::scope(|scope| {
                    scope.spawn(|| bed.writer.run(None, |conn| insert(conn, id)).unwrap());
                    bed.await_pending(1);
                    other.leave().unwrap();
                });
            } else {
                other.leave().unwrap();
            }
        }
        let written = if kind == ErrorKind::Timeout { 3 } else { 0 };
        assert_eq!(bed.entries(), written);
        while !other.try_enter().unwrap() {
            std::thread::yield_now();
        }
        other.leave().unwrap();
        bed.writer.run(None, |conn| insert(conn, 4)).unwrap();
        assert!(other.try_enter().unwrap());
        let late = bed.writer.run(Some(soon()), |conn| insert(conn, 5));
        assert!(late.is_err());
        other.leave().unwrap();
        // Nobody is queued when the turn comes, so nothing but the thread itself gives it back.
        while !other.try_enter().unwrap() {
            std::thread::yield_now();
        }
        assert_eq!(bed.entries(), written + 1);
        bed.writer.close(Some(Instant::now() + LONG)).unwrap();
    }
}

/// Lets time pass, which nothing else would tell of.
fn wait_for(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
}
