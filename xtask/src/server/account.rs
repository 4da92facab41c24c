//! Under which account the server runs: its programs refuse root.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The accounts that root steps down to, by preference: Debian's package makes `postgres`,
/// the others exist everywhere.
const ACCOUNTS: [&str; 3] = ["postgres", "nobody", "daemon"];

/// How to run a program under an account that the server accepts.
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
    pub(crate) fn choose() -> Result<Self> {
        if !is_root()? {
            return Ok(Self::Own);
        }
        for name in ACCOUNTS {
            let Ok(uid) = id("-u", Some(name)) else {
                continue;
            };
            let gid = id("-g", Some(name))?;
            let prefix = prefix(name, uid, gid)?;
            return Ok(Self::Other {
                name: name.to_owned(),
                uid,
                gid,
                prefix,
            });
        }
        bail!(
            "PostgreSQL refuses to run as root, and there is none of the accounts {}: \
             run this as an ordinary user",
            ACCOUNTS.join(", ")
        )
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
    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        if let Self::Other { name, uid, gid, .. } = self {
            std::os::unix::fs::chown(path, Some(*uid), Some(*gid))
                .with_context(|| format!("cannot give {} to {name}", path.display()))?;
        }
        Ok(())
    }
}

/// Whether we are root.
pub(crate) fn is_root() -> Result<bool> {
    Ok(id("-u", None)? == 0)
}

/// Asks `id`, because the standard library cannot tell who we are.
fn id(what: &str, name: Option<&str>) -> Result<u32> {
    let text = process::output(Command::new("id").arg(what).args(name))?;
    text.trim()
        .parse()
        .with_context(|| format!("`id {what}` answered {text:?}"))
}

/// The first program of this machine that can step down.
fn prefix(name: &str, uid: u32, gid: u32) -> Result<Vec<OsString>> {
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
        if process::succeeds(probe.args(words).arg("true").current_dir("/")) {
            return Ok(way.iter().map(OsString::from).collect());
        }
    }
    bail!("PostgreSQL refuses to run as root, and none of setpriv, runuser and su can step down")
}
