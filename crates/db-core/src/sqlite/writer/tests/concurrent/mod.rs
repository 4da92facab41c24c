//! Several processes on one file, and the kill of one of them.
//!
//! The other processes are this test binary, started again for the same test with the path of the
//! file in an environment variable. They talk over their pipes: a child says that it is `ready`,
//! after each [`BATCH`] writes of a thread that they were `answered`, and most go on until their
//! input ends.

mod child;

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use super::*;
use child::{
    HALVES, PATH, PROCESS, await_told, child, half_and_half, say, write_and_stick,
    write_until_told, write_with_more_to_come,
};

const PROCESSES: usize = 4;
const THREADS: usize = 4;

/// A test that waits so long has failed.
const LONG: Duration = Duration::from_mins(1);

/// Answered writes of one thread from one line of the child to the next.
const BATCH: i64 = 50;

/// What a child said, and which one.
type Line = (usize, String);

/// The children, and all that they say.
struct Children {
    folder: tempfile::TempDir,
    running: Vec<(Child, Option<ChildStdin>)>,
    said: Receiver<Line>,
}

impl Children {
    /// Starts them for this test, and waits until each has opened the file.
    fn start(test: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared.db");
        let writer = open(options(&path), Arc::new(NoObserver));
        writer.run(None, |conn| execute(conn, HALVES)).unwrap();
        writer.close(None).unwrap();
        let (say, said) = channel();
        let running = (0..PROCESSES).map(|process| {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    &format!("sqlite::writer::tests::concurrent::{test}"),
                ])
                .args(["--nocapture", "--test-threads=1"])
                .env(PATH, &path)
                .env(PROCESS, process.to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let say: Sender<Line> = say.clone();
            std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    // The test may be over by now.
                    drop(say.send((process, line)));
                }
            });
            let input = child.stdin.take();
            (child, input)
        });
        let mut children = Self {
            running: running.collect(),
            folder,
            said,
        };
        for _ in 0..PROCESSES {
            children.await_line("ready", &mut Vec::new());
        }
        children
    }

    fn tell(&mut self, process: usize, line: &str) {
        let (_, input) = &mut self.running[process];
        input
            .as_mut()
            .unwrap()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    fn tell_all(&mut self, line: &str) {
        (0..PROCESSES).for_each(|process| self.tell(process, line));
    }

    /// Reads on to the next line that begins so. Fails once no child can say anything any more, or
    /// none does for long.
    fn await_line(&mut self, beginning: &str, said: &mut Vec<Line>) {
        loop {
            let line = self.said.recv_timeout(LONG).expect("a child says it");
            let found = line.1.starts_with(beginning);
            said.push(line);
            if found {
                return;
            }
        }
    }

    /// SIGKILL; what the child has said until then is still to be read.
    fn kill(&mut self, process: usize) {
        let (child, _) = &mut self.running[process];
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
    }

    /// Lets the rest come to their end, which must be a good one, and returns what was still said.
    fn stop(&mut self, killed: &[usize]) -> Vec<Line> {
        for (process, (child, input)) in self.running.iter_mut().enumerate() {
            drop(input.take());
            if !killed.contains(&process) {
                assert!(child.wait().unwrap().success(), "process {process}");
            }
        }
        self.said.iter().collect()
    }

    fn number(&self, sql: &str) -> i64 {
        let url = DatabaseUrl::SqliteFile(self.folder.path().join("shared.db"));
        let mut connection = crate::Connection::open_beside(&url, crate::Access::ReadWrite);
        let crate::Conn::Sqlite(conn) = connection.conn() else {
            unreachable!();
        };
        number(conn, sql)
    }

    /// Every write is there once and whole: nothing lost, nothing half done. Returns how many.
    fn check(&self) -> i64 {
        let damaged =
            "SELECT count(*) AS n FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
        assert_eq!(self.number(damaged), 0);
        let halves = "SELECT count(*) AS n FROM half_a JOIN half_b USING (id, process, thread)";
        let whole = self.number(halves);
        for table in ["half_a", "half_b"] {
            let rows = self.number(&format!("SELECT count(*) AS n FROM {table}"));
            assert_eq!(rows, whole, "half a write in {table}");
        }
        assert_eq!(self.number("SELECT n FROM total"), whole, "a lost update");
        whole
    }

    /// What a process was told that it had written is there, and nothing that no thread of it can
    /// have written. Returns the writes of each process.
    fn has_what_was_answered(&self, said: &[Line]) -> [i64; PROCESSES] {
        std::array::from_fn(|process| {
            let rows = self.number(&format!(
                "SELECT count(*) AS n FROM half_a WHERE process = {process}"
            ));
            let answered = batches(said, process) * BATCH;
            let open = i64::try_from(THREADS).unwrap() * BATCH;
            let possible = answered..=answered + open;
            assert!(
                possible.contains(&rows),
                "process {process}: {rows} of {possible:?}"
            );
            rows
        })
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for (child, _) in &mut self.running {
            // Of a test that failed; an ended one is no trouble.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn batches(lines: &[Line], process: usize) -> i64 {
    let said = lines
        .iter()
        .filter(|(who, line)| *who == process && line.starts_with("answered"));
    i64::try_from(said.count()).unwrap()
}

#[test]
fn four_processes_share_one_file_and_lose_nothing() {
    if let Some((writer, process)) = child() {
        return write_until_told(&writer, process);
    }
    let mut children = Children::start("four_processes_share_one_file_and_lose_nothing");
    children.tell_all("go");
    let mut said = Vec::new();
    // Equal shares are for a quiet machine; here, everybody gets on.
    let begun = Instant::now();
    while said.len() < 400 || (0..PROCESSES).any(|process| batches(&said, process) < 20) {
        children.await_line("answered", &mut said);
        assert!(begun.elapsed() < LONG, "a process gets nothing done");
    }
    said.extend(children.stop(&[]));
    children.check();
    children.has_what_was_answered(&said);
}

/// Whether a process sleeps until it gets the lock of a side file, as the kernel tells it.
fn somebody_waits_for(file: &Path) -> bool {
    // `7: -> FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`
    let inode = format!(":{}", file.metadata().unwrap().ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.any(|word| word == "->") && words.any(|word| word.ends_with(&inode))
    })
}

/// The turnstile's promise: while one process writes, another one waits, and then it is next,
/// however much the first one has still to do.
#[test]
fn a_process_that_waits_is_not_passed() {
    const WAITING: usize = 1;
    if let Some((writer, process)) = child() {
        say("ready");
        return match process {
            0 => {
                await_told("go");
                write_with_more_to_come(&writer, process);
            }
            WAITING => {
                await_told("go");
                let written = writer.run(None, |conn| half_and_half(conn, process, 0, || ()));
                written.unwrap();
            }
            _ => (),
        };
    }
    let mut children = Children::start("a_process_that_waits_is_not_passed");
    let mut said = Vec::new();
    children.tell(0, "go");
    children.await_line("inside, 3 behind", &mut said);
    children.tell(WAITING, "go");
    let turn = children.folder.path().join("shared.db-turn");
    let asked = Instant::now();
    while !somebody_waits_for(&turn) {
        assert!(asked.elapsed() < LONG, "nobody waits at the turnstile");
        std::thread::yield_now();
    }
    children.tell(0, "go");
    children.stop(&[]);
    assert_eq!(children.check(), 5);
    let second = children.number("SELECT process AS n FROM half_a WHERE id = 2");
    assert_eq!(second, i64::try_from(WAITING).unwrap());
}

#[test]
fn a_process_killed_inside_a_write_leaves_nothing_of_it_and_stops_nobody() {
    if let Some((writer, process)) = child() {
        if process == 0 {
            return write_and_stick(&writer, process);
        }
        return write_until_told(&writer, process);
    }
    let mut children =
        Children::start("a_process_killed_inside_a_write_leaves_nothing_of_it_and_stops_nobody");
    children.tell_all("go");
    let mut said = Vec::new();
    children.await_line("inside", &mut said);
    // It holds the turn and SQLite's lock, so this stands still until the kill.
    let before = children.number("SELECT n FROM total");
    children.kill(0);
    for _ in 0..200 {
        children.await_line("answered", &mut said);
    }
    said.extend(children.stop(&[0]));
    let whole = children.check();
    let after = |who: &str| {
        let sql = format!(
            "SELECT count(DISTINCT process) AS n FROM half_a WHERE id > {before} AND {who}"
        );
        children.number(&sql)
    };
    assert_eq!(after("process = 0"), 0);
    assert_eq!(
        after("process > 0"),
        3,
        "of {whole}, {before} before the kill"
    );
    children.has_what_was_answered(&said);
}

#[test]
fn processes_killed_at_any_moment_leave_whole_writes_and_all_that_they_answered() {
    if let Some((writer, process)) = child() {
        return write_until_told(&writer, process);
    }
    for round in 1..=5 {
        let mut children = Children::start(
            "processes_killed_at_any_moment_leave_whole_writes_and_all_that_they_answered",
        );
        children.tell_all("go");
        let mut said = Vec::new();
        for victim in 0..PROCESSES - 1 {
            for _ in 0..round * 7 {
                children.await_line("answered", &mut said);
            }
            children.kill(victim);
        }
        let left = PROCESSES - 1;
        let so_far = batches(&said, left);
        while batches(&said, left) < so_far + 20 {
            children.await_line("answered", &mut said);
        }
        said.extend(children.stop(&[0, 1, 2]));
        children.check();
        children.has_what_was_answered(&said);
    }
}
