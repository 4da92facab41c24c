//! A bucket of S3, Google Cloud Storage, Azure, or of a service that speaks as one of them.
//!
//! | to change | look in |
//! |---|---|
//! | addresses, settings of the environment | `place` |
//! | what a service says, as our errors | `told` |
//! | requests, and the runtime below them | `client`, `reader` |
//! | parts, and what survives a kill | `upload`, `pending` |
//! | the lock | `lease` |

mod client;
mod lease;
mod pending;
mod place;
mod reader;
mod told;
mod upload;

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use db_core::Interrupt;
use object_store::{ObjectStore, PutMode};

use self::client::Client;
use self::lease::{Held, Lease};
use self::pending::{Patience, Pending, Staged, Upload};
use self::place::Place;
use self::reader::Reader;
use self::upload::Sender;
use super::draft::{self, Draft};
use super::{Finished, Lock, Resumed, Store, StoredFile, Waiting, WriteMode};
use crate::catalog;
use crate::error::Error;
use crate::manifest::{Manifest, Part};
use crate::name::{self, FileName};
use crate::series::Series;

/// Each part of an upload is tried so often, beyond what the client tries by itself.
const TRIES: u32 = 4;

/// So often what the service has lost is sent again in one run.
const ROUNDS: u32 = 3;

/// What waits is given up after this, if the bucket holds a later backup of the same series.
const PATIENCE: Patience = Patience {
    failures: 10,
    age: Duration::from_hours(72),
};

/// A bucket, or what begins with a prefix in it.
///
/// Files are prepared in a staging folder of this machine. An upload that is killed or loses its
/// connection stays there with a note of the parts that are done, and the next
/// [`create`](crate::create) with the same bucket and staging folder goes on with it.
#[derive(Debug)]
pub struct BucketStore {
    client: Arc<Client>,
    staging: PathBuf,
    held: Held,
    tries: u32,
    patience: Patience,
    lock_life: Duration,
}

impl BucketStore {
    /// The store at `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    ///
    /// `variables` are those of the environment: credentials, region and endpoint are taken from
    /// the ones that `object_store` knows (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`,
    /// `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`, …). Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no such address, or settings that do not fit it.
    pub fn open(
        url: &str,
        staging: impl Into<PathBuf>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let variables: Vec<_> = variables.into_iter().collect();
        Ok(Self {
            client: Arc::new(Client::new(Place::parse(url)?, &variables)?),
            staging: staging.into(),
            held: Held::default(),
            tries: TRIES,
            patience: PATIENCE,
            lock_life: lease::LIFE,
        })
    }

    /// How often each part of an upload is tried; 4 by default. Each try is itself repeated by the
    /// client for about ten seconds.
    #[must_use]
    pub const fn with_tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// When an upload that waits is given up: after so many attempts in vain, at this age, and only if
    /// the bucket holds a later backup of the same series that is whole and sound. 10 attempts and 3 days by default.
    #[must_use]
    pub const fn with_patience(mut self, failures: u32, age: Duration) -> Self {
        self.patience = Patience { failures, age };
        self
    }

    /// How long its lock outlives a machine that is gone; 5 minutes by default. It is renewed five
    /// times in that, so that it should not be shorter than the clocks of all machines differ.
    #[must_use]
    pub const fn with_lock_life(mut self, life: Duration) -> Self {
        self.lock_life = life;
        self
    }

    /// Refuses what leaves the prefix.
    fn check(name: &str) -> Result<(), Error> {
        if name::is_safe(name) {
            Ok(())
        } else {
            Err(Error::damaged(name, "it is no name of a stored file"))
        }
    }

    /// Fails if the lock was lost meanwhile.
    fn still_ours(&self) -> Result<(), Error> {
        if self.held.is_lost() {
            Err(lost(self.location()))
        } else {
            Ok(())
        }
    }

