//! The archive of the write-ahead log: `archive_command` pushes files into it, `restore_command`
//! fetches them.
//!
//! A file is stored as `wal_<name>-<first 16 digits of its SHA-256>.zst[.age]`, so that pushing it
//! again finds it there, and pushing another one under its name is an error.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::segment::{HEADER_BYTES, SegmentHeader, WalFile, WalKind};
use crate::codec::{self, Codec, Encoder, Hashed, Identities, Layers};
use crate::error::Error;
use crate::manifest::hex;
use crate::store::Store;

/// What the names of stored files of the log begin with.
const PREFIX: &str = "wal_";

/// Digits of the hash in a name: 64 bits, against accidents.
const DIGITS: usize = 16;

/// The largest segment that PostgreSQL can be built for.
const LARGEST: u64 = 1 << 30;

/// What a push found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is stored now.
    Stored {
        /// Its own length.
        bytes: u64,
        /// The length of what is stored.
        stored_bytes: u64,
    },
    /// The same content was stored before.
    AlreadyThere,
}

/// A file of the log as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredWal {
    /// The name in the store.
    pub stored: String,
    /// The name in the log.
    pub file: WalFile,
    hash: String,
    encrypted: bool,
}

impl StoredWal {
    /// Which file of the log a stored file is; `None` for what is none.
    #[must_use]
    pub fn parse(stored: &str) -> Option<Self> {
        let (name, rest) = stored.strip_prefix(PREFIX)?.rsplit_once('-')?;
        let (hash, encrypted) = match rest.strip_suffix(".age") {
            Some(inner) => (inner.strip_suffix(".zst")?, true),
            None => (rest.strip_suffix(".zst")?, false),
        };
        let is_hash = hash.len() == DIGITS
            && hash
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        is_hash.then_some(())?;
        Some(Self {
            stored: stored.to_owned(),
            file: WalFile::parse(name).ok()?,
            hash: hash.to_owned(),
            encrypted,
        })
    }
}

/// Stores the file of the log at `path`, durably when it returns: for `archive_command`.
///
/// # Errors
/// [`Error::Usage`] for what is no file of the log, [`Error::Damaged`] for a segment whose header is
/// not its own, [`Error::Refused`] if other content is stored under its name; what reading and
/// storing meet.
pub fn push(store: &dyn Store, codec: &Codec, path: &Path) -> Result<Pushed, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file = WalFile::parse(&name)?;
    let mut source = File::open(path).map_err(|e| Error::io("read", path, e))?;
    let (hash, bytes) = hash_of(&file, path, &mut source)?;
    store.require()?;
    let there = |store: &dyn Store| -> Result<bool, Error> {
        let mut is_there = false;
        for stored in stored_as(store, &file)? {
            if stored.hash != hash {
                return Err(other_content(store, &file, &stored));
            }
            store.settle(&stored.stored)?;
            is_there = true;
        }
        Ok(is_there)
    };
    if there(store)? {
        return Ok(Pushed::AlreadyThere);
    }
    let codec = Codec {
        level: codec.level.or(Some(1)),
        recipients: codec.recipients.clone(),
    };
    let ending = if codec.recipients.is_empty() {
        ""
    } else {
        ".age"
    };
    let stored = format!("{PREFIX}{file}-{hash}.zst{ending}");
    let draft = store.draft()?;
    source.rewind().map_err(|e| Error::io("read", path, e))?;
    let mut encoder = Encoder::new(&codec, draft.file())?;
    let failed = |e| Error::io("store", path, e);
    std::io::copy(&mut source.take(LARGEST), &mut encoder).map_err(failed)?;
    let (_, encoded) = encoder.finish().map_err(failed)?;
    if !encoded.content.sha256.starts_with(&hash) {
        return Err(Error::damaged(
            file.as_str(),
            "it changed while it was read",
        ));
    }
    store.publish(draft, &stored, &mut |_| Ok(()))?;
    // Another server may have pushed its own at the same moment.
    there(store)?;
    Ok(Pushed::Stored {
        bytes,
        stored_bytes: encoded.stored.bytes,
    })
}

/// Puts a file of the log at `path`: for `restore_command`. False if the archive does not have it,
/// which is how recovery finds the end of the log.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Identity`]; what reading and writing meet. A server must not take
/// these for the end of the log.
pub fn fetch(
    store: &dyn Store,
    identities: &Identities,
    file: &WalFile,
    path: &Path,
) -> Result<bool, Error> {
    store.require()?;
    let mut found = stored_as(store, file)?.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Ok(false),
        (Some(one), None) => {
            bring(store, identities, &one, path)?;
            Ok(true)
        }
        (Some(one), Some(other)) => Err(two(&one, &other)),
    }
}

/// All stored files of the log.
///
/// # Errors
/// What keeps the store from being read.
pub fn list(store: &dyn Store) -> Result<Vec<StoredWal>, Error> {
    let files = store.list_starting(PREFIX)?;
    Ok(files
        .iter()
        .filter_map(|file| StoredWal::parse(&file.name))
        .collect())
}

