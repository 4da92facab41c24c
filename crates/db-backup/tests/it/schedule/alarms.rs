//! What a scheduler must not take for well: old backups, a store that cannot be seen, another's lock,
//! panics.

use std::sync::atomic::AtomicBool;

use super::*;

/// One round, by a clock that stands at the start.
fn once(job: Fakes, timer: &Arc<Fake>, schedule: Schedule) -> (State, Vec<String>) {
    let mut told = Vec::new();
    let state = run(
        schedule,
        job,
        (shared(timer), &Interrupt::default()),
        true,
        &mut |event| told.push(format!("{event:?}")),
    );
    (state.unwrap(), told)
}

#[test]
fn a_single_round_waits_for_a_lock_and_then_says_so() {
    let timer = Fake::new(1);
    let (mut job, log) = Fakes::new(&timer);
    job.fails = |attempt| (attempt < 5).then(locked);
    let (state, _) = once(job, &timer, Schedule::default());
    assert_eq!((state.made, state.is_locked), (1, false));
    let waited = log.lock().unwrap().backups[0] - start();
    assert!(waited <= TimeDelta::seconds(10), "{waited}");

    let timer = Fake::new(1);
    let (mut job, _) = Fakes::new(&timer);
    job.fails = |_| Some(locked());
    let (state, _) = once(job, &timer, Schedule::default());
    assert_eq!((state.made, state.failed), (0, 0));
    assert!(state.is_locked);
    assert_eq!(timer.now() - start(), TimeDelta::seconds(30));
}

/// Who held the lock has made the backup.
#[test]
fn what_another_made_while_it_was_waited_for_is_not_made_again() {
    struct Other(Fakes);
    impl Job for Other {
        fn facts(&mut self) -> Result<Facts, Error> {
            self.0.facts()
        }
        fn back_up(&mut self, interrupt: &Interrupt) -> Result<String, Error> {
            self.0.facts.newest = Some(start());
            self.0.back_up(interrupt)
        }
        fn prune(&mut self, interrupt: &Interrupt) -> Result<usize, Error> {
            self.0.prune(interrupt)
        }
        fn drill(&mut self) -> Trial {
            self.0.drill()
        }
    }
    let timer = Fake::new(1);
    let (mut job, log) = Fakes::new(&timer);
    job.fails = |_| Some(locked());
    let at = (shared(&timer), &Interrupt::default());
    let state = run(Schedule::default(), Other(job), at, true, &mut |_| {}).unwrap();
    assert!(log.lock().unwrap().backups.is_empty());
    assert!(state.alarms.is_empty(), "{state:?}");
}

#[test]
fn a_store_without_any_trial_restore_is_alarming_at_once() {
    let timer = Fake::new(1);
    let failing = || Alarm::DrillFailing;
    for (age, fails, alarms) in [
        (30, true, vec![failing()]),
        (40, true, vec![Alarm::VerifiedTooOld, failing()]),
        // A single run makes up for it, although no backup is due.
        (40, false, vec![]),
    ] {
        let (mut job, _) = Fakes::new(&timer);
        job.drill_fails = fails;
        job.facts.newest = Some(start() - TimeDelta::minutes(5));
        job.facts.oldest = Some(start() - TimeDelta::hours(age));
        let (state, _) = once(job, &timer, Schedule::default());
        assert_eq!((state.made, state.alarms), (0, alarms), "{age} hours");
    }
}

/// Who drills elsewhere, or not at all, is not told each hour; what others did becomes too old.
#[test]
fn a_schedule_without_trial_restores_is_asked_for_none() {
    let timer = Fake::new(1);
    let schedule = || Schedule {
        drill_every: None,
        ..Schedule::default()
    };
    for (drilled, alarms) in [(None, vec![]), (Some(40), vec![Alarm::VerifiedTooOld])] {
        let (mut job, _) = Fakes::new(&timer);
        job.facts.newest = Some(start() - TimeDelta::minutes(5));
        job.facts.oldest = Some(start() - TimeDelta::hours(50));
        job.facts.last_drill = drilled.map(|hours| start() - TimeDelta::hours(hours));
        let (state, _) = once(job, &timer, schedule());
        assert_eq!(state.alarms, alarms, "{drilled:?}");
    }
}

