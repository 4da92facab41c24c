//! The lock of a bucket: an object that only one can make, that expires, and is renewed meanwhile.
//!
//! It keeps creating and pruning apart as far as a service with clocks and networks can. Whoever
//! cannot renew it in time loses it, and finds that out before a manifest is written. A lock whose
//! process died on this machine is taken over at once: its owner held a file in the staging folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::path::Path as ObjectPath;
use object_store::{Error as Said, ObjectStore, ObjectStoreExt as _, PutMode, UpdateVersion};
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
    /// The machine of its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The folder in which a file says there that the owner lives: others may prepare elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staging: Option<PathBuf>,
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
    term: Arc<Term>,
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
            host: Some(host()),
            staging: std::path::absolute(staging).ok(),
        };
        // Before the object: else it could be taken for a dead process's.
        let sign = sign(staging, &nonce)?;
        match take(client, staging, &paper) {
            Ok(version) => {
                let term = Arc::new(Term::until(paper.expires_at));
                let renewal = renew(client, paper, version, life, Arc::clone(&term));
                Ok(Self {
                    client: Arc::clone(client),
                    nonce,
                    term,
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

    /// How long it is held, from now on too.
    pub(super) fn term(&self) -> Arc<Term> {
        Arc::clone(&self.term)
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
        let is_dead = old.expires_at < now() || is_dead(staging, &old);
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
    term: Arc<Term>,
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
                    term.extend(until);
                }
                // It may be our own renewal, of which only the answer was lost.
                Err(Said::Precondition { .. } | Said::AlreadyExists { .. }) => {
                    match ours(&*objects, &path, &paper.nonce).await {
                        Ok(Some((new, expires_at))) => {
                            version = new;
                            until = expires_at;
                            term.extend(until);
                        }
                        Err(_) if now() < until => {
                            tracing::warn!("the lock of the bucket cannot be read; trying again");
                        }
                        Ok(None) | Err(_) => break,
                    }
                }
                // Without conditions there is nothing to renew safely, and nothing that excludes.
                Err(Said::NotImplemented { .. }) => return term.extend(DateTime::<Utc>::MAX_UTC),
                Err(Said::NotFound { .. }) => break,
                Err(_) if now() < until => {
                    tracing::warn!("the lock of the bucket cannot be renewed; trying again");
                }
                Err(_) => break,
            }
        }
        tracing::warn!("the lock of the bucket is lost");
        term.end();
    })
}

/// The version of the object and until when it says that we hold the lock, if it says so.
async fn ours(
    objects: &dyn ObjectStore,
    path: &ObjectPath,
    nonce: &str,
) -> Result<Option<(UpdateVersion, DateTime<Utc>)>, Said> {
    let found = match objects.get(path).await {
        Ok(found) => found,
        Err(Said::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let version = version_of(&found.meta);
    let paper = serde_json::from_slice::<Paper>(&found.bytes().await?).ok();
    let paper = paper.filter(|paper| paper.nonce == nonce);
    Ok(paper.map(|paper| (version, paper.expires_at)))
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
        }
        if !self.term.is_lost() {
            let is_ours = |bytes: &[u8]| {
                serde_json::from_slice::<Paper>(bytes).is_ok_and(|paper| paper.nonce == self.nonce)
            };
            let released = match self.client.get(LOCK) {
                Ok(Some((bytes, _))) if is_ours(&bytes) => self.client.delete(LOCK),
                other => other.map(drop),
            };
            if let Err(error) = released {
                tracing::warn!(
                    %error,
                    "the lock of the bucket stays until it expires, or this machine takes it"
                );
                // The sign stays, without its lock: who comes next here knows that we are gone.
                return;
            }
        }
        drop(std::fs::remove_file(&self.sign.0));
        // Who publishes without a lock later is not told that this one was lost.
        self.term.extend(DateTime::<Utc>::MAX_UTC);
    }
}

fn sign_path(staging: &Path, nonce: &str) -> PathBuf {
    staging.join(format!(".lease.{nonce}"))
}

/// A file that is locked as long as this process holds the lock of the bucket.
fn sign(staging: &Path, nonce: &str) -> Result<(PathBuf, File), Error> {
    draft::private_folder(staging)?;
    let path = sign_path(staging, nonce);
    let file = db_core::folder::private_file(&path).map_err(|e| Error::io("create", &path, e))?;
    file.try_lock()
        .map_err(|e| Error::io("lock", &path, e.into()))?;
    Ok((path, file))
}

/// Whether the owner of a lock was a process of this machine, and is gone.
fn is_dead(staging: &Path, paper: &Paper) -> bool {
    let nonce = &paper.nonce;
    // It becomes a part of a path, and whoever writes into the bucket wrote it.
    if nonce.len() != 32 || !nonce.bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    let is_here = paper.host.as_deref() == Some(host().as_str());
    let told = paper.staging.as_deref();
    let told = told.filter(|folder| is_here && folder.is_absolute());
    [Some(staging), told].into_iter().flatten().any(|folder| {
        let path = sign_path(folder, nonce);
        let is_free = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if is_free {
            drop(std::fs::remove_file(&path));
        }
        is_free
    })
}

/// Until when a lock is held. After that somebody else may have it, whether or not we were told: a
/// process may have been stopped for longer.
#[derive(Debug)]
pub(super) struct Term(Mutex<DateTime<Utc>>);

impl Term {
    fn until(at: DateTime<Utc>) -> Self {
        Self(Mutex::new(at))
    }

    fn extend(&self, at: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn end(&self) {
        self.extend(DateTime::<Utc>::MIN_UTC);
    }

    pub(super) fn is_lost(&self) -> bool {
        now() >= *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the lock that is held, if one is, was lost.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Option<Arc<Term>>>);

impl Held {
    pub(super) fn set(&self, term: Arc<Term>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(term);
    }

    pub(super) fn is_lost(&self) -> bool {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().is_some_and(|term| term.is_lost())
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::super::place::Place;
    use super::*;

    fn client() -> Client {
        let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        let variables = keys.map(|key| (key.to_owned(), "none".to_owned()));
        let mut client = Client::new(Place::parse("s3://bucket/x").unwrap(), &variables).unwrap();
        client.objects = Arc::new(InMemory::new());
        client
    }

    fn paper(nonce: &str, life: Duration) -> Paper {
        Paper {
            owner: "a test".to_owned(),
            nonce: nonce.to_owned(),
            expires_at: expiry(life),
            host: None,
            staging: None,
        }
    }

    /// The term of a lock that was renewed twice, and told of the first time only. Meanwhile the
    /// object came to hold what `there` is.
    fn renewed(there: &Paper, life: Duration) -> Arc<Term> {
        let client = client();
        let own = paper("a", life);
        let version = client.put_new(LOCK, &own.bytes().unwrap()).unwrap();
        let mode = PutMode::Update(version.clone());
        let bytes = there.bytes().unwrap();
        client.put(LOCK, &bytes, mode).unwrap().unwrap();
        let term = Arc::new(Term::until(own.expires_at));
        let first = own.expires_at;
        let task = renew(&client, own, version, life, Arc::clone(&term)).unwrap();
        // It is lost at once, or held for longer than it was at first.
        while !term.is_lost() && *term.0.lock().unwrap() < first + life / 2 {
            std::thread::yield_now();
        }
        task.abort();
        term
    }

    #[test]
    fn a_renewal_whose_answer_was_lost_is_one() {
        let life = Duration::from_secs(10);
        assert!(!renewed(&paper("a", life), life).is_lost());
        assert!(renewed(&paper("b", life), life).is_lost());
    }
}
