//! Connections that are held too long, idle ones, and the end of the pool.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::support::{Fixture, PATIENCE, count, until};
use crate::error::{Error, ErrorKind};

/// The texts of all warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn a_connection_held_too_long_is_reported_once_with_its_line() {
    const THRESHOLD: Duration = Duration::from_millis(40);
    let warnings = Warnings::default();
    let it = tracing::subscriber::with_default(warnings.clone(), || {
        Fixture::with(|options| options.held_threshold = Some(THRESHOLD))
    });
    it.count();
    let line = line!() + 1;
    let rows = it.read(|c| {
        until("it is reported", || !warnings.all().is_empty());
        let age = it.stats().oldest.unwrap().age;
        assert!(age >= THRESHOLD, "{age:?}");
        count(c)
    });
    assert_eq!(rows.unwrap(), 0);
    // A look more, and it is not reported again.
    let (_never, wait) = mpsc::channel::<()>();
    wait.recv_timeout(4 * THRESHOLD).unwrap_err();
    let warnings = warnings.all();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let place = format!("{}:{line}:", file!());
    assert!(warnings[0].contains(&place), "{warnings:?}");
    assert!(it.stats().oldest.is_none());
}

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