/// It is looked again after a pause, and not all the time; backups are made meanwhile.
#[test]
fn a_look_that_panics_costs_no_backup_and_does_not_spin() {
    let timer = Fake::new(3);
    let (mut job, log) = Fakes::new(&timer);
    // If it span, the clock would never go on.
    job.look_panics = |look| look < 5_000;
    let looks = Arc::clone(&job.looks);
    let (state, told) = live(job, &timer, Schedule::default());
    let looks = looks.load(Ordering::SeqCst);
    assert!((2..400).contains(&looks), "{looks} looks in 3 hours");
    assert!(state.panics > 0 && !told.is_empty(), "{state:?}");
    for alarm in [Alarm::Panicked, Alarm::StoreUnreadable] {
        assert!(state.alarms.contains(&alarm), "{state:?}");
    }
    assert_eq!(state.failed, 0, "{state:?}");
    let gaps = gaps(&log.lock().unwrap().backups);
    assert!(state.made >= 3, "{state:?}");
    assert!(
        gaps.iter().all(|gap| (3600..3810).contains(gap)),
        "{gaps:?}"
    );
}

/// When it is well again, so are the alarms.
#[test]
fn a_look_that_panicked_once_is_forgotten() {
    let timer = Fake::new(4);
    let (mut job, _) = Fakes::new(&timer);
    job.look_panics = |look| look < 3;
    let (state, _) = live(job, &timer, Schedule::default());
    assert!(state.panics > 0 && state.made >= 3, "{state:?}");
    assert!(state.alarms.is_empty(), "{state:?}");
}

#[test]
fn an_old_newest_backup_is_alarming() {
    let old = |hours| {
        let timer = Fake::new(1);
        let (mut job, _) = Fakes::new(&timer);
        job.facts.newest = Some(start() - TimeDelta::hours(hours));
        job.fails = |_| Some(locked());
        (timer, job)
    };
    for (hours, alarms) in [(2, vec![]), (3, vec![Alarm::BackupTooOld])] {
        let (timer, job) = old(hours);
        let (state, _) = once(job, &timer, Schedule::default());
        assert_eq!(state.alarms, alarms, "{hours} hours");
    }
    let (timer, job) = old(3);
    let patient = Schedule {
        backup_within: Some(Duration::from_hours(4)),
        ..Schedule::default()
    };
    assert_eq!(once(job, &timer, patient).0.alarms, []);
    // One that was made ends it.
    let (timer, mut job) = old(3);
    job.fails = |_| None;
    let (state, told) = live(job, &timer, Schedule::default());
    assert_eq!(
        told,
        [
            "raised: the newest backup is too old",
            "cleared: the newest backup is too old"
        ]
    );
    assert!(state.alarms.is_empty());
}

/// A failing store that failed for hours, by the moments at which it is alarming.
#[test]
fn backups_that_never_come_become_too_old() {
    let timer = Fake::new(4);
    let (mut job, _) = Fakes::new(&timer);
    job.fails = |_| Some(locked());
    let (state, told) = live(job, &timer, Schedule::default());
    assert_eq!(told, ["raised: the newest backup is too old"]);
    assert_eq!(state.alarms, [Alarm::BackupTooOld]);
}

#[test]
fn a_backup_of_the_future_does_not_count() {
    let timer = Fake::new(1);
    let (mut job, log) = Fakes::new(&timer);
    job.facts.newest = Some(start() + TimeDelta::days(300));
    job.facts.last_drill = Some(start() + TimeDelta::days(300));
    let (state, _) = once(job, &timer, Schedule::default());
    assert_eq!(state.made, 1);
    assert_eq!(log.lock().unwrap().drills.len(), 1);
    // One of a machine whose clock is a little ahead does.
    let (mut job, _) = Fakes::new(&timer);
    job.facts.newest = Some(start() + TimeDelta::minutes(2));
    assert_eq!(once(job, &timer, Schedule::default()).0.made, 0);
}

