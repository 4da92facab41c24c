//! Where backups are kept: a flat set of small names.

pub(crate) mod draft;
pub(crate) mod local;
#[cfg(feature = "object-store")]
pub(crate) mod object;

use std::any::Any;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::Path;

use chrono::{DateTime, Utc};
use db_core::Interrupt;
use serde::Serialize;

pub use draft::Draft;

use crate::error::Error;
use crate::manifest::{LARGEST, Part};

/// A file in a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written, as far as the place knows.
    pub modified: Option<DateTime<Utc>>,
}

/// Whether a small file may take the place of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// One of this name is an error.
    Create,
    /// One of this name is replaced, at once and whole.
    Replace,
}

/// Keeps others from creating and pruning in a store as long as it lives.
pub struct Lock {
    is_held: Option<Box<IsHeld>>,
    _held: Box<dyn Any + Send>,
}

type IsHeld = dyn Fn() -> Result<(), Error> + Send;

impl Lock {
    /// A lock that is given back when `held` is dropped.
    pub fn new(held: impl Any + Send) -> Self {
        Self {
            is_held: None,
            _held: Box::new(held),
        }
    }

    /// One that can be lost while it is held. `is_held` says whether it was.
    pub fn that_expires(
        held: impl Any + Send,
        is_held: impl Fn() -> Result<(), Error> + Send + 'static,
    ) -> Self {
        Self {
            is_held: Some(Box::new(is_held)),
            ..Self::new(held)
        }
    }

    /// Looks whether it is still held, which is to be done before each step that others must not
    /// meet.
    ///
    /// # Errors
    /// [`Error::Locked`] if it was lost.
    pub fn check(&self) -> Result<(), Error> {
        self.is_held.as_ref().map_or(Ok(()), |is_held| is_held())
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// A backup that is ready to be published.
#[derive(Debug)]
pub struct Finished {
    /// Its files, and what the manifest says of them.
    pub parts: Vec<(Draft, Part)>,
    /// The name of its manifest.
    pub manifest: String,
    /// The manifest itself.
    pub document: Vec<u8>,
}

/// A backup that is finished on this machine, and waits until it can be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Waiting {
    /// Its name.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Of these, what the place has.
    pub sent: u64,
    /// When it was finished.
    pub since: Option<DateTime<Utc>>,
    /// How often it was tried again in vain.
    pub failures: u32,
    /// What kept it the last time.
    pub reason: Option<String>,
}

/// What became of the backups that waited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Published now.
    pub completed: Vec<Waiting>,
    /// Tried in vain, and kept for another time.
    pub waiting: Vec<Waiting>,
    /// Given up, with their files.
    pub given_up: Vec<Waiting>,
}

/// A place for backups.
pub trait Store: Send + Sync + fmt::Debug {
    /// Where it is, without secrets.
    fn location(&self) -> String;

    /// The folder, if it is one on this machine.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// What it holds, in the order of names. Nothing, if the place does not exist yet.
    ///
    /// # Errors
    /// What keeps it from being read.
    fn list(&self) -> Result<Vec<StoredFile>, Error>;

    /// Of what it holds, the files whose names begin so.
    ///
    /// # Errors
    /// As [`Store::list`].
    fn list_starting(&self, with: &str) -> Result<Vec<StoredFile>, Error> {
        let mut files = self.list()?;
        files.retain(|file| file.name.starts_with(with));
        Ok(files)
    }

    /// A stored file, from its first byte.
    ///
    /// # Errors
    /// [`Error::NotFound`]; what keeps it from being read.
    fn read(&self, name: &str) -> Result<Box<dyn Read + Send>, Error>;

