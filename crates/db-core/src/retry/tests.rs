//! Retries under a clock and dice of the test's own.

use std::cell::Cell;
use std::sync::Mutex;

use super::*;

/// Dice that always show the bound, and a clock that only pauses move.
struct Slowest {
    start: Instant,
    slept: Arc<Mutex<Vec<Duration>>>,
}

impl Pacer for Slowest {
    fn now(&self) -> Instant {
        self.start + self.slept.lock().unwrap().iter().sum::<Duration>()
    }

    fn up_to(&self, bound: Duration) -> Duration {
        bound
    }

    fn pause(&self, length: Duration) {
        self.slept.lock().unwrap().push(length);
    }
}

fn slowest() -> (RetryPolicy, Arc<Mutex<Vec<Duration>>>) {
    let slept = Arc::<Mutex<Vec<Duration>>>::default();
    let pacer = Slowest {
        start: Instant::now(),
        slept: Arc::clone(&slept),
    };
    (RetryPolicy::new().with_pacer(pacer), slept)
}

fn fails(kind: ErrorKind) -> Result<(), Error> {
    Err(Error::new(kind, "no"))
}

#[test]
fn pauses_double_up_to_the_cap() {
    let (policy, slept) = slowest();
    let policy = policy
        .with_attempts(6)
        .with_pauses(Duration::from_millis(5), Duration::from_millis(30));
    let error = policy
        .run(&RetryBudget::new(), || fails(ErrorKind::Serialization))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    let millis: Vec<_> = slept
        .lock()
        .unwrap()
        .iter()
        .map(Duration::as_millis)
        .collect();
    assert_eq!(millis, [5, 10, 20, 30, 30]);
}

#[test]
fn what_cannot_change_is_not_tried_again() {
    for kind in [
        ErrorKind::Constraint,
        ErrorKind::OutcomeUnknown,
        ErrorKind::Corrupt,
        ErrorKind::Overloaded,
        ErrorKind::Timeout,
        ErrorKind::Other,
    ] {
        let (policy, slept) = slowest();
        let runs = Cell::new(0);
        let result = policy.run(&RetryBudget::new(), || {
            runs.set(runs.get() + 1);
            fails(kind)
        });
        assert!(result.is_err());
        assert_eq!(
            (runs.get(), slept.lock().unwrap().len()),
            (1, 0),
            "{kind:?}"
        );
    }
}

#[test]
fn a_lost_connection_is_tried_again_only_where_nothing_was_committed() {
    let (policy, _) = slowest();
    let budget = RetryBudget::new();
    let lost = Error::new(ErrorKind::ConnectionLost, "gone");
    assert!(policy.begin(&budget).after(&lost).is_some());
    let unknown = lost.at_commit();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
    assert!(policy.begin(&budget).after(&unknown).is_none());
}

#[test]
fn a_success_ends_it() {
    let (policy, _) = slowest();
    let runs = Cell::new(0);
    let result = policy.run(&RetryBudget::new(), || {
        runs.set(runs.get() + 1);
        if runs.get() < 3 {
            fails(ErrorKind::Deadlock)?;
        }
        Ok::<_, Error>(runs.get())
    });
    assert_eq!(result.unwrap(), 3);
}

#[test]
fn no_attempt_begins_after_the_deadline() {
    let (policy, slept) = slowest();
    let policy = policy
        .with_attempts(1_000)
        .with_deadline(Duration::from_millis(100));
    policy
        .run(&RetryBudget::new(), || fails(ErrorKind::Busy))
        .unwrap_err();
    let total: Duration = slept.lock().unwrap().iter().sum();
    // 5 + 10 + 20 + 40; another 80 would be late.
    assert_eq!(total, Duration::from_millis(75));
}

#[test]
fn a_storm_is_retried_by_a_tenth() {
    const CALLS: u32 = 10_000;
    let (policy, _) = slowest();
    let budget = RetryBudget::new();
    let runs = Cell::new(0_u32);
    for _ in 0..CALLS {
        let result = policy.run(&budget, || {
            runs.set(runs.get() + 1);
            fails(ErrorKind::Serialization)
        });
        assert!(result.is_err());
    }
    let retries = runs.get() - CALLS;
    assert!(
        (CALLS / 10..=CALLS / 10 + 10).contains(&retries),
        "{retries}"
    );
}

#[test]
fn the_budget_is_one_for_all_threads() {
    const THREADS: u32 = 4;
    const CALLS: u32 = 5_000;
    let budget = RetryBudget::new();
    let retries = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..CALLS {
                    budget.deposit();
                    retries.fetch_add(budget.withdraw().into(), Ordering::Relaxed);
                }
            });
        }
    });
    let most = u64::from(THREADS * CALLS) / 10 + 10;
    assert!((most - 10..=most).contains(&retries.into_inner()));
}

#[test]
fn real_dice_stay_within_the_bound() {
    let bound = Duration::from_millis(10);
    let thrown: Vec<_> = (0..1_000).map(|_| SystemPacer.up_to(bound)).collect();
    assert!(thrown.iter().all(|pause| *pause <= bound));
    // All on one side of the middle has a chance of 2 in 2^1000.
    assert!(thrown.iter().any(|pause| *pause > bound / 2));
    assert!(thrown.iter().any(|pause| *pause < bound / 2));
}
