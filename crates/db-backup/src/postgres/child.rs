//! One run of a program: its own process group, its last words kept, and ended when we are to stop.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use db_core::{DatabaseUrl, Interrupt};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::Error;

/// How often a run looks whether it is to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// Glances between asking a program to end and ending it: five seconds.
const PATIENCE: u32 = 100;

/// Lines of a program's complaint that are kept: the last ones say why it ended.
const LINES_KEPT: usize = 40;

/// Bytes of one line that are kept.
const LINE_KEPT: usize = 4096;

/// How programs of PostgreSQL end that have found something, and those that could not look.
const FOUND: i32 = 1;

/// What they say then, in the words of the system. `LC_MESSAGES` is set.
const LACKING: [&str; 5] = [
    "out of memory",
    ": Cannot allocate memory",
    ": Too many open files",
    ": Resource temporarily unavailable",
    ": Input/output error",
];

/// Bytes of the pipe that a program writes into: what Linux allows everyone.
#[cfg(target_os = "linux")]
const PIPE: usize = 1 << 20;

/// A running program. Dropping it ends the program.
#[derive(Debug)]
pub(super) struct Run {
    program: String,
    child: Child,
    stdout: Option<ChildStdout>,
    stdin: Option<ChildStdin>,
    words: Option<JoinHandle<Vec<String>>>,
    /// Dropped to let the watcher go.
    stop: Option<Sender<()>>,
    watcher: Option<JoinHandle<()>>,
    interrupt: Interrupt,
    /// Ends the program for another reason than the user's.
    quit: Arc<AtomicBool>,
    url: Option<DatabaseUrl>,
    is_over: bool,
}

impl Run {
    /// Starts a program that reads nothing. Its standard output is for [`Run::stdout`].
    ///
    /// What it complains of is shown without the passwords of `url`.
    pub(super) fn start(
        command: &mut Command,
        url: Option<&DatabaseUrl>,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        Self::start_with(command.stdin(Stdio::null()), url, interrupt)
    }

    /// Starts a program that reads what is written to [`Run::stdin`].
    pub(super) fn start_fed(
        command: &mut Command,
        url: Option<&DatabaseUrl>,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        Self::start_with(command.stdin(Stdio::piped()), url, interrupt)
    }

    fn start_with(
        command: &mut Command,
        url: Option<&DatabaseUrl>,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let path = command.get_program().to_owned();
        let program = std::path::Path::new(&path)
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let cannot = |error: &io::Error| Error::ToolFailed {
            tool: program.clone(),
            reason: format!("it could not be started: {error}"),
        };
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The messages are shown to people, and a few are told apart by their text.
            .env("LC_ALL", "C.UTF-8")
            .env("LC_MESSAGES", "C")
            // Ctrl-C on the terminal reaches us, and we end the program ourselves.
            .process_group(0)
            .spawn()
            .map_err(|e| cannot(&e))?;
        let stdout = child.stdout.take();
        if let Some(stdout) = &stdout {
            widen(stdout);
        }
        let stdin = child.stdin.take();
        let stderr = child.stderr.take();
        let (stop, stopped) = channel();
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let quit = Arc::new(AtomicBool::new(false));
        let watched = (interrupt.clone(), Arc::clone(&quit));
        let mut run = Self {
            program: program.clone(),
            child,
            stdout,
            stdin,
            words: None,
            stop: Some(stop),
            watcher: None,
            interrupt: interrupt.clone(),
            quit,
            url: url.cloned(),
            is_over: false,
        };
        let name = |what: &str| std::thread::Builder::new().name(format!("{program} {what}"));
        let words = name("messages").spawn(move || stderr.map_or_else(Vec::new, last_words));
        run.words = Some(words.map_err(|e| cannot(&e))?);
        let watcher = name("watch").spawn(move || watch(group, &watched, &stopped));
        run.watcher = Some(watcher.map_err(|e| cannot(&e))?);
        Ok(run)
    }

