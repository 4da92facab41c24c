//! Under which account the server runs: its programs refuse root.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::{Error, Run};

/// The accounts that root steps down to, by preference: Debian's package makes `postgres`,
/// the others exist everywhere.
const ACCOUNTS: [&str; 3] = ["postgres", "nobody", "daemon"];

/// How to run a program under an account that the server accepts.
#[derive(Debug, Clone)]
pub(crate) enum Account {
    /// We are no root: as ourselves.
    Own,
    /// We are root: step down.
    Other {
        /// The name, for messages.
        name: String,
        /// Its user id.
        uid: u32,
        /// Its main group.
        gid: u32,
        /// The program that steps down, with its arguments.
        prefix: Vec<OsString>,
    },
}

impl Account {
    /// The account for this machine.
    pub(crate) fn choose(run: Run) -> Result<Self, Error> {
        if !is_root(run)? {
            return Ok(Self::Own);
        }
        for name in ACCOUNTS {
            let Ok(uid) = id(run, "-u", Some(name)) else {
                continue;
            };
            let gid = id(run, "-g", Some(name))?;
            let prefix = prefix(run, name, uid, gid)?;
            return Ok(Self::Other {
                name: name.to_owned(),
                uid,
                gid,
                prefix,
            });
        }
        Err(Error::new(format!(
            "PostgreSQL refuses to run as root, and there is none of the accounts {}: \
             run this as an ordinary user",
            ACCOUNTS.join(", ")
        )))
    }

    /// `program` under this account; add arguments as to any command.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut words = self.words(program).into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }

    /// The words that run `program` under this account.
    pub(crate) fn words(&self, program: &Path) -> Vec<OsString> {
        let mut words = match self {
            Self::Own => Vec::new(),
            Self::Other { prefix, .. } => prefix.clone(),
        };
        words.push(program.into());
        words
    }

    /// Gives a file or folder to this account.
    pub(crate) fn give(&self, path: &Path) -> Result<(), Error> {
        if let Self::Other { name, uid, gid, .. } = self {
            std::os::unix::fs::chown(path, Some(*uid), Some(*gid)).map_err(|e| {
                Error::new(format!("cannot give {} to {name}: {e}", path.display()))
            })?;
        }
        Ok(())
    }
}

/// Whether we are root.
///
/// # Errors
/// If `id` cannot tell.
pub fn is_root(run: Run) -> Result<bool, Error> {
    Ok(id(run, "-u", None)? == 0)
}

/// Asks `id`, because the standard library cannot tell who we are.
fn id(run: Run, what: &str, name: Option<&str>) -> Result<u32, Error> {
    let text = run(Command::new("id").arg(what).args(name))?;
    text.trim()
        .parse()
        .map_err(|_| Error::new(format!("`id {what}` answered {text:?}")))
}

/// The first program of this machine that can step down.
fn prefix(run: Run, name: &str, uid: u32, gid: u32) -> Result<Vec<OsString>, Error> {
    let (uid, gid) = (uid.to_string(), gid.to_string());
    // setpriv is the only one that becomes the program itself, without a session around it.
    // The last word of `su` is a shell script that becomes the words after it.
    let ways: [&[&str]; 3] = [
        &[
            "setpriv",
            "--reuid",
            &uid,
            "--regid",
            &gid,
            "--clear-groups",
            "--",
        ],
        &["runuser", "-u", name, "--"],
        &[
            "su",
            "-s",
            "/bin/sh",
            "-c",
            "exec \"$0\" \"$@\"",
            "--",
            name,
        ],
    ];
    for way in ways {
        let mut words = way.iter();
        let mut probe = Command::new(words.next().unwrap_or(&""));
        if run(probe.args(words).arg("true").current_dir("/")).is_ok() {
            return Ok(way.iter().map(OsString::from).collect());
        }
    }
    Err(Error::new(
        "PostgreSQL refuses to run as root, and none of setpriv, runuser and su can step down",
    ))
}
