//! The relay of the outbox.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use chrono::{DateTime, Utc};
use db_core::{Clock, Database};
use db_repo::{
    ClaimedEntry, Error, OutboxCounts, OutboxRelay, OutboxRepository, PageRequest, RelayReport,
    RetrySchedule,
};
use db_schema::rows::OutboxStatus;
use db_testkit::{TestDb, both_engines};

use crate::outbox::{entry, number};
use crate::support::{at, open, read, write};

/// A clock that a test sets, in seconds.
struct Watch(AtomicI64);

impl Watch {
    fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for Watch {
    fn now(&self) -> DateTime<Utc> {
        at(self.0.load(Ordering::Relaxed)).into()
    }
}

/// Pauses of 10, 20 and so on seconds, without jitter.
fn relay(most_attempts: i32) -> OutboxRelay {
    OutboxRelay::new()
        .with_schedule(RetrySchedule::new(
            Duration::from_secs(10),
            2,
            most_attempts,
        ))
        .with_random(|| 0.5)
}

fn fill(database: &Database, entries: i64) {
    let new: Vec<_> = (0..entries).map(|n| entry(n, 0)).collect();
    write(database, |conn| OutboxRepository::enqueue_many(conn, &new));
}

fn report(claimed: usize) -> RelayReport {
    RelayReport {
        claimed,
        ..RelayReport::default()
    }
}

both_engines! {
    fn a_relay_hands_over_each_entry_outside_of_a_transaction(db: TestDb) {
        let database = open(&db);
        fill(&database, 5);
        let watch = Watch::new();
        let mut seen = Vec::new();
        let done = relay(3)
            .run_once(&database, &watch, |entry| {
                // It would be refused or wait for ever inside a write.
                let found = read(&database, |conn| OutboxRepository::find(conn, entry.lease.id));
                assert_eq!(found.unwrap().status, OutboxStatus::Processing);
                seen.push(number(entry));
                Ok::<_, String>(())
            })
            .unwrap();
        assert_eq!(done, RelayReport { delivered: 5, ..report(5) });
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        let idle = relay(3).run_once(&database, &watch, |_| Err("not called")).unwrap();
        assert_eq!(idle, report(0));
    }

    fn a_poisoned_entry_dies_and_others_do_not_notice(db: TestDb) {
        let database = open(&db);
        fill(&database, 5);
        let watch = Watch::new();
        let relay = relay(3);
        let mut delivered = Vec::new();
        let mut reports = Vec::new();
        // The second attempt is due 10 s after the first failed, the third 20 s later.
        for seconds in [0, 9, 10, 29, 30, 1_000] {
            watch.set(seconds);
            let handler = |entry: &ClaimedEntry| {
                if number(entry) == 2 {
                    return Err("poison");
                }
                delivered.push(number(entry));
                Ok(())
            };
            reports.push(relay.run_once(&database, &watch, handler).unwrap());
        }
        assert_eq!(
            reports,
            [
                RelayReport { delivered: 4, failed: 1, ..report(5) },
                report(0),
                RelayReport { failed: 1, ..report(1) },
                report(0),
                RelayReport { dead: 1, ..report(1) },
                report(0),
            ]
        );
        assert_eq!(delivered, [0, 1, 3, 4]);
        let page = read(&database, |conn| OutboxRepository::list_dead(conn, &PageRequest::default()));
        assert_eq!(page.items.len(), 1);
        assert_eq!(page.items[0].attempts, 3);
        assert_eq!(page.items[0].metadata.as_ref().unwrap().0["error"], "poison");
    }

    fn a_relay_that_dies_between_hand_over_and_report_is_replaced(db: TestDb) {
        let database = open(&db);
        fill(&database, 3);
        let watch = Watch::new();
        let relay = relay(3);
        let mut seen = Vec::new();
        // It dies with the first two handed over: nobody hears of them again.
        let claimed = write(&database, |conn| {
            OutboxRepository::claim(conn, at(0), Duration::from_mins(1), 100)
        });
        seen.extend(claimed[..2].iter().map(number));
        watch.set(59);
        let early = relay.run_once(&database, &watch, |_| Err("not called")).unwrap();
        assert_eq!(early, report(0));
        watch.set(60);
        let done = relay
            .run_once(&database, &watch, |entry| {
                seen.push(number(entry));
                Ok::<_, String>(())
            })
            .unwrap();
        assert_eq!(done, RelayReport { delivered: 3, ..report(3) });
        // At least once: the first two were seen twice.
        assert_eq!(seen, [0, 1, 0, 1, 2]);
    }

    fn a_handler_that_panics_has_failed(db: TestDb) {
        let database = open(&db);
        fill(&database, 3);
        let watch = Watch::new();
        let done = relay(1)
            .run_once(&database, &watch, |entry| {
                assert_ne!(number(entry), 1, "it cannot bear this one");
                Ok::<_, String>(())
            })
            .unwrap();
        assert_eq!(done, RelayReport { delivered: 2, dead: 1, ..report(3) });
        let page = read(&database, |conn| OutboxRepository::list_dead(conn, &PageRequest::default()));
        let why = page.items[0].metadata.as_ref().unwrap().0["error"].to_string();
        assert!(why.contains("panicked") && why.contains("it cannot bear this one"), "{why}");
    }

    fn an_entry_that_brings_each_relay_down_takes_no_other_along(db: TestDb) {
        const POISON: i64 = 2;
        let database = open(&db);
        fill(&database, 6);
        let watch = Watch::new();
        let relay = relay(3);
        let (handed_over, delivered) = (AtomicI64::new(0), Mutex::new(Vec::new()));
        let run = |down: &Receiver<()>, reached: &Sender<()>| {
            relay.run_once(&database, &watch, |entry| {
                if number(entry) == POISON {
                    handed_over.fetch_add(1, Ordering::Relaxed);
                    reached.send(()).unwrap();
                    // It hangs here until all is over, which for the others is as if it had died.
                    let _ = down.recv();
                } else {
                    delivered.lock().unwrap().push(number(entry));
                }
                Ok::<_, String>(())
            })
        };
        let last = std::thread::scope(|scope| {
            let mut ends = Vec::new();
            for life in 0..3 {
                watch.set(life * 60);
                let (end, down) = channel();
                let (reached, at_poison) = channel();
                let run = &run;
                let thread = scope.spawn(move || run(&down, &reached));
                at_poison.recv().unwrap();
                ends.push((end, thread));
            }
            // The first life takes along what it claimed with the entry, and that only once.
            let found = read(&database, |conn| OutboxRepository::find(conn, 6)).unwrap();
            assert_eq!((found.status, found.attempts), (OutboxStatus::Delivered, 2));
            watch.set(180);
            let (_end, down) = channel();
            let last = run(&down, &channel().0).unwrap();
            for (end, thread) in ends {
                drop(end);
                let done = thread.join().unwrap().unwrap();
                assert!(done.lost > 0, "{done:?}");
            }
            last
        });
        assert_eq!(last, RelayReport { dead: 1, ..report(1) });
        assert_eq!(handed_over.load(Ordering::Relaxed), 3);
        // The first two were handed over before the first relay went down, and again.
        let mut delivered = delivered.into_inner().unwrap();
        delivered.sort_unstable();
        assert_eq!(delivered, [0, 0, 1, 1, 3, 4, 5]);
        let counts = OutboxCounts { delivered: 5, dead: 1, ..OutboxCounts::default() };
        assert_eq!(read(&database, OutboxRepository::counts), counts);
    }

    fn what_does_not_fit_into_half_the_lease_was_not_tried(db: TestDb) {
        let database = open(&db);
        fill(&database, 3);
        let watch = Watch::new();
        let mut seen = Vec::new();
        // One attempt is all there is: to lose it would be to die.
        for second in [0, 100, 200] {
            watch.set(second);
            let slow = relay(1)
                .run_once(&database, &watch, |entry| {
                    seen.push(number(entry));
                    watch.set(second + 30);
                    Ok::<_, String>(())
                })
                .unwrap();
            let left = 2 - usize::try_from(second / 100).unwrap();
            assert_eq!(slow, RelayReport { delivered: 1, returned: left, ..report(left + 1) });
            let counts = read(&database, OutboxRepository::counts);
            assert_eq!(counts.pending, i64::try_from(left).unwrap());
        }
        assert_eq!(seen, [0, 1, 2]);
    }

    fn what_was_not_reported_before_goes_back_uncounted(db: TestDb) {
        let database = open(&db);
        fill(&database, 2);
        let watch = Watch::new();
        write(&database, |conn| {
            OutboxRepository::claim(conn, at(0), Duration::from_mins(1), 100)
        });
        watch.set(60);
        let slow = relay(3)
            .run_once(&database, &watch, |_| {
                watch.set(90);
                Ok::<_, String>(())
            })
            .unwrap();
        assert_eq!(slow, RelayReport { delivered: 1, returned: 1, ..report(2) });
        let found = read(&database, |conn| OutboxRepository::find(conn, 2)).unwrap();
        assert_eq!((found.status, found.attempts), (OutboxStatus::Failed, 1));
        assert_eq!(found.next_retry_at, Some(at(90)));
    }

    fn what_is_done_is_reported_on_the_way(db: TestDb) {
        let database = open(&db);
        fill(&database, 30);
        let watch = Watch::new();
        let mut delivered = Vec::new();
        relay(3)
            .run_once(&database, &watch, |entry| {
                match number(entry) {
                    // A tenth of the lease has passed.
                    2 => watch.set(6),
                    3 | 27 | 28 | 29 => {
                        delivered.push(read(&database, OutboxRepository::counts).delivered);
                    }
                    _ => {}
                }
                Ok::<_, String>(())
            })
            .unwrap();
        assert_eq!(delivered, [3, 3, 28, 28]);
    }

    fn what_takes_longer_than_the_lease_is_left_to_others(db: TestDb) {
        let database = open(&db);
        fill(&database, 3);
        let watch = Watch::new();
        let mut seen = Vec::new();
        let slow = relay(3)
            .run_once(&database, &watch, |entry| {
                seen.push(number(entry));
                if number(entry) == 1 {
                    watch.set(60);
                    // Another relay has come in between.
                    let other = relay(3).run_once(&database, &watch, |_| Ok::<_, String>(()));
                    assert_eq!(other.unwrap().delivered, 3);
                }
                Ok::<_, String>(())
            })
            .unwrap();
        assert_eq!(seen, [0, 1]);
        assert_eq!(slow, RelayReport { lost: 3, ..report(3) });
        let counts = OutboxCounts { delivered: 3, ..OutboxCounts::default() };
        assert_eq!(read(&database, OutboxRepository::counts), counts);
    }

    fn a_schedule_without_attempts_is_refused(db: TestDb) {
        let database = open(&db);
        fill(&database, 1);
        let refused = relay(0).run_once(&database, &Watch::new(), |_| Err("not called"));
        assert!(
            matches!(refused, Err(Error::Invalid { field: "most_attempts", .. })),
            "{refused:?}"
        );
        assert_eq!(read(&database, OutboxRepository::counts).pending, 1);
    }
}
