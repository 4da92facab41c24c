//! The archive of the write-ahead log: `archive_command` pushes files into it, `restore_command`
//! fetches them.
//!
//! A file is stored as `wal_<name>-<first 16 digits of its SHA-256>.zst[.age]`, so that pushing it
//! again finds it there, and pushing another one under its name is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek as _, Write};
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
    let mut encoder = Encoder::new(&codec, draft.writer())?;
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
            Archive::new(store, identities, None).bring(&one, path)?;
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

/// The longest history of timelines that is read.
const LONGEST_HISTORY: u64 = 1 << 20;

/// An archive that is read often: what it holds is listed once, and again when something is missing.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    store: &'a dyn Store,
    identities: &'a Identities,
    /// Whose log it has to be.
    system: Option<u64>,
    listed: Mutex<BTreeMap<WalFile, Vec<StoredWal>>>,
}

impl<'a> Archive<'a> {
    /// `system` is the identifier of the server whose log it has to be, if that is known.
    pub(super) fn new(
        store: &'a dyn Store,
        identities: &'a Identities,
        system: Option<u64>,
    ) -> Self {
        Self {
            store,
            identities,
            system,
            listed: Mutex::default(),
        }
    }

    /// Puts a file at `path`, and tells whether it is there.
    pub(super) fn fetch(&self, file: &WalFile, path: &Path) -> Result<bool, Error> {
        match self.find(file)? {
            None => Ok(false),
            Some(stored) => self.bring(&stored, path).map(|()| true),
        }
    }

    /// The names of all files, as they are now.
    pub(super) fn names(&self) -> Result<BTreeSet<WalFile>, Error> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        self.list_into(&mut listed)?;
        Ok(listed.keys().cloned().collect())
    }

    fn list_into(&self, listed: &mut BTreeMap<WalFile, Vec<StoredWal>>) -> Result<(), Error> {
        listed.clear();
        for stored in list(self.store)? {
            listed.entry(stored.file.clone()).or_default().push(stored);
        }
        Ok(())
    }

    /// The server that a segment says it is of; none for another file, and for one that cannot be
    /// opened without an identity.
    pub(super) fn system_of(&self, file: &WalFile, size: u64) -> Result<Option<u64>, Error> {
        if file.kind() != WalKind::Segment {
            return Ok(None);
        }
        let Some(stored) = self.find(file)? else {
            return Ok(None);
        };
        let name = stored.stored.as_str();
        let opened = codec::open(&layers(&stored), self.identities, self.store.read(name)?);
        let plain = match opened {
            Err(Error::Identity { .. }) => return Ok(None),
            opened => opened?,
        };
        let mut head = Vec::with_capacity(HEADER_BYTES);
        plain
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(|e| codec::unreadable(name, e))?;
        SegmentHeader::check(file, &head, size).map(|header| Some(header.system_identifier))
    }

    /// What a small file says.
    pub(super) fn text(&self, file: &WalFile) -> Result<Option<String>, Error> {
        let Some(stored) = self.find(file)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.decode(&stored, &mut bytes, LONGEST_HISTORY)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn find(&self, file: &WalFile) -> Result<Option<StoredWal>, Error> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if !listed.contains_key(file) {
            self.list_into(&mut listed)?;
        }
        match listed.get(file).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([one]) => Ok(Some(one.clone())),
            Some([one, other, ..]) => Err(two(one, other)),
        }
    }

    /// Decodes a stored file to `path`, where it appears whole or not at all.
    fn bring(&self, stored: &StoredWal, path: &Path) -> Result<(), Error> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".fetched");
        let partial = PathBuf::from(partial);
        let failed = |e| Error::io("write", path, e);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial);
        let written = file
            .map_err(failed)
            .and_then(|mut file| self.decode(stored, &mut file, LARGEST))
            .and_then(|()| std::fs::rename(&partial, path).map_err(failed));
        if written.is_err() {
            // It may not have been made at all.
            drop(std::fs::remove_file(&partial));
        }
        written
    }

    /// Writes what a stored file holds, at most `most` bytes, and fails if it is not what it was.
    fn decode(&self, stored: &StoredWal, out: &mut dyn Write, most: u64) -> Result<(), Error> {
        let name = stored.stored.as_str();
        let plain = codec::open(&layers(stored), self.identities, self.store.read(name)?)?;
        let mut plain = Hashed::new(plain.take(most + 1));
        let mut head = Vec::with_capacity(HEADER_BYTES);
        let unreadable = |e| codec::unreadable(name, e);
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = plain.read(&mut buffer).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            let bytes = &buffer[..read];
            head.extend(bytes.iter().take(HEADER_BYTES - head.len()));
            out.write_all(bytes)
                .map_err(|e| Error::io("write", stored.file.as_str(), e))?;
        }
        let (_, content) = plain.finish();
        if content.bytes > most {
            return Err(Error::damaged(
                name,
                "it is larger than any file of the log",
            ));
        }
        if !content.sha256.starts_with(&stored.hash) {
            return Err(Error::damaged(name, "its content has another SHA-256"));
        }
        if stored.file.kind() == WalKind::Segment {
            let header = SegmentHeader::check(&stored.file, &head, content.bytes)?;
            self.check_system(name, header.system_identifier)?;
        }
        Ok(())
    }

    /// The server would take the log of another one for the end of its own.
    fn check_system(&self, name: &str, found: u64) -> Result<(), Error> {
        match self.system {
            Some(system) if system != found => Err(Error::damaged(
                name,
                format!("it is of the server {found}, and the backup of {system}"),
            )),
            _ => Ok(()),
        }
    }
}

fn layers(stored: &StoredWal) -> Layers<'_> {
    Layers {
        name: &stored.stored,
        recipients: stored.encrypted.then(|| "somebody".to_owned()),
        is_compressed: true,
    }
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
