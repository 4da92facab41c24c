//! Runs one command as a whole process and measures its time and its peak memory.
//!
//! The kernel hands the peak of the parent's memory on to a child that is started by `fork` and
//! `exec`, as the floor of the child's own peak. So the measured command is not started by the
//! bench itself, which has grown, but by a fresh copy of it (`bench measure -- COMMAND`) that
//! does nothing else and prints what it saw. Reading `VmHWM` from `/proc` instead would race
//! with the end of the process.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use db_core::redact;
use serde::{Deserialize, Serialize};
use wait4::Wait4 as _;

/// Variables that would change what the tools do, and are set on developers' machines.
const REMOVED: [&str; 5] = [
    "DATABASE_URL",
    "BITCRAPS_DATABASE_URL",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "PGOPTIONS",
];

/// How much of a failed command's output an error shows.
const SHOWN_LINES: usize = 12;

/// A command to measure.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// Variables to set.
    pub(crate) env: Vec<(&'static str, String)>,
    /// The working directory: an empty one, so that no tool finds a configuration.
    pub(crate) dir: PathBuf,
}

/// What one run of a command took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    wall_ns: u64,
    /// The largest resident memory.
    pub(crate) peak_bytes: u64,
    code: Option<i32>,
}

impl Usage {
    /// The time from start to end.
    pub(crate) const fn wall(&self) -> Duration {
        Duration::from_nanos(self.wall_ns)
    }
}

impl Invocation {
    /// Runs it and demands success: a failed run has no time worth keeping.
    ///
    /// # Errors
    /// If it cannot be started or does not exit 0; the error ends with what it wrote.
    pub(crate) fn measure(&self) -> Result<Usage> {
        let mut measurer = Command::new(std::env::current_exe()?);
        measurer
            .args(["measure", "--"])
            .arg(&self.program)
            .args(&self.args);
        let output = self
            .prepare(&mut measurer)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{}: not measured\n{}", self.line(), tail(&said));
        }
        let usage: Usage = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{}: the measurer wrote no figures", self.line()))?;
        if usage.code != Some(0) {
            bail!(
                "{}: exit code {:?}\n{}",
                self.line(),
                usage.code,
                tail(&said)
            );
        }
        Ok(usage)
    }

    /// Runs it to its end and demands success; returns what it wrote on standard output.
    ///
    /// # Errors
    /// If it cannot be started or does not exit 0.
    pub(crate) fn answer(&self) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        let output = self
            .prepare(&mut command)
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{}: {}\n{}", self.line(), output.status, tail(&said));
        }
        Ok(output.stdout)
    }

    /// Starts it without waiting, its output discarded.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(&self) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        self.prepare(&mut command)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// Runs it to its end; returns whether it exited 0, and what it wrote on standard error.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn outcome(&self) -> Result<(bool, String)> {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        let output = self
            .prepare(&mut command)
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }

    fn prepare<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        for variable in REMOVED {
            command.env_remove(variable);
        }
        command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("NO_COLOR", "1")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
    }

    fn line(&self) -> String {
        let args: Vec<_> = self
            .args
            .iter()
            .map(|arg| redact(&arg.to_string_lossy()))
            .collect();
        format!("{} {}", self.program.display(), args.join(" "))
    }
}

/// The `measure` area: runs the command, prints its [`Usage`] as JSON on stdout.
///
/// # Errors
/// If there is no command, or it cannot be started or waited for.
pub(crate) fn measure(command: &[OsString]) -> Result<()> {
    let Some((program, args)) = command.split_first() else {
        bail!("nothing to measure: measure -- COMMAND [ARGS]");
    };
    let begin = Instant::now();
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.to_string_lossy()))?;
    let used = child.wait4()?;
    let wall = begin.elapsed();
    let usage = Usage {
        wall_ns: u64::try_from(wall.as_nanos())?,
        peak_bytes: used.rusage.maxrss,
        code: used.status.code(),
    };
    println!("{}", serde_json::to_string(&usage)?);
    Ok(())
}

/// The last lines of what a program wrote.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_last_lines_only() {
        let lines: Vec<String> = (0..40).map(|line| line.to_string()).collect();
        let text = lines.join("\n");
        let shown = tail(&text);
        assert!(
            shown.starts_with("28\n") && shown.ends_with("39"),
            "{shown}"
        );
        assert_eq!(tail("one"), "one");
    }

    #[test]
    fn no_command_is_an_error() {
        assert!(measure(&[]).is_err());
    }
}
