//! A client of a bucket for code that waits: the runtime it needs stays inside.

use std::fmt;
use std::future::Future;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use db_core::Interrupt;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    Error as Said, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::place::Place;
use super::told::told;
use crate::error::Error;

/// Requests wait far more than they work.
const THREADS: usize = 2;

/// So often whoever waits asks whether to go on.
const TICK: Duration = Duration::from_millis(100);

/// What a request has that begins after a stop.
const GRACE: Duration = Duration::from_secs(3);

/// A client, shared by a store and what it has handed out.
pub(super) struct Client {
    pub(super) place: Place,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) uploads: Arc<dyn MultipartStore>,
    /// Who may stop waiting.
    interrupt: Mutex<Interrupt>,
    /// Only empty while it is dropped.
    runtime: Option<Runtime>,
}

impl Client {
    pub(super) fn new(place: Place, variables: &[(String, String)]) -> Result<Self, Error> {
        let sides = place.connect(variables)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("bucket")
            .enable_all()
            .build()
            .map_err(|e| Error::io("start threads for", place.location(), e))?;
        Ok(Self {
            place,
            objects: sides.objects,
            uploads: sides.uploads,
            interrupt: Mutex::default(),
            runtime: Some(runtime),
        })
    }

    /// From now on nobody waits any more for what is on its way when this one is set.
    pub(super) fn obey(&self, interrupt: &Interrupt) {
        let mut own = self
            .interrupt
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *own = interrupt.clone();
    }

    /// Waits for what comes from a task.
    ///
    /// A stop ends the wait for a request that is on its way. One that begins after it takes back
    /// what was begun, an upload or a lock, and has some seconds.
    pub(super) fn receive<T>(&self, receiver: &Receiver<T>) -> Result<T, Error> {
        let interrupt = {
            let own = self
                .interrupt
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            own.clone()
        };
        let (was_set, began) = (interrupt.is_set(), Instant::now());
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(came) => return Ok(came),
                Err(RecvTimeoutError::Timeout) => {
                    if interrupt.is_set() && (!was_set || began.elapsed() > GRACE) {
                        return Err(Error::Interrupted);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Store {
                        place: self.location(),
                        reason: "the request was given up".to_owned(),
                    });
                }
            }
        }
    }

    pub(super) fn location(&self) -> String {
        self.place.location()
    }

    /// Starts something. Nothing is started while the client is dropped.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        self.runtime.as_ref().map(|runtime| runtime.spawn(work))
    }

    /// Waits for a request, also on a thread of another runtime, where `block_on` would panic.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, Said>> + Send + 'static,
    ) -> Result<T, Error> {
        self.wait_raw(work)?.map_err(|e| self.told(name, &e))
    }

    /// The same, with the service's own error.
    pub(super) fn wait_raw<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Said>> + Send + 'static,
    ) -> Result<Result<T, Said>, Error> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let task = self.spawn(async move {
            // Whoever asked may have gone.
            drop(sender.send(work.await));
        });
        let received = self.receive(&receiver);
        if received.is_err()
            && let Some(task) = task
        {
            task.abort();
        }
        received
    }

    pub(super) fn told(&self, name: &str, error: &Said) -> Error {
        told(&self.location(), name, error)
    }

    /// What is known of an object, if it is there.
    pub(super) fn head(&self, name: &str) -> Result<Option<ObjectMeta>, Error> {
        let (objects, path) = (Arc::clone(&self.objects), self.place.object(name));
        let found = self.wait(name, async move { objects.head(&path).await });
        absent_is_none(found)
    }

    /// A small object and its version, if it is there.
    pub(super) fn get(&self, name: &str) -> Result<Option<(Vec<u8>, ObjectMeta)>, Error> {
        let (objects, path) = (Arc::clone(&self.objects), self.place.object(name));
        let found = self.wait(name, async move {
            let found = objects.get(&path).await?;
            let meta = found.meta.clone();
            Ok((Vec::from(found.bytes().await?), meta))
        });
        absent_is_none(found)
    }

    /// Writes a new object, small enough for one request. One of that name is an error, but for one
    /// with these very bytes: it is ours, of a request whose answer was lost.
    pub(super) fn put_new(&self, name: &str, bytes: &[u8]) -> Result<UpdateVersion, Error> {
        let put = |mode| self.put(name, bytes, mode);
        match put(PutMode::Create)? {
            Ok(version) => Ok(version),
            Err(Said::NotImplemented { .. }) => {
                if self.head(name)?.is_some() {
                    return Err(self.exists(name));
                }
                put(PutMode::Overwrite)?.map_err(|e| self.told(name, &e))
            }
            Err(error @ (Said::AlreadyExists { .. } | Said::Precondition { .. })) => {
                let there = self.head(name)?;
                if there.is_none_or(|meta| meta.size != bytes.len() as u64) {
                    return Err(self.told(name, &error));
                }
                match self.get(name)? {
                    Some((same, meta)) if same == bytes => Ok(version_of(&meta)),
                    _ => Err(self.told(name, &error)),
                }
            }
            Err(error) => Err(self.told(name, &error)),
        }
    }

    /// Writes an object in one request.
    pub(super) fn put(
        &self,
        name: &str,
        bytes: &[u8],
        mode: PutMode,
    ) -> Result<Result<UpdateVersion, Said>, Error> {
        let put = put(
            Arc::clone(&self.objects),
            self.place.object(name),
            bytes.to_vec(),
            mode,
        );
        self.wait_raw(put)
    }

    /// Removes an object; one that is not there is as good.
    pub(super) fn delete(&self, name: &str) -> Result<(), Error> {
        let (objects, path) = (Arc::clone(&self.objects), self.place.object(name));
        let gone = self.wait(name, async move { objects.delete(&path).await });
        absent_is_none(gone).map(|_| ())
    }

    pub(super) fn exists(&self, name: &str) -> Error {
        Error::io(
            "write",
            format!("{}/{name}", self.location()),
            std::io::ErrorKind::AlreadyExists.into(),
        )
    }
}

/// Writes an object in one request.
pub(super) async fn put(
    objects: Arc<dyn ObjectStore>,
    path: Path,
    bytes: Vec<u8>,
    mode: PutMode,
) -> Result<UpdateVersion, Said> {
    let done = objects
        .put_opts(&path, PutPayload::from(bytes), mode.into())
        .await?;
    Ok(UpdateVersion {
        e_tag: done.e_tag,
        version: done.version,
    })
}

pub(super) fn version_of(meta: &ObjectMeta) -> UpdateVersion {
    UpdateVersion {
        e_tag: meta.e_tag.clone(),
        version: meta.version.clone(),
    }
}

fn absent_is_none<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Waiting for its threads would panic on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.location()).finish()
    }
}
