//! A server that takes connections and then says nothing: a look is given up, and none piles up.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use db_backup::health::{
    BackupAges, Cost, Examiner, HealthMonitor, HealthReport, Selection, State, Verdict,
};
use db_core::{Conn, with_conn};
use db_testkit::in_time;
use diesel::RunQueryDsl as _;
use diesel::sql_types::Integer;
use rustix::process::{Pid, Signal, kill_process};

use super::{World, find, patient};

/// A machine under load may need it.
const SLACK: Duration = Duration::from_mins(1);

#[derive(diesel::QueryableByName)]
struct Backend {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

fn backend(conn: &mut Conn<'_>) -> Result<i32, db_core::Error> {
    let engine = conn.engine();
    let row = with_conn!(conn, |c| diesel::sql_query(
        "SELECT pg_backend_pid() AS pid"
    )
    .get_result::<Backend>(c));
    row.map(|row| row.pid)
        .map_err(|e| db_core::Error::classify(engine, &e))
}

/// Looks at this server, with as much patience as a busy machine needs.
fn examiner(url: &str) -> Examiner {
    let url = format!(
        "{url}{}connect_timeout=5",
        if url.contains('?') { '&' } else { '?' }
    );
    let world = World::new();
    let target = world.target(&url);
    assert!(
        matches!(target.engine(), db_core::Engine::Postgres),
        "{url}"
    );
    Examiner::new(target)
        .with_limits(patient())
        .with_patience(Duration::from_secs(5))
}

/// A check in whose middle the test does something to the server.
struct Meeting {
    reached: Sender<()>,
    go_on: Receiver<()>,
}

/// A check that asks the server after the test has had its turn, once.
fn meeting(examiner: Examiner, cost: Cost) -> (Examiner, Receiver<()>, Sender<()>) {
    let (reached, is_reached) = channel();
    let (go, go_on) = channel();
    let meeting = Mutex::new(Some(Meeting { reached, go_on }));
    let examiner = examiner.with_check("meeting", cost, move |conn, _| {
        if let Some(meeting) = meeting.lock().unwrap().take() {
            meeting.reached.send(())?;
            meeting.go_on.recv()?;
        }
        backend(conn)?;
        Ok(Verdict::ok("answered"))
    });
    (examiner, is_reached, go)
}

#[test]
fn a_server_that_stops_in_the_middle_of_a_look_is_left_in_time_postgres() {
    let server = db_testkit::cluster(&[]);
    for cost in [Cost::Cheap, Cost::Expensive] {
        let (examiner, reached, go) = meeting(examiner(&server.url()), cost);
        let what = match cost {
            Cost::Cheap => Selection::Cheap,
            Cost::Expensive => Selection::All,
        };
        let examiner = Arc::new(examiner);
        let (looker, of_all) = (Arc::clone(&examiner), what.clone());
        let (tell, told) = channel();
        std::thread::spawn(move || drop(tell.send(looker.examine(&of_all))));
        reached.recv_timeout(SLACK).unwrap();
        let frozen = server.freeze().unwrap();
        go.send(()).unwrap();
        let report = told
            .recv_timeout(SLACK)
            .expect("a look that is given up in time");
        assert_eq!(find(&report, "connectivity").state, State::Fail);
        assert_eq!(find(&report, "meeting").state, State::Unknown);
        assert!(report.refused.is_some(), "{report:#?}");
        let names: Vec<_> = report.results.iter().map(|one| &*one.name).collect();
        for name in examiner.names() {
            let is_cheap = what == Selection::Cheap;
            let count = names.iter().filter(|seen| **seen == name).count();
            assert!(count == 1 || (is_cheap && count == 0), "{name}: {names:?}");
        }
        // The next ones meet a server that takes no connection.
        for _ in 0..3 {
            let report = examiner.examine(&Selection::Cheap);
            assert_eq!(find(&report, "connectivity").state, State::Fail);
        }
        drop(frozen);
        let report = well_again(&examiner);
        assert!(report.refused.is_none(), "{report:#?}");
    }
}

/// The first look that finds the server there again.
fn well_again(examiner: &Examiner) -> HealthReport {
    let until = Instant::now() + SLACK;
    loop {
        let report = examiner.examine(&Selection::Cheap);
        if find(&report, "connectivity").state == State::Ok {
            return report;
        }
        assert!(Instant::now() < until, "{report:#?}");
    }
}

/// A bucket that takes its time is no server that hangs.
#[test]
fn a_slow_store_is_waited_for_while_the_server_answers_postgres() {
    let server = db_testkit::cluster(&[]);
    let patience = Duration::from_millis(500);
    let (_open, nothing) = channel::<()>();
    let nothing = Mutex::new(nothing);
    let examiner = examiner(&server.url())
        .with_patience(patience)
        .with_backups(move || {
            let waited = nothing.lock().unwrap().recv_timeout(4 * patience);
            assert!(waited.is_err(), "nobody sends");
            Ok(BackupAges::default())
        });
    let report = examiner.examine(&Selection::Named(vec!["backup".to_owned()]));
    assert!(report.refused.is_none(), "{report:#?}");
    assert_eq!(find(&report, "connectivity").state, State::Ok);
    let found = &find(&report, "backup").observed;
    assert!(!found.contains("has not answered"), "{found}");
}

/// Numbers of the server's processes that were stopped; none once none is to be.
type Stopped = Arc<Mutex<Option<Vec<i32>>>>;

/// A check that stops the server's process which serves it, and hangs then.
fn stopping(examiner: Examiner) -> (Examiner, Stopped) {
    let stopped: Stopped = Arc::new(Mutex::new(Some(Vec::new())));
    let pids = Arc::clone(&stopped);
    let examiner = examiner.with_check("stops", Cost::Cheap, move |conn, _| {
        let pid = backend(conn)?;
        if let Some(pids) = &mut *pids.lock().unwrap() {
            kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP)?;
            pids.push(pid);
        }
        backend(conn)?;
        Ok(Verdict::ok("answered"))
    });
    (examiner, stopped)
}