/// An archive that is read often: what it holds is listed once, and again when something is missing.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    store: &'a dyn Store,
    identities: &'a Identities,
    listed: Mutex<BTreeMap<WalFile, Vec<StoredWal>>>,
}

impl<'a> Archive<'a> {
    pub(super) fn new(store: &'a dyn Store, identities: &'a Identities) -> Self {
        Self {
            store,
            identities,
            listed: Mutex::default(),
        }
    }

    pub(super) fn fetch(&self, file: &WalFile, path: &Path) -> Result<bool, Error> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if !listed.contains_key(file) {
            listed.clear();
            for stored in list(self.store)? {
                listed.entry(stored.file.clone()).or_default().push(stored);
            }
        }
        match listed.get(file).map(Vec::as_slice) {
            None | Some([]) => Ok(false),
            Some([one]) => {
                bring(self.store, self.identities, one, path)?;
                Ok(true)
            }
            Some([one, other, ..]) => Err(two(one, other)),
        }
    }
}

/// Decodes a stored file to `path`, where it appears whole or not at all.
fn bring(
    store: &dyn Store,
    identities: &Identities,
    stored: &StoredWal,
    path: &Path,
) -> Result<(), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".fetched");
    let partial = PathBuf::from(partial);
    let written = decode_to(store, identities, stored, &partial)
        .and_then(|()| std::fs::rename(&partial, path).map_err(|e| Error::io("write", path, e)));
    if written.is_err() {
        // It may not have been made at all.
        drop(std::fs::remove_file(&partial));
    }
    written
}

fn decode_to(
    store: &dyn Store,
    identities: &Identities,
    stored: &StoredWal,
    path: &Path,
) -> Result<(), Error> {
    let name = stored.stored.as_str();
    let layers = Layers {
        name,
        recipients: stored.encrypted.then(|| "somebody".to_owned()),
        is_compressed: true,
    };
    let plain = codec::open(&layers, identities, store.read(name)?)?;
    let mut plain = Hashed::new(plain.take(LARGEST + 1));
    let mut head = Vec::with_capacity(HEADER_BYTES);
    let unreadable = |e: std::io::Error| match e.raw_os_error() {
        Some(_) => Error::io("read", name, e),
        None => Error::damaged(name, format!("it cannot be read back: {e}")),
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| Error::io("write", path, e))?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = plain.read(&mut buffer).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        let bytes = &buffer[..read];
        head.extend(bytes.iter().take(HEADER_BYTES - head.len()));
        file.write_all(bytes)
            .map_err(|e| Error::io("write", path, e))?;
    }
    let (_, content) = plain.finish();
    if content.bytes > LARGEST {
        return Err(Error::damaged(
            name,
            "it is larger than any segment of the log",
        ));
    }
    if !content.sha256.starts_with(&stored.hash) {
        return Err(Error::damaged(name, "its content has another SHA-256"));
    }
    if stored.file.kind() == WalKind::Segment {
        SegmentHeader::check(&stored.file, &head, content.bytes)?;
    }
    Ok(())
}

/// The first digits of the hash of a file that is to be pushed, and its length.
fn hash_of(file: &WalFile, path: &Path, source: &mut File) -> Result<(String, u64), Error> {
    let mut hash = Sha256::new();
    let mut head = Vec::with_capacity(HEADER_BYTES);
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0_u64;
    loop {
        let read = source
            .read(&mut buffer)
            .map_err(|e| Error::io("read", path, e))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        head.extend(buffer[..read].iter().take(HEADER_BYTES - head.len()));
        bytes += read as u64;
        if bytes > LARGEST {
            return Err(Error::damaged(
                file.as_str(),
                "it is larger than any segment of the log",
            ));
        }
    }
    if matches!(file.kind(), WalKind::Segment | WalKind::Partial) {
        SegmentHeader::check(file, &head, bytes)?;
    }
    let mut digits = hex(&hash.finalize());
    digits.truncate(DIGITS);
    Ok((digits, bytes))
}

/// What is stored under the name of a file of the log.
fn stored_as(store: &dyn Store, file: &WalFile) -> Result<Vec<StoredWal>, Error> {
    let listed = store.list_starting(&format!("{PREFIX}{file}-"))?;
    let stored = listed
        .iter()
        .filter_map(|found| StoredWal::parse(&found.name));
    Ok(stored.filter(|stored| stored.file == *file).collect())
}

fn other_content(store: &dyn Store, file: &WalFile, stored: &StoredWal) -> Error {
    Error::refused(
        format!(
            "{} holds another {file} already, as {}",
            store.location(),
            stored.stored
        ),
        "two servers archive into one place; give each its own, or begin a new one after a restore",
    )
}

fn two(one: &StoredWal, other: &StoredWal) -> Error {
    Error::damaged(
        one.file.as_str(),
        format!(
            "it is stored twice, with other content: {} and {}",
            one.stored, other.stored
        ),
    )
}
