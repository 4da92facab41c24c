//! Runs the test programs, as many at once as there are cores.
//!
//! Cargo runs them one after the other, and each ends with its slowest test, for which the other
//! cores wait.

use std::collections::VecDeque;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use super::report::Report;
use crate::process;

/// Something to run whose output holds results of tests.
pub(super) struct Job {
    pub(super) name: String,
    pub(super) command: Command,
}

/// Runs all jobs, each to its end, and prints the output of each in one piece; that of a single one
/// as it comes. Says which failed.
pub(super) fn run(jobs: Vec<Job>, lanes: usize, report: &mut Report) -> Result<Vec<String>> {
    let live = jobs.len() == 1;
    let queue = Mutex::new(VecDeque::from(jobs));
    let done = Mutex::new((report, Vec::new()));
    let lane = || -> Result<()> {
        loop {
            let Some(mut job) = lock(&queue).pop_front() else {
                return Ok(());
            };
            let start = Instant::now();
            let mut seen = Report::default();
            let (status, output) = if live {
                println!("     Running {}", job.name);
                let mut out = std::io::stdout();
                (
                    process::stream(&mut job.command, &mut out, |line| seen.read(line))?,
                    Vec::new(),
                )
            } else {
                let mut out = Vec::new();
                (
                    process::stream(&mut job.command, &mut out, |line| seen.read(line))?,
                    out,
                )
            };
            let mut done = lock(&done);
            if !live {
                let seconds = start.elapsed().as_secs_f64();
                println!("     Running {} ({seconds:.1} s)", job.name);
                print!("{}", String::from_utf8_lossy(&output));
            }
            done.0.add(&seen);
            if !status.success() {
                done.1.push(job.name);
            }
        }
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes.max(1)).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().try_for_each(|lane| {
            lane.join()
                .unwrap_or_else(|_| Err(anyhow!("a lane panicked")))
        })
    })?;
    let (_, failed) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(failed)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Job, Report, run};

    fn job(name: &str, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job {
            name: name.to_owned(),
            command,
        }
    }

    #[test]
    fn every_job_runs_and_failures_are_named() {
        let jobs = vec![
            job("one", "echo 'test a::sqlite ... ok'"),
            job("two", "echo 'test b ... FAILED'; exit 101"),
            // Ends without a result: a test program that was killed.
            job("three", "kill -9 $$"),
            job("four", "echo 'test c::postgres ... ok'"),
        ];
        let mut report = Report::default();
        let mut failed = run(jobs, 2, &mut report).unwrap();
        failed.sort();
        assert_eq!(failed, ["three", "two"]);
        assert_eq!(
            report.to_string(),
            "SQLite: 1 passed, 0 failed; PostgreSQL: 1 passed, 0 failed; \
             either or none: 0 passed, 1 failed"
        );
    }

    #[test]
    fn lanes_run_beside_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        // Each end of a pipe opens only when the other does.
        let script = |end: &str| format!("timeout 60 sh -c '{end} \"{}\"'", pipe.display());
        let jobs = vec![
            job("writer", &script("echo >")),
            job("reader", &script("cat")),
        ];
        assert!(run(jobs, 2, &mut Report::default()).unwrap().is_empty());
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let job = Job {
            name: "none".to_owned(),
            command: Command::new("no-such-program"),
        };
        let error = run(vec![job], 2, &mut Report::default()).unwrap_err();
        assert_eq!(error.to_string(), "cannot run `no-such-program`");
    }
}
