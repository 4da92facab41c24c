//! Processes that are killed by SIGKILL: after a random part of their usual time, or at one of their steps.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use tempfile::TempDir;

use crate::tools::need;

/// What a worker is to do.
const TASK: &str = "BITCRAPS_TEST_TASK";

/// The step at which a worker kills itself; without one it runs on.
const STEP: &str = "BITCRAPS_TEST_STEP";

/// The file in which a worker tells how many steps there were.
const STEPS: &str = "BITCRAPS_TEST_STEPS";

/// Between two looks whether a process has ended by itself.
const LOOK: Duration = Duration::from_micros(200);

/// No process of a test takes so long.
const LONG: Duration = Duration::from_mins(10);

/// Whether a process was killed, and did not end by itself.
#[must_use]
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// Runs a process to its end, and tells how long that took.
///
/// # Panics
/// If it does not end well.
#[track_caller]
pub fn whole(command: &mut Command) -> Duration {
    let began = Instant::now();
    let status = ended(command);
    assert!(status.success(), "{command:?}: {status}");
    began.elapsed()
}

/// How a process ended, whether well or not.
///
/// # Panics
/// If it cannot be started, or has not ended after ten minutes.
#[track_caller]
pub fn ended(command: &mut Command) -> ExitStatus {
    let until = Instant::now() + LONG;
    let mut child = told(command.spawn());
    loop {
        if let Some(status) = told(child.try_wait()) {
            return status;
        }
        if Instant::now() >= until {
            drop(child.kill());
            told(child.wait());
            panic!("waited in vain for the end of {command:?}");
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Kills a process after this part, from 0 to 1, of its usual time. One that had ended by then is faster than it
/// used to be, and that is its usual time from now on.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn midway(command: &mut Command, usual: &mut Duration, part: f64) -> ExitStatus {
    let began = Instant::now();
    let until = began + usual.mul_f64(part);
    let mut child = told(command.spawn());
    while Instant::now() < until && told(child.try_wait()).is_none() {
        std::thread::park_timeout(LOOK);
    }
    // It may have ended meanwhile.
    drop(child.kill());
    let status = told(child.wait());
    if !was_killed(status) {
        *usual = (*usual).min(began.elapsed());
    }
    status
}

/// This very test binary, started again for one of its tests, which asks [`Work::of_this_process`] what to do.
#[derive(Debug)]
pub struct Worker {
    test: &'static str,
    task: String,
    folder: TempDir,
}

/// What a worker takes when nobody kills it.
#[derive(Debug, Clone, Copy)]
pub struct Usual {
    steps: u64,
    time: Duration,
}

impl Worker {
    /// A worker that is the test of this name, path and all, with what it is to do.
    ///
    /// # Panics
    /// If no temporary folder can be made.
    #[must_use]
    pub fn new(test: &'static str, task: impl Into<String>) -> Self {
        Self {
            test,
            task: task.into(),
            folder: told(TempDir::new()),
        }
    }

    /// The command that starts it. It says nothing.
    ///
    /// # Panics
    /// If nobody knows where this binary is.
    #[must_use]
    pub fn command(&self) -> Command {
        self.by(Command::new(told(std::env::current_exe())))
    }

    /// The same by a program that starts another one, such as `strace`, whose arguments are complete but for that.
    ///
    /// # Panics
    /// As [`command`](Self::command).
    #[must_use]
    pub fn command_by(&self, mut program: Command) -> Command {
        program.arg(told(std::env::current_exe()));
        self.by(program)
    }

    fn by(&self, mut command: Command) -> Command {
        command
            .args(["--exact", self.test, "--nocapture", "--test-threads=1"])
            .env(TASK, &self.task)
            .env(STEPS, self.steps())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn steps(&self) -> PathBuf {
        self.folder.path().join("steps")
    }

    /// Runs it to its end, and tells what that took.
    ///
    /// # Panics
    /// If it does not end well.
    #[track_caller]
    pub fn whole(&self) -> Usual {
        let time = whole(&mut self.command());
        let steps = self.told();
        Usual { steps, time }
    }

    /// How many steps the last one that ended by itself took.
    fn told(&self) -> u64 {
        let steps = told(fs::read_to_string(self.steps()));
        steps.parse().unwrap_or_else(|_| panic!("{steps} steps"))
    }

    /// Kills it: every second one at a step, the others after a part of the time. `random` gives a number below
    /// another one. Whether it was in time is told; one that was not tells what is usual from now on, as how many
    /// steps there are may depend on how fast others write.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn kill(&self, usual: &mut Usual, random: &mut dyn FnMut(u64) -> u64) -> bool {
        let mut command = self.command();
        let status = if random(2) == 0 {
            command.env(STEP, random(usual.steps).to_string());
            ended(&mut command)
        } else {
            let part = Duration::from_millis(random(1_000)).as_secs_f64();
            midway(&mut command, &mut usual.time, part)
        };
        if status.success() {
            usual.steps = self.told();
        }
        was_killed(status)
    }
}

/// What a worker does, and how far it is.
#[derive(Debug)]
pub struct Work {
    /// What it was told.
    pub task: String,
    last: Option<u64>,
    steps: u64,
}

impl Work {
    /// What this process is to do, if it is a worker.
    ///
    /// # Panics
    /// If it was told nonsense.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let task = std::env::var(TASK).ok()?;
        let number = |text: String| text.parse().unwrap_or_else(|_| panic!("step {text}"));
        let last = std::env::var(STEP).ok().map(number);
        Some(Self {
            task,
            last,
            steps: 0,
        })
    }

    /// One step on, unless this one was to be the last.
    ///
    /// # Panics
    /// If it cannot kill itself.
    pub fn step(&mut self) {
        if self.last == Some(self.steps) {
            told(kill_process(getpid(), Signal::KILL).map_err(io::Error::from));
        }
        self.steps += 1;
    }

    /// All is done: it tells how many steps that took.
    ///
    /// # Panics
    /// If nobody wants to know.
    pub fn done(self) {
        let Some(file) = std::env::var_os(STEPS) else {
            panic!("{STEPS} is not set")
        };
        told(fs::write(file, self.steps.to_string()));
    }
}

/// Calls of the system before which a process is killed.
#[derive(Debug, Clone, Copy)]
pub struct Calls<'a> {
    /// Their names.
    pub names: &'a [&'a str],
    /// Those that the file system does not know: they fail.
    pub unknown: &'a [&'a str],
}

