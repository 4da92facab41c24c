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
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use db_core::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::upload;
use crate::error::Error;
use crate::manifest::{LARGEST, Manifest, Part, hex};
use crate::series::Series;
use crate::store::draft::{self, Draft};
use crate::store::{Finished, Waiting};

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
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began_at: Option<DateTime<Utc>>,
    /// How often it was tried again in vain, and why the last time.
    #[serde(default)]
    failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How long an upload is tried before it is given up for a newer backup.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) failures: u32,
    pub(super) age: Duration,
}

impl Pending {
    /// What a list shows of it.
    pub(super) fn shown(&self) -> Waiting {
        let name = self.manifest.strip_suffix(".json");
        Waiting {
            name: name.unwrap_or(&self.manifest).to_owned(),
            bytes: self.uploads.iter().map(|upload| upload.bytes).sum(),
            sent: self.uploads.iter().map(upload::sent).sum(),
            since: self.began_at,
            failures: self.failures,
            reason: self.reason.clone(),
        }
    }

    /// The key of its series, if its manifest can be read.
    pub(super) fn series(&self) -> Option<String> {
        series_of(&self.manifest, self.document.as_bytes())
    }

    /// Whether it was tried for long enough.
    pub(super) fn is_overdue(&self, patience: Patience) -> bool {
        let now = SystemClock.now();
        let age = |began: DateTime<Utc>| now.signed_duration_since(began).to_std();
        let is_old = self
            .began_at
            .and_then(|began| age(began).ok())
            .is_some_and(|age| age >= patience.age);
        is_old && self.failures >= patience.failures
    }
}

/// The key of the series of a backup, by its manifest.
pub(super) fn series_of(manifest: &str, document: &[u8]) -> Option<String> {
    let manifest = Manifest::read(manifest, document).ok()?;
    Some(Series::of(&manifest).key())
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
    /// What the service called that state of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) e_tag: Option<String>,
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
            e_tag: None,
        }
    }

    /// It has to be sent anew.
    pub(super) fn forget(&mut self) {
        self.id = None;
        self.parts.clear();
        self.done = false;
        self.e_tag = None;
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
                began_at: Some(SystemClock.now().trunc_subsecs(0)),
                failures: 0,
                reason: None,
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
        let draft = Draft::new_in(db_core::folder::of(&self.path), "upload")?;
        draft
            .file()
            .write_all(&bytes)
            .map_err(|e| Error::io("write", &self.path, e))?;
        draft.replace(&self.path)
    }

    /// Notes that it could not be sent once more.
    pub(super) fn failed(&mut self, error: &Error) {
        self.pending.failures = self.pending.failures.saturating_add(1);
        self.pending.reason = Some(error.to_string());
        if let Err(error) = self.save() {
            tracing::warn!(%error, "it cannot be noted that an upload failed");
        }
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
        records(staging, location)
            .into_iter()
            .filter_map(|(path, pending)| Self::open(path, pending))
            .collect()
    }

    fn open(path: PathBuf, pending: Pending) -> Option<Self> {
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
    pub(super) fn is_whole(&self) -> Result<bool, Error> {
        let uploads = &self.pending.uploads;
        if uploads.len() != self.files.len() {
            return Ok(false);
        }
        for (upload, file) in uploads.iter().zip(&self.files) {
            let same = upload.is(file);
            if !same.map_err(|e| Error::io("read the draft of", &upload.name, e))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What waits for this bucket, as a list shows it.
pub(super) fn waiting(staging: &Path, location: &str) -> Vec<Waiting> {
    let records = records(staging, location).into_iter();
    records.map(|(_, pending)| pending.shown()).collect()
}

/// The records of a folder that are of this bucket, oldest first.
fn records(staging: &Path, location: &str) -> Vec<(PathBuf, Pending)> {
    let Ok(entries) = fs::read_dir(staging) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with(START) && path.extension() == Some(OsStr::new("json"))
    });
    let mut found: Vec<_> = paths
        .filter_map(|path| {
            let pending = read_record(&path)?;
            (pending.location == location).then_some((path, pending))
        })
        .collect();
    found.sort_by(|(_, a), (_, b)| a.manifest.cmp(&b.manifest));
    found
}

fn read_record(path: &Path) -> Option<Pending> {
    let mut bytes = Vec::new();
    // A document in a document is escaped.
    let file = File::open(path).ok()?.take(LARGEST * 4);
    let read = { file }.read_to_end(&mut bytes);
    match (read, serde_json::from_slice::<Pending>(&bytes)) {
        (Ok(_), Ok(pending)) if pending.format == FORMAT => Some(pending),
        _ => {
            tracing::warn!(file = %path.display(), "cannot be read, and is left alone");
            None
        }
    }
}