    /// Sends what is missing of a backup, and last its manifest.
    fn finish(
        &self,
        staged: &mut Staged,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            self.send(staged, progress)?;
            if self.is_all_there(staged)? {
                self.still_ours()?;
                let pending = &staged.pending;
                let document = pending.document.as_bytes();
                self.client.put_new(&pending.manifest, document)?;
                return Ok(());
            }
        }
        Err(Error::Store {
            place: self.location(),
            reason: format!("it does not keep the files of {}", staged.pending.manifest),
        })
    }

    /// Sends what is missing.
    fn send(
        &self,
        staged: &mut Staged,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut before = 0;
        for index in 0..staged.pending.uploads.len() {
            let mut upload = staged.pending.uploads[index].clone();
            if !upload.done {
                let file = staged.files[index]
                    .try_clone()
                    .map_err(|e| Error::io("open the draft of", &upload.name, e))?;
                let mut sender = Sender {
                    client: &self.client,
                    file: &file,
                    tries: self.tries,
                    progress: &mut |done| progress(before + done),
                    save: &mut |upload| {
                        staged.pending.uploads[index] = upload.clone();
                        staged.save()
                    },
                };
                sender.send(&mut upload)?;
            }
            before += upload.bytes;
            progress(before)?;
        }
        Ok(())
    }

    /// Whether everything that the manifest will name is there, as it was sent: that may be days ago,
    /// and others clear up in a bucket. What is gone is noted as such, and sent again.
    fn is_all_there(&self, staged: &mut Staged) -> Result<bool, Error> {
        let mut all = true;
        for index in 0..staged.pending.uploads.len() {
            let upload = &mut staged.pending.uploads[index];
            match upload::find(&self.client, upload) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    tracing::warn!(file = upload.name, "gone from the bucket; sent again");
                    upload.forget();
                    all = false;
                }
                Err(error) => {
                    if is_final(&error) {
                        // Another file has the name, and is not ours to take back.
                        upload.forget();
                    }
                    return Err(error);
                }
            }
        }
        if !all {
            staged.save()?;
        }
        Ok(all)
    }

    /// Sends a backup, and keeps what could not be sent for another time.
    fn finish_or_keep(
        &self,
        staged: &mut Staged,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let done = self.finish(staged, progress);
        match &done {
            Ok(()) => staged.remove(),
            Err(error) if is_final(error) => self.abandon(staged),
            Err(_) => {}
        }
        done
    }

    /// Takes back what was sent of a backup, and forgets it.
    fn abandon(&self, staged: &Staged) {
        let spared = self.named_by_manifest(&staged.pending.manifest);
        for upload in &staged.pending.uploads {
            upload::abort(&self.client, upload);
            let is_ours = spared.as_ref().is_some_and(|s| !s.contains(&upload.name));
            if upload.done
                && is_ours
                && let Err(error) = self.client.delete(&upload.name)
            {
                tracing::warn!(%error, file = upload.name, "a part without its manifest stays");
            }
        }
        staged.remove();
    }

    /// What a manifest in the bucket names, which may be another backup's of the same name. None if it
    /// cannot be told: nothing is taken away then.
    fn named_by_manifest(&self, file: &str) -> Option<Vec<String>> {
        match self.client.get(file) {
            Ok(None) => Some(Vec::new()),
            Ok(Some((bytes, _))) => {
                let manifest = Manifest::read(file, &bytes).ok()?;
                Some(manifest.parts.into_iter().map(|part| part.name).collect())
            }
            Err(_) => None,
        }
    }

    /// Tries once more to send what waits.
    fn try_again(
        &self,
        staged: &mut Staged,
        progress: &mut dyn FnMut(u64, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !staged.is_whole()? {
            self.abandon(staged);
            let reason = "what was prepared for the bucket is not whole";
            return Err(Error::damaged(&staged.pending.manifest, reason));
        }
        let total = staged.pending.uploads.iter().map(|u| u.bytes).sum();
        self.finish_or_keep(staged, &mut |sent| progress(sent, total))
    }

    /// Whether the bucket holds a later backup that takes the place of this one: of the same series,
    /// whole and sound.
    fn has_later(&self, pending: &Pending) -> Result<bool, Error> {
        let (Some(series), Some(FileName::Manifest(name))) =
            (pending.series(), FileName::parse(&pending.manifest))
        else {
            return Ok(false);
        };
        let listing = catalog::list(self)?;
        Ok(listing.backups.iter().any(|entry| {
            let manifest = entry.manifest.as_ref();
            let does = manifest.is_ok_and(|m| m.is_sound() && Series::of(m).key() == series);
            does && entry.is_usable() && entry.name > name
        }))
    }

    /// Makes room for one more copy of a series: of those that wait, the one stays of which most was
    /// sent, and of these the newest.
    fn make_room(&self, document: &[u8], manifest: &str) {
        let Some(series) = pending::series_of(manifest, document) else {
            return;
        };
        let mut waiting = Staged::all(&self.staging, &self.location());
        waiting.retain(|staged| staged.pending.series().as_ref() == Some(&series));
        waiting.sort_by_key(|staged| staged.pending.shown().sent);
        waiting.pop();
        for staged in waiting {
            tracing::warn!(
                backup = staged.pending.shown().name,
                "a backup that could not be sent is dropped for a newer one, to save room"
            );
            self.abandon(&staged);
        }
    }
}

/// The lock expired before it could be renewed.
fn lost(place: String) -> Error {
    Error::Locked {
        what: place,
        holder: Some("another process: our lock could not be renewed in time".to_owned()),
    }
}

/// Whether trying again would fail again.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Io { error, .. } => error.kind() == io::ErrorKind::AlreadyExists,
        Error::Damaged { .. } => true,
        _ => false,
    }
}

