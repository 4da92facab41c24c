//! Hands the files of the log to a server that recovers, as its `restore_command` asks for them.
//!
//! The command is a script that asks this process through one named pipe and hears the answer from
//! another. So the place of the backups, its credentials and the identities that decrypt it stay in
//! this process, and are neither in an argument nor in a file of the server's.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::account::Account;
use super::segment::WalFile;
use super::server::write_private;
use crate::error::Error;

/// Ends [`Feed::serve`]; no file of the log is called so.
const STOP: &str = "stop";

/// `$1` is the file that is asked for, `$2` where it is to be put. More than 125 makes the server give
/// up: that a file cannot be read must not pass for the end of the log.
const SCRIPT: &str = r#"here=${0%/*}
printf '%s\n' "$1" > "$here/ask" || exit 255
IFS= read -r answer < "$here/answer" || exit 255
case $answer in
    here) mv "$here/file" "$2" || exit 255 ;;
    missing) exit 1 ;;
    *) exit 255 ;;
esac
"#;

/// Where the files of the log come from: puts one at a path, or tells that there is none of it.
pub(super) type Fetch<'f> = dyn Fn(&WalFile, &Path) -> Result<bool, Error> + Sync + 'f;

/// The pipes and the script, in a private folder.
#[derive(Debug)]
pub(super) struct Feed {
    folder: PathBuf,
    account: Account,
    ask: File,
    answer: File,
    given: AtomicU64,
    denied: Mutex<BTreeSet<String>>,
    failure: Mutex<Option<Error>>,
}

impl Feed {
    pub(super) fn new(folder: &Path, account: Account) -> Result<Self, Error> {
        let pipe = |name: &str| -> Result<File, Error> {
            let path = folder.join(name);
            // By the program: the calls for it differ between systems.
            let made = Command::new("mkfifo")
                .args(["-m", "600", "--"])
                .arg(&path)
                .stdin(Stdio::null())
                .status();
            match made {
                Ok(status) if status.success() => {}
                Ok(status) => {
                    return Err(Error::io(
                        "make",
                        &path,
                        std::io::Error::other(status.to_string()),
                    ));
                }
                Err(error) => return Err(Error::io("run mkfifo for", &path, error)),
            }
            account.give(&path)?;
            // For both directions, so that neither side waits for the other to be there.
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(&path)
                .map_err(|e| Error::io("open", &path, e))
        };
        let script = folder.join("fetch");
        write_private(&script, SCRIPT)?;
        account.give(&script)?;
        Ok(Self {
            folder: folder.to_owned(),
            account,
            ask: pipe("ask")?,
            answer: pipe("answer")?,
            given: AtomicU64::new(0),
            denied: Mutex::default(),
            failure: Mutex::new(None),
        })
    }

    /// For the server's `restore_command`.
    pub(super) fn command(&self) -> String {
        // Our own folder's name needs no quotes, but a folder for temporary files may.
        let script = self.folder.join("fetch").display().to_string();
        format!(
            "sh '{}' '%f' '%p'",
            script.replace('\'', r"'\''").replace('%', "%%")
        )
    }

    /// How many files were handed over.
    pub(super) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    /// What was asked for and not there.
    pub(super) fn denied(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers until [`Feed::stop`].
    pub(super) fn serve(&self, fetch: &Fetch<'_>) {
        let mut asked = BufReader::new(&self.ask).lines();
        while let Some(Ok(name)) = asked.next() {
            if name == STOP {
                return;
            }
            let answer = match self.provide(&name, fetch) {
                Ok(true) => {
                    self.given.fetch_add(1, Ordering::Relaxed);
                    "here\n"
                }
                Ok(false) => {
                    self.denied().insert(name);
                    "missing\n"
                }
                Err(error) => {
                    tracing::warn!(name, %error, "a file of the log cannot be restored");
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    "failed\n"
                }
            };
            if let Err(error) = (&self.answer).write_all(answer.as_bytes()) {
                tracing::warn!(%error, "the server that recovers cannot be answered");
                return;
            }
        }
    }

    fn provide(&self, name: &str, fetch: &Fetch<'_>) -> Result<bool, Error> {
        let file = WalFile::parse(name)?;
        let path = self.folder.join("file");
        if !fetch(&file, &path)? {
            return Ok(false);
        }
        self.account.give(&path)?;
        Ok(true)
    }

    /// Makes [`Feed::serve`] return.
    pub(super) fn stop(&self) {
        if let Err(error) = (&self.ask).write_all(format!("{STOP}\n").as_bytes()) {
            tracing::warn!(%error, "the feed of the log does not hear that it is to stop");
        }
    }

    /// What went wrong with a file that was asked for.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
