//! Under which account a private server runs: PostgreSQL refuses root.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::staging::Staging;
use crate::error::Error;

/// Accounts that a drill as root steps down to: packages of PostgreSQL make the first one.
const FOR_DRILLS: [&str; 2] = ["postgres", "nobody"];

/// Who owns the files of a server, and runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// We ourselves.
    Own,
    /// Another one, which only root can act for.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// The account for the files of a new `target`: `run_as` if given, else the owner of a folder that
    /// is there, else ourselves.
    pub(super) fn for_target(run_as: Option<&str>, target: &Path) -> Result<Self, Error> {
        let own = rustix::process::geteuid().as_raw();
        if let Some(name) = run_as {
            return Self::named(name, own);
        }
        if own != 0 {
            return Ok(Self::Own);
        }
        match target.metadata() {
            Ok(there) if there.uid() != 0 => Ok(Self::Other {
                uid: there.uid(),
                gid: there.gid(),
            }),
            _ => Err(Error::refused(
                "PostgreSQL refuses to run as root, and no other account is named",
                "name the account that is to own the data folder: --run-as postgres",
            )),
        }
    }

    /// The account for a drill, whose files nobody keeps.
    pub(super) fn for_drill(run_as: Option<&str>) -> Result<Self, Error> {
        let own = rustix::process::geteuid().as_raw();
        match run_as {
            Some(name) => Self::named(name, own),
            None if own != 0 => Ok(Self::Own),
            None => FOR_DRILLS
                .iter()
                .find_map(|name| Self::named(name, own).ok())
                .ok_or_else(|| {
                    Error::refused(
                        "PostgreSQL refuses to run as root",
                        "name an account that may run it: --run-as NAME",
                    )
                }),
        }
    }

    fn named(name: &str, own: u32) -> Result<Self, Error> {
        let (Some(uid), Some(gid)) = (id("-u", name), id("-g", name)) else {
            return Err(Error::usage(
                format!("there is no account {name:?} on this machine"),
                "name the one that is to own the data folder: --run-as postgres",
            ));
        };
        if uid == own && uid != 0 {
            return Ok(Self::Own);
        }
        if uid == 0 {
            return Err(Error::usage(
                "PostgreSQL refuses to run as root",
                "name another account: --run-as postgres",
            ));
        }
        if own != 0 {
            return Err(Error::usage(
                format!("only root can run a server as {name}"),
                format!("run this command as {name}, or without --run-as"),
            ));
        }
        Ok(Self::Other { uid, gid })
    }

    /// Gives a file or folder to this account.
    pub(super) fn give(self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => {
                chown(path, Some(uid), Some(gid)).map_err(|e| Error::io("give away", path, e))
            }
        }
    }

    /// Makes a program run under this account.
    pub(super) fn wear(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            // The standard library drops root's other groups with the first.
            command.gid(gid).uid(uid);
        }
    }

    /// A private folder that this account can use, in a place with a short name: the address of a
    /// socket may have 107 bytes.
    pub(super) fn private_folder(self, prefix: &str) -> Result<Staging, Error> {
        let parents = ["/tmp".into(), std::env::temp_dir(), "/var/tmp".into()];
        self.folder_in(&parents, prefix)
    }

    /// A private folder that this account can use, for the files of a whole server: `TMPDIR`, or what
    /// is on a disk as a rule.
    pub(super) fn large_folder(self, prefix: &str) -> Result<Staging, Error> {
        let wanted = std::env::var_os("TMPDIR").map(PathBuf::from);
        let usual = ["/var/tmp".into(), std::env::temp_dir()];
        let parents: Vec<PathBuf> = wanted.into_iter().chain(usual).collect();
        self.folder_in(&parents, prefix)
    }

    fn folder_in(self, parents: &[PathBuf], prefix: &str) -> Result<Staging, Error> {
        let mut last = None;
        for parent in parents {
            // Whoever reaches the socket in it is a superuser, so it is private.
            match Staging::new_in(parent, prefix) {
                Ok(folder) => {
                    self.give(folder.path())?;
                    if self.reaches(folder.path()) {
                        return Ok(folder);
                    }
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            Error::usage(
                "the account that runs the server reaches no folder for temporary files",
                "set TMPDIR to one that it can walk to",
            )
        }))
    }

    /// Whether the way to a folder of its own is open to it.
    fn reaches(self, folder: &Path) -> bool {
        let mut look = Command::new("test");
        look.arg("-w").arg(folder).current_dir("/");
        self.wear(&mut look);
        let status = look.stdin(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

/// Asks `id`, because the standard library knows no names of accounts.
fn id(what: &str, name: &str) -> Option<u32> {
    let output = Command::new("id")
        .args([what, "--", name])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
