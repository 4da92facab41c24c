//! Idle connections, and the end of the pool.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::support::{Fixture, PATIENCE, count, until};
use crate::error::{Error, ErrorKind};

#[test]
fn connections_that_are_not_used_are_closed() {
    let it = Fixture::with(|options| options.idle_timeout = Some(Duration::from_millis(30)));
    it.count();
    assert_eq!(it.stats().opened, 1);
    until("the idle one is closed", || it.stats().open == 0);
    it.count();
    assert_eq!(it.stats().opened, 2);
}

#[test]
fn closing_lets_reads_end_and_refuses_new_ones() {
    let it = Fixture::with(|options| options.max_readers = 1);
    let (held, is_held) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let it = &it;
        let running = scope.spawn(move || {
            it.read(|c| {
                held.send(()).unwrap();
                ended.recv_timeout(PATIENCE).unwrap();
                count(c)
            })
        });
        is_held.recv_timeout(PATIENCE).unwrap();
        let waiting = scope.spawn(|| it.read(count));
        until("somebody waits", || it.stats().waiting == 1);
        // The deadline is a contract, also while a read runs.
        let start = Instant::now();
        let error = it.db.close(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(start.elapsed() >= Duration::from_millis(50));
        assert!(error.message().contains(file!()), "{error}");
        // Who waited is told, who runs goes on.
        let refused = waiting.join().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Closed);
        end.send(()).unwrap();
        assert_eq!(running.join().unwrap().unwrap(), 0);
    });
    it.db.close(PATIENCE).unwrap();
    let error: Error = it.read(count).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let error = it.write(count).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let stats = it.stats();
    assert_eq!((stats.open, stats.in_use), (0, 0));
    // The last connection took the log with it.
    for ending in ["-wal", "-shm"] {
        let file = it.folder.path().join(format!("test.db{ending}"));
        assert!(!file.exists(), "{}", file.display());
    }
}