#[test]
fn a_look_that_fails_is_no_backup_that_fails() {
    let timer = Fake::new(6);
    let (mut job, log) = Fakes::new(&timer);
    job.look_fails = |look| (1..8).contains(&look);
    let (state, told) = live(job, &timer, Schedule::default());
    assert_eq!(
        told,
        [
            "raised: the store of backups cannot be looked at",
            "cleared: the store of backups cannot be looked at"
        ]
    );
    assert_eq!(state.failed, 0);
    // Backups were made all the same, and none too many.
    let log = log.lock().unwrap();
    let gaps = gaps(&log.backups);
    assert!(log.backups.len() >= 5, "{gaps:?}");
    assert!(
        gaps.iter().all(|gap| (3600..3810).contains(gap)),
        "{gaps:?}"
    );
}

#[test]
fn the_store_is_not_looked_at_all_the_time() {
    let timer = Fake::new(72);
    let (job, log) = Fakes::new(&timer);
    let looks = Arc::clone(&job.looks);
    live(job, &timer, Schedule::default());
    let looks = looks.load(Ordering::SeqCst);
    let backups = log.lock().unwrap().backups.len();
    // Each ten minutes, and when one is due; not each half minute.
    assert!(looks <= 72 * 6 + 2 * backups, "{looks} looks");
    assert!(looks >= backups, "{looks} looks");
}

#[test]
fn a_panic_is_told_and_survived() {
    let timer = Fake::new(6);
    let (mut job, log) = Fakes::new(&timer);
    job.panics = |attempt| attempt == 1;
    let (state, told) = live(job, &timer, Schedule::default());
    assert_eq!(
        told,
        [
            "raised: a part of the scheduler panicked",
            "cleared: a part of the scheduler panicked"
        ]
    );
    assert_eq!((state.panics, state.failed), (1, 1));
    assert!(log.lock().unwrap().backups.len() >= 5);
}

#[test]
fn a_receiver_that_panics_does_not_end_the_thread() {
    let db = TestDb::sqlite();
    db.connect()
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::new(folder.path());
    let (tell, told) = std::sync::mpsc::channel();
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let schedule = Schedule {
        every: Duration::from_millis(50),
        jitter: Duration::ZERO,
        ..Schedule::default()
    };
    let scheduler = BackupScheduler::start(
        schedule,
        store_job(&db, &store),
        Arc::new(SystemTimer::default()),
        move |event| {
            if let Event::Made { .. } = event {
                tell.send(()).unwrap_or_default();
                assert!(!broken.load(Ordering::SeqCst), "the receiver panics");
            }
        },
    )
    .unwrap();
    for _ in 0..3 {
        told.recv_timeout(Duration::from_mins(2)).unwrap();
    }
    let state = scheduler.state();
    assert!(state.is_running && state.panics > 0, "{state:?}");
    is_broken.store(false, Ordering::SeqCst);
    // A round without a panic ends the alarm. The one that runs may still have had one.
    for _ in 0..3 {
        told.recv_timeout(Duration::from_mins(2)).unwrap();
    }
    let state = scheduler.stop();
    assert!(!state.is_running && state.made >= 5, "{state:?}");
    assert!(!state.alarms.contains(&Alarm::Panicked), "{state:?}");
}

#[test]
fn an_interval_without_an_end_is_one() {
    for every in [Duration::MAX, Duration::from_secs(u64::MAX / 1_000)] {
        let timer = Fake::new(3);
        let (mut job, log) = Fakes::new(&timer);
        job.facts.newest = Some(start());
        let schedule = Schedule {
            every,
            jitter: Duration::MAX,
            verified_within: Duration::MAX,
            drill_every: Some(Duration::MAX),
            ..Schedule::default()
        };
        let (state, told) = live(job, &timer, schedule);
        assert_eq!((state.made, told.len()), (0, 0));
        assert!(log.lock().unwrap().backups.is_empty());
    }
}

#[test]
fn an_interval_of_nothing_is_refused() {
    let timer = Fake::new(1);
    let (job, _) = Fakes::new(&timer);
    let schedule = Schedule {
        every: Duration::ZERO,
        ..Schedule::default()
    };
    let timer: Arc<dyn Timer> = timer;
    BackupScheduler::start(schedule, job, timer, |_| {}).unwrap_err();
}
