//! A program that was started, and what it says.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A process whose lines are listened to while it runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// The lines of its standard output, which ends when the process does.
    pub said: Receiver<String>,
}

impl Started {
    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn new(command: &mut Command) -> Self {
        let mut child = match command.stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => panic!("{command:?}: {error}"),
        };
        let (say, said) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // The test may be over by now.
                    drop(say.send(line));
                }
            });
        }
        Self { child, said }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Of a test that failed; an ended one is no trouble.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