    /// Ends the program when it is set, from any thread.
    pub(super) fn quit(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.quit)
    }

    /// What the program writes; once.
    pub(super) fn stdout(&mut self) -> Box<dyn Read + Send> {
        match self.stdout.take() {
            Some(stdout) => Box::new(stdout),
            None => Box::new(io::empty()),
        }
    }

    /// Where the program reads from; once.
    pub(super) fn stdin(&mut self) -> Fed<ChildStdin> {
        Fed(self.stdin.take())
    }

    /// Waits for the end, and returns the messages of a run that succeeded.
    pub(super) fn finish(mut self) -> Result<Vec<String>, Error> {
        // A program that still writes must not wait for us to read.
        drop((self.stdout.take(), self.stdin.take()));
        let (status, words) = self.wait();
        match status {
            Ok(status) if status.success() => Ok(words),
            status => Err(self.failed(status, &words)),
        }
    }

    /// Runs a program that checks something to its end, and returns what it found, if it found something.
    ///
    /// One that was killed or could not be started has found nothing, nor has one for which the system had no memory or
    /// no files left, though it ends as one that has.
    pub(super) fn verdict(
        command: &mut Command,
        interrupt: &Interrupt,
    ) -> Result<Option<String>, Error> {
        let mut run = Self::start(command, None, interrupt)?;
        let read = io::copy(&mut run.stdout(), &mut io::sink());
        let (status, words) = run.wait();
        let code = status.as_ref().ok().and_then(ExitStatus::code);
        match code {
            Some(0) if read.is_ok() => Ok(None),
            Some(FOUND) if is_verdict(&words) && !interrupt.is_set() => Ok(Some(words.join("\n"))),
            _ => Err(run.failed(status, &words)),
        }
    }

    /// What a program that ended badly said.
    fn failed(&self, status: io::Result<ExitStatus>, words: &[String]) -> Error {
        if self.interrupt.is_set() {
            return Error::Interrupted;
        }
        let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
        let text = format!("{}\n({status})", words.join("\n"));
        Error::ToolFailed {
            tool: self.program.clone(),
            reason: match &self.url {
                Some(url) => url.scrub(&text),
                None => text,
            },
        }
    }

    /// Whether it runs no more.
    pub(super) fn has_ended(&mut self) -> bool {
        let has_ended = !matches!(self.child.try_wait(), Ok(None));
        if has_ended {
            // Its number may soon be another's.
            self.dismiss();
        }
        has_ended
    }

    /// Runs a program to its end and returns what it wrote, at most `most` bytes.
    pub(super) fn output(
        command: &mut Command,
        url: Option<&DatabaseUrl>,
        interrupt: &Interrupt,
        most: u64,
    ) -> Result<Vec<u8>, Error> {
        let mut run = Self::start(command, url, interrupt)?;
        let mut bytes = Vec::new();
        let read = run.stdout().take(most).read_to_end(&mut bytes);
        let program = run.program.clone();
        run.finish()?;
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Error::ToolFailed {
                tool: program,
                reason: format!("what it wrote could not be read: {error}"),
            }),
        }
    }

    /// Waits for the end, while the watcher may bring it about.
    fn wait(&mut self) -> (io::Result<ExitStatus>, Vec<String>) {
        // The program's end closes its standard error. The process is reaped after the watcher is gone:
        // until then its number cannot belong to another one.
        let words = self.words.take().and_then(|thread| thread.join().ok());
        self.dismiss();
        let status = self.child.wait();
        self.is_over = true;
        (status, words.unwrap_or_default())
    }

    fn dismiss(&mut self) {
        drop(self.stop.take());
        if let Some(watcher) = self.watcher.take() {
            // It does not panic, and if it did, nothing is left to watch.
            drop(watcher.join());
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        drop((self.stdout.take(), self.stdin.take()));
        self.dismiss();
        if !self.has_ended() {
            let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            end(group, Signal::KILL);
        }
        drop(self.wait());
    }
}

