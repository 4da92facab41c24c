//! What is old goes, by hand and on a thread.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use chrono::{DateTime, Utc};
use db_core::{Clock, Conn, Database, FixedClock};
use db_repo::{
    Error, MetricsRepository, NotificationRepository, OutboxRepository, PageRequest,
    PeerRepository, Retained, RetentionTask, UsageSnapshotRepository,
};
use db_schema::rows::{NewOutboxEntry, OutboxType};
use db_schema::types::{Json, UtcTime};
use db_testkit::{TestDb, both_engines};
use serde_json::json;

use crate::notifications::message;
use crate::rows::sample;
use crate::sessions::{start, take};
use crate::support::{all_pages, at, open, read, refusal, users, write};

const DAY: i64 = 24 * 60 * 60;

/// A clock that stands still and tells when it is read: once in each run.
struct Told {
    now: DateTime<Utc>,
    runs: Sender<()>,
}

impl Clock for Told {
    fn now(&self) -> DateTime<Utc> {
        // Nobody may listen any more.
        let _ = self.runs.send(());
        self.now
    }
}

#[track_caller]
fn fill(database: &Database) {
    start(database, "s1", 0);
    let metrics: Vec<_> = (0..45).map(|day| sample("load", 1.0, day * DAY)).collect();
    write(database, |conn| {
        MetricsRepository::record_many(conn, &metrics)
    });
    for day in 0..45 {
        take(database, "s1", day * DAY);
    }
}

/// Days of the snapshots and of the samples that are left.
#[track_caller]
fn left(database: &Database) -> (Vec<i64>, Vec<i64>) {
    let day = |moment: UtcTime| (moment.timestamp() - at(0).timestamp()) / DAY;
    let snapshots = all_pages(database, 100, |conn, page| {
        UsageSnapshotRepository::list_by_session(conn, "s1", page)
    });
    let metrics = all_pages(database, 100, |conn, page| {
        MetricsRepository::list(conn, "load", UtcTime::FIRST..UtcTime::LAST, page)
    });
    (
        snapshots
            .into_iter()
            .map(|one| day(one.timestamp))
            .collect(),
        metrics
            .into_iter()
            .map(|one| day(one.recorded_at))
            .collect(),
    )
}

/// Waits for a run that begins after this, and for its end: the begin of the next.
#[track_caller]
fn wait_for_a_run(ran: &Receiver<()>) {
    while ran.try_recv().is_ok() {}
    ran.recv().unwrap();
    ran.recv().unwrap();
}

fn days(from: i64) -> Vec<i64> {
    (from..45).collect()
}

