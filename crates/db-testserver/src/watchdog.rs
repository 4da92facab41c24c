//! What ends a cluster, however we end.
//!
//! A small shell process waits at the far end of a pipe. When the pipe closes, because the
//! cluster is dropped or because this process is gone (even by `kill -9`, when no line of our
//! own can run any more), it stops the server and removes the folder. Since nothing else does
//! either, there is no second way out that could be forgotten.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::Error;

/// `$1` is the folder, the rest runs `pg_ctl` under the server's account.
///
/// The loop is for a death in the middle of a start: the server may appear, or `initdb` may
/// write, after the first look.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
home=$1
shift
cd /
while read -r _; do :; done
tries=0
while [ -e "$home" ] && [ "$tries" -lt 20 ]; do
    [ "$tries" -eq 0 ] || sleep 0.5
    tries=$((tries + 1))
    if [ -e "$home/data/postmaster.pid" ]; then
        # A test may have frozen it: it would not hear that it is to stop.
        IFS= read -r server < "$home/data/postmaster.pid"
        kill -s CONT "$server" 2>/dev/null
        "$@" -D "$home/data" -m immediate -w -t 30 stop
    fi
    rm -rf "$home"
done
[ ! -e "$home" ]
"#;

/// Stops the server in a folder, and removes the folder, when dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// The pipe; `None` only while being dropped.
    pipe: Option<ChildStdin>,
    shell: Child,
    home: std::path::PathBuf,
}

impl Watchdog {
    /// Watches over `home`; `pg_ctl` is the words that run it under the server's account.
    pub(crate) fn start(home: &Path, pg_ctl: &[OsString]) -> Result<Self, Error> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "watchdog"])
            .arg(home)
            .args(pg_ctl)
            // Out of reach of Ctrl-C, and without our stdout, which others may wait to see closed.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Error::new(format!("no process watches over the test server: {e}")))?;
        let pipe = shell.stdin.take();
        Ok(Self {
            pipe,
            shell,
            home: home.to_owned(),
        })
    }
}

impl Drop for Watchdog {
    #[expect(
        clippy::print_stderr,
        reason = "a destructor in a test has no other way to say that a server was left running"
    )]
    fn drop(&mut self) {
        drop(self.pipe.take());
        match self.shell.wait() {
            Ok(status) if status.success() => {}
            _ => eprintln!(
                "warning: the test server in {} may still be running; stop it and remove the folder",
                self.home.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Watchdog;

    #[test]
    fn the_folder_goes_with_the_watchdog() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir_all(home.join("data/base")).unwrap();
        let watchdog = Watchdog::start(&home, &["false".into()]).unwrap();
        assert!(home.exists());
        drop(watchdog);
        assert!(!home.exists());
    }

    #[test]
    fn a_running_server_is_stopped_first() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir_all(home.join("data")).unwrap();
        // No number: nothing is signalled.
        std::fs::write(home.join("data/postmaster.pid"), "none").unwrap();
        // Stands in for pg_ctl and leaves its arguments where the test finds them.
        let seen = folder.path().join("seen");
        let script = format!("echo \"$@\" > '{}'", seen.display());
        let words = ["sh", "-c", &script, "pg_ctl"].map(Into::into);
        drop(Watchdog::start(&home, &words).unwrap());
        let seen = std::fs::read_to_string(seen).unwrap();
        assert_eq!(
            seen.trim(),
            format!("-D {}/data -m immediate -w -t 30 stop", home.display())
        );
    }
}
