//! A copy of a SQLite file under one snapshot, proven before it becomes an artifact.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use db_core::{
    Access, Connection, DatabaseUrl, ErrorKind, Interrupt, OnlineCopy, Pacer, SystemPacer,
};

use super::proof::{self, Proved};
use crate::backup::{Half, Taken, Work, millis};
use crate::codec::Hashed;
use crate::error::Error;
use crate::manifest::{Content, Kind, Part, Proof};
use crate::progress::Phase;
use crate::store::Draft;

/// Pages of one step: a few milliseconds of work.
const PAGES: u32 = 1_000;

/// A log that is longer is cut after the backup, which kept it from being begun anew.
const LONG_LOG: u64 = 16 << 20;
/// So often it is tried, as long as others are reading or writing.
const TRIES: u32 = 40;
const BETWEEN_TRIES: Duration = Duration::from_millis(25);

/// SQLite's way of copying.
pub(crate) struct Snapshot;

impl Half for Snapshot {
    fn take(&self, work: &mut Work<'_, '_>) -> Result<Taken, Error> {
        let plain = plain_draft(work)?;
        let started_at = work.options.clock.now();
        let began = Instant::now();
        let copied = copy(work, &plain);
        cut_log(work);
        copied?;
        plain.sync()?;
        let copy_ms = millis(began.elapsed());
        if work.options.codec.is_plain() {
            as_it_is(work, plain, started_at, copy_ms)
        } else {
            encoded(work, &plain, started_at, copy_ms)
        }
    }
}

/// The draft of the copy: the artifact itself, or what is compressed and encrypted.
fn plain_draft(work: &Work<'_, '_>) -> Result<Draft, Error> {
    let codec = &work.options.codec;
    let beside_source = || {
        let path = work.source.url.path()?;
        Some(db_core::folder::of(path))
    };
    if codec.is_plain() {
        return work.store.draft();
    }
    match &work.options.scratch {
        Some(folder) => swept(folder),
        None if !codec.recipients.is_empty() => match beside_source() {
            Some(folder) => swept(folder),
            None => work.store.draft(),
        },
        None => work.store.draft(),
    }
}

/// A draft outside of a store, after what dead processes left is taken away.
fn swept(folder: &Path) -> Result<Draft, Error> {
    crate::store::draft::sweep(folder);
    Draft::new_in(folder, "backup")
}

fn copy(work: &mut Work<'_, '_>, target: &Draft) -> Result<(), Error> {
    let failed = |e| Error::database(format!("copying {}", work.source.url), e);
    let source = work.source;
    let interrupt = &work.options.interrupt;
    let mut copy = OnlineCopy::begin(&source.url, target.path(), source.key.as_ref(), interrupt)
        .map_err(failed)?;
    loop {
        let step = copy.step(PAGES).map_err(failed)?;
        work.watcher.at(Phase::Copy, step.done, step.total)?;
        if step.finished {
            return copy.finish().map_err(failed);
        }
    }
}

/// The copy is the artifact: it is hashed while it is checked.
fn as_it_is(
    work: &mut Work<'_, '_>,
    plain: Draft,
    started_at: chrono::DateTime<chrono::Utc>,
    copy_ms: u64,
) -> Result<Taken, Error> {
    let total = plain.bytes()?;
    let stop = AtomicBool::new(false);
    let (proved, hashed) = std::thread::scope(|scope| {
        let hashing = std::thread::Builder::new()
            .name("hash".to_owned())
            .spawn_scoped(scope, || timed_hash(plain.path(), &stop));
        let proved = prove(work, plain.path());
        stop.store(proved.is_err(), Ordering::Relaxed);
        let hashed = match hashing.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(hashed)) => hashed,
            // No thread was to be had.
            _ => timed_hash(plain.path(), &stop),
        };
        (proved, hashed)
    });
    let proved = proved?;
    let (content, encode_ms) = hashed.map_err(|e| Error::io("read", plain.path(), e))?;
    work.watcher.at(Phase::Hash, total, total)?;
    let part = Part {
        name: work.artifact(Kind::Sqlite),
        bytes: content.bytes,
        sha256: content.sha256.clone(),
    };
    let times = Times { copy_ms, encode_ms };
    Ok(taken(
        work,
        proved,
        started_at,
        times,
        content,
        (plain, part),
    ))
}

