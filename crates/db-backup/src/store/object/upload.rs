//! Files into a bucket, in parts of which each is tried again by itself.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error as Said, ObjectMeta, PutPayload};
use tokio::task::JoinHandle;

use super::client::Client;
use super::pending::Upload;
use super::reader::Reader;
use super::told::passes;
use crate::error::Error;

const MIB: u64 = 1 << 20;

/// A smaller file goes in one request. Services ask for at least 5 MiB in all parts but the last.
pub(super) const SMALLEST_PART: u64 = 8 * MIB;

/// Beyond this, parts get larger only when there would be too many.
const USUAL_LARGEST_PART: u64 = 64 * MIB;
const USUAL_PARTS: u64 = 1_000;
const MOST_PARTS: u64 = 10_000;

/// Parts on their way at the same time; each is in memory.
const AT_ONCE: usize = 4;

/// So often progress is told, and asked whether to go on.
const TICK: Duration = Duration::from_millis(200);

/// The first wait before a part is tried again, beyond what the client tries; then twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// An upload that the service has forgotten begins anew, once.
const BEGINNINGS: u32 = 2;

/// How large the parts of a file are: at most 10,000 of them.
fn part_bytes(bytes: u64) -> u64 {
    let usual = bytes
        .div_ceil(USUAL_PARTS)
        .clamp(SMALLEST_PART, USUAL_LARGEST_PART);
    usual.max(bytes.div_ceil(MOST_PARTS)).next_multiple_of(MIB)
}

/// Sends one file.
pub(super) struct Sender<'a> {
    pub(super) client: &'a Arc<Client>,
    pub(super) file: &'a File,
    /// How often each part is tried.
    pub(super) tries: u32,
    /// Told the bytes that are there.
    pub(super) progress: &'a mut dyn FnMut(u64) -> Result<(), Error>,
    /// Notes how far it is.
    pub(super) save: &'a mut dyn FnMut(&Upload) -> Result<(), Error>,
}

/// Why an upload did not end.
enum Stopped {
    /// The service knows it no more.
    Forgotten,
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Sender<'_> {
    /// Sends what is missing. When this returns, the whole file is there under its name.
    pub(super) fn send(&mut self, upload: &mut Upload) -> Result<(), Error> {
        if upload.bytes <= SMALLEST_PART {
            let bytes = self.part(upload, 0)?;
            upload.e_tag = self.client.put_new(&upload.name, &bytes)?.e_tag;
        } else {
            upload.e_tag = self.send_in_parts(upload)?;
        }
        upload.done = true;
        (self.save)(upload)?;
        (self.progress)(upload.bytes)
    }

    /// Returns what the service calls this state of the object.
    fn send_in_parts(&mut self, upload: &mut Upload) -> Result<Option<String>, Error> {
        if let Some(there) = find(self.client, upload)? {
            return Ok(there.e_tag);
        }
        for _ in 0..BEGINNINGS {
            match self.send_once(upload) {
                Ok(e_tag) => return Ok(e_tag),
                Err(Stopped::Failed(error)) => return Err(error),
                Err(Stopped::Forgotten) => {
                    // Perhaps because it is complete, and only the answer was lost.
                    if let Some(there) = find(self.client, upload)? {
                        return Ok(there.e_tag);
                    }
                    tracing::warn!(file = upload.name, "the service has forgotten the upload");
                    upload.forget();
                    (self.save)(upload)?;
                }
            }
        }
        Err(Error::Store {
            place: self.client.location(),
            reason: format!("the service forgets the upload of {}", upload.name),
        })
    }

    fn send_once(&mut self, upload: &mut Upload) -> Result<Option<String>, Stopped> {
        let uploads = Arc::clone(&self.client.uploads);
        let path = self.client.place.object(&upload.name);
        let id = if let Some(id) = &upload.id {
            id.clone()
        } else {
            let (uploads, path) = (Arc::clone(&uploads), path.clone());
            let begun = async move { uploads.create_multipart(&path).await };
            let id = self.client.wait(&upload.name, begun)?;
            upload.id = Some(id.clone());
            (self.save)(upload)?;
            id
        };
        self.send_parts(upload, &id)?;
        // Others may have been faster; services replace without asking here.
        if self.client.head(&upload.name)?.is_some() {
            return Err(Stopped::Forgotten);
        }
        let parts = upload.parts.values();
        let parts = parts.map(|content_id| PartId {
            content_id: content_id.clone(),
        });
        let parts = parts.collect();
        let complete = async move { uploads.complete_multipart(&path, &id, parts).await };
        let made = match self.client.wait_raw(complete)? {
            Ok(made) => made,
            Err(Said::NotFound { .. }) => return Err(Stopped::Forgotten),
            Err(error) => return Err(self.client.told(&upload.name, &error).into()),
        };
        let is_ours = |meta: &ObjectMeta| {
            meta.size == upload.bytes
                && (made.e_tag.is_none() || meta.e_tag.is_none() || made.e_tag == meta.e_tag)
        };
        match self.client.head(&upload.name)? {
            Some(there) if is_ours(&there) => Ok(there.e_tag),
            _ => Err(Error::damaged(&upload.name, "the service holds something else").into()),
        }
    }

