//! Trial restores beside the rounds: held up, failing, panicking, stopped.

use std::sync::mpsc::channel;
use std::time::Instant;

use db_core::Clock as _;
use metrics_util::debugging::DebuggingRecorder;

use super::*;

#[test]
fn an_old_trial_restore_is_alarming() {
    let timer = Fake::new(80);
    let (mut job, _) = Fakes::new(&timer);
    job.drill_fails = true;
    let (state, told) = live(job, &timer, Schedule::default());
    assert_eq!(
        told,
        [
            "raised: the last trial restore failed",
            "raised: no backup was restored on trial for too long"
        ]
    );
    assert_eq!(state.alarms, [Alarm::DrillFailing, Alarm::VerifiedTooOld]);
    let timer = Fake::new(80);
    let (mut job, _) = Fakes::new(&timer);
    job.facts.last_drill = Some(start() - TimeDelta::hours(100));
    let (state, told) = live(job, &timer, Schedule::default());
    assert_eq!(
        told,
        [
            "raised: no backup was restored on trial for too long",
            "cleared: no backup was restored on trial for too long"
        ]
    );
    assert!(state.alarms.is_empty());
}

/// A round with a trial restore that is held up for so long, and what was told.
fn held_up(timer: &Arc<Fake>, job: Fakes, hours: i64, once: bool) -> (State, Vec<String>) {
    *timer.held_until.lock().unwrap() = Some(start() + TimeDelta::hours(hours));
    let mut told = Vec::new();
    let at = (shared(timer), &Interrupt::default());
    let state = run(Schedule::default(), job, at, once, &mut |event| {
        told.push(match event {
            Event::Raised { alarm } => format!("raised: {alarm}"),
            Event::Cleared { alarm } => format!("cleared: {alarm}"),
            Event::Drilling => "drilling".to_owned(),
            Event::Drilled => "drilled".to_owned(),
            Event::Failed { part, .. } => format!("failed: {part}"),
            _ => return,
        });
    });
    (state.unwrap(), told)
}

#[test]
fn a_trial_restore_that_is_held_up_makes_no_backup_late() {
    let timer = Fake::new(40);
    let (job, log) = Fakes::new(&timer);
    let (state, told) = held_up(&timer, job, 38, false);
    let log = log.lock().unwrap();
    let gaps = gaps(&log.backups);
    assert!(log.backups.len() >= 38, "{gaps:?}");
    assert!(
        gaps.iter().all(|gap| (3600..3810).contains(gap)),
        "{gaps:?}"
    );
    assert_eq!(log.prunes, log.backups.len());
    // One at a time, and nobody takes it for one that has passed.
    assert_eq!(
        told,
        [
            "drilling",
            "raised: no backup was restored on trial for too long",
            "drilled",
            "cleared: no backup was restored on trial for too long"
        ]
    );
    assert_eq!(log.drills.len(), 1);
    assert!(log.drills[0] >= start() + TimeDelta::hours(38));
    assert_eq!((state.drilled, state.is_drilling), (1, false), "{state:?}");
}

/// For a timer, which starts no second one as long as the first runs.
#[test]
fn a_single_round_makes_what_falls_due_while_its_trial_restore_is_held_up() {
    let timer = Fake::new(40);
    let (job, log) = Fakes::new(&timer);
    let (state, told) = held_up(&timer, job, 5, true);
    let log = log.lock().unwrap();
    assert!((5..=6).contains(&log.backups.len()), "{log:?}");
    assert_eq!(state.made, log.backups.len() as u64);
    assert_eq!(told, ["drilling", "drilled"]);
    assert!(timer.now() < start() + TimeDelta::hours(6));
}

#[test]
fn a_stop_ends_a_trial_restore_and_is_no_failure() {
    for once in [false, true] {
        let timer = Fake::new(3);
        let (job, log) = Fakes::new(&timer);
        let (state, told) = held_up(&timer, job, 1_000, once);
        assert_eq!(told, ["drilling"], "{once}");
        assert_eq!((state.failed, state.drilled), (0, 0), "{state:?}");
        assert!(!state.is_drilling && state.alarms.is_empty(), "{state:?}");
        assert!(log.lock().unwrap().drills.is_empty());
    }
}

#[test]
fn a_trial_restore_that_panics_is_told_and_costs_no_backup() {
    let timer = Fake::new(4);
    let (mut job, log) = Fakes::new(&timer);
    job.drill_panics = true;
    let (state, _) = held_up(&timer, job, 0, false);
    assert!(log.lock().unwrap().backups.len() >= 4);
    assert_eq!(state.failed, state.panics, "{state:?}");
    assert!(state.panics >= 3, "{state:?}");
    assert!(state.alarms.contains(&Alarm::DrillFailing), "{state:?}");
}

/// Nothing that is waited for takes so long, of all together.
const PATIENCE: Duration = Duration::from_mins(2);