/// The copy is checked, and then compressed and encrypted.
fn encoded(
    work: &mut Work<'_, '_>,
    plain: &Draft,
    started_at: chrono::DateTime<chrono::Utc>,
    copy_ms: u64,
) -> Result<Taken, Error> {
    let proved = prove(work, plain.path())?;
    let began = Instant::now();
    let mut file = File::open(plain.path()).map_err(|e| Error::io("read", plain.path(), e))?;
    let (draft, encoded) = work.encode(&mut file, plain.bytes()?)?;
    let part = Part {
        name: work.artifact(Kind::Sqlite),
        bytes: encoded.stored.bytes,
        sha256: encoded.stored.sha256,
    };
    let times = Times {
        copy_ms,
        encode_ms: millis(began.elapsed()),
    };
    Ok(taken(
        work,
        proved,
        started_at,
        times,
        encoded.content,
        (draft, part),
    ))
}

#[derive(Clone, Copy)]
struct Times {
    copy_ms: u64,
    encode_ms: u64,
}

#[expect(clippy::too_many_arguments, reason = "it only puts a struct together")]
fn taken(
    work: &Work<'_, '_>,
    proved: Proved,
    started_at: chrono::DateTime<chrono::Utc>,
    times: Times,
    content: Content,
    part: (Draft, Part),
) -> Taken {
    Taken {
        kind: Kind::Sqlite,
        started_at,
        engine: proved.engine,
        schema: proved.schema,
        tables: proved.tables,
        content,
        parts: vec![part],
        proof: Proof {
            level: work.options.check,
            copy_ms: times.copy_ms,
            encode_ms: times.encode_ms,
            integrity_ms: proved.integrity_ms,
            foreign_keys_ms: proved.foreign_keys_ms,
            rows_ms: proved.rows_ms,
            invariants: proved.invariants.checked,
            unchecked: proved.invariants.unchecked,
            unsound: Vec::new(),
        },
        requires: Vec::new(),
    }
}

fn prove(work: &mut Work<'_, '_>, path: &Path) -> Result<Proved, Error> {
    let name = format!("the copy of {}", work.source.url);
    let what = proof::What {
        name: &name,
        path,
        key: work.source.key.as_ref(),
        level: work.options.check,
        invariants: &work.options.invariants,
        tolerated: work.tolerated.as_ref(),
    };
    proof::prove(&what, &mut work.watcher)
}

fn timed_hash(path: &Path, stop: &AtomicBool) -> io::Result<(Content, u64)> {
    let began = Instant::now();
    let mut file = File::open(path)?;
    let mut sink = Hashed::new(io::sink());
    let mut buffer = vec![0; 1 << 20];
    while !stop.load(Ordering::Relaxed) {
        match file.read(&mut buffer)? {
            0 => break,
            read => sink.write_all(&buffer[..read])?,
        }
    }
    Ok((sink.finish().1, millis(began.elapsed())))
}

/// Cuts the log of the source if it grew long, without making anybody wait. Whoever owns the database
/// goes on with checkpoints of his own if this does not succeed.
fn cut_log(work: &Work<'_, '_>) {
    let Some(path) = work.source.url.path() else {
        return;
    };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length = || std::fs::metadata(&log).map_or(0, |meta| meta.len());
    if length() < LONG_LOG {
        return;
    }
    for _ in 0..TRIES {
        match truncate(&work.source.url, work) {
            Ok(()) if length() < LONG_LOG => return,
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Busy => {}
            Err(error) => {
                tracing::warn!(%error, "the log cannot be cut");
                return;
            }
        }
        if work.options.interrupt.is_set() {
            return;
        }
        SystemPacer.pause(BETWEEN_TRIES);
    }
    tracing::warn!(
        bytes = length(),
        "the log stays long; others are reading it"
    );
}

fn truncate(url: &DatabaseUrl, work: &Work<'_, '_>) -> Result<(), db_core::Error> {
    let key = work.source.key.as_ref();
    let mut connection =
        Connection::open_encrypted(url, Access::ReadWrite, &Interrupt::default(), key)?;
    connection
        .conn()
        .batch_execute("PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE)")
        .map_err(|e| db_core::Error::classify(db_core::Engine::Sqlite, &e))
}