/// Starts a program by `strace` again and again, killed just before its first call of a name, then before its second,
/// and so on until it ends by itself; and so for each name, as `strace` counts the calls of each on their own. `run`
/// completes the command by a program, runs it, looks at what is left, and tells whether it ended by itself. `next`
/// follows a number: 1 for every call. Tells how many were killed.
///
/// # Panics
/// If there is no `strace`.
#[track_caller]
pub fn before_each_call(
    calls: Calls<'_>,
    next: impl Fn(u64) -> u64,
    mut run: impl FnMut(Command, &str) -> bool,
) -> u64 {
    need("strace", "strace");
    let mut kills = 0;
    for name in calls.names {
        let mut at = 1;
        loop {
            let inject = format!("inject=?{name}:signal=KILL:when={at}");
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject]);
            let mut traced = format!("trace=?{name}");
            for unknown in calls.unknown {
                strace.args(["-e", &format!("inject=?{unknown}:error=EPERM")]);
                traced.push_str(",?");
                traced.push_str(unknown);
            }
            strace.args(["-e", &traced, "--"]);
            if run(strace, &format!("{name} {at}")) {
                break;
            }
            kills += 1;
            at = next(at);
        }
    }
    kills
}

/// For how long a disk is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// For one call.
    Once,
    /// For that one and all after it of its name.
    ForGood,
}

/// Starts a program by `strace` again and again, whose first call of a name fails as on a disk that is broken, then
/// its second, and so on until there is none that could; and so for each name. `run` completes the command by a
/// program, runs it, and looks at what is left. `next` follows a number: 1 for every call. Tells how many failed.
///
/// # Panics
/// If there is no `strace`.
#[track_caller]
pub fn failing_at_each_call(
    names: &[&str],
    broken: Broken,
    next: impl Fn(u64) -> u64,
    mut run: impl FnMut(Command, &str),
) -> u64 {
    need("strace", "strace");
    let folder = told(TempDir::new());
    let log = folder.path().join("trace");
    let mut failures = 0;
    for name in names {
        let mut at = 1;
        loop {
            let on = if broken == Broken::Once { "" } else { "+" };
            let inject = format!("inject=?{name}:error=EIO:when={at}{on}");
            let mut strace = Command::new("strace");
            strace.args([
                "-f",
                "-qq",
                "-e",
                &inject,
                "-e",
                &format!("trace=?{name}"),
                "-o",
            ]);
            strace.arg(&log).arg("--");
            run(strace, &format!("{name} {at}"));
            if !told(fs::read_to_string(&log)).contains("(INJECTED)") {
                break;
            }
            failures += 1;
            at = next(at);
        }
    }
    failures
}

/// A test whose processes cannot be had has failed.
#[track_caller]
fn told<T>(result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
