//! The outbox.

use std::collections::BTreeSet;
use std::time::Duration;

use db_core::{Conn, with_conn};
use db_repo::{
    ClaimedEntry, Error, FailedDelivery, Lease, OutboxCounts, OutboxRepository, PageRequest,
};
use db_schema::rows::{NewOutboxEntry, OutboxStatus, OutboxType};
use db_schema::schema::outbox;
use db_schema::types::{Json, UtcTime};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use crate::support::{at, open, read, refusal, users, write};

const MINUTE: Duration = Duration::from_mins(1);

/// An event with a number, at `at(seconds)`.
pub(crate) fn entry(number: i64, seconds: i64) -> NewOutboxEntry {
    NewOutboxEntry {
        user_id: None,
        outbox_type: OutboxType::Deposit,
        payload: Json(serde_json::json!({ "number": number })),
        created_at: at(seconds),
    }
}

/// The number of an event.
pub(crate) fn number(entry: &ClaimedEntry) -> i64 {
    entry.payload.0["number"].as_i64().unwrap()
}

fn claim(conn: &mut Conn<'_>, now: UtcTime, limit: i64) -> Result<Vec<ClaimedEntry>, Error> {
    OutboxRepository::claim(conn, now, MINUTE, limit)
}

fn later(error: &str, seconds: i64) -> FailedDelivery<'_> {
    FailedDelivery {
        error,
        retry_at: Some(at(seconds)),
    }
}

const GIVEN_UP: FailedDelivery<'static> = FailedDelivery {
    error: "nobody there",
    retry_at: None,
};

