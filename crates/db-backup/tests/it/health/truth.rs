//! What was broken stays so until somebody has seen it whole, and what is old is not known.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use db_backup::health::{
    BoxError, Cost, Examiner, HealthLimits, HealthMonitor, Selection, State, Verdict,
};
use db_core::{Conn, ErrorKind};
use db_testkit::{TestDb, wait_for};

use super::{World, find, migrate, number, patient};

const PATIENCE: Duration = Duration::from_mins(1);

/// A database with one leaf that can be damaged: in the middle of its largest table, so that only
/// who reads all of that meets it.
pub(super) struct Damaged {
    db: TestDb,
    path: PathBuf,
    at: u64,
    whole: Vec<u8>,
}

impl Damaged {
    const PAGE: u64 = 4_096;

    pub(super) fn new() -> Self {
        let db = TestDb::sqlite();
        migrate(&db);
        let mut conn = db.connect();
        let rows: Vec<String> = (0..4_000)
            .map(|id| format!("({id}, 'somebody with a long name')"))
            .collect();
        conn.execute(&format!("INSERT INTO players VALUES {}", rows.join(", ")));
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)");
        let sql = "SELECT pageno AS n FROM dbstat WHERE name = 'players' AND pagetype = 'leaf'
                   ORDER BY path LIMIT 1 OFFSET 10";
        let page = u64::try_from(number(&mut conn.conn(), sql).unwrap()).unwrap();
        drop(conn);
        let path = db.path().unwrap().to_owned();
        let at = (page - 1) * Self::PAGE;
        let from = usize::try_from(at).unwrap();
        let whole = fs::read(&path).unwrap()[from..from + 512].to_vec();
        Self {
            db,
            path,
            at,
            whole,
        }
    }

    fn write(&self, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.write_all_at(bytes, self.at).unwrap();
    }

    pub(super) fn damage(&self) {
        self.write(&[0xa5; 512]);
    }

    pub(super) fn mend(&self) {
        self.write(&self.whole);
    }

    pub(super) fn examiner(&self, limits: HealthLimits) -> Examiner {
        let world = World::new();
        world.examiner(world.target(&self.db.url()), limits)
    }
}

fn read_all(conn: &mut Conn<'_>) -> Result<Verdict, BoxError> {
    number(conn, "SELECT sum(length(name)) AS n FROM players")?;
    Ok(Verdict::ok("all was read"))
}

#[test]
fn damage_that_a_custom_check_meets_is_damage() {
    let damaged = Damaged::new();
    let examiner = damaged
        .examiner(patient())
        .with_check("names", Cost::Cheap, |conn, _| read_all(conn));
    assert!(examiner.examine(&Selection::Cheap).is_healthy());
    damaged.damage();
    let report = examiner.examine(&Selection::Cheap);
    assert_eq!(find(&report, "names").state, State::Fail, "{report:#?}");
    assert_eq!(find(&report, "damage").state, State::Fail);
    assert!(!report.is_healthy());
    assert_eq!(
        report.met.as_ref().map(db_core::Error::kind),
        Some(ErrorKind::Corrupt)
    );
}

#[test]
fn damage_stays_until_everything_was_read_and_is_whole() {
    let damaged = Damaged::new();
    let examiner = damaged
        .examiner(patient())
        .with_check("names", Cost::Expensive, |conn, _| read_all(conn));
    let monitor = HealthMonitor::of(examiner)
        .every(Duration::from_hours(1))
        .expensive_every(None)
        .start()
        .unwrap();
    let look = |all| monitor.look_now(all, PATIENCE).unwrap();
    assert!(look(true).is_healthy());
    damaged.damage();
    assert_eq!(find(&look(true), "damage").state, State::Fail);
    for _ in 0..3 {
        // What is cheap reads next to nothing, and proves nothing.
        let report = look(false);
        assert_eq!(find(&report, "damage").state, State::Fail, "{report:#?}");
        assert!(!report.is_healthy() && !monitor.is_ready());
    }
    damaged.mend();
    assert_eq!(find(&look(false), "damage").state, State::Fail);
    assert_eq!(find(&look(true), "damage").state, State::Ok);
    // The cheap thread looks at what the other has cleared.
    let report = look(false);
    assert_eq!(find(&report, "damage").state, State::Ok, "{report:#?}");
    assert!(report.is_healthy() && monitor.is_ready());
}