    /// Puts a finished file of this machine into the store. When this returns it is there, whole and
    /// durable, or it is not there. Nothing is replaced. `progress` is told the bytes so far.
    ///
    /// # Errors
    /// What keeps it from being written.
    fn publish(
        &self,
        file: Draft,
        name: &str,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Publishes a backup: its files, and last the manifest. When this fails, either nothing of it
    /// stays, or [`resume`](Self::resume) completes it. `progress` is told the bytes so far.
    ///
    /// # Errors
    /// What keeps it from being written.
    fn publish_backup(
        &self,
        backup: Finished,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut published = Vec::new();
        let (mut before, mut is_begun) = (0, false);
        let all = || {
            for (draft, part) in backup.parts {
                progress(before)?;
                published.push(part.name.clone());
                let done = self.publish(draft, &part.name, &mut |done| progress(before + done));
                if is_taken(&done) {
                    // Somebody else's.
                    published.pop();
                }
                done?;
                before += part.bytes;
            }
            is_begun = true;
            self.write_small(&backup.manifest, &backup.document, WriteMode::Create)
        };
        let done = all();
        if done.is_ok() {
            return done;
        }
        // A file server that answers twice says of our own name that it is taken.
        let taken = is_taken(&done);
        let left = if is_begun {
            left(self, &backup.manifest, &backup.document)
        } else {
            Left::Nothing
        };
        match (left, done) {
            // It is there under its name, and whole: to take its files away now would make a damaged
            // backup of it, and to call it a failure would be wrong as long as the power stays on.
            (Left::Whole, Err(error)) => {
                tracing::warn!(
                    %error,
                    manifest = backup.manifest,
                    "the backup is there and whole, but a loss of power might take it away: make another one"
                );
                Ok(())
            }
            (Left::Unknown, done) if taken || self.remove(&backup.manifest).is_err() => {
                tracing::warn!(
                    manifest = backup.manifest,
                    "nobody can tell whether the manifest is there: what it names stays, too"
                );
                done
            }
            (_, done) => {
                for name in published {
                    if let Err(error) = self.remove(&name) {
                        tracing::warn!(%error, file = name, "a part without its manifest stays behind");
                    }
                }
                done
            }
        }
    }

    /// Completes what earlier runs could not publish. Whoever calls this holds the lock. `progress` is
    /// told the bytes so far, and all of them. What fails again is told, and keeps nobody from going
    /// on.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::Locked`] if the lock was lost.
    fn resume(
        &self,
        progress: &mut dyn FnMut(u64, u64) -> Result<(), Error>,
    ) -> Result<Resumed, Error> {
        let _ = progress;
        Ok(Resumed::default())
    }

    /// Backups that are finished on this machine and not in the store yet.
    fn waiting(&self) -> Vec<Waiting> {
        Vec::new()
    }

    /// From now on this ends every wait for the place.
    fn obey(&self, _interrupt: &Interrupt) {}

    /// Writes a small file, whole and durable when it returns.
    ///
    /// # Errors
    /// What keeps it from being written.
    fn write_small(&self, name: &str, bytes: &[u8], mode: WriteMode) -> Result<(), Error>;

    /// Removes a file; one that is not there is as good.
    ///
    /// # Errors
    /// What keeps it from being removed.
    fn remove(&self, name: &str) -> Result<(), Error>;

    /// Makes sure that a file that is there would survive a loss of power: who published it may have
    /// died before it did.
    ///
    /// # Errors
    /// What keeps it from being written to the disk.
    fn settle(&self, _name: &str) -> Result<(), Error> {
        Ok(())
    }

    /// Makes sure that the place itself is there: a disk that is not mounted is no empty store.
    ///
    /// # Errors
    /// What is wrong with it.
    fn require(&self) -> Result<(), Error> {
        Ok(())
    }

    /// A private file to prepare what is to be published, where there is room for it: in the folder
    /// itself, or on this machine for a place elsewhere.
    ///
    /// # Errors
    /// What keeps it from being made.
    fn draft(&self) -> Result<Draft, Error>;

    /// Keeps others from creating and pruning, and clears away what dead processes left.
    ///
    /// # Errors
    /// [`Error::Locked`] if somebody else is at it.
    fn lock(&self, why: &str) -> Result<Lock, Error>;
}

/// Whether a file was not written because there is one of its name.
fn is_taken(done: &Result<(), Error>) -> bool {
    matches!(done, Err(Error::Io { error, .. }) if error.kind() == ErrorKind::AlreadyExists)
}

/// What there is of a small file whose writing failed.
enum Left {
    /// All of it.
    Whole,
    /// None of it: there is nothing of the name, or another file.
    Nothing,
    /// It cannot be looked at.
    Unknown,
}

/// Whether a small file is there with these bytes.
fn left(store: &(impl Store + ?Sized), name: &str, bytes: &[u8]) -> Left {
    let mut there = Vec::new();
    let most = bytes.len() as u64 + 1;
    match store.read(name) {
        Err(Error::NotFound { .. }) => Left::Nothing,
        Err(_) => Left::Unknown,
        Ok(file) => match file.take(most).read_to_end(&mut there) {
            Err(_) => Left::Unknown,
            Ok(_) if there == bytes => Left::Whole,
            Ok(_) => Left::Nothing,
        },
    }
}

/// Reads a small file whole.
///
/// # Errors
/// [`Error::Damaged`] if it is larger than any manifest; what keeps it from being read.
pub(crate) fn read_small(store: &dyn Store, name: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    store
        .read(name)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("read", name, e))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::damaged(name, "it is larger than 16 MiB"));
    }
    Ok(bytes)
}
