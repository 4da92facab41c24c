//! What is on its way into a bucket, kept in the staging folder until it is there.
//!
//! `.upload.<random>.json` says what was sent, and beside it lie the finished files. It is written
//! before the first byte is sent, so that whoever comes after a kill or a lost connection goes on
//! from there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::manifest::{LARGEST, Part, hex};
use crate::store::Finished;
use crate::store::draft::{self, Draft};

const FORMAT: u32 = 1;
const START: &str = ".upload.";
const CHUNK: usize = 1 << 20;

/// A backup that is not in its bucket yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    format: u32,
    /// The bucket it is for.
    pub(super) location: String,
    /// The name of its manifest, and that.
    pub(super) manifest: String,
    pub(super) document: String,
    pub(super) uploads: Vec<Upload>,
}

/// One of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upload {
    /// What it will be called.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// The service's name for the upload, once it has begun.
    pub(super) id: Option<String>,
    /// What the service called the parts that it has, by their place.
    pub(super) parts: BTreeMap<usize, String>,
    /// Whether it is there under its name.
    pub(super) done: bool,
}

impl Upload {
    pub(super) fn new(part: &Part) -> Self {
        Self {
            name: part.name.clone(),
            bytes: part.bytes,
            sha256: part.sha256.clone(),
            id: None,
            parts: BTreeMap::new(),
            done: false,
        }
    }

    /// Whether a file is what it was when it was finished.
    pub(super) fn is(&self, mut file: impl Read) -> std::io::Result<bool> {
        let (bytes, sha256) = hash(&mut file)?;
        Ok(bytes == self.bytes && sha256 == self.sha256)
    }
}

fn hash(from: &mut impl Read) -> std::io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hex(&hash.finalize()))),
            Ok(read) => {
                bytes += read as u64;
                hash.update(&buffer[..read]);
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The SHA-256 of a file.
pub(super) fn hash_of(path: &Path) -> Result<String, Error> {
    let failed = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(failed)?;
    Ok(hash(&mut file).map_err(failed)?.1)
}

/// A record in the staging folder, and the files that belong to it, locked while this lives.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    pub(super) pending: Pending,
    pub(super) files: Vec<File>,
}

impl Staged {
    /// Writes the record, then takes the drafts over.
    pub(super) fn new(staging: &Path, location: &str, finished: Finished) -> Result<Self, Error> {
        draft::private_folder(staging)?;
        let number = fastrand::Rng::new().u64(..);
        let (drafts, parts): (Vec<Draft>, Vec<Part>) = finished.parts.into_iter().unzip();
        let mut staged = Self {
            path: staging.join(format!("{START}{number:016x}.json")),
            pending: Pending {
                format: FORMAT,
                location: location.to_owned(),
                document: String::from_utf8(finished.document)
                    .map_err(|e| Error::damaged(&finished.manifest, e.to_string()))?,
                manifest: finished.manifest,
                uploads: parts.iter().map(Upload::new).collect(),
            },
            files: Vec::new(),
        };
        staged.save()?;
        for (index, draft) in drafts.into_iter().enumerate() {
            let file = draft.keep_as(&staged.file(index))?;
            staged.files.push(file);
        }
        Ok(staged)
    }

    /// Notes how far it is, durably.
    pub(super) fn save(&self) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&self.pending)
            .map_err(|e| Error::damaged(self.path.display().to_string(), e.to_string()))?;
        let draft = Draft::new_in(draft::folder_of(&self.path), "upload")?;
        draft
            .file()
            .write_all(&bytes)
            .map_err(|e| Error::io("write", &self.path, e))?;
        draft.replace(&self.path)
    }

    fn file(&self, index: usize) -> PathBuf {
        self.path.with_extension(index.to_string())
    }

    /// Takes it away, with its files.
    pub(super) fn remove(&self) {
        // Last the record: without it nobody knows what the files are.
        let files = (0..self.pending.uploads.len()).map(|index| self.file(index));
        for path in files.chain([self.path.clone()]) {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, file = %path.display(), "cannot be removed");
            }
        }
    }

    /// What earlier runs left for this bucket, oldest first.
    pub(super) fn all(staging: &Path, location: &str) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(staging) else {
            return Vec::new();
        };
        let records = entries.flatten().map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            name.starts_with(START) && path.extension() == Some(OsStr::new("json"))
        });
        let mut found: Vec<Self> = records
            .filter_map(|path| Self::open(path, location))
            .collect();
        found.sort_by(|a, b| a.pending.manifest.cmp(&b.pending.manifest));
        found
    }

    fn open(path: PathBuf, location: &str) -> Option<Self> {
        let mut bytes = Vec::new();
        // A document in a document is escaped.
        let file = File::open(&path).ok()?.take(LARGEST * 4);
        let read = { file }.read_to_end(&mut bytes);
        let pending = match (read, serde_json::from_slice::<Pending>(&bytes)) {
            (Ok(_), Ok(pending)) if pending.format == FORMAT => pending,
            _ => {
                tracing::warn!(file = %path.display(), "cannot be read, and is left alone");
                return None;
            }
        };
        if pending.location != location {
            return None;
        }
        let mut staged = Self {
            path,
            pending,
            files: Vec::new(),
        };
        for index in 0..staged.pending.uploads.len() {
            match File::open(staged.file(index)) {
                Ok(file) => match file.try_lock() {
                    Ok(()) => staged.files.push(file),
                    // Somebody is at it.
                    Err(_) => return None,
                },
                // It shows by their number that not all are there.
                Err(_) => break,
            }
        }
        Some(staged)
    }

    /// Whether all files are there, as they were.
    pub(super) fn is_whole(&self) -> bool {
        let uploads = &self.pending.uploads;
        uploads.len() == self.files.len()
            && uploads
                .iter()
                .zip(&self.files)
                .all(|(upload, file)| upload.is(file).unwrap_or(false))
    }
}
