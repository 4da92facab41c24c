//! PostgreSQL's two ways of copying, as the steps that every backup takes.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use super::staging::{PLAIN, Staging};
use super::{base, dump};
use crate::backup::{Half, Taken, Work, millis};
use crate::codec::{Encoded, Encoder};
use crate::error::Error;
use crate::invariant::Checked;
use crate::manifest::{Kind, Level, Part, Proof};
use crate::store::Draft;

/// Why a base backup is checked for no invariant.
const NOT_READ: &str = "it is a copy of the server's files; a restore, also on trial, checks it";

/// One database, by `pg_dump`.
pub(crate) struct Dump;

/// A whole server, by `pg_basebackup`.
pub(crate) struct Base;

impl Half for Dump {
    fn take(&self, work: &mut Work<'_, '_>) -> Result<Taken, Error> {
        let options = work.options;
        let draft = work.store.draft()?;
        let mut encoder = Encoder::new(&options.codec, draft.writer())?;
        let dumped = dump::dump(
            &work.source.url,
            (&options.postgres, &options.invariants),
            &*options.clock,
            &mut encoder,
            &mut work.watcher,
        )?;
        let (encoded, encode_ms) = finish(&draft, || {
            encoder.flush()?;
            encoder.finish()
        })?;
        Ok(Taken {
            kind: Kind::PostgresDump,
            started_at: dumped.started_at,
            engine: dumped.engine,
            schema: dumped.schema,
            tables: dumped.tables,
            proof: Proof {
                level: Level::Quick,
                copy_ms: dumped.copy_ms,
                encode_ms,
                rows_ms: dumped.rows_ms,
                invariants: dumped.invariants.checked,
                unchecked: dumped.invariants.unchecked,
                ..Proof::default()
            },
            content: encoded.content.clone(),
            parts: vec![part(work, Kind::PostgresDump, draft, &encoded)],
            requires: Vec::new(),
        })
    }
}

impl Half for Base {
    fn take(&self, work: &mut Work<'_, '_>) -> Result<Taken, Error> {
        let options = work.options;
        let staging = staging(options.scratch.clone(), work)?;
        let draft = work.store.draft()?;
        let mut encoder = Encoder::unhashed(&options.codec, draft.writer())?;
        let based = base::base(
            &work.source.url,
            &options.postgres,
            &*options.clock,
            (staging.path(), &mut encoder),
            &mut work.watcher,
        )?;
        let (encoded, encode_ms) = finish(&draft, || {
            encoder.flush()?;
            encoder.finish_as(based.content)
        })?;
        Ok(Taken {
            kind: Kind::PostgresBase,
            started_at: based.started_at,
            engine: based.engine,
            // A server holds many databases, each with a history of its own.
            schema: None,
            tables: Vec::new(),
            proof: Proof {
                level: Level::Quick,
                copy_ms: based.copy_ms,
                encode_ms,
                integrity_ms: based.check_ms,
                unchecked: Checked::none(&options.invariants, NOT_READ).unchecked,
                ..Proof::default()
            },
            content: encoded.content.clone(),
            parts: vec![part(work, Kind::PostgresBase, draft, &encoded)],
            // The log that makes it consistent is in it.
            requires: Vec::new(),
        })
    }
}

fn finish<W>(
    draft: &Draft,
    end: impl FnOnce() -> io::Result<(W, Encoded)>,
) -> Result<(Encoded, u64), Error> {
    let began = Instant::now();
    let (_, encoded) = end().map_err(|e| Error::io("write", draft.path(), e))?;
    draft.sync()?;
    Ok((encoded, millis(began.elapsed())))
}

fn part(work: &Work<'_, '_>, kind: Kind, draft: Draft, encoded: &Encoded) -> (Draft, Part) {
    let part = Part {
        name: work.artifact(kind),
        bytes: encoded.stored.bytes,
        sha256: encoded.stored.sha256.clone(),
    };
    (draft, part)
}

/// A private folder for the plain files while they are checked. What is encrypted elsewhere must not
/// lie plain beside the backups.
fn staging(scratch: Option<PathBuf>, work: &Work<'_, '_>) -> Result<Staging, Error> {
    let beside = || {
        let folder = work.store.folder()?;
        work.options
            .codec
            .recipients
            .is_empty()
            .then(|| folder.to_owned())
    };
    let folder = scratch.or_else(beside).unwrap_or_else(std::env::temp_dir);
    Staging::new_in(&folder, PLAIN)
}
