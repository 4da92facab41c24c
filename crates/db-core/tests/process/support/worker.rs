//! Another process: this very test binary, started again for the same test.
//!
//! It is told its file and its words in the environment, says lines on its standard output, and
//! reads lines from its standard input.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

const PATH: &str = "BITCRAPS_TEST_WORKER_PATH";
const WORDS: &str = "BITCRAPS_TEST_WORKER_WORDS";

/// What marks a line of a worker among those of the test harness.
const MARK: &str = "@ ";

/// What a worker was started with.
pub(crate) struct Role {
    pub(crate) path: PathBuf,
    pub(crate) words: Vec<String>,
}

impl Role {
    /// The word at this place as a number.
    pub(crate) fn number(&self, at: usize) -> u64 {
        self.words[at].parse().unwrap()
    }
}

/// What this process was started with, if it is a worker.
pub(crate) fn role() -> Option<Role> {
    let path = std::env::var_os(PATH)?.into();
    let words = std::env::var(WORDS).unwrap();
    // Ends the line that the harness has begun.
    write("\n");
    Some(Role {
        path,
        words: words.split_whitespace().map(str::to_owned).collect(),
    })
}

/// Says a line to the parent. It is in the pipe when this returns, whatever becomes of us.
pub(crate) fn say(line: impl Display) {
    write(&format!("{MARK}{line}\n"));
}

/// In one call of the system, past the harness, which holds back what is printed.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Waits for a line of the parent.
pub(crate) fn await_line(line: &str) {
    assert_eq!(std::io::stdin().lines().next().unwrap().unwrap(), line);
}

/// Waits until the parent has no more to say.
pub(crate) fn await_input() {
    assert!(std::io::stdin().lines().next().is_none());
}

/// Runs the test in a process of its own, whose limits and whose SQLite are nobody else's. It ends by
/// saying `done`.
#[track_caller]
pub(crate) fn alone(test: &str, body: impl FnOnce(&Role)) {
    if let Some(role) = role() {
        return body(&role);
    }
    let worker = Worker::start(test, Path::new(""), &[]);
    worker.await_said("done");
    worker.finish();
}

/// A running worker; killed when dropped.
pub(crate) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the worker of `test`, the path of that test.
    pub(crate) fn start(test: &str, path: &Path, words: &[&dyn Display]) -> Self {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(PATH, path)
            .env(WORDS, words.join(" "))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        let reader = std::thread::spawn(move || {
            let said = output.lines().map_while(Result::ok);
            for line in said {
                if let Some(line) = line.strip_prefix(MARK) {
                    // The test may be over by now.
                    drop(send.send(line.to_owned()));
                }
            }
        });
        Self {
            input: child.stdin.take(),
            child,
            lines,
            reader: Some(reader),
        }
    }

    /// The next line, none when the worker is gone.
    pub(crate) fn line(&self) -> Option<String> {
        self.lines.recv().ok()
    }

    /// Waits for this line, and returns those before it.
    #[track_caller]
    pub(crate) fn await_said(&self, wanted: &str) -> Vec<String> {
        let mut before = Vec::new();
        while let Some(line) = self.line() {
            if line == wanted {
                return before;
            }
            before.push(line);
        }
        panic!("the worker ended without {wanted:?}: {before:?}");
    }

    /// Says a line to it.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL. Returns what it has said until then and was not yet heard.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let (_, rest) = self.wait();
        rest
    }

    /// Ends its input, and waits until it has ended well.
    #[track_caller]
    pub(crate) fn finish(self) -> Vec<String> {
        let (status, rest) = self.end();
        assert!(status.success(), "{status}: {rest:?}");
        rest
    }

    /// Ends its input, and waits for its end.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>) {
        drop(self.input.take());
        self.wait()
    }

    fn wait(&mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, self.lines.try_iter().collect())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.reader.is_some() {
            // Of a test that failed.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
