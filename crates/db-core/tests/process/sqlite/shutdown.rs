//! SIGTERM under load: what was acknowledged is there, the log is in the file, and the process ends
//! as one that was asked to.

use std::time::{Duration, Instant};

use db_core::{Database, Error, ErrorKind};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use crate::support::{File, Worker, durable, execute, integrity, number, open, report, role, say};

const WRITERS: u64 = 8;
const READERS: u64 = 2;

/// What an application gives its work to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers until the signal.
const ANSWERS: usize = 2_000;

/// Ends the thread when the database was closed, and the test on every other error.
fn until_closed(mut act: impl FnMut(u64) -> Result<(), Error>) {
    for seq in 1.. {
        match act(seq) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => panic!("{:?}: {error}", error.kind()),
        }
    }
}

/// The application: its main thread waits for the signal, all others work.
fn application(database: &Database) {
    let mut signals = Signals::new([SIGTERM]).unwrap();
    let create = "CREATE TABLE t (lane INTEGER, seq INTEGER, PRIMARY KEY (lane, seq)) STRICT";
    database.write(|conn| execute(conn, create)).unwrap();
    std::thread::scope(|scope| {
        for lane in 0..WRITERS {
            scope.spawn(move || {
                until_closed(|seq| {
                    let insert = format!("INSERT INTO t VALUES ({lane}, {seq})");
                    database.write(|conn| execute(conn, &insert))?;
                    say(format_args!("{lane} {seq}"));
                    Ok(())
                });
            });
        }
        for _ in 0..READERS {
            scope.spawn(|| {
                until_closed(|_| {
                    database
                        .read(|conn| number(conn, "SELECT count(*) AS n FROM t"))
                        .map(drop)
                });
            });
        }
        assert_eq!(signals.forever().next(), Some(SIGTERM));
        let since = Instant::now();
        database.close(PATIENCE).unwrap();
        say(format_args!("closed in {} ms", since.elapsed().as_millis()));
    });
}

#[test]
fn a_terminated_process_keeps_what_it_acknowledged_and_empties_its_log() {
    const TEST: &str =
        "sqlite::shutdown::a_terminated_process_keeps_what_it_acknowledged_and_empties_its_log";
    if let Some(role) = role() {
        let database = Database::open(&durable(&role.path)).unwrap();
        return application(&database);
    }
    let file = File::new();
    let worker = Worker::start(TEST, file.path(), &[]);
    let mut lines: Vec<String> = (0..ANSWERS).map_while(|_| worker.line()).collect();
    assert_eq!(lines.len(), ANSWERS, "the worker ended by itself");
    let id = Pid::from_raw(worker.id().try_into().unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    let since = Instant::now();
    // Ended well: a failed write, a thread that still runs or a second signal would show.
    lines.extend(worker.finish());
    let took = since.elapsed();
    assert!(!file.beside("-wal").exists(), "the log is still there");
    let closed = lines
        .iter()
        .find(|line| line.starts_with("closed"))
        .unwrap()
        .clone();

    let database = open(file.path());
    database.read(integrity).unwrap();
    for lane in 0..WRITERS {
        let own = format!("{lane} ");
        let answered = lines.iter().filter(|line| line.starts_with(&own)).count();
        let rows = format!("SELECT count(*) AS n FROM t WHERE lane = {lane}");
        let rows = database.read(|conn| number(conn, &rows)).unwrap();
        // Each thread went on until it was refused, so every write had its answer.
        assert_eq!(usize::try_from(rows).unwrap(), answered, "lane {lane}");
    }
    report(format_args!(
        "SIGTERM beside {WRITERS} writers and {READERS} readers: {closed}, ended after {took:.1?}"
    ));
}