/// A real one of a real database, held up in a check of the data until two more backups are made; rules that keep
/// one backup leave it alone meanwhile. Its state is seen from outside.
#[test]
fn a_real_trial_restore_runs_beside_real_backups() {
    let db = TestDb::sqlite();
    db.connect()
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::new(folder.path());
    let (go_on, held) = channel::<()>();
    let (enter, entered) = channel();
    let held = Mutex::new(held);
    let slow = db_backup::Invariant::new("slow", move |_| {
        enter.send(()).unwrap();
        // The end of the other side lets it go on.
        let _ended = held.lock().unwrap().recv();
        Ok(Vec::new())
    });
    let source = Source {
        url: DatabaseUrl::parse(&db.url()).unwrap(),
        key: None,
    };
    let keep_one = db_backup::retention::Policy {
        last: 1,
        ..db_backup::retention::Policy::none()
    };
    let verify = VerifyOptions::new().with_invariant(slow);
    let options = (BackupOptions::new(), verify);
    let job = StoreJob::new(source, Arc::new(store.clone()), options, keep_one);
    let schedule = Schedule {
        every: Duration::from_millis(50),
        jitter: Duration::ZERO,
        // At twenty a second, one may well be late on a busy machine.
        backup_within: Some(Duration::from_hours(1)),
        ..Schedule::default()
    };
    let (tell, told) = channel();
    let timer = Arc::new(SystemTimer::default());
    let scheduler = BackupScheduler::start(schedule, job, timer, move |event| {
        let line = match event {
            Event::Made { name } => format!("made {name}"),
            Event::Drilling => {
                // No second backup before it is known which one is on trial.
                match entered.recv_timeout(PATIENCE) {
                    Ok(()) => "drilling".to_owned(),
                    Err(error) => format!("failed: nothing is restored on trial: {error}"),
                }
            }
            Event::Drilled => "drilled".to_owned(),
            Event::Pruned { .. } => "pruned".to_owned(),
            Event::Failed { part, error } => format!("{part} failed: {error}"),
            _ => return,
        };
        tell.send(line).unwrap_or_default();
    })
    .unwrap();
    // Whatever fails below, it is let go before the scheduler waits for it.
    let go_on = go_on;
    let mut lines = Vec::new();
    // Others may be told for ever, so that the limit is that of all.
    let deadline = Instant::now() + 2 * PATIENCE;
    let mut until = |wanted: &str, times: usize| {
        let mut found = 0;
        while found < times {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = told.recv_timeout(left).unwrap_or_else(|error| {
                panic!("{found} of {times} times {wanted:?}, then {error}: {lines:?}")
            });
            assert!(!line.contains("failed"), "{line}: {lines:?}");
            found += usize::from(line.starts_with(wanted));
            lines.push(line);
        }
        lines.clone()
    };
    until("drilling", 1);
    let lines = until("pruned", 3);
    let on_trial = lines[0].strip_prefix("made ").unwrap();
    let names = || -> Vec<String> {
        let listing = list(&store).unwrap();
        listing.backups.iter().map(|b| b.name.to_string()).collect()
    };
    assert!(names().contains(&on_trial.to_owned()), "{:?}", names());
    assert!(scheduler.state().is_drilling);
    drop(go_on);
    until("drilled", 1);
    let state = in_time("the scheduler", || scheduler.stop());
    assert!(state.made >= 4 && state.drilled == 1, "{state:?}");
    assert!(state.alarms.is_empty() && !state.is_drilling, "{state:?}");
    let found = status(&store, db_core::SystemClock.now()).unwrap();
    assert_eq!(found.series[0].newest_verified.as_deref(), Some(on_trial));
}

/// It is kept as long as it is on trial, and then no better than any other.
#[test]
fn a_backup_whose_trial_restore_failed_is_pruned() {
    let db = TestDb::sqlite();
    db.connect()
        .execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::new(folder.path());
    let source = Source {
        url: DatabaseUrl::parse(&db.url()).unwrap(),
        key: None,
    };
    let never = db_backup::Invariant::new("never", |_| Ok(vec!["no".to_owned()]));
    let options = (
        BackupOptions::new(),
        VerifyOptions::new().with_invariant(never),
    );
    let keep_one = db_backup::retention::Policy {
        last: 1,
        ..db_backup::retention::Policy::none()
    };
    let mut job = StoreJob::new(source, Arc::new(store.clone()), options, keep_one);
    let interrupt = Interrupt::default();
    job.back_up(&interrupt).unwrap();
    let failed = job.drill()(&interrupt);
    assert!(matches!(failed, Err(Error::Unsound { .. })), "{failed:?}");
    let second = job.back_up(&interrupt).unwrap();
    assert_eq!(job.prune(&interrupt).unwrap(), 1);
    let listing = list(&store).unwrap();
    let left: Vec<_> = listing.backups.iter().map(|b| b.name.to_string()).collect();
    assert_eq!(left, [second]);
}

/// Not at the next look at the store, ten minutes later: a single round would end with it.
#[test]
fn a_trial_restore_that_passed_ends_its_alarm_at_once() {
    let timer = Fake::new(3);
    let (mut job, _) = Fakes::new(&timer);
    job.facts.oldest = Some(start() - TimeDelta::hours(40));
    let mut ended = Vec::new();
    let at = (shared(&timer), &Interrupt::default());
    let state = run(Schedule::default(), job, at, false, &mut |event| {
        if matches!(event, Event::Drilled | Event::Cleared { .. }) {
            ended.push(timer.now());
        }
    });
    assert_eq!(state.unwrap().alarms, []);
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert_eq!(ended[0], ended[1]);
}

#[test]
fn metrics_tell_how_a_trial_restore_ended_and_that_none_runs() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let timer = Fake::new(3);
    let (job, _) = Fakes::new(&timer);
    ::metrics::with_local_recorder(&recorder, || held_up(&timer, job, 0, true));
    let all = snapshotter.snapshot().into_vec();
    let of = |name: &str| {
        let found = all.iter().filter(|(key, ..)| key.key().name() == name);
        let found = found.map(|(key, _, _, value)| {
            let labels = key.key().labels().map(|label| label.value().to_owned());
            (labels.collect::<Vec<_>>(), format!("{value:?}"))
        });
        found.collect::<Vec<_>>()
    };
    let passed = (vec!["passed".to_owned()], "Counter(1)".to_owned());
    assert_eq!(of("bitcraps.db.backup.drills"), [passed]);
    let none = (Vec::new(), "Gauge(0.0)".to_owned());
    assert_eq!(of("bitcraps.db.backup.drilling"), [none]);
}
