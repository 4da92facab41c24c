//! Freezing a server: it keeps its connections, and answers nothing.

use std::fs;
use std::process::Command;

use crate::cluster::Cluster;
use crate::{Error, Run};

/// A server that stands still; dropping this lets it run on.
#[derive(Debug)]
pub struct Frozen {
    pids: Vec<u32>,
    run: Run,
}

impl Cluster {
    /// Stops the postmaster and all its processes with SIGSTOP.
    ///
    /// # Errors
    /// If they cannot be found or signalled.
    pub fn freeze(&self) -> Result<Frozen, Error> {
        let file = self.data().join("postmaster.pid");
        let postmaster = fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.lines().next()?.trim().parse().ok())
            .ok_or_else(|| Error::new(format!("no process id in {}", file.display())))?;
        // The postmaster first: it makes no further process then.
        let mut frozen = Frozen {
            pids: vec![postmaster],
            run: self.host.run,
        };
        signal(self.host.run, "STOP", &[postmaster])?;
        let children = children(self.host.run, postmaster)?;
        frozen.pids.extend(&children);
        signal(self.host.run, "STOP", &children)?;
        Ok(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // One that has ended meanwhile needs no waking.
        for pid in &self.pids {
            drop(signal(self.run, "CONT", &[*pid]));
        }
    }
}

fn children(run: Run, parent: u32) -> Result<Vec<u32>, Error> {
    let all = run(Command::new("ps").args(["-A", "-o", "ppid=,pid="]))?;
    let pairs = all.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    Ok(pairs
        .filter(|(of, _)| *of == parent)
        .map(|(_, pid)| pid)
        .collect())
}

/// By the `kill` of the shell: the standard library has none.
fn signal(run: Run, name: &str, pids: &[u32]) -> Result<(), Error> {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "name=$1; shift; kill -s \"$name\" \"$@\"",
        "kill",
        name,
    ]);
    command.args(pids.iter().map(u32::to_string));
    run(&mut command).map(drop)
}