type Delete = fn(&mut Conn<'_>) -> Result<usize, Error>;

both_engines! {
    fn thirty_days_are_kept_unless_told(db: TestDb) {
        let database = open(&db);
        fill(&database);
        let clock = Arc::new(FixedClock(*at(40 * DAY)));
        let task = RetentionTask::new(database.clone(), clock).with_batch(3);
        assert_eq!(task.run().unwrap(), 20);
        assert_eq!(left(&database), (days(10), days(10)));
        assert_eq!(task.run().unwrap(), 0);
        let task = task
            .keep(Retained::Metrics, Duration::from_hours(24))
            .keep_all(Retained::UsageSnapshots);
        assert_eq!(task.run().unwrap(), 29);
        assert_eq!(left(&database), (days(10), days(39)));
        // Longer than there are dates, and longer than there were.
        for long in [Duration::MAX, Duration::from_secs(400_000_000_000)] {
            assert_eq!(task.clone().keep(Retained::Metrics, long).run().unwrap(), 0);
        }
        assert_eq!(left(&database), (days(10), days(39)));
        let wrong = task.with_batch(0);
        assert!(matches!(wrong.run(), Err(Error::Invalid { field: "batch", .. })));
        assert!(matches!(wrong.start(Duration::MAX), Err(Error::Invalid { field: "batch", .. })));
    }

    fn a_limit_of_nothing_is_refused(db: TestDb) {
        let database = open(&db);
        let each: [Delete; 5] = [
            |conn| MetricsRepository::delete_older_than(conn, at(1), 0),
            |conn| NotificationRepository::delete_older_than(conn, at(1), 0),
            |conn| OutboxRepository::delete_older_than(conn, at(1), 0),
            |conn| PeerRepository::delete_older_than(conn, at(1), 0),
            |conn| UsageSnapshotRepository::delete_older_than(conn, at(1), 0),
        ];
        for (number, delete) in each.into_iter().enumerate() {
            let refused = refusal(&database, delete);
            assert!(matches!(refused, Error::Invalid { field: "limit", .. }), "{number}: {refused}");
        }
    }

    fn messages_and_what_is_delivered_go_when_they_are_told_to(db: TestDb) {
        let database = open(&db);
        users(&database, &["ada"]);
        let entries: Vec<_> = (0..45)
            .map(|day| NewOutboxEntry {
                user_id: None,
                outbox_type: OutboxType::Deposit,
                payload: Json(json!({})),
                created_at: at(day * DAY),
            })
            .collect();
        write(&database, |conn| {
            OutboxRepository::enqueue_many(conn, &entries)?;
            // All but three of the oldest are delivered.
            let claimed = OutboxRepository::claim(conn, at(45 * DAY), Duration::from_mins(1), 45)?;
            for entry in &claimed[3..] {
                OutboxRepository::complete(conn, entry.lease, at(45 * DAY))?;
            }
            let messages: Vec<_> = (0..45).map(|day| message("ada", day * DAY)).collect();
            NotificationRepository::create_many(conn, &messages)
        });
        let left = || {
            read(&database, |conn| {
                let counts = OutboxRepository::counts(conn)?;
                let messages = NotificationRepository::list(conn, "ada", &PageRequest::default())?;
                Ok((counts.processing, counts.delivered, messages.items.len()))
            })
        };
        let clock = Arc::new(FixedClock(*at(40 * DAY)));
        let task = RetentionTask::new(database.clone(), clock).with_batch(4);
        assert_eq!(task.run().unwrap(), 0);
        assert_eq!(left(), (3, 42, 45));
        let task = task.keep(Retained::DeliveredOutbox, Duration::from_hours(10 * 24));
        assert_eq!(task.run().unwrap(), 27);
        assert_eq!(left(), (3, 15, 45));
        let task = task.keep(Retained::Notifications, Duration::from_hours(20 * 24));
        assert_eq!(task.run().unwrap(), 20);
        assert_eq!(left(), (3, 15, 25));
        assert_eq!(task.run().unwrap(), 0);
    }

    fn a_thread_removes_again_and_again_until_it_is_stopped(db: TestDb) {
        let database = open(&db);
        fill(&database);
        let (runs, ran) = mpsc::channel();
        let clock = Arc::new(Told { now: *at(40 * DAY), runs });
        let task = RetentionTask::new(database.clone(), clock).with_batch(4);
        let running = task.clone().start(Duration::from_millis(1)).unwrap();
        wait_for_a_run(&ran);
        assert_eq!(left(&database), (days(10), days(10)));
        take(&database, "s1", 0);
        wait_for_a_run(&ran);
        assert_eq!(left(&database).0, days(10));
        running.stop();
        while ran.try_recv().is_ok() {}
        // At rest for a year, it ends at once; and it runs first.
        let running = task.start(Duration::from_hours(365 * 24)).unwrap();
        ran.recv().unwrap();
        drop(running);
        assert!(ran.recv().is_err(), "its clock is gone with it, and was read once");
    }

    fn a_run_that_fails_is_followed_by_the_next(db: TestDb) {
        let database = open(&db);
        fill(&database);
        let (runs, ran) = mpsc::channel();
        let clock = Arc::new(Told { now: *at(40 * DAY), runs });
        write(&database, |conn| {
            conn.batch_execute("ALTER TABLE usage_snapshots RENAME TO away").map_err(Error::from)
        });
        let task = RetentionTask::new(database.clone(), clock);
        assert!(matches!(task.run(), Err(Error::Database(_))));
        // The other kind went nevertheless.
        let samples = all_pages(&database, 100, |conn, page| {
            MetricsRepository::list(conn, "load", UtcTime::FIRST..UtcTime::LAST, page)
        });
        assert_eq!(samples.len(), days(10).len());
        let running = task.start(Duration::from_millis(1)).unwrap();
        wait_for_a_run(&ran);
        write(&database, |conn| {
            conn.batch_execute("ALTER TABLE away RENAME TO usage_snapshots").map_err(Error::from)
        });
        wait_for_a_run(&ran);
        running.stop();
        assert_eq!(left(&database), (days(10), days(10)));
    }
}