impl Store for BucketStore {
    fn location(&self) -> String {
        self.client.location()
    }

    fn list(&self) -> Result<Vec<StoredFile>, Error> {
        let (objects, prefix) = (
            Arc::clone(&self.client.objects),
            self.client.place.prefix.clone(),
        );
        let found = self.client.wait("", async move {
            let prefix = Some(&prefix).filter(|prefix| !prefix.as_ref().is_empty());
            objects.list_with_delimiter(prefix).await
        })?;
        let mut files: Vec<_> = found
            .objects
            .into_iter()
            .filter_map(|meta| {
                let name = meta
                    .location
                    .filename()
                    .filter(|name| name::is_safe(name))?;
                Some(StoredFile {
                    name: name.to_owned(),
                    bytes: meta.size,
                    modified: Some(meta.last_modified),
                })
            })
            .collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    fn read(&self, name: &str) -> Result<Box<dyn Read + Send>, Error> {
        Self::check(name)?;
        let meta = self.client.head(name)?.ok_or_else(|| Error::NotFound {
            name: name.to_owned(),
            place: self.location(),
        })?;
        Ok(Box::new(Reader::new(Arc::clone(&self.client), name, meta)))
    }

    fn publish(
        &self,
        file: Draft,
        name: &str,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        Self::check(name)?;
        let mut upload = Upload::new(&Part {
            name: name.to_owned(),
            bytes: file.bytes()?,
            sha256: pending::hash_of(file.path())?,
        });
        let sent = Sender {
            client: &self.client,
            file: file.file(),
            tries: self.tries,
            progress,
            save: &mut |_| Ok(()),
        }
        .send(&mut upload);
        if sent.is_err() {
            upload::abort(&self.client, &upload);
        }
        sent
    }

    fn publish_backup(
        &self,
        backup: Finished,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let names = backup.parts.iter().map(|(_, part)| part.name.as_str());
        for name in names.chain([backup.manifest.as_str()]) {
            Self::check(name)?;
        }
        self.make_room(&backup.document, &backup.manifest);
        let mut staged = Staged::new(&self.staging, &self.location(), backup)?;
        self.finish_or_keep(&mut staged, progress)
    }

    fn resume(
        &self,
        progress: &mut dyn FnMut(u64, u64) -> Result<(), Error>,
    ) -> Result<Resumed, Error> {
        let mut resumed = Resumed::default();
        let mut all = Staged::all(&self.staging, &self.location()).into_iter();
        for mut staged in all.by_ref() {
            let error = match self.try_again(&mut staged, progress) {
                Ok(()) => {
                    resumed.completed.push(staged.pending.shown());
                    continue;
                }
                Err(error @ (Error::Interrupted | Error::Locked { .. })) => return Err(error),
                Err(error) => error,
            };
            staged.failed(&error);
            let shown = staged.pending.shown();
            if is_final(&error) {
                staged.remove();
                resumed.given_up.push(shown);
                continue;
            }
            // Where not even this can be asked, the next one would fail too.
            let later = if staged.pending.is_overdue(self.patience) {
                self.has_later(&staged.pending)
            } else {
                self.list().map(|_| false)
            };
            if matches!(later, Ok(true)) {
                self.abandon(&staged);
                resumed.given_up.push(shown);
                continue;
            }
            resumed.waiting.push(shown);
            if later.is_err() {
                break;
            }
        }
        resumed
            .waiting
            .extend(all.map(|staged| staged.pending.shown()));
        Ok(resumed)
    }

    fn waiting(&self) -> Vec<Waiting> {
        pending::waiting(&self.staging, &self.location())
    }

    fn obey(&self, interrupt: &Interrupt) {
        self.client.obey(interrupt);
    }

    fn write_small(&self, name: &str, bytes: &[u8], mode: WriteMode) -> Result<(), Error> {
        Self::check(name)?;
        match mode {
            WriteMode::Create => self.client.put_new(name, bytes).map(|_| ()),
            WriteMode::Replace => self
                .client
                .put(name, bytes, PutMode::Overwrite)?
                .map(|_| ())
                .map_err(|e| self.client.told(name, &e)),
        }
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        Self::check(name)?;
        self.client.delete(name)
    }

    fn draft(&self) -> Result<Draft, Error> {
        Draft::new_in(&self.staging, "backup")
    }

    fn lock(&self, why: &str) -> Result<Lock, Error> {
        let lease = Lease::acquire(&self.client, &self.staging, why, self.lock_life)?;
        let (term, place) = (lease.term(), self.location());
        self.held.set(Arc::clone(&term));
        draft::sweep(&self.staging);
        Ok(Lock::that_expires(lease, move || {
            if term.is_lost() {
                Err(lost(place.clone()))
            } else {
                Ok(())
            }
        }))
    }
}
