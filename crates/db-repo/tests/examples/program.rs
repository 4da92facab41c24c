//! An example that runs.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A test that waits so long has failed.
const LONG: Duration = Duration::from_mins(2);

/// A process, and what it says.
pub(crate) struct Program {
    child: RefCell<Child>,
    said: Receiver<String>,
}

impl Program {
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(built(name))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, said) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The test may be over by now.
                drop(say.send(line));
            }
        });
        Self {
            child: RefCell::new(child),
            said,
        }
    }

    /// The next line that holds this.
    pub(crate) fn line_with(&self, text: &str) -> String {
        loop {
            let line = self.said.recv_timeout(LONG).unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a signal, called by its name without SIG.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.borrow().id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it takes no connection any more, and so has heard of the end.
    pub(crate) fn is_deaf(&self, address: &str) {
        let until = Instant::now() + LONG;
        while TcpStream::connect(address).is_ok() {
            assert!(Instant::now() < until, "it still listens");
            assert!(
                self.child.borrow_mut().try_wait().unwrap().is_none(),
                "it has ended"
            );
            std::thread::yield_now();
        }
    }

    /// Its exit code and all lines that were not asked for before.
    pub(crate) fn ended(self, within: Duration) -> (Option<i32>, Vec<String>) {
        let since = Instant::now();
        // It closes its output when it ends.
        let mut lines = Vec::new();
        while let Some(left) = within.checked_sub(since.elapsed()) {
            match self.said.recv_timeout(left) {
                Ok(line) => lines.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    let code = self.child.borrow_mut().wait().unwrap().code();
                    return (code, lines);
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => break,
            }
        }
        panic!("it runs after {within:?}: {lines:?}");
    }

    /// The same, with exit code 0.
    pub(crate) fn ended_well(self, within: Duration) -> Vec<String> {
        let (code, lines) = self.ended(within);
        assert_eq!(code, Some(0), "{lines:?}");
        lines
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Of a test that failed; an ended one is no trouble.
        let child = self.child.get_mut();
        drop(child.kill());
        drop(child.wait());
    }
}

/// Where Cargo puts examples: beside the folder of this test.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.rs"));
    let changed = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    assert!(
        changed(&program) >= changed(&source),
        "{} is not built, or is older than its source: cargo build -p db-repo --examples",
        program.display()
    );
    program
}
