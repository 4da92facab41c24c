//! Signals to a server: frozen, it keeps its connections and answers nothing; killed, it has no time to
//! write anything.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::{Error, Run};

/// How long processes may take to be gone after SIGKILL, also on a loaded machine.
const GONE: Duration = Duration::from_mins(1);

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
        let postmaster = self.postmaster()?;
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

    /// Kills the postmaster and all its processes with SIGKILL, and waits until they are gone: what a
    /// server is left with when the machine's memory runs out. [`start_again`](Self::start_again)
    /// recovers it.
    ///
    /// # Errors
    /// If they cannot be found or signalled, or do not go.
    #[expect(
        clippy::disallowed_methods,
        reason = "nobody tells when a process that is no child of ours is gone"
    )]
    pub fn kill(&self) -> Result<(), Error> {
        let run = self.host.run;
        let frozen = self.freeze()?;
        signal(run, "KILL", &frozen.pids)?;
        let until = Instant::now() + GONE;
        while frozen.pids.iter().any(|pid| lives(run, *pid)) {
            if Instant::now() > until {
                return Err(Error::new("the killed server is still there"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // A dead postmaster keeps its number until its parent has fetched it, which the first process
        // of a container may never do; the next one would take it for alive.
        let file = self.data().join("postmaster.pid");
        fs::remove_file(&file)
            .map_err(|e| Error::new(format!("cannot remove {}: {e}", file.display())))
    }

    /// Kills the server's process of one client with SIGKILL, upon which the postmaster ends all
    /// others and recovers. `which` chooses among them; false if there is no client.
    ///
    /// # Errors
    /// If they cannot be found.
    pub fn kill_backend(&self, which: usize) -> Result<bool, Error> {
        let run = self.host.run;
        let all = run(Command::new("ps").args(["-A", "-o", "ppid=,pid=,args="]))?;
        let postmaster = self.postmaster()?;
        let clients: Vec<u32> = all
            .lines()
            .filter_map(|line| client_of(postmaster, line))
            .collect();
        let Some(at) = which.checked_rem(clients.len()) else {
            return Ok(false);
        };
        // One that has ended by itself meanwhile was none to kill.
        Ok(signal(run, "KILL", &clients[at..=at]).is_ok())
    }

    fn postmaster(&self) -> Result<u32, Error> {
        let file = self.data().join("postmaster.pid");
        fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.lines().next()?.trim().parse().ok())
            .ok_or_else(|| Error::new(format!("no process id in {}", file.display())))
    }
}

/// The process of a line of `ps`, if it serves a client of this postmaster: its title ends in the
/// client's address and what it does.
fn client_of(postmaster: u32, line: &str) -> Option<u32> {
    let mut words = line.split_whitespace();
    let parent: u32 = words.next()?.parse().ok()?;
    let pid = words.next()?.parse().ok()?;
    (parent == postmaster && words.any(|word| word.starts_with("127.0.0.1("))).then_some(pid)
}

/// Whether a process is there, and more than an entry that nobody has fetched.
fn lives(run: Run, pid: u32) -> bool {
    let mut ps = Command::new("ps");
    ps.args(["-o", "stat=", "-p", &pid.to_string()]);
    run(&mut ps).is_ok_and(|state| !state.trim_start().starts_with('Z'))
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

#[cfg(test)]
mod tests {
    use super::client_of;

    #[test]
    fn only_clients_of_this_server_are_found() {
        for (line, expected) in [
            (
                "  7  12 postgres: postgres db 127.0.0.1(4711) idle",
                Some(12),
            ),
            ("  8  12 postgres: postgres db 127.0.0.1(4711) idle", None),
            ("  7  13 postgres: checkpointer", None),
            ("", None),
        ] {
            assert_eq!(client_of(7, line), expected, "{line}");
        }
    }
}
