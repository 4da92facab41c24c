//! Making a backup: snapshot, proof, artifact, manifest, in this order on every engine.
//!
//! What differs between engines is behind `Half`: how a snapshot is taken, what is known of it and
//! how it is proven. Names, publishing and the manifest are the same.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, Utc};
use db_core::{Clock, DatabaseUrl, EncryptionKey, Engine, Interrupt, SystemClock};

use crate::codec::{Codec, Encoded, Encoder};
use crate::error::Error;
use crate::invariant::Invariant;
use crate::manifest::{
    Content, EngineFacts, FORMAT, Kind, Level, MadeBy, Manifest, Part, Proof, SchemaFacts,
    TableRows, clean,
};
use crate::name::{BackupName, FileName};
use crate::postgres::{self, PostgresOptions};
use crate::progress::{Phase, Progress, Watcher};
use crate::series;
use crate::sqlite;
use crate::store::{Draft, Finished, Resumed, Store, Waiting};
use crate::tolerated::Tolerated;
use crate::withheld;

/// Bytes of one step.
const CHUNK: usize = 1 << 18;

/// The database to back up.
#[derive(Debug, Clone)]
pub struct Source {
    /// The database as it is shown, and for PostgreSQL with every parameter of connecting.
    pub url: DatabaseUrl,
    /// The key of an encrypted SQLite file.
    pub key: Option<EncryptionKey>,
}

/// How a database is copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// SQLite's online backup, or `pg_dump`.
    #[default]
    Logical,
    /// `pg_basebackup`: the whole cluster, for restoring to a point in time.
    Base,
}

/// How a backup is made. `Default` is a quick check, zstd level 3, no encryption, and no
/// [invariants](Self::with_invariant): what has to be true of your data only you know.
#[derive(Clone)]
pub struct BackupOptions {
    pub(crate) codec: Codec,
    pub(crate) method: Method,
    pub(crate) check: Level,
    pub(crate) invariants: Vec<Invariant>,
    pub(crate) accept_unsound: bool,
    pub(crate) scratch: Option<PathBuf>,
    pub(crate) postgres: PostgresOptions,
    pub(crate) made_by: MadeBy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) interrupt: Interrupt,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            codec: Codec::default(),
            method: Method::default(),
            check: Level::default(),
            invariants: Vec::new(),
            accept_unsound: false,
            scratch: None,
            postgres: PostgresOptions::new(),
            made_by: MadeBy::this(concat!("db-backup ", env!("CARGO_PKG_VERSION"))),
            clock: Arc::new(SystemClock),
            interrupt: Interrupt::default(),
        }
    }
}

impl fmt::Debug for BackupOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupOptions")
            .field("codec", &self.codec)
            .field("method", &self.method)
            .field("check", &self.check)
            .field("invariants", &self.invariants)
            .field("accept_unsound", &self.accept_unsound)
            .field("scratch", &self.scratch)
            .finish_non_exhaustive()
    }
}

/// One engine's way of copying.
pub(crate) trait Half {
    /// Takes a snapshot, proves it, and leaves it in drafts.
    fn take(&self, work: &mut Work<'_, '_>) -> Result<Taken, Error>;
}

/// What a half works with.
pub(crate) struct Work<'a, 'w> {
    pub(crate) source: &'a Source,
    pub(crate) name: BackupName,
    pub(crate) store: &'a dyn Store,
    pub(crate) options: &'a BackupOptions,
    /// Where faults of the data are noted that are accepted, if they are.
    pub(crate) tolerated: Option<Tolerated>,
    pub(crate) watcher: Watcher<'w>,
}

/// What a half leaves behind.
pub(crate) struct Taken {
    pub(crate) kind: Kind,
    /// The moment of the snapshot.
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) engine: EngineFacts,
    pub(crate) schema: Option<SchemaFacts>,
    pub(crate) tables: Vec<TableRows>,
    pub(crate) content: Content,
    /// Files to publish; their bytes one after the other are the artifact.
    pub(crate) parts: Vec<(Draft, Part)>,
    pub(crate) proof: Proof,
    pub(crate) requires: Vec<String>,
}

impl Work<'_, '_> {
    /// The name of the one artifact of this kind.
    pub(crate) fn artifact(&self, kind: Kind) -> String {
        let codec = &self.options.codec;
        self.name
            .artifact(kind, codec.level.is_some(), !codec.recipients.is_empty())
    }

    /// Compresses and encrypts all of `plain` into a draft. `total` is for progress.
    pub(crate) fn encode(
        &mut self,
        plain: &mut dyn Read,
        total: u64,
    ) -> Result<(Draft, Encoded), Error> {
        let draft = self.store.draft()?;
        let failed = |e| Error::io("write", draft.path(), e);
        let mut encoder = Encoder::new(&self.options.codec, draft.writer())?;
        let mut buffer = vec![0; CHUNK];
        let mut done = 0;
        loop {
            let read = match plain.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io("read", "the copy", e)),
            };
            encoder.write_all(&buffer[..read]).map_err(failed)?;
            done += read as u64;
            self.watcher.at(Phase::Encode, done, total.max(done))?;
        }
        let (_, encoded) = encoder.finish().map_err(failed)?;
        Ok((draft, encoded))
    }
}

