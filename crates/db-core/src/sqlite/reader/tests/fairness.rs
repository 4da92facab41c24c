//! Many threads on few connections.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::support::{Fixture, PATIENCE, count, execute, insert, newest, until, work};
use crate::error::{Error, ErrorKind};

#[test]
fn threads_that_want_a_connection_all_get_it_equally_often() {
    const THREADS: usize = 256;
    const EACH: u64 = 20;
    let it = Fixture::with(|options| options.max_readers = 4);
    let start = Barrier::new(THREADS);
    let counts: Vec<AtomicU64> = (0..THREADS).map(|_| AtomicU64::new(0)).collect();
    let awake = AtomicUsize::new(0);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for mine in &counts {
            let (it, start, awake) = (&it, &start, &awake);
            let (enough, counts) = (&enough, &counts);
            scope.spawn(move || {
                start.wait();
                // Until the last thread has been woken, the first ones have the pool to themselves.
                it.read(|c| work(c, 5)).unwrap();
                awake.fetch_add(1, Ordering::Relaxed);
                while awake.load(Ordering::Relaxed) < THREADS {
                    it.read(|c| work(c, 5)).unwrap();
                }
                while !enough.load(Ordering::Relaxed) {
                    it.read(|c| work(c, 5)).unwrap();
                    if mine.fetch_add(1, Ordering::Relaxed) + 1 == EACH {
                        let least = counts.iter().map(|c| c.load(Ordering::Relaxed)).min();
                        enough.fetch_or(least >= Some(EACH), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let counts: Vec<u64> = counts.into_iter().map(AtomicU64::into_inner).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(
        *least >= EACH && most * 10 <= least * 13,
        "{least} to {most}"
    );
    let stats = it.stats();
    assert_eq!((stats.timeouts, stats.in_use, stats.waiting), (0, 0, 0));
    assert!(stats.open <= 4 && stats.waits > 0, "{stats:?}");
}

#[test]
fn a_wait_ends_at_its_deadline_and_names_who_is_in_the_way() {
    let it = Fixture::with(|options| {
        options.max_readers = 1;
        options.acquire_timeout = Duration::from_millis(80);
    });
    let (held, is_held) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let it = &it;
        scope.spawn(move || {
            let line = line!() + 1;
            it.read(|_| {
                held.send(line).unwrap();
                ended.recv_timeout(PATIENCE).unwrap();
                Ok::<_, Error>(())
            })
        });
        let line = is_held.recv_timeout(PATIENCE).unwrap();
        let start = Instant::now();
        let error = it.read(count).unwrap_err();
        let waited = start.elapsed();
        end.send(()).unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(
            error.hint().unwrap().contains("`max_connections`"),
            "{error}"
        );
        assert!(waited >= Duration::from_millis(80), "{waited:?}");
        let place = format!("{}:{line}:", file!());
        assert!(error.message().contains(&place), "{error}");
    });
    it.count();
    assert_eq!(it.stats().timeouts, 1);
}

#[test]
fn reads_go_on_while_a_long_write_is_open() {
    let it = Fixture::new();
    it.insert(1);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            it.write(|c| {
                insert(c, 2)?;
                let before = reads.load(Ordering::Relaxed);
                until("reads beside an open write", || {
                    reads.load(Ordering::Relaxed) >= before + 1_000
                });
                insert(c, 3)
            })
        });
        while !writer.is_finished() {
            // Nothing of the open write, then all of it.
            let rows = it.count();
            assert!(rows == 1 || rows == 3, "{rows}");
            reads.fetch_add(1, Ordering::Relaxed);
        }
        writer.join().unwrap().unwrap();
    });
    assert_eq!(it.count(), 3);
}

#[test]
fn a_mixed_load_never_meets_a_lock() {
    const THREADS: u64 = 64;
    const CALLS: u64 = 400;
    let it = Fixture::new();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let it = &it;
            scope.spawn(move || {
                for call in 0..CALLS {
                    if (call + thread) % 5 == 0 {
                        let id = it.insert(1);
                        assert!(it.newest() >= id);
                    } else {
                        // Two statements of one read agree.
                        it.read(|c| {
                            let (rows, id) = (count(c)?, newest(c)?);
                            assert_eq!(rows, id);
                            Ok::<_, Error>(())
                        })
                        .unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(it.count(), i64::try_from(THREADS * CALLS / 5).unwrap());
    assert_eq!(it.stats().timeouts, 0);
}

#[test]
fn a_read_sees_one_snapshot() {
    let it = Fixture::new();
    it.insert(1);
    let seen = it
        .read(|c| {
            let before = count(c)?;
            std::thread::scope(|scope| {
                scope.spawn(|| it.insert(2)).join().unwrap();
            });
            Ok::<_, Error>((before, count(c)?, newest(c)?))
        })
        .unwrap();
    assert_eq!(seen, (1, 1, 1));
    assert_eq!(it.count(), 2);
}

#[test]
fn a_read_cannot_write() {
    let it = Fixture::new();
    let error = it.read(|c| insert(c, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    let error = it.read(|c| execute(c, "CREATE TABLE t (x)")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    assert_eq!(it.count(), 0);
}