/// One process of the server is stopped in each look, and the others answer.
#[test]
fn looks_that_hang_do_not_pile_up_postgres() {
    let server = db_testkit::cluster(&[]);
    let (examiner, stopped) = stopping(examiner(&server.url()));
    let reports: Vec<_> = (0..10)
        .map(|_| examiner.examine(&Selection::Named(vec!["stops".to_owned()])))
        .collect();
    for report in &reports {
        assert_eq!(
            find(report, "connectivity").state,
            State::Fail,
            "{report:#?}"
        );
        assert_eq!(find(report, "stops").state, State::Unknown, "{report:#?}");
    }
    let pids = stopped.lock().unwrap().take().unwrap();
    assert!((2..=6).contains(&pids.len()), "{pids:?}");
    for pid in pids {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::CONT).unwrap();
    }
    // What hung ends now, one after the other.
    well_again(&examiner);
}

/// Each look that hangs is asked to stop by a connection of its own, and a server that hangs answers
/// none of them: they wait together, and not one after the other.
#[test]
fn a_monitor_with_many_looks_that_hang_ends_postgres() {
    let server = db_testkit::cluster(&[]);
    let url = format!(
        "{}{}connect_timeout=60",
        server.url(),
        if server.url().contains('?') { '&' } else { '?' }
    );
    let target = World::new().target(&url);
    let examiner = Examiner::new(target)
        .with_limits(patient())
        .with_patience(Duration::from_secs(2));
    let (examiner, stopped) = stopping(examiner);
    // A busy machine may not come to the check in time.
    let hanging = (0..5).find(|_| {
        let report = examiner.examine(&Selection::Named(vec!["stops".to_owned()]));
        assert_eq!(find(&report, "stops").state, State::Unknown, "{report:#?}");
        stopped.lock().unwrap().as_ref().unwrap().len() >= 2
    });
    assert!(hanging.is_some(), "{stopped:?}");
    let monitor = HealthMonitor::of(examiner)
        .every(Duration::from_hours(1))
        .expensive_every(None)
        .start()
        .unwrap();
    let frozen = server.freeze().unwrap();
    let began = Instant::now();
    in_time("the monitor", || drop(monitor));
    // Two or more connections that are each given up after a minute take more.
    assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    drop(frozen);
}

/// The end of a monitor waits neither for the server nor for the patience of its look.
#[test]
fn a_monitor_of_a_server_that_hangs_ends_postgres() {
    let server = db_testkit::cluster(&[]);
    let (examiner, reached, go) = meeting(examiner(&server.url()), Cost::Cheap);
    let monitor = HealthMonitor::of(examiner.with_patience(Duration::from_hours(1)))
        .expensive_every(None)
        .start()
        .unwrap();
    reached.recv_timeout(SLACK).unwrap();
    let frozen = server.freeze().unwrap();
    go.send(()).unwrap();
    let began = Instant::now();
    in_time("the monitor", || drop(monitor));
    assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    drop(frozen);
}
