//! Child processes that end with us.
//!
//! Each child leads a process group of its own. An interrupt (Ctrl-C, SIGTERM, SIGHUP) goes to
//! the whole group, so that test programs end together with the `cargo test` that started
//! them; then everything unwinds as after a failure, and what was started is cleared away.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The signal that interrupted us, 0 for none.
static INTERRUPTED: AtomicU8 = AtomicU8::new(0);

/// The process groups of the children that run now.
///
/// Held while a child is started, so that a signal either prevents the start or finds it here.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Starts to listen for signals; call it once, before the first child.
pub(crate) fn catch_interrupts() -> Result<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                let number = u8::try_from(signal).unwrap_or(u8::MAX);
                let first = INTERRUPTED.swap(number, Ordering::SeqCst) == 0;
                let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
                for group in running.iter() {
                    // Whoever presses Ctrl-C twice does not want to wait any longer.
                    signal_group(*group, if first { "TERM" } else { "KILL" });
                }
            }
        })
        .context("cannot start the thread that listens for signals")?;
    Ok(())
}

/// The signal that interrupted us, if one did.
pub(crate) fn interrupted() -> Option<u8> {
    match INTERRUPTED.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

/// Runs a command on our own terminal; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = Running::start(command)?.wait()?;
    check(command, status)
}

/// Runs a command and returns what it wrote to stdout; on failure the error holds its stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command)?;
    let stderr = running.child.stderr.take();
    let errors = thread::spawn(move || read_all(stderr));
    let text = read_all(running.child.stdout.take());
    let status = running.wait()?;
    let errors = errors.join().unwrap_or_default();
    check(command, status).with_context(|| errors.trim_end().to_owned())?;
    Ok(text)
}

/// Runs a command, passes its stdout on to `out` line by line, and shows each line to `see`.
pub(crate) fn stream(
    command: &mut Command,
    out: &mut impl Write,
    mut see: impl FnMut(&str),
) -> Result<ExitStatus> {
    command.stdout(Stdio::piped());
    let mut running = Running::start(command)?;
    if let Some(stdout) = running.child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .context("cannot read the output")?
            > 0
        {
            out.write_all(&line).context("cannot pass the output on")?;
            see(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    running.wait()
}

/// Whether a command can be run and succeeds; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    output(command).is_ok()
}

fn read_all(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        // What could be read until an error is still worth showing.
        drop(from.read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if interrupted().is_some() {
        bail!("interrupted");
    }
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// A running child; one that is dropped before it was waited for is ended.
struct Running {
    child: Child,
    done: bool,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if interrupted().is_some() {
            bail!("interrupted");
        }
        // No child asks questions: CI has no stdin, and a group of its own may not read
        // from the terminal anyway.
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run `{}`", shown(command)))?;
        running.push(child.id());
        Ok(Self { child, done: false })
    }

    fn wait(mut self) -> Result<ExitStatus> {
        let status = self
            .child
            .wait()
            .context("cannot wait for a child process")?;
        self.done = true;
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.done {
            signal_group(self.child.id(), "TERM");
            drop(self.child.wait());
        }
        let group = self.child.id();
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|running| *running != group);
    }
}

/// Sends a signal to a process group, by the shell's `kill`: the standard library has none.
fn signal_group(group: u32, signal: &str) {
    let kill = Command::new("sh")
        .args([
            "-c",
            "kill -s \"$1\" -- \"-$2\" 2>/dev/null",
            "kill",
            signal,
            &group.to_string(),
        ])
        .stdin(Stdio::null())
        .status();
    if let Err(error) = kill {
        eprintln!("warning: cannot signal process group {group}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Command;

    use super::{Running, output, run, stream};

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_stdout_and_errors_hold_stderr() {
        assert_eq!(output(&mut sh("echo out; echo err >&2")).unwrap(), "out\n");
        let error = format!("{:#}", output(&mut sh("echo why >&2; exit 3")).unwrap_err());
        assert!(
            error.contains("why") && error.contains("exit status: 3"),
            "{error}"
        );
    }

    #[test]
    fn much_on_both_pipes_does_not_block() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo 1234567; echo 1234567 >&2; \
                      i=$((i+1)); done";
        assert_eq!(output(&mut sh(script)).unwrap().len(), 160_000);
    }

    #[test]
    fn lines_are_seen_while_they_pass() {
        let (mut out, mut seen) = (Vec::new(), Vec::new());
        let status = stream(&mut sh("echo a; printf b; exit 4"), &mut out, |line| {
            seen.push(line.to_owned());
        });
        assert_eq!(status.unwrap().code(), Some(4));
        assert_eq!(seen, ["a\n", "b"]);
        assert_eq!(out, b"a\nb");
    }

    #[test]
    fn nobody_can_ask() {
        run(&mut sh("! read -r line")).unwrap();
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program"))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "cannot run `no-such-program`");
    }

    #[test]
    fn grandchildren_end_with_a_child_that_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        output(Command::new("mkfifo").arg(&pipe)).unwrap();
        let script = format!("sh -c 'exec sleep 600' > '{}' & wait", pipe.display());
        let running = Running::start(&mut sh(&script)).unwrap();
        // Opens when the grandchild holds the other end, and ends when nobody does any more.
        let mut reader = std::fs::File::open(&pipe).unwrap();
        drop(running);
        assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
}