/// Whether a program that ended as one that found something says so, and not that the system gave it too little.
fn is_verdict(words: &[String]) -> bool {
    let says = |what: &str| words.iter().any(|line| line.contains(what));
    // `pg_verifybackup` says so of `pg_waldump` alike if that was killed, which then has said nothing itself.
    let is_silent = says("WAL parsing failed") && !says("pg_waldump: ");
    !words.is_empty() && !is_silent && !LACKING.iter().any(|what| says(what))
}

/// Lets a program write further ahead, so that it and we wait for each other less often.
fn widen(stdout: &ChildStdout) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(stdout, PIPE) {
        tracing::debug!(%error, "the pipe stays as it is");
    }
    #[cfg(not(target_os = "linux"))]
    let _: &ChildStdout = stdout;
}

/// Writes to somebody who may stop reading before the end: what comes then goes nowhere.
#[derive(Debug)]
pub(super) struct Fed<W>(pub(super) Option<W>);

impl<W: Write> Write for Fed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let Some(to) = &mut self.0 else {
            return Ok(buffer.len());
        };
        match to.write(buffer) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.0 = None;
                Ok(buffer.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// Writes the same to two places.
pub(super) struct Tee<'a> {
    pub(super) first: &'a mut dyn Write,
    pub(super) second: &'a mut dyn Write,
}

impl Write for Tee<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.first.write_all(buffer)?;
        self.second.write_all(buffer)?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.first.flush()?;
        self.second.flush()
    }
}

/// Ends the group when a stop is asked for: politely, then not.
fn watch(
    group: Option<Pid>,
    (interrupt, quit): &(Interrupt, Arc<AtomicBool>),
    stopped: &Receiver<()>,
) {
    let mut asked: u32 = 0;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(GLANCE) {
        if !interrupt.is_set() && !quit.load(Ordering::Relaxed) {
            continue;
        }
        if asked == 0 {
            end(group, Signal::TERM);
        } else if asked == PATIENCE {
            end(group, Signal::KILL);
        }
        asked = asked.saturating_add(1);
    }
}

fn end(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // It may have ended by itself meanwhile.
        let _ended = kill_process_group(group, signal);
    }
}

/// The last lines of what a program complains of.
fn last_words(stderr: impl Read) -> Vec<String> {
    let mut lines = VecDeque::new();
    let mut reader = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        // A line without end is cut, and its rest becomes the next one.
        let mut bounded = (&mut reader).take(LINE_KEPT as u64);
        match bounded.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return lines.into(),
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.is_empty() {
            continue;
        }
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a program that says this and ends so.
    fn verdict(words: &str, end: &str) -> Result<Option<String>, Error> {
        let script = format!("echo said; echo '{words}' >&2; {end}");
        let mut command = Command::new("sh");
        Run::verdict(command.args(["-c", script.as_str()]), &Interrupt::default())
    }

    #[test]
    fn a_program_that_checks_says_what_it_found() {
        assert_eq!(verdict("well", "exit 0").unwrap(), None);
        for words in [
            "pg_verifybackup: error: checksum mismatch for file \"base/5/1259\"",
            "pg_verifybackup: error: WAL parsing failed for timeline 1\npg_waldump: error: could not find a valid record",
        ] {
            assert_eq!(verdict(words, "exit 1").unwrap().as_deref(), Some(words));
        }
    }

    #[test]
    fn a_program_that_died_has_found_nothing() {
        let word = "pg_verifybackup: error: checksum mismatch for file \"base/5/1259\"";
        for (words, end) in [
            (word, "kill -9 $$"),
            (word, "exit 2"),
            ("", "exit 1"),
            ("pg_verifybackup: error: out of memory", "exit 1"),
            (
                "pg_verifybackup: error: could not open file \"a\": Too many open files",
                "exit 1",
            ),
            (
                "pg_verifybackup: error: WAL parsing failed for timeline 1",
                "exit 1",
            ),
        ] {
            let ended = verdict(words, end);
            assert!(
                matches!(ended, Err(Error::ToolFailed { .. })),
                "{words}, {end}: {ended:?}"
            );
        }
        let none = Run::verdict(&mut Command::new("/there/is/none"), &Interrupt::default());
        assert!(matches!(none, Err(Error::ToolFailed { .. })), "{none:?}");
    }
}
