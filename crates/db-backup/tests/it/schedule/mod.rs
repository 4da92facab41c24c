//! The timetable by a clock of the test's own: jitter, catching up, clocks that jump, alarms, the end.

mod alarms;
mod drills;
mod failed;
pub(crate) mod fake;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db_backup::schedule::{
    Alarm, BackupScheduler, Event, Facts, Job, Schedule, State, StoreJob, SystemTimer, Timer,
    Trial, run,
};
use db_backup::{BackupOptions, Error, LocalStore, Source, Store, VerifyOptions, list, status};
use db_core::{DatabaseUrl, Interrupt};
use db_testkit::{TestDb, in_time};

use fake::{Fake, Fakes, Patient, broken, locked, start};

fn shared(timer: &Arc<Fake>) -> Arc<dyn Timer> {
    Arc::<Fake>::clone(timer)
}

/// Runs it to the end of its clock, and returns what was raised and cleared.
fn live(job: Fakes, timer: &Arc<Fake>, schedule: Schedule) -> (State, Vec<String>) {
    let mut told = Vec::new();
    let state = run(
        schedule,
        job,
        (shared(timer), &Interrupt::default()),
        false,
        &mut |event| match event {
            Event::Raised { alarm } => told.push(format!("raised: {alarm}")),
            Event::Cleared { alarm } => told.push(format!("cleared: {alarm}")),
            _ => {}
        },
    );
    (state.unwrap(), told)
}

fn gaps(moments: &[DateTime<Utc>]) -> Vec<i64> {
    let gap = |pair: &[DateTime<Utc>]| (pair[1] - pair[0]).num_seconds();
    moments.windows(2).map(gap).collect()
}

#[test]
fn a_backup_an_hour_and_a_drill_a_day() {
    let timer = Fake::new(72);
    let (job, log) = Fakes::new(&timer);
    let (state, told) = live(job, &timer, Schedule::default());
    let log = log.lock().unwrap();
    // One hour, and up to three minutes.
    assert!(
        (69..=72).contains(&log.backups.len()),
        "{}",
        log.backups.len()
    );
    assert_eq!(log.backups[0], start());
    let gaps = gaps(&log.backups);
    assert!(
        gaps.iter().all(|gap| (3600..3810).contains(gap)),
        "{gaps:?}"
    );
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "no jitter");
    assert_eq!(log.prunes, log.backups.len());
    // With the last backup before the day is over.
    let between = self::gaps(&log.drills);
    assert!(
        between.iter().all(|gap| (81_000..=86_400).contains(gap)),
        "{between:?}"
    );
    assert_eq!(log.drills.len(), 4);
    assert_eq!(state.made, log.backups.len() as u64);
    assert_eq!((state.failed, told.len()), (0, 0), "{told:?}");
}

/// `health` warns of a trial restore that is older than a day.
#[test]
fn a_trial_restore_comes_before_the_last_one_is_too_old() {
    let (minute, hour) = (60, 3_600);
    for (every, took) in [(hour, 50 * minute), (5 * hour, 0), (24 * hour, 10 * minute)] {
        let timer = Fake::new(24 * 8);
        let (mut job, log) = Fakes::new(&timer);
        job.facts.drill_took = Duration::from_secs(took);
        // The first one takes so long.
        let taken = TimeDelta::seconds(i64::try_from(took).unwrap());
        *timer.held_until.lock().unwrap() = Some(start() + taken);
        let schedule = Schedule {
            every: Duration::from_secs(every),
            ..Schedule::default()
        };
        let latest = (every + schedule.jitter.as_secs()).max(24 * hour - took);
        let (state, told) = live(job, &timer, schedule);
        let log = log.lock().unwrap();
        let between = gaps(&log.drills);
        assert!(
            between.iter().all(|gap| gap.unsigned_abs() <= latest),
            "{every}: {between:?}"
        );
        assert!((8..=11).contains(&log.drills.len()), "{every}: {between:?}");
        assert_eq!((state.failed, told.len()), (0, 0), "{told:?}");
    }
}