both_engines! {
    fn an_entry_is_due_at_once_and_claimed_once(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        let new = NewOutboxEntry { user_id: Some("u1".into()), ..entry(7, 0) };
        let id = write(&database, |conn| OutboxRepository::enqueue(conn, &new));
        let found = read(&database, |conn| OutboxRepository::find(conn, id)).unwrap();
        assert_eq!((found.status, found.attempts), (OutboxStatus::Pending, 0));
        assert_eq!((found.next_retry_at, found.updated_at), (Some(at(0)), at(0)));
        let claimed = write(&database, |conn| claim(conn, at(0), 10));
        assert_eq!(
            claimed,
            [ClaimedEntry {
                lease: Lease { id, attempt: 1, ends_at: at(60) },
                user_id: Some("u1".into()),
                outbox_type: "deposit".into(),
                payload: new.payload,
                created_at: at(0),
                unreported: false,
            }]
        );
        assert_eq!(write(&database, |conn| claim(conn, at(59), 10)), []);
        let found = read(&database, |conn| OutboxRepository::find(conn, id)).unwrap();
        assert_eq!((found.status, found.attempts), (OutboxStatus::Processing, 1));
        write(&database, |conn| OutboxRepository::complete(conn, claimed[0].lease, at(5)));
        let found = read(&database, |conn| OutboxRepository::find(conn, id)).unwrap();
        assert_eq!((found.status, found.next_retry_at), (OutboxStatus::Delivered, None));
        assert_eq!(found.updated_at, at(5));
        assert_eq!(write(&database, |conn| claim(conn, at(1_000), 10)), []);
    }

    fn an_entry_goes_with_its_transaction(db: TestDb) {
        let database = open(&db);
        let rolled_back = refusal(&database, |conn| {
            OutboxRepository::enqueue(conn, &entry(1, 0))?;
            Err::<(), _>(Error::UsernameTaken("x".into()))
        });
        assert!(matches!(rolled_back, Error::UsernameTaken(_)));
        assert_eq!(read(&database, OutboxRepository::counts), OutboxCounts::default());
    }

    fn who_is_not_there_has_no_entries(db: TestDb) {
        let database = open(&db);
        let new = NewOutboxEntry { user_id: Some("nobody".into()), ..entry(1, 0) };
        let refused = refusal(&database, |conn| OutboxRepository::enqueue(conn, &new));
        assert_eq!(refused.to_string(), "user_id: there is no user nobody");
        users(&database, &["ada"]);
        let known = NewOutboxEntry { user_id: Some("ada".into()), ..entry(2, 0) };
        let many = [known, entry(2, 0), new];
        let refused = refusal(&database, |conn| OutboxRepository::enqueue_many(conn, &many));
        assert_eq!(refused.to_string(), "user_id: there is no user nobody");
        let long = serde_json::Value::String("x".repeat(1 << 20));
        let large = NewOutboxEntry { payload: Json(long), ..entry(1, 0) };
        let refused = refusal(&database, |conn| OutboxRepository::enqueue(conn, &large));
        assert!(matches!(refused, Error::Invalid { field: "payload", .. }), "{refused}");
        assert_eq!(read(&database, OutboxRepository::counts), OutboxCounts::default());
    }

    fn a_payload_is_only_as_deep_as_can_be_read(db: TestDb) {
        let database = open(&db);
        let deep = |depth: usize| {
            let payload = (0..depth).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
            NewOutboxEntry { payload: Json(payload), ..entry(1, 0) }
        };
        for depth in [65, 128, 200] {
            let refused = refusal(&database, |conn| OutboxRepository::enqueue(conn, &deep(depth)));
            assert!(matches!(refused, Error::Invalid { field: "payload", .. }), "{depth}: {refused}");
        }
        write(&database, |conn| OutboxRepository::enqueue(conn, &deep(64)));
        let claimed = write(&database, |conn| claim(conn, at(0), 10));
        assert_eq!(claimed[0].payload, deep(64).payload);
    }

    fn those_that_waited_longest_come_first(db: TestDb) {
        let database = open(&db);
        let new: Vec<_> = [5, 3, 1, 4, 2].map(|n| entry(n, n)).to_vec();
        assert_eq!(write(&database, |conn| OutboxRepository::enqueue_many(conn, &new)), 5);
        let numbers = |claimed: &[ClaimedEntry]| claimed.iter().map(number).collect::<BTreeSet<_>>();
        let first = write(&database, |conn| claim(conn, at(4), 2));
        assert_eq!(numbers(&first), BTreeSet::from([1, 2]));
        // Number 5 is not due yet.
        let second = write(&database, |conn| claim(conn, at(4), 10));
        assert_eq!(numbers(&second), BTreeSet::from([3, 4]));
        let keys: Vec<_> = second.iter().map(|entry| entry.lease.id).collect();
        assert!(keys.is_sorted());
        assert_eq!(numbers(&write(&database, |conn| claim(conn, at(5), 10))), BTreeSet::from([5]));
    }

    fn what_failed_comes_again_after_its_pause(db: TestDb) {
        let database = open(&db);
        let id = write(&database, |conn| OutboxRepository::enqueue(conn, &entry(1, 0)));
        let first = write(&database, |conn| claim(conn, at(0), 1))[0].lease;
        write(&database, |conn| OutboxRepository::fail(conn, first, later("down\0", 30), at(1)));
        let found = read(&database, |conn| OutboxRepository::find(conn, id)).unwrap();
        assert_eq!((found.status, found.next_retry_at), (OutboxStatus::Failed, Some(at(30))));
        assert_eq!(found.metadata, Some(Json(serde_json::json!({ "error": "down\u{fffd}", "attempt": 1 }))));
        assert_eq!(write(&database, |conn| claim(conn, at(29), 1)), []);
        let second = write(&database, |conn| claim(conn, at(30), 1));
        assert_eq!(second[0].lease, Lease { id, attempt: 2, ends_at: at(90) });
        assert!(!second[0].unreported);
        let third = write(&database, |conn| claim(conn, at(90), 1));
        assert!(third[0].unreported);
    }

    fn what_is_given_back_is_due_at_once_and_was_not_tried(db: TestDb) {
        let database = open(&db);
        let id = write(&database, |conn| OutboxRepository::enqueue(conn, &entry(1, 0)));
        let found = || {
            let found = read(&database, |conn| OutboxRepository::find(conn, id)).unwrap();
            (found.status, found.attempts, found.next_retry_at)
        };
        let first = write(&database, |conn| claim(conn, at(0), 1))[0].lease;
        write(&database, |conn| OutboxRepository::give_back(conn, first, at(3)));
        assert_eq!(found(), (OutboxStatus::Pending, 0, Some(at(3))));
        let again = refusal(&database, |conn| OutboxRepository::give_back(conn, first, at(3)));
        assert!(matches!(again, Error::LeaseLost { .. }), "{again}");
        let first = write(&database, |conn| claim(conn, at(3), 1))[0].lease;
        assert_eq!(first.attempt, 1);
        write(&database, |conn| OutboxRepository::fail(conn, first, later("down", 10), at(4)));
        let second = write(&database, |conn| claim(conn, at(10), 1))[0].lease;
        write(&database, |conn| OutboxRepository::give_back(conn, second, at(11)));
        assert_eq!(found(), (OutboxStatus::Failed, 1, Some(at(11))));
        let second = write(&database, |conn| claim(conn, at(11), 1));
        assert_eq!((second[0].lease.attempt, second[0].unreported), (2, false));
    }

    fn a_lease_that_ended_counts_no_more(db: TestDb) {
        let database = open(&db);
        write(&database, |conn| OutboxRepository::enqueue(conn, &entry(1, 0)));
        let slow = write(&database, |conn| claim(conn, at(0), 1))[0].lease;
        let quick = write(&database, |conn| claim(conn, at(60), 1))[0].lease;
        assert_eq!(quick.attempt, 2);
        for refused in [
            refusal(&database, |conn| OutboxRepository::complete(conn, slow, at(61))),
            refusal(&database, |conn| OutboxRepository::fail(conn, slow, GIVEN_UP, at(61))),
        ] {
            assert!(matches!(refused, Error::LeaseLost { id } if id == slow.id), "{refused}");
        }
        write(&database, |conn| OutboxRepository::complete(conn, quick, at(62)));
        let again = refusal(&database, |conn| OutboxRepository::complete(conn, quick, at(63)));
        assert!(matches!(again, Error::LeaseLost { .. }));
    }

    fn of_many_reports_those_count_whose_lease_held(db: TestDb) {
        let database = open(&db);
        for number in 1..=3 {
            write(&database, |conn| OutboxRepository::enqueue(conn, &entry(number, 0)));
        }
        let mut leases: Vec<Lease> = write(&database, |conn| claim(conn, at(0), 10))
            .iter()
            .map(|entry| entry.lease)
            .collect();
        assert_eq!(leases.len(), 3);
        // One ended, and somebody else has the entry.
        leases[1].attempt += 1;
        let held = write(&database, |conn| OutboxRepository::complete_many(conn, &leases, at(5)));
        assert_eq!(held, 2);
        let states = leases.iter().map(|lease| {
            read(&database, |conn| OutboxRepository::find(conn, lease.id)).unwrap().status
        });
        assert_eq!(
            states.collect::<Vec<_>>(),
            [OutboxStatus::Delivered, OutboxStatus::Processing, OutboxStatus::Delivered]
        );
        let again = write(&database, |conn| OutboxRepository::complete_many(conn, &leases, at(6)));
        assert_eq!(again, 0);
        assert_eq!(write(&database, |conn| OutboxRepository::complete_many(conn, &[], at(7))), 0);
    }

    fn a_lease_from_before_a_requeue_counts_no_more(db: TestDb) {
        let database = open(&db);
        let id = write(&database, |conn| OutboxRepository::enqueue(conn, &entry(1, 0)));
        let old = write(&database, |conn| claim(conn, at(0), 1))[0].lease;
        let other = write(&database, |conn| claim(conn, at(60), 1))[0].lease;
        write(&database, |conn| OutboxRepository::fail(conn, other, GIVEN_UP, at(61)));
        write(&database, |conn| OutboxRepository::requeue(conn, id, at(70)));
        let new = write(&database, |conn| claim(conn, at(70), 1))[0].lease;
        assert_eq!((new.id, new.attempt), (old.id, old.attempt));
        let refused = refusal(&database, |conn| OutboxRepository::complete(conn, old, at(71)));
        assert!(matches!(refused, Error::LeaseLost { .. }));
        write(&database, |conn| OutboxRepository::complete(conn, new, at(71)));
    }

    fn the_dead_are_listed_and_may_come_back(db: TestDb) {
        let database = open(&db);
        // Two of them at each moment.
        let new: Vec<_> = (0..25).map(|n| entry(n, n / 2)).collect();
        write(&database, |conn| OutboxRepository::enqueue_many(conn, &new));
        let claimed = write(&database, |conn| claim(conn, at(100), 100));
        for entry in &claimed {
            write(&database, |conn| OutboxRepository::fail(conn, entry.lease, GIVEN_UP, at(101)));
        }
        let mut seen = Vec::new();
        let mut request = PageRequest::first(7);
        loop {
            let page = read(&database, |conn| OutboxRepository::list_dead(conn, &request));
            seen.extend(page.items.iter().map(|dead| dead.payload.0["number"].as_i64().unwrap()));
            assert!(page.items.iter().all(|dead| dead.next_retry_at.is_none()));
            match page.next {
                Some(next) => request = PageRequest::first(7).after(next.to_string().parse().unwrap()),
                None => break,
            }
        }
        assert_eq!(seen, (0..25).rev().collect::<Vec<_>>());
        let wrong = PageRequest::first(7).after("2:outbox.dead:5.five".parse().unwrap());
        let refused = database.read(|conn| OutboxRepository::list_dead(conn, &wrong)).unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "after", .. }), "{refused}");

        let id = claimed[3].lease.id;
        write(&database, |conn| OutboxRepository::requeue(conn, id, at(200)));
        let refused = refusal(&database, |conn| OutboxRepository::requeue(conn, id, at(200)));
        assert_eq!(refused.to_string(), format!("there is no dead outbox entry {id}"));
        let again = write(&database, |conn| claim(conn, at(200), 10));
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].lease.id, again[0].lease.attempt), (id, 1));
    }

    fn an_application_enqueues_events_of_its_own(db: TestDb) {
        let database = open(&db);
        let own = NewOutboxEntry {
            outbox_type: OutboxType::Application,
            payload: Json(serde_json::json!({ "event": "favourite_chosen", "number": 7 })),
            ..entry(0, 0)
        };
        write(&database, |conn| OutboxRepository::enqueue(conn, &own));
        let claimed = write(&database, |conn| claim(conn, at(1), 10));
        assert_eq!(claimed[0].outbox_type, "application");
        assert_eq!(claimed[0].payload, own.payload);
    }

    fn what_was_delivered_is_deleted_in_batches(db: TestDb) {
        let database = open(&db);
        let new: Vec<_> = (0..1_205).map(|n| entry(n, n)).collect();
        write(&database, |conn| OutboxRepository::enqueue_many(conn, &new));
        for _ in 0..2 {
            write(&database, |conn| {
                for entry in claim(conn, at(2_000), 1_000)? {
                    if number(&entry) != 3 {
                        OutboxRepository::complete(conn, entry.lease, at(2_001))?;
                    }
                }
                Ok(())
            });
        }
        let delete = || write(&database, |conn| OutboxRepository::delete_older_than(conn, at(1_200), 1_000));
        assert_eq!([delete(), delete(), delete()], [1_000, 199, 0]);
        let counts = OutboxCounts { delivered: 5, processing: 1, ..OutboxCounts::default() };
        assert_eq!(read(&database, OutboxRepository::counts), counts);
    }

    fn there_is_a_count_per_status_and_the_age_of_the_oldest(db: TestDb) {
        let database = open(&db);
        assert_eq!(read(&database, OutboxRepository::oldest_waiting), None);
        let new: Vec<_> = (0..10).map(|n| entry(n, n)).collect();
        write(&database, |conn| OutboxRepository::enqueue_many(conn, &new));
        assert_eq!(read(&database, OutboxRepository::oldest_waiting), Some(at(0)));
        let claimed = write(&database, |conn| claim(conn, at(20), 6));
        write(&database, |conn| {
            OutboxRepository::complete(conn, claimed[0].lease, at(21))?;
            OutboxRepository::fail(conn, claimed[1].lease, GIVEN_UP, at(21))?;
            OutboxRepository::fail(conn, claimed[2].lease, later("busy", 40), at(21))
        });
        let counts = OutboxCounts { pending: 4, processing: 3, failed: 1, delivered: 1, dead: 1 };
        assert_eq!(read(&database, OutboxRepository::counts), counts);
        assert_eq!(read(&database, OutboxRepository::oldest_waiting), Some(at(2)));
    }

    fn a_word_of_another_version_holds_up_nobody(db: TestDb) {
        let database = open(&db);
        let new: Vec<_> = (0..3).map(|n| entry(n, n)).collect();
        write(&database, |conn| OutboxRepository::enqueue_many(conn, &new));
        write(&database, |conn| {
            let first = outbox::table.filter(outbox::created_at.eq(at(0)));
            let set = outbox::outbox_type.eq("from_the_future");
            Ok(with_conn!(conn, |c| diesel::update(first).set(set).execute(c))?)
        });
        let claimed = write(&database, |conn| claim(conn, at(9), 10));
        assert_eq!(claimed.len(), 3);
        assert_eq!(claimed[0].outbox_type, "from_the_future");
    }

    fn a_claim_has_bounds(db: TestDb) {
        let database = open(&db);
        for (limit, lease) in [(0, MINUTE), (1_001, MINUTE), (1, Duration::ZERO), (1, Duration::MAX)] {
            let refused = refusal(&database, |conn| {
                OutboxRepository::claim(conn, at(0), lease, limit)
            });
            assert!(matches!(refused, Error::Invalid { .. }), "{limit}, {lease:?}: {refused}");
        }
    }

    fn threads_that_claim_at_once_never_get_the_same(db: TestDb) {
        const ENTRIES: i64 = 600;
        let database = open(&db);
        let new: Vec<_> = (0..ENTRIES).map(|n| entry(n, 0)).collect();
        write(&database, |conn| OutboxRepository::enqueue_many(conn, &new));
        let start = std::sync::Barrier::new(6);
        let claimed: Vec<Vec<i64>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|_| scope.spawn(|| {
                    start.wait();
                    let mut mine = Vec::new();
                    loop {
                        let claimed = write(&database, |conn| claim(conn, at(1), 7));
                        if claimed.is_empty() {
                            return mine;
                        }
                        assert!(claimed.len() <= 7);
                        mine.extend(claimed.iter().map(number));
                    }
                }))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut all: Vec<_> = claimed.into_iter().flatten().collect();
        all.sort_unstable();
        assert_eq!(all, (0..ENTRIES).collect::<Vec<_>>());
    }
}