    /// Sends the parts that are missing.
    fn send_parts(&mut self, upload: &mut Upload, id: &str) -> Result<(), Stopped> {
        let size = part_bytes(upload.bytes);
        let count = usize::try_from(upload.bytes.div_ceil(size)).unwrap_or(usize::MAX);
        let missing: Vec<usize> = (0..count)
            .filter(|index| !upload.parts.contains_key(index))
            .collect();
        let mut missing = missing.into_iter();
        let mut running = Running(Vec::new());
        let mut under_way = 0;
        let (sender, receiver) = mpsc::channel();
        (self.progress)(sent(upload))?;
        loop {
            while under_way < AT_ONCE
                && let Some(index) = missing.next()
            {
                let part = OnePart {
                    uploads: Arc::clone(&self.client.uploads),
                    path: self.client.place.object(&upload.name),
                    id: id.to_owned(),
                    index,
                    tries: self.tries,
                };
                let (sender, bytes) = (sender.clone(), self.part(upload, index)?);
                let task = self.client.spawn(async move {
                    // Whoever waits may have given up.
                    drop(sender.send((index, part.put(bytes).await)));
                });
                running.0.extend(task);
                under_way += 1;
            }
            if under_way == 0 {
                return Ok(());
            }
            match receiver.recv_timeout(TICK) {
                Ok((index, Ok(done))) => {
                    under_way -= 1;
                    upload.parts.insert(index, done.content_id);
                    (self.save)(upload)?;
                }
                Ok((_, Err(Said::NotFound { .. }))) => return Err(Stopped::Forgotten),
                Ok((_, Err(error))) => return Err(self.client.told(&upload.name, &error).into()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            (self.progress)(sent(upload))?;
        }
    }

    /// The bytes of a part.
    fn part(&self, upload: &Upload, index: usize) -> Result<Vec<u8>, Error> {
        let size = part_bytes(upload.bytes);
        let start = index as u64 * size;
        let length = upload.bytes.saturating_sub(start).min(size);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.file
            .read_exact_at(&mut bytes, start)
            .map_err(|e| Error::io("read the draft of", &upload.name, e))?;
        Ok(bytes)
    }
}

/// Bytes that the service has.
pub(super) fn sent(upload: &Upload) -> u64 {
    if upload.done {
        return upload.bytes;
    }
    let parts = upload.parts.len() as u64;
    upload
        .bytes
        .min(parts.saturating_mul(part_bytes(upload.bytes)))
}

/// This very file, if it is there already: of the state that the service named when it was sent, or of
/// the same content. Another one of its name is an error.
pub(super) fn find(client: &Arc<Client>, upload: &Upload) -> Result<Option<ObjectMeta>, Error> {
    let Some(meta) = client.head(&upload.name)? else {
        return Ok(None);
    };
    if meta.size == upload.bytes {
        if upload.e_tag.is_some() && upload.e_tag == meta.e_tag {
            return Ok(Some(meta));
        }
        let there = Reader::new(Arc::clone(client), &upload.name, meta.clone());
        let failed = |e| Error::io("read", &upload.name, e);
        if upload.is(there).map_err(failed)? {
            return Ok(Some(meta));
        }
    }
    Err(client.exists(&upload.name))
}

/// Gives up what is under way when it is dropped.
struct Running(Vec<JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

struct OnePart {
    uploads: Arc<dyn MultipartStore>,
    path: Path,
    id: String,
    index: usize,
    tries: u32,
}

impl OnePart {
    async fn put(self, bytes: Vec<u8>) -> Result<PartId, Said> {
        let payload = PutPayload::from(bytes);
        let mut wait = FIRST_WAIT;
        let mut left = self.tries;
        loop {
            left = left.saturating_sub(1);
            let put = self
                .uploads
                .put_part(&self.path, &self.id, self.index, payload.clone());
            match put.await {
                Err(error) if left > 0 && passes(&error) => {
                    tracing::warn!(part = self.index + 1, "a part is sent again");
                    // Between half and all of it, so that parts do not come back together.
                    let share = 0.5 + fastrand::f64() / 2.;
                    tokio::time::sleep(wait.mul_f64(share)).await;
                    wait *= 2;
                }
                done => return done,
            }
        }
    }
}

/// Takes back what an upload left at the service.
pub(super) fn abort(client: &Client, upload: &Upload) {
    let Some(id) = upload.id.clone().filter(|_| !upload.done) else {
        return;
    };
    let (uploads, path) = (
        Arc::clone(&client.uploads),
        client.place.object(&upload.name),
    );
    let aborted = client.wait(&upload.name, async move {
        uploads.abort_multipart(&path, &id).await
    });
    match aborted {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(error) => {
            tracing::warn!(%error, file = upload.name, "an upload stays unfinished in the bucket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_are_enough() {
        const GIB: u64 = 1 << 30;
        for (bytes, size) in [
            (9 * MIB, 8 * MIB),
            (8 * GIB - 1, 9 * MIB),
            (64 * GIB, 64 * MIB),
            (5 * 1024 * GIB, 525 * MIB),
        ] {
            assert_eq!(part_bytes(bytes), size, "{bytes}");
            assert!(bytes.div_ceil(part_bytes(bytes)) <= MOST_PARTS);
        }
        let mut bytes = SMALLEST_PART + 1;
        while bytes < 5 * 1024 * GIB {
            assert!(bytes.div_ceil(part_bytes(bytes)) <= MOST_PARTS);
            assert!(part_bytes(bytes) >= SMALLEST_PART);
            bytes = bytes * 3 / 2 + 1;
        }
    }
}