#[test]
fn a_restart_makes_none_too_many() {
    let timer = Fake::new(1);
    let (mut job, log) = Fakes::new(&timer);
    job.facts.newest = Some(start() - TimeDelta::minutes(30));
    live(job, &timer, Schedule::default());
    let log = log.lock().unwrap();
    assert_eq!(log.backups.len(), 1);
    assert!(log.backups[0] >= start() + TimeDelta::minutes(30));
}

#[test]
fn a_machine_that_slept_catches_up_once() {
    let timer = Fake::new(24);
    timer.jumps([(start() + TimeDelta::minutes(90), TimeDelta::hours(10))]);
    let (job, log) = Fakes::new(&timer);
    live(job, &timer, Schedule::default());
    let log = log.lock().unwrap();
    let awake = start() + TimeDelta::minutes(690);
    let after: Vec<_> = log.backups.iter().filter(|at| **at >= awake).collect();
    assert!(*after[0] - awake < TimeDelta::minutes(1), "{after:?}");
    assert!(*after[1] - *after[0] >= TimeDelta::hours(1), "{after:?}");
}

#[test]
fn a_clock_that_was_set_back_stops_nothing() {
    let timer = Fake::new(12);
    timer.jumps([(start() + TimeDelta::hours(5), TimeDelta::days(-400))]);
    let gaps = twenty(&timer);
    assert_eq!(gaps.iter().filter(|gap| **gap < 0).count(), 1, "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap < 3810), "{gaps:?}");
    assert!(
        gaps.iter().filter(|gap| **gap >= 3600).count() >= 18,
        "{gaps:?}"
    );
}

/// Backups of a future that never comes do not keep those of the present from being made, nor make
/// them come thick and fast.
#[test]
fn a_clock_that_jumped_ahead_and_came_back_stops_nothing() {
    let timer = Fake::new(24 * 1_000);
    let ahead = TimeDelta::days(400);
    timer.jumps([
        (start() + TimeDelta::hours(3), ahead),
        (start() + ahead + TimeDelta::hours(9), -ahead),
    ]);
    let gaps = twenty(&timer);
    let by_days = |days: i64| gaps.iter().filter(|gap| (**gap / 86_400) == days).count();
    assert_eq!(
        (by_days(400), gaps.iter().filter(|gap| **gap < 0).count()),
        (1, 1),
        "{gaps:?}"
    );
    let usual = gaps.iter().filter(|gap| (3600..3810).contains(*gap));
    assert_eq!(usual.count(), 17, "{gaps:?}");
}

/// Twenty backups by a clock that does not end it, and the seconds between them.
fn twenty(timer: &Arc<Fake>) -> Vec<i64> {
    // The clock of the test ends when it has caught up; so far it is stopped by count.
    let (mut job, log) = Fakes::new(timer);
    job.fails = |attempt| (attempt >= 20).then_some(Error::Interrupted);
    let interrupt = Interrupt::default();
    let stop = interrupt.clone();
    let state = run(
        Schedule::default(),
        job,
        (shared(timer), &interrupt),
        false,
        &mut |event| {
            if let Event::Failed { .. } = event {
                stop.interrupt().unwrap();
            }
        },
    );
    assert_eq!(state.unwrap().made, 20);
    gaps(&log.lock().unwrap().backups)
}

#[test]
fn failures_are_alarming_and_tried_again() {
    let timer = Fake::new(6);
    let (mut job, log) = Fakes::new(&timer);
    job.fails = |attempt| (1..4).contains(&attempt).then(broken);
    let (state, told) = live(job, &timer, Schedule::default());
    assert_eq!(
        told,
        [
            "raised: the last backup failed",
            "cleared: the last backup failed"
        ]
    );
    assert_eq!(state.failed, 3);
    let log = log.lock().unwrap();
    // After one, two and four minutes more.
    let gap = (log.backups[1] - log.backups[0]).num_minutes();
    assert!((67..75).contains(&gap), "{gap}");
    // One that is in the way is no failure.
    let timer = Fake::new(3);
    let (mut job, locked_log) = Fakes::new(&timer);
    job.fails = |attempt| (attempt < 5).then(locked);
    let (state, told) = live(job, &timer, Schedule::default());
    assert_eq!((state.failed, told.len()), (0, 0));
    let first = locked_log.lock().unwrap().backups[0];
    assert!((5..8).contains(&(first - start()).num_minutes()), "{first}");
}

#[test]
fn once_does_what_is_due_and_no_more() {
    let timer = Fake::new(1);
    for (age, made) in [(None, 1), (Some(30), 0), (Some(70), 1)] {
        let (mut job, log) = Fakes::new(&timer);
        job.facts.newest = age.map(|minutes| start() - TimeDelta::minutes(minutes));
        let state = run(
            Schedule::default(),
            job,
            (shared(&timer), &Interrupt::default()),
            true,
            &mut |_| {},
        );
        assert_eq!(state.unwrap().made, made);
        assert_eq!(log.lock().unwrap().backups.len() as u64, made);
    }
}

fn store_job(db: &TestDb, store: &LocalStore) -> StoreJob {
    StoreJob::new(
        Source {
            url: DatabaseUrl::parse(&db.url()).unwrap(),
            key: None,
        },
        Arc::new(store.clone()),
        (BackupOptions::new(), VerifyOptions::new()),
        db_backup::retention::Policy {
            last: 2,
            ..db_backup::retention::Policy::none()
        },
    )
}

#[test]
fn a_thread_backs_up_a_real_database_and_ends() {
    let db = TestDb::sqlite();
    db.connect()
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::new(folder.path());
    let (tell, told) = std::sync::mpsc::channel();
    let schedule = Schedule {
        every: Duration::from_millis(50),
        jitter: Duration::ZERO,
        ..Schedule::default()
    };
    let niceness = || db_testkit::Process::find("thread-self").unwrap().niceness;
    let scheduler = db_testkit::awake(|before| {
        let on_event = move |event: Event<'_>| match event {
            // Told by the thread that makes it, which steps back; the one that started it does not.
            Event::Made { .. } => assert_eq!(niceness(), before.max(10)),
            Event::Pruned { .. } => tell.send(Ok(())).unwrap_or_default(),
            Event::Failed { part, error } => {
                let failed = format!("{part}: {error}");
                tell.send(Err(failed)).unwrap_or_default();
            }
            _ => {}
        };
        let timer = Arc::new(SystemTimer::default());
        let started = BackupScheduler::start(schedule, store_job(&db, &store), timer, on_event);
        assert_eq!(niceness(), before);
        started.unwrap()
    });
    for _ in 0..4 {
        told.recv_timeout(Duration::from_mins(2)).unwrap().unwrap();
    }
    let state = in_time("the scheduler", || scheduler.stop());
    assert_eq!(state.panics, 0);
    assert!(state.made >= 3 && state.alarms.is_empty(), "{state:?}");
    let listing = list(&store).unwrap();
    // Two are kept, and the one that was verified.
    assert!((2..=4).contains(&listing.backups.len()), "{listing:?}");
    assert!(listing.backups.iter().all(db_backup::Entry::is_complete));
    let now = db_core::Clock::now(&db_core::SystemClock);
    let found = status(&store, now).unwrap();
    assert_eq!(found.series.len(), 1);
    let found = &found.series[0];
    assert!(found.rto_ms.is_some() && found.rpo_s.is_some(), "{found:?}");
    assert!(found.newest_verified.is_some());
}

#[test]
fn nobody_overlaps_with_another_process() {
    let db = TestDb::sqlite();
    db.connect()
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::new(folder.path());
    let lock = store.lock("backup").unwrap();
    let mut was_locked = false;
    let mut once = |job| {
        let timer: Arc<dyn Timer> = Arc::new(Patient::default());
        run(
            Schedule {
                lock_wait: Duration::ZERO,
                ..Schedule::default()
            },
            job,
            (timer, &Interrupt::default()),
            true,
            &mut |event| match event {
                Event::Locked => was_locked = true,
                Event::Failed { part, error } => panic!("{part}: {error}"),
                _ => {}
            },
        )
        .unwrap()
    };
    let state = once(store_job(&db, &store));
    assert_eq!((state.made, state.failed), (0, 0));
    assert!(state.is_locked);
    drop(lock);
    let state = once(store_job(&db, &store));
    assert!(state.made == 1 && !state.is_locked, "{state:?}");
    assert!(was_locked);
}
