//! The monitor: it tells changes and alerts, and ends.

use std::sync::mpsc;
use std::time::Duration;

use db_backup::health::{
    AlertChange, AlertRule, BackupAges, Condition, Cost, HealthMonitor, State, metrics,
};
use db_testkit::{TestDb, in_time};

use super::{patient_of, young};

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn changes_and_alerts_are_told_once() {
    let db = TestDb::sqlite();
    let (world, examiner) = patient_of(&db);
    let (changed, changes) = mpsc::channel();
    let (alerted, alerts) = mpsc::channel();
    let set = |ages| *world.ages.lock().unwrap() = ages;
    let mut rules = AlertRule::usual();
    let age = Condition::Above(metrics::BACKUP_AGE, 3_600.0 * 24.0 * 365.0);
    rules.push(AlertRule::new("ancient", "backup", age));
    let monitor = HealthMonitor::of(examiner)
        .every(Duration::from_hours(1))
        .expensive_every(None)
        .on_change(move |old, result| {
            if old.is_some() {
                changed
                    .send((result.name.to_string(), old, result.state))
                    .unwrap();
            }
        })
        .on_change(|_, _| panic!("somebody else's fault"))
        .on_alert(rules, move |alert| {
            alerted
                .send((alert.rule.name.to_string(), alert.change))
                .unwrap();
        })
        .start()
        .unwrap();
    let look = || monitor.look_now(false, PATIENCE).unwrap();
    look();
    look();
    assert_eq!(changes.try_iter().count() + alerts.try_iter().count(), 0);
    set(BackupAges {
        failures: 2,
        ..young()
    });
    look();
    look();
    let backup = |old, new| ("backup".to_owned(), Some(old), new);
    assert_eq!(
        changes.try_iter().collect::<Vec<_>>(),
        [backup(State::Ok, State::Warn)]
    );
    let failures = |change| ("backup_failures".to_owned(), change);
    assert_eq!(
        alerts.try_iter().collect::<Vec<_>>(),
        [failures(AlertChange::Raised)]
    );
    set(young());
    look();
    assert_eq!(
        changes.try_iter().collect::<Vec<_>>(),
        [backup(State::Warn, State::Ok)]
    );
    assert_eq!(
        alerts.try_iter().collect::<Vec<_>>(),
        [failures(AlertChange::Cleared)]
    );
}

#[test]
fn a_first_start_pages_nobody() {
    let db = TestDb::sqlite();
    let (world, examiner) = patient_of(&db);
    let set = |ages| *world.ages.lock().unwrap() = ages;
    set(BackupAges::default());
    let (alerted, alerts) = mpsc::channel();
    let monitor = HealthMonitor::of(examiner)
        .every(Duration::from_hours(1))
        .expensive_every(None)
        .on_alert(AlertRule::usual(), move |alert| {
            alerted.send(alert.rule.name.to_string()).unwrap();
        })
        .start()
        .unwrap();
    let look = || monitor.look_now(false, PATIENCE).unwrap();
    assert_eq!(look().find("backup").unwrap().state, State::Fail);
    assert_eq!(look().find("restore_drill").unwrap().state, State::Fail);
    assert_eq!(alerts.try_iter().count(), 0);
    // The first one fails: that is told at once.
    set(BackupAges {
        failures: 1,
        ..BackupAges::default()
    });
    look();
    assert_eq!(alerts.try_iter().collect::<Vec<_>>(), ["backup_failures"]);
}

#[test]
fn a_check_that_panics_is_unknown_and_ends_nothing() {
    let db = TestDb::sqlite();
    let (_, examiner) = patient_of(&db);
    let examiner = examiner
        .with_check("wild", Cost::Cheap, |_, _| panic!("somebody else's fault"))
        .with_check("failing", Cost::Cheap, |_, _| Err("no luck".into()));
    let monitor = HealthMonitor::of(examiner)
        .expensive_every(None)
        .start()
        .unwrap();
    for _ in 0..3 {
        let report = monitor.look_now(false, PATIENCE).unwrap();
        assert_eq!(report.find("wild").unwrap().state, State::Unknown);
        assert_eq!(report.find("failing").unwrap().observed, "no luck");
        assert!(report.is_healthy());
    }
}

#[test]
fn it_looks_by_itself() {
    let db = TestDb::sqlite();
    let (_, examiner) = patient_of(&db);
    let (looked, looks) = mpsc::channel();
    let examiner = examiner.with_check("look", Cost::Cheap, move |_, _| {
        looked.send(()).unwrap_or_default();
        Ok(db_backup::health::Verdict::ok("looked"))
    });
    let monitor = HealthMonitor::of(examiner)
        .every(Duration::from_millis(1))
        .start()
        .unwrap();
    for _ in 0..5 {
        looks.recv_timeout(PATIENCE).unwrap();
    }
    in_time("the monitor", || drop(monitor));
    // The thread, and with it the sender, is gone.
    while looks.try_recv().is_ok() {}
    assert_eq!(looks.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}
