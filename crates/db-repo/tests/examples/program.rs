//! An example that runs.

use std::cell::RefCell;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use db_testkit::Started;

/// A test that waits so long has failed.
const LONG: Duration = Duration::from_mins(2);

/// An example, and what it says.
pub(crate) struct Program(RefCell<Started>);

impl Program {
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let started = Started::new(Command::new(built(name)).args(arguments));
        Self(RefCell::new(started))
    }

    /// The next line that holds this.
    pub(crate) fn line_with(&self, text: &str) -> String {
        loop {
            let line = self.0.borrow().said.recv_timeout(LONG).unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a signal, called by its name without SIG.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.0.borrow().child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it takes no connection any more, and so has heard of the end.
    pub(crate) fn is_deaf(&self, address: &str) {
        let until = Instant::now() + LONG;
        while TcpStream::connect(address).is_ok() {
            assert!(Instant::now() < until, "it still listens");
            assert!(
                self.0.borrow_mut().child.try_wait().unwrap().is_none(),
                "it has ended"
            );
            std::thread::yield_now();
        }
    }

    /// Its exit code and all lines that were not asked for before.
    pub(crate) fn ended(self, within: Duration) -> (Option<i32>, Vec<String>) {
        let mut program = self.0.into_inner();
        let since = Instant::now();
        // It closes its output when it ends.
        let mut lines = Vec::new();
        while let Some(left) = within.checked_sub(since.elapsed()) {
            match program.said.recv_timeout(left) {
                Ok(line) => lines.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    let code = program.child.wait().unwrap().code();
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
