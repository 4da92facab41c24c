//! Who is overdue, and how often it is said.

use std::panic::Location;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::watcher::look;
use super::{Held, Holding, Watcher};

const LONG: Duration = Duration::from_hours(1);

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

/// What `f` warns of.
fn warnings(f: impl FnOnce()) -> Vec<String> {
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), f);
    warnings.all()
}

fn here() -> &'static Location<'static> {
    Location::caller()
}

#[test]
fn who_is_overdue_is_reported_once_and_by_its_line() {
    let held = Held::new("connection", 3);
    held.take(1, here());
    let said = warnings(|| {
        let next = held.report(LONG);
        assert!((LONG / 2..LONG).contains(&next), "{next:?}");
    });
    assert!(said.is_empty(), "{said:?}");
    let said = warnings(|| {
        assert_eq!(held.report(Duration::ZERO), Duration::ZERO);
        assert_eq!(held.report(Duration::ZERO), Duration::ZERO);
    });
    assert_eq!(
        said,
        [format!(
            "a connection is held too long; it was taken at {}",
            here()
        )]
    );
    held.give_back(1);
    let said = warnings(|| assert_eq!(held.report(LONG), LONG));
    assert!(said.is_empty(), "{said:?}");
    // The next one to take it is another.
    held.take(1, Location::caller());
    let said = warnings(|| assert_eq!(held.report(Duration::ZERO), Duration::ZERO));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(!said[0].contains(&here().to_string()), "{said:?}");
}

/// However many kinds of connections there are, and whichever is held.
#[test]
fn the_next_look_is_when_the_first_can_be_overdue() {
    let all = [1, 2].map(|connections| Arc::new(Held::new("connection", connections)));
    assert_eq!(look(&all, LONG), LONG);
    for held in &all {
        let _holding = Holding::take(&**held, 0, here());
        assert!(look(&all, LONG) < LONG);
    }
    assert_eq!(look(&all, LONG), LONG);
}

#[test]
fn the_oldest_is_named_and_nobody_when_all_came_back() {
    let held = Held::new("connection", 2);
    assert!(held.oldest().is_none());
    assert_eq!(held.unused_for(1), None);
    let before = Instant::now();
    let first = Holding::take(&held, 1, here());
    let after = Instant::now();
    let second = Holding::take(&held, 0, Location::caller());
    let (least, oldest, most) = (after.elapsed(), held.oldest().unwrap(), before.elapsed());
    assert_eq!(oldest.caller, here());
    assert!((least..=most).contains(&oldest.age), "{oldest:?}");
    let taken = held.last_take();
    drop(first);
    assert_eq!(held.oldest().unwrap().caller.file(), file!());
    assert_ne!(held.oldest().unwrap().caller, here());
    drop(second);
    assert!(held.oldest().is_none());
    assert_eq!(held.last_take(), taken);
    assert!(held.unused_for(1).unwrap() > held.unused_for(0).unwrap());
}

#[test]
fn the_processes_of_what_is_held_are_known() {
    let held = Held::new("connection", 3);
    let first = Holding::claim(&held, here(), Some(7));
    let _unknown = Holding::claim(&held, here(), None);
    let _other = Holding::claim(&held, here(), Some(10));
    let mut pids = held.pids();
    pids.sort_unstable();
    assert_eq!(pids, [7, 10]);
    drop(first);
    assert_eq!(held.pids(), [10]);
}

/// It is stopped by what it reports, on its own thread; who stops it again waits for nobody.
#[test]
fn a_watcher_can_be_stopped_from_inside() {
    struct Stops(Arc<Mutex<Option<Watcher>>>, mpsc::Sender<()>);

    impl Subscriber for Stops {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::WARN
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            drop(self.0.lock().unwrap().take());
            self.1.send(()).unwrap();
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    let held = Arc::new(Held::new("connection", 1));
    held.take(0, here());
    let watcher = Arc::new(Mutex::new(None));
    let (stopped, is_stopped) = mpsc::channel();
    let mut place = watcher.lock().unwrap();
    let listener = Stops(Arc::clone(&watcher), stopped);
    tracing::subscriber::with_default(listener, || {
        *place = Some(Watcher::start(vec![held], Duration::from_millis(10)).unwrap());
    });
    drop(place);
    is_stopped.recv_timeout(LONG).unwrap();
    assert!(watcher.lock().unwrap().is_none());
}
