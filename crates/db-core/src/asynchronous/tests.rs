//! Threads and turns, without a database.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::call::{Blocking, call};
use super::threads::Threads;
use super::{AsyncDatabase, Database};
use crate::error::{Error, ErrorKind};

const LONG: Duration = Duration::from_mins(10);

fn threads(threads: usize, waiting: usize) -> Threads {
    Threads::new(threads, waiting)
}

fn submit<T: Send + 'static, F: FnOnce() -> Result<T, Error> + Send + 'static>(
    threads: &Threads,
    patience: Duration,
    closure: F,
) -> impl Future<Output = Result<T, Error>> + use<T, F> {
    let (call, pending) = call(patience);
    let turn = pending.turn();
    threads.submit(Box::new(Blocking::new(pending, move || {
        assert!(turn.begin(), "run although it was given up");
        closure()
    })));
    call.answer(|| None)
}

/// One thread, held up until the sender is dropped.
fn held_up(
    threads: &Threads,
) -> (
    mpsc::Sender<()>,
    impl Future<Output = Result<(), Error>> + use<>,
) {
    let (release, held) = mpsc::channel::<()>();
    let began = Arc::new(Barrier::new(2));
    let there = Arc::clone(&began);
    let call = submit(threads, LONG, move || {
        there.wait();
        assert!(held.recv().is_err());
        Ok(())
    });
    began.wait();
    (release, call)
}

#[tokio::test]
async fn calls_are_answered_by_few_threads() {
    let threads = threads(4, 10_000);
    let (together, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let calls: Vec<_> = (0..1_000)
        .map(|number| {
            let (together, most) = (Arc::clone(&together), Arc::clone(&most));
            submit(&threads, LONG, move || {
                most.fetch_max(
                    together.fetch_add(1, Ordering::SeqCst) + 1,
                    Ordering::SeqCst,
                );
                std::thread::yield_now();
                together.fetch_sub(1, Ordering::SeqCst);
                Ok(number)
            })
        })
        .collect();
    assert!(threads.running() <= 4);
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), number);
    }
    assert!(most.load(Ordering::SeqCst) <= 4);
}

/// A door per request is easily made, and must not bring threads of its own.
#[tokio::test]
async fn all_doors_of_a_database_share_its_threads() {
    let config = crate::DatabaseConfig::new("sqlite::memory:").max_connections(2);
    let database = Database::open(&config).unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let door = AsyncDatabase::new(database.clone());
            tokio::spawn(async move { door.read(|_| Ok::<_, Error>(())).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert!((1..=2).contains(&database.threads().running()));
    AsyncDatabase::new(database.clone())
        .close(LONG)
        .await
        .unwrap();
    let other = AsyncDatabase::new(database);
    let error = other.read(|_| Ok::<_, Error>(())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_dropped_call_is_not_run() {
    let threads = threads(1, 100);
    let (release, first) = held_up(&threads);
    let ran = Arc::new(AtomicUsize::new(0));
    let mut calls: Vec<_> = (0..10)
        .map(|_| {
            let ran = Arc::clone(&ran);
            submit(&threads, LONG, move || {
                ran.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        })
        .collect();
    calls.truncate(3);
    drop(release);
    first.await.unwrap();
    for call in calls {
        call.await.unwrap();
    }
    submit(&threads, LONG, || Ok(())).await.unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn those_who_went_away_make_room() {
    let threads = threads(1, 2);
    let (release, first) = held_up(&threads);
    let gone = submit(&threads, LONG, || Ok(1));
    let kept = submit(&threads, LONG, || Ok(2));
    let error = submit(&threads, LONG, || Ok(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    drop(gone);
    let instead = submit(&threads, LONG, || Ok(4));
    drop(release);
    first.await.unwrap();
    assert_eq!((kept.await.unwrap(), instead.await.unwrap()), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_to_begin() {
    let threads = threads(1, 100);
    let (release, first) = held_up(&threads);
    let limit = Duration::from_secs(5);
    let error = submit(&threads, limit, || Ok(())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.message().contains("not begun within 5.0 s"),
        "{error}"
    );
    drop(release);
    first.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_begun_is_waited_for() {
    let (patient, pending) = call::<u8, Error>(Duration::from_secs(5));
    assert!(pending.turn().begin());
    let mut answer = pin!(patient.answer(|| None));
    let timeout = tokio::time::timeout(Duration::from_mins(1), answer.as_mut()).await;
    assert!(timeout.is_err(), "it ended by itself");
    pending.send(Ok(Ok(7)));
    assert_eq!(answer.await.unwrap(), 7);
}

#[tokio::test]
async fn a_panic_arrives_where_the_call_is_awaited() {
    let threads = threads(1, 100);
    let panics = submit(&threads, LONG, || -> Result<(), Error> {
        panic!("at the disco")
    });
    let panic = tokio::spawn(panics).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"at the disco"));
    submit(&threads, LONG, || Ok(())).await.unwrap();
}

#[tokio::test]
async fn closing_refuses_what_waits_and_what_comes() {
    let threads = threads(1, 100);
    let (release, first) = held_up(&threads);
    let waits = submit(&threads, LONG, || Ok(()));
    threads.close();
    let comes = submit(&threads, LONG, || Ok(()));
    for call in [waits.await, comes.await] {
        assert_eq!(call.unwrap_err().kind(), ErrorKind::Closed);
    }
    drop(release);
    first.await.unwrap();
}

#[tokio::test]
async fn a_given_up_turn_never_begins() {
    let (call, pending) = call::<(), Error>(LONG);
    let mut answer = Box::pin(call.answer(|| None));
    let waiting = answer
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(waiting, Poll::Pending));
    drop(answer);
    assert!(pending.is_given_up());
    assert!(!pending.turn().begin());
}