#[test]
fn what_nobody_looks_at_any_more_is_not_known() {
    let db = TestDb::sqlite();
    migrate(&db);
    let world = World::new();
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = std::sync::Mutex::new(may_go);
    let looks = std::sync::atomic::AtomicU32::new(0);
    let examiner = world
        .examiner(world.target(&db.url()), patient())
        .with_check("broken", Cost::Expensive, |_, _| Ok(Verdict::fail("torn")))
        .with_check("hangs", Cost::Expensive, move |_, _| {
            if looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 {
                // Until the test is over.
                may_go.lock().unwrap().recv().unwrap_or_default();
            }
            Ok(Verdict::ok("looked"))
        });
    let monitor = HealthMonitor::of(examiner)
        .every(Duration::from_hours(1))
        .expensive_every(Some(Duration::from_millis(20)))
        .start()
        .unwrap();
    // Whatever fails below, it is let go before the monitor waits for it.
    let go = go;
    let report = wait_for("a look of whose age nobody knows", || {
        let report = monitor.look_now(false, PATIENCE).unwrap();
        let integrity = report.find("integrity");
        let is_unknown = integrity.is_some_and(|result| result.state == State::Unknown);
        is_unknown.then_some(report)
    });
    let integrity = find(&report, "integrity");
    assert!(integrity.age > Duration::from_millis(60), "{integrity:?}");
    let observed = &integrity.observed;
    assert!(
        observed.starts_with("not looked at for ") && observed.ends_with("found nothing"),
        "{observed}"
    );
    // What was broken has not become whole by nobody's looking at it.
    assert_eq!(find(&report, "broken").state, State::Fail);
    // And what was looked at just now is as it is.
    let connectivity = find(&report, "connectivity");
    assert_eq!(
        (connectivity.state, connectivity.age),
        (State::Ok, Duration::ZERO)
    );
    drop(go);
}

#[test]
fn what_nobody_has_ever_seen_is_not_known_either() {
    let db = TestDb::sqlite();
    migrate(&db);
    let world = World::new();
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = std::sync::Mutex::new(may_go);
    let examiner = world
        .examiner(world.target(&db.url()), patient())
        .with_check("hangs", Cost::Expensive, move |_, _| {
            may_go.lock().unwrap().recv().unwrap_or_default();
            Ok(Verdict::ok("looked"))
        });
    let monitor = HealthMonitor::of(examiner)
        .every(Duration::from_hours(1))
        .expensive_every(Some(Duration::from_millis(20)))
        .start()
        .unwrap();
    // Whatever fails below, it is let go before the monitor waits for it.
    let go = go;
    let integrity = wait_for("a look that says what it does not know", || {
        let report = monitor.look_now(false, PATIENCE).unwrap();
        report.find("integrity").cloned()
    });
    assert_eq!(integrity.state, State::Unknown);
    assert!(
        integrity.observed.starts_with("nothing was seen in "),
        "{integrity:?}"
    );
    drop(go);
}

#[test]
fn statistics_are_judged_without_reading_the_table() {
    let damaged = Damaged::new();
    let mut limits = patient();
    limits.statistics_least_rows = 1_000;
    let examiner = damaged.examiner(limits);
    let look = || {
        let report = examiner.examine(&Selection::Named(vec!["statistics".to_owned()]));
        find(&report, "statistics").clone()
    };
    let before = look();
    assert_eq!(before.state, State::Warn, "{before:?}");
    damaged.damage();
    // Who reads the whole table meets what is damaged in its middle.
    let after = look();
    assert_eq!((after.state, after.names), (before.state, before.names));
}
