//! What the other processes do, and the write that all of them make.

use std::io::Write as _;
use std::sync::atomic::AtomicBool;

use super::*;

pub(super) const PATH: &str = "BITCRAPS_TEST_WRITER_PATH";
pub(super) const PROCESS: &str = "BITCRAPS_TEST_WRITER_PROCESS";

/// `total` is read and written back by each write, so that a lost update shows. A write is whole
/// when it is in both halves.
pub(super) const HALVES: &str = "
    CREATE TABLE total (id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
    INSERT INTO total VALUES (1, 0);
    CREATE TABLE half_a (id INTEGER PRIMARY KEY, process INTEGER, thread INTEGER) STRICT;
    CREATE TABLE half_b (id INTEGER PRIMARY KEY, process INTEGER, thread INTEGER) STRICT;";

/// One write, which `between` sees half done.
pub(super) fn half_and_half(
    conn: &mut SqliteConnection,
    process: usize,
    thread: usize,
    between: impl FnOnce(),
) -> Result<(), Error> {
    let n = number(conn, "SELECT n FROM total") + 1;
    statement(
        conn,
        &format!("INSERT INTO half_a VALUES ({n}, {process}, {thread})"),
    )?;
    between();
    statement(
        conn,
        &format!("INSERT INTO half_b VALUES ({n}, {process}, {thread})"),
    )?;
    statement(conn, &format!("UPDATE total SET n = {n}"))
}

/// If this is a child: its writer and its number.
pub(super) fn child() -> Option<(Writer, usize)> {
    let path = std::env::var_os(PATH)?;
    let process = std::env::var(PROCESS).unwrap().parse().unwrap();
    let writer = open(options(path.as_ref()), Arc::new(NoObserver));
    Some((writer, process))
}

pub(super) fn say(line: &str) {
    // Past the test harness, which holds back what is printed.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

pub(super) fn await_told(line: &str) {
    assert_eq!(std::io::stdin().lines().next().unwrap().unwrap(), line);
}

/// A child's life: all threads write until the input ends. Each failure is a panic, and thereby a
/// failure of the parent's test.
pub(super) fn write_until_told(writer: &Writer, process: usize) {
    say("ready");
    await_told("go");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let over = &over;
            scope.spawn(move || {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    writer
                        .run(None, |conn| half_and_half(conn, process, thread, || ()))
                        .unwrap();
                    answered += 1;
                    if answered % BATCH == 0 {
                        say(&format!("answered {thread}"));
                    }
                }
            });
        }
        assert!(std::io::stdin().lines().next().is_none());
        over.store(true, Ordering::Relaxed);
    });
    writer.close(None).unwrap();
}

/// A child's life of one long write, behind which three more are queued before it is told to go on.
pub(super) fn write_with_more_to_come(writer: &Writer, process: usize) {
    std::thread::scope(|scope| {
        let queue_more = || {
            for thread in 1..=3 {
                scope.spawn(move || {
                    let written =
                        writer.run(None, |conn| half_and_half(conn, process, thread, || ()));
                    written.unwrap();
                });
            }
            while writer.pending() != 3 {
                std::thread::yield_now();
            }
            say("inside, 3 behind");
            await_told("go");
        };
        let written = writer.run(None, |conn| half_and_half(conn, process, 0, queue_more));
        written.unwrap();
    });
}

/// A child's life that ends by a kill in the middle of a write.
pub(super) fn write_and_stick(writer: &Writer, process: usize) {
    say("ready");
    await_told("go");
    for _ in 0..BATCH {
        writer
            .run(None, |conn| half_and_half(conn, process, 0, || ()))
            .unwrap();
    }
    say("answered 0");
    let stick = || {
        say("inside");
        loop {
            std::thread::park();
        }
    };
    let stuck = writer.run(None, |conn| half_and_half(conn, process, 0, stick));
    unreachable!("{stuck:?}");
}
