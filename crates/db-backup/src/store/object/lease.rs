//! The lock of a bucket: an object that only one can make, that expires, and is renewed meanwhile.
//!
//! It keeps creating and pruning apart as far as a service with clocks and networks can. Whoever
//! cannot renew it in time loses it, and finds that out before a manifest is written. A lock whose
//! process died on this machine is taken over at once: its owner held a file in the staging folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::{Error as Said, PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::client::{Client, put, version_of};
use db_core::{Clock, SystemClock};

use crate::error::Error;
use crate::manifest::host;
use crate::store::draft;

/// The object. It begins with a dot, and so is no name of a stored file.
const LOCK: &str = ".lock";

/// So long a lock outlives its owner.
pub(super) const LIFE: Duration = Duration::from_mins(5);

/// So often in its life it is renewed.
const RENEWALS: u32 = 5;

/// Others may change it between two requests so often.
const TRIES: u32 = 5;

/// Longer ones are not ours.
const LONGEST: usize = 16 * 1024;

/// What the object holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Paper {
    owner: String,
    nonce: String,
    expires_at: DateTime<Utc>,
}

impl Paper {
    fn bytes(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|e| Error::damaged(LOCK, e.to_string()))
    }
}

/// A lock that is held.
pub(super) struct Lease {
    client: Arc<Client>,
    nonce: String,
    lost: Arc<AtomicBool>,
    renewal: Option<JoinHandle<()>>,
    /// Its lock says on this machine that we live.
    sign: (PathBuf, File),
}

impl Lease {
    pub(super) fn acquire(
        client: &Arc<Client>,
        staging: &Path,
        why: &str,
        life: Duration,
    ) -> Result<Self, Error> {
        let nonce = format!("{:032x}", fastrand::Rng::new().u128(..));
        let paper = Paper {
            owner: format!("{why} (process {} on {})", std::process::id(), host()),
            nonce: nonce.clone(),
            expires_at: expiry(life),
        };
        // Before the object: else it could be taken for a dead process's.
        let sign = sign(staging, &nonce)?;
        match take(client, staging, &paper) {
            Ok(version) => {
                let lost = Arc::new(AtomicBool::new(false));
                let renewal = renew(client, paper, version, life, Arc::clone(&lost));
                Ok(Self {
                    client: Arc::clone(client),
                    nonce,
                    lost,
                    renewal,
                    sign,
                })
            }
            Err(error) => {
                drop(std::fs::remove_file(&sign.0));
                Err(error)
            }
        }
    }

    /// Whether it was lost, from now on too.
    pub(super) fn lost(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.lost)
    }
}

/// Makes the object, or takes it from one who is dead or too late.
fn take(client: &Client, staging: &Path, paper: &Paper) -> Result<UpdateVersion, Error> {
    let bytes = paper.bytes()?;
    let locked = |holder: Option<String>| Error::Locked {
        what: client.location(),
        holder,
    };
    for _ in 0..TRIES {
        match client.put_new(LOCK, &bytes) {
            Err(Error::Io { error, .. }) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
        let Some((there, meta)) = client.get(LOCK)? else {
            continue;
        };
        let old: Paper = match serde_json::from_slice(&there) {
            Ok(old) if there.len() <= LONGEST => old,
            _ => return Err(locked(Some("a lock that cannot be read".to_owned()))),
        };
        let is_dead = old.expires_at < now() || is_dead(staging, &old.nonce);
        if !is_dead {
            let owner: String = old.owner.chars().filter(|c| !c.is_control()).collect();
            let until = old.expires_at.format("%Y-%m-%d %H:%M:%S UTC");
            return Err(locked(Some(format!(
                "{}, until {until} if that one is dead",
                owner.chars().take(200).collect::<String>()
            ))));
        }
        tracing::info!(owner = old.owner, "taking over the lock of one who is gone");
        match client.put(LOCK, &bytes, PutMode::Update(version_of(&meta)))? {
            Ok(version) => return Ok(version),
            // Another one was faster.
            Err(Said::Precondition { .. } | Said::NotFound { .. } | Said::AlreadyExists { .. }) => {
            }
            Err(error) => return Err(client.told(LOCK, &error)),
        }
    }
    Err(locked(None))
}

/// What other machines will compare with their own clocks.
fn now() -> DateTime<Utc> {
    SystemClock.now()
}

fn expiry(life: Duration) -> DateTime<Utc> {
    now() + life
}

/// Renews it until it is stopped, or lost.
fn renew(
    client: &Client,
    mut paper: Paper,
    mut version: UpdateVersion,
    life: Duration,
    lost: Arc<AtomicBool>,
) -> Option<JoinHandle<()>> {
    let objects = Arc::clone(&client.objects);
    let path = client.place.object(LOCK);
    client.spawn(async move {
        let mut until = paper.expires_at;
        loop {
            tokio::time::sleep(life / RENEWALS).await;
            paper.expires_at = expiry(life);
            let Ok(bytes) = paper.bytes() else { break };
            let mode = PutMode::Update(version.clone());
            match put(Arc::clone(&objects), path.clone(), bytes, mode).await {
                Ok(new) => {
                    version = new;
                    until = paper.expires_at;
                }
                // Without conditions there is nothing to renew safely.
                Err(Said::NotImplemented { .. }) => return,
                Err(
                    Said::Precondition { .. } | Said::NotFound { .. } | Said::AlreadyExists { .. },
                ) => break,
                Err(_) if now() < until => {
                    tracing::warn!("the lock of the bucket cannot be renewed; trying again");
                }
                Err(_) => break,
            }
        }
        tracing::warn!("the lock of the bucket is lost");
        lost.store(true, Ordering::Release);
    })
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
        }
        if !self.lost.load(Ordering::Acquire) {
            let ours = match self.client.get(LOCK) {
                Ok(Some((bytes, _))) => serde_json::from_slice::<Paper>(&bytes)
                    .is_ok_and(|paper| paper.nonce == self.nonce),
                _ => false,
            };
            if ours && let Err(error) = self.client.delete(LOCK) {
                tracing::warn!(%error, "the lock of the bucket stays until it expires");
            }
        }
        drop(std::fs::remove_file(&self.sign.0));
    }
}

fn sign_path(staging: &Path, nonce: &str) -> PathBuf {
    staging.join(format!(".lease.{nonce}"))
}

/// A file that is locked as long as this process holds the lock of the bucket.
fn sign(staging: &Path, nonce: &str) -> Result<(PathBuf, File), Error> {
    draft::private_folder(staging)?;
    let path = sign_path(staging, nonce);
    let file = draft::private_file(&path).map_err(|e| Error::io("create", &path, e))?;
    file.try_lock()
        .map_err(|e| Error::io("lock", &path, e.into()))?;
    Ok((path, file))
}

/// Whether the owner of a lock was a process of this machine, and is gone.
fn is_dead(staging: &Path, nonce: &str) -> bool {
    let is_ours = nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_hexdigit());
    let path = sign_path(staging, nonce);
    match File::open(&path) {
        Ok(file) if is_ours && file.try_lock().is_ok() => {
            drop(std::fs::remove_file(&path));
            true
        }
        _ => false,
    }
}

/// Whether the lock that is held, if one is, was lost.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Option<Arc<AtomicBool>>>);

impl Held {
    pub(super) fn set(&self, lost: Arc<AtomicBool>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(lost);
    }

    pub(super) fn is_lost(&self) -> bool {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref()
            .is_some_and(|lost| lost.load(Ordering::Acquire))
    }
}
