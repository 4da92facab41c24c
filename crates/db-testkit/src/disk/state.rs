//! What a disk is asked to do to its files, and what it has seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::{Event, Record};

/// A region of the shared memory beside a database: SQLite asks for it in one piece.
pub(super) const SHARED_REGION: u64 = 32 << 10;

/// A call of SQLite that can fail.
///
/// Unlocking and closing are not among them: no system lets them fail without having done them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "named as SQLite's methods are, without their x"
)]
pub enum Call {
    Open,
    Delete,
    Access,
    Read,
    Write,
    Truncate,
    Sync,
    FileSize,
    Lock,
    ShmMap,
    ShmLock,
}

/// How long a failure lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duration {
    /// One call.
    Once,
    /// That call and all after it.
    Forever,
}

/// How much of a write is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Whole,
    /// So many bytes fit, and then the disk is full.
    Only(u64),
}

pub(super) struct State {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    calls: u64,
    plan: Option<(u64, Duration)>,
    failed: Vec<(Call, PathBuf)>,
    limit: Option<u64>,
    /// Of files, and of shared memory under the name of its database with `-shm`.
    sizes: BTreeMap<PathBuf, u64>,
    record: Option<Record>,
}

impl State {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            inner: Mutex::default(),
        }
    }

    pub(super) fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.folder)
    }

    pub(super) fn fail(&self, n: u64, duration: Duration) {
        let mut inner = self.inner();
        inner.calls = 0;
        inner.failed.clear();
        inner.plan = Some((n, duration));
    }

    pub(super) fn heal(&self) {
        let mut inner = self.inner();
        inner.calls = 0;
        inner.plan = None;
    }

    pub(super) fn calls(&self) -> u64 {
        self.inner().calls
    }

    pub(super) fn failed(&self) -> Vec<(Call, PathBuf)> {
        self.inner().failed.clone()
    }

    pub(super) fn limit(&self, bytes: Option<u64>) {
        self.inner().limit = bytes;
    }

    pub(super) fn used(&self) -> u64 {
        self.inner().used()
    }

    pub(super) fn record(&self) {
        self.inner().record = Some(Record::default());
    }

    pub(super) fn mark(&self, number: u64) {
        self.inner().note(|| Event::Mark(number));
    }

    pub(super) fn recorded(&self) -> Record {
        self.inner().record.take().unwrap_or_default()
    }

    /// Whether this call is to fail.
    pub(super) fn fails(&self, call: Call, path: &Path) -> bool {
        let mut inner = self.inner();
        let now = inner.calls;
        inner.calls += 1;
        let fails = match inner.plan {
            Some((n, Duration::Once)) => now == n,
            Some((n, Duration::Forever)) => now >= n,
            None => false,
        };
        if fails {
            inner.failed.push((call, path.to_owned()));
        }
        fails
    }

    /// Whether a write of so many bytes at this place finds room.
    pub(super) fn room(&self, path: &Path, offset: u64, length: u64) -> Verdict {
        let inner = self.inner();
        let Some(limit) = inner.limit else {
            return Verdict::Whole;
        };
        let size = inner.sizes.get(path).copied().unwrap_or(0);
        let free = limit.saturating_sub(inner.used());
        let growth = (offset + length).saturating_sub(size);
        if growth <= free {
            return Verdict::Whole;
        }
        let missing = growth - free;
        Verdict::Only(length.saturating_sub(missing))
    }

    /// Whether shared memory of so many regions finds room; if so, it is taken.
    pub(super) fn share(&self, path: &Path, regions: u64) -> bool {
        let mut inner = self.inner();
        let mut name = path.as_os_str().to_owned();
        name.push("-shm");
        let name = PathBuf::from(name);
        let size = inner.sizes.get(&name).copied().unwrap_or(0);
        let wanted = (regions * SHARED_REGION).max(size);
        let free = inner
            .limit
            .map_or(u64::MAX, |limit| limit.saturating_sub(inner.used()));
        if wanted - size > free {
            return false;
        }
        inner.sizes.insert(name, wanted);
        true
    }

    /// The shared memory of this database is gone.
    pub(super) fn unshare(&self, path: &Path) {
        let mut name = path.as_os_str().to_owned();
        name.push("-shm");
        self.inner().sizes.remove(Path::new(&name));
    }

    pub(super) fn opened(&self, path: &Path, size: u64) {
        let mut inner = self.inner();
        inner.sizes.insert(path.to_owned(), size);
        inner.note(|| Event::Open {
            file: path.to_owned(),
        });
    }

    pub(super) fn deleted(&self, path: &Path, synced: bool) {
        let mut inner = self.inner();
        inner.sizes.remove(path);
        inner.note(|| Event::Delete {
            file: path.to_owned(),
            synced,
        });
    }

    pub(super) fn written(&self, path: &Path, offset: u64, bytes: &[u8]) {
        let mut inner = self.inner();
        let end = offset + bytes.len() as u64;
        let size = inner.sizes.entry(path.to_owned()).or_default();
        *size = (*size).max(end);
        inner.note(|| Event::Write {
            file: path.to_owned(),
            offset,
            bytes: bytes.into(),
        });
    }

    pub(super) fn truncated(&self, path: &Path, size: u64) {
        let mut inner = self.inner();
        inner.sizes.insert(path.to_owned(), size);
        inner.note(|| Event::Truncate {
            file: path.to_owned(),
            size,
        });
    }

    pub(super) fn synced(&self, path: &Path) {
        self.inner().note(|| Event::Sync {
            file: path.to_owned(),
        });
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn used(&self) -> u64 {
        self.sizes.values().sum()
    }

    fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(record) = &mut self.record {
            record.push(event());
        }
    }
}
