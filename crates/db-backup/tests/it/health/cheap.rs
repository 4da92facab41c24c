//! Row 28: what a request path asks costs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use db_backup::health::{Cost, HealthMonitor, Selection, State, Verdict};
use db_testkit::{TestDb, both_engines};

use super::{find, patient_of};

const PATIENCE: Duration = Duration::from_mins(1);

both_engines! {
    fn a_request_path_asks_the_database_nothing(db: TestDb) {
        let (_, examiner) = patient_of(&db);
        let asked = [Cost::Cheap, Cost::Expensive].map(|_| Arc::new(AtomicU64::new(0)));
        let [cheap, expensive] = asked.clone();
        let count = |counter: Arc<AtomicU64>| move |_: &mut db_core::Conn<'_>, _: &_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(Verdict::ok("counted"))
        };
        let examiner = examiner
            .with_check("cheap_one", Cost::Cheap, count(cheap))
            .with_check("expensive_one", Cost::Expensive, count(expensive));
        let monitor = HealthMonitor::of(examiner)
            .every(Duration::from_hours(1))
            .expensive_every(None)
            .start()
            .unwrap();
        let first = monitor.look_now(false, PATIENCE).unwrap();
        assert!(first.find("integrity").is_none() && first.find("foreign_keys").is_none());
        let counts = || asked.each_ref().map(|counter| counter.load(Ordering::Relaxed));
        let before = (counts(), monitor.rounds());
        assert_eq!(before.0[1], 0, "nothing heavy runs unasked");
        for _ in 0..10_000 {
            assert!(monitor.is_ready());
            assert_eq!(monitor.state(), State::Ok);
            assert!(Arc::ptr_eq(&first, &monitor.last().unwrap()));
        }
        assert_eq!((counts(), monitor.rounds()), before);
        let all = monitor.look_now(true, PATIENCE).unwrap();
        let seen = find(&all, "integrity").at;
        assert_eq!(counts()[1], 1);
        // A cheap look keeps what the expensive one saw.
        let cheap = monitor.look_now(false, PATIENCE).unwrap();
        assert_eq!(find(&cheap, "integrity").at, seen);
    }

    fn a_cheap_look_has_no_expensive_check(db: TestDb) {
        let (_, examiner) = patient_of(&db);
        let report = examiner.examine(&Selection::Cheap);
        assert!(report.results.iter().all(|result| result.cost == Cost::Cheap));
        let expensive = examiner.examine(&Selection::Expensive);
        let names: Vec<_> = expensive.results.iter().map(|r| r.name.as_ref()).collect();
        assert!(names.starts_with(&["integrity", "foreign_keys", "sizes"]), "{names:?}");
    }
}