/// Makes a backup. When this returns it is in the store, proven and durable.
///
/// # Errors
/// [`Error::Unsound`] if the copy fails a check, [`Error::Locked`] if another backup is being made
/// there; what keeps the database from being read and the store from being written. Nothing is
/// published then.
pub fn create(
    source: &Source,
    store: &dyn Store,
    options: &BackupOptions,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Manifest, Error> {
    options.codec.check()?;
    let half = half_of(source.url.engine(), options.method)?;
    let began = Instant::now();
    store.obey(&options.interrupt);
    let _lock = store.lock("a backup")?;
    let mut watcher = Watcher::new(on_progress, &options.interrupt);
    let resumed = store.resume(&mut |done, total| watcher.at(Phase::Publish, done, total))?;
    tell(&resumed);
    let name = free_name(store, options.clock.now())?;
    let tolerated = options.accept_unsound.then(Tolerated::default);
    let mut relaxed = options.clone();
    if let Some(tolerated) = &tolerated {
        relaxed.invariants = tolerated.invariants(&options.invariants);
    }
    let mut work = Work {
        source,
        name,
        store,
        options: &relaxed,
        tolerated,
        watcher,
    };
    let mut taken = half.take(&mut work)?;
    if let Some(tolerated) = &work.tolerated {
        taken.proof.unsound = tolerated.take();
    }
    let mut manifest = Manifest {
        format: FORMAT,
        name: name.to_string(),
        kind: taken.kind,
        started_at: taken.started_at.trunc_subsecs(6),
        finished_at: options.clock.now().trunc_subsecs(6),
        duration_ms: millis(began.elapsed()),
        made_by: options.made_by.clone(),
        engine: taken.engine,
        database: shown(&source.url),
        schema: taken.schema,
        tables: taken.tables,
        content: taken.content,
        parts: taken.parts.iter().map(|(_, part)| part.clone()).collect(),
        compression: options.codec.compression(),
        encryption: options.codec.encryption(),
        proof: taken.proof,
        requires: taken.requires,
        sha256: String::new(),
    };
    let unsound = manifest.proof.unsound.clone();
    if manifest.is_encrypted() {
        manifest.proof.unsound = withheld::counted(&unsound, &options.invariants);
    }
    let document = manifest.seal()?;
    let total = manifest.stored_bytes();
    let finished = Finished {
        parts: taken.parts,
        manifest: name.manifest(),
        document,
    };
    let watcher = &mut work.watcher;
    store.publish_backup(finished, &mut |done| {
        watcher.at(Phase::Publish, done, total)
    })?;
    if !manifest.is_sound() {
        tracing::warn!(
            backup = %name,
            findings = unsound.join("; "),
            "the backup is not sound, and says so"
        );
    }
    tracing::info!(backup = %name, bytes = manifest.stored_bytes(), "a backup was made");
    Ok(manifest)
}

/// What became of the backups that waited is not what was asked for: a word, and on.
fn tell(resumed: &Resumed) {
    let reason = |waiting: &Waiting| waiting.reason.clone().unwrap_or_default();
    for one in &resumed.completed {
        tracing::warn!(
            backup = one.name,
            "a backup whose upload had stopped is complete now"
        );
    }
    for one in &resumed.waiting {
        tracing::warn!(
            backup = one.name,
            failures = one.failures,
            reason = reason(one),
            "a backup still waits to be sent"
        );
    }
    for one in &resumed.given_up {
        tracing::warn!(
            backup = one.name,
            failures = one.failures,
            reason = reason(one),
            "a backup that could not be sent is given up"
        );
    }
}

fn half_of(engine: Engine, method: Method) -> Result<Box<dyn Half>, Error> {
    match (engine, method) {
        (Engine::Sqlite, Method::Logical) => Ok(Box::new(sqlite::snapshot::Snapshot)),
        (Engine::Sqlite, Method::Base) => Err(Error::usage(
            "a base backup is PostgreSQL's",
            "leave out the method for SQLite",
        )),
        (Engine::Postgres, Method::Logical) => Ok(Box::new(postgres::halves::Dump)),
        (Engine::Postgres, Method::Base) => Ok(Box::new(postgres::halves::Base)),
    }
}

/// A name that no file in the store has, nor one that waits for it.
fn free_name(store: &dyn Store, now: DateTime<Utc>) -> Result<BackupName, Error> {
    let files = store.list()?;
    let waiting = store.waiting();
    let taken: Vec<_> = files
        .iter()
        .filter_map(|file| FileName::parse(&file.name))
        .map(FileName::backup)
        .chain(
            waiting
                .iter()
                .filter_map(|w| BackupName::parse(&w.name).ok()),
        )
        .collect();
    let mut name = BackupName::at(now);
    while taken.contains(&name) {
        name = name.next().ok_or_else(|| {
            Error::refused("too many backups of this second", "look at the clock")
        })?;
    }
    Ok(name)
}

/// Where a database is, as the manifest names it.
pub(crate) fn shown(url: &DatabaseUrl) -> String {
    let shown = match url.path() {
        Some(path) => series::real(path).display().to_string(),
        None => url.to_string(),
    };
    clean(&shown)
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
