//! A copy of a whole server by `pg_basebackup`, checked file by file against its own list.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use chrono::{DateTime, Utc};
use db_core::{Access, Clock, DatabaseUrl, Interrupt, Lsn};
use diesel::PgConnection;
use serde::Deserialize;

use super::child::{Fed, Run, Tee};
use super::dump::stream;
use super::facts::{self, Server};
use super::listed::{ALGORITHM, Passed};
use super::pipe::pipe;
use super::segment::WalFile;
use super::tools::{Task, Tools};
use super::{PostgresOptions, programs};
use crate::backup::millis;
use crate::codec::Hashed;
use crate::error::Error;
use crate::manifest::{Content, EngineFacts};
use crate::progress::{Phase, Watcher};

/// PostgreSQL's own list of the files, in every base backup since version 13.
pub(super) const LIST: &str = "backup_manifest";

/// The longest list of files that is read.
pub(super) const LARGEST_LIST: u64 = 4 << 30;

/// What is known of a base backup when it is written.
#[derive(Debug, Clone)]
pub(crate) struct Based {
    pub(crate) engine: EngineFacts,
    /// What was written to `out`.
    pub(crate) content: Content,
    pub(crate) started_at: DateTime<Utc>,
    /// Milliseconds that copying took.
    pub(crate) copy_ms: u64,
    /// Milliseconds that checking every file took.
    pub(crate) check_ms: u64,
}

/// Writes a base backup, a tar, to `out`, and checks every file while it passes. What that needs of it
/// is put into `staging`.
///
/// The log that it needs to be consistent is in it, so it can be restored without the archive.
pub(crate) fn base(
    url: &DatabaseUrl,
    options: &PostgresOptions,
    clock: &dyn Clock,
    (staging, out): (&Path, &mut dyn Write),
    watcher: &mut Watcher<'_>,
) -> Result<Based, Error> {
    let mut connection = facts::connect(url, Access::ReadOnly)?;
    let conn = facts::postgres(&mut connection)?;
    let server = Server::read(conn)?;
    refuse_tablespaces(conn)?;
    let segment_size = segment_size(conn)?;
    let total = cluster_bytes(conn)?;
    let tools = Tools::find(Task::BaseBackup, options.bin.as_deref(), server.major())?;
    hold_log(conn);
    let mut command = programs(&tools, "pg_basebackup", url)?;
    command.arg(format!("--manifest-checksums={ALGORITHM}"));
    command.args([
        "--pgdata=-",
        "--format=tar",
        // Into the same stream, at the end.
        "--wal-method=fetch",
        // The other way is to wait minutes for the next checkpoint.
        "--checkpoint=fast",
        "--label=bitcraps-db",
        "--no-password",
    ]);
    let started_at = clock.now();
    let began = Instant::now();
    let run = Run::start(&mut command, Some(url), watcher.interrupt())?;
    let (from, to) = pipe();
    let (streamed, passed) = std::thread::scope(|scope| {
        // The sums of the files and of all of it are taken on another core than the one that writes.
        let passing = scope.spawn(move || {
            let mut hashed = Hashed::new(from);
            let passed = Passed::read(&mut hashed, staging)?;
            Ok((passed, hashed.finish().1))
        });
        let mut side = Fed(Some(to));
        let mut tee = Tee {
            first: out,
            second: &mut side,
        };
        let streamed = stream(run, &mut tee, total, watcher);
        drop(side);
        (streamed, passing.join().unwrap_or(Err(Error::Interrupted)))
    });
    // That the tar ends early is said by the program that wrote it.
    streamed?;
    let (passed, content) = passed?;
    let copy_ms = millis(began.elapsed());
    let began = Instant::now();
    passed.check(&tools, staging, watcher.interrupt())?;
    watcher.at(Phase::Check, 1, 1)?;
    let range = WalRange::read(staging)?;
    Ok(Based {
        engine: range.facts(server.engine(), segment_size)?,
        content,
        started_at,
        copy_ms,
        check_ms: millis(began.elapsed()),
    })
}

/// Checks every file of an unpacked base backup against PostgreSQL's own list, and its log for gaps.
pub(super) fn verify_files(
    tools: &Tools,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<(), Error> {
    let mut command = Command::new(tools.path("pg_verifybackup"));
    command.arg("--exit-on-error").arg(folder);
    match Run::verdict(&mut command, interrupt)? {
        None => Ok(()),
        Some(finding) => Err(Error::Unsound {
            name: "the base backup".to_owned(),
            findings: vec![finding],
        }),
    }
}

/// The log that makes a base backup consistent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct WalRange {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

/// What is read of PostgreSQL's list.
#[derive(Debug, Deserialize)]
struct List {
    #[serde(rename = "WAL-Ranges")]
    ranges: Vec<WalRange>,
}

impl WalRange {
    pub(super) fn read(folder: &Path) -> Result<Self, Error> {
        use std::io::Read as _;
        let path = folder.join(LIST);
        let file = std::fs::File::open(&path).map_err(|e| Error::io("read", &path, e))?;
        let list: List = serde_json::from_reader(std::io::BufReader::new(file.take(LARGEST_LIST)))
            .map_err(|e| Error::damaged(LIST, e.to_string()))?;
        // A standby that was promoted meanwhile leaves several; the last one ends the backup.
        let (Some(first), Some(last)) = (list.ranges.first(), list.ranges.last()) else {
            return Err(Error::damaged(LIST, "it names no log"));
        };
        Ok(Self {
            timeline: last.timeline,
            start: first.start.clone(),
            end: last.end.clone(),
        })
    }

    /// What `pg_waldump` is told of it.
    pub(super) fn arguments(&self) -> [String; 3] {
        [
            format!("--timeline={}", self.timeline),
            format!("--start={}", self.start),
            format!("--end={}", self.end),
        ]
    }

    fn facts(&self, engine: EngineFacts, segment_size: u64) -> Result<EngineFacts, Error> {
        let segment = |text: &str, is_end: bool| -> Result<String, Error> {
            let place = place(text)?;
            // An end at the first byte of a segment is the end of the one before.
            let place = if is_end {
                place.saturating_sub(1)
            } else {
                place
            };
            Ok(WalFile::segment(self.timeline, place, segment_size).to_string())
        };
        Ok(EngineFacts {
            timeline: Some(self.timeline),
            start_wal: Some(segment(&self.start, false)?),
            stop_wal: Some(segment(&self.end, true)?),
            start_lsn: Some(self.start.clone()),
            stop_lsn: Some(self.end.clone()),
            ..engine
        })
    }
}

/// A place in the log as a number.
pub(super) fn place(text: &str) -> Result<u64, Error> {
    let wrong = || {
        Error::usage(
            format!("{text:?} is no place in the log"),
            "write two hexadecimal numbers, as in 16/B374D848",
        )
    };
    // The type checks the form.
    let _: Lsn = text.parse().map_err(|_| wrong())?;
    let (high, low) = text.split_once('/').ok_or_else(wrong)?;
    let half = |text: &str| u64::from_str_radix(text, 16).map_err(|_| wrong());
    Ok(half(high)? << 32 | half(low)?)
}

/// A base backup with tablespaces is several archives and links to places outside.
fn refuse_tablespaces(conn: &mut PgConnection) -> Result<(), Error> {
    let own = facts::names(
        conn,
        "SELECT spcname::text AS name FROM pg_catalog.pg_tablespace
         WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1",
        "looking for tablespaces",
    )?;
    if own.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        format!("the server has tablespaces of its own: {}", own.join(", ")),
        "a base backup of such a server cannot be restored elsewhere; back up each database with \
         --method dump",
    ))
}

fn segment_size(conn: &mut PgConnection) -> Result<u64, Error> {
    let query =
        "SELECT setting AS name FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'";
    let size = facts::name(conn, query, "asking for the size of log files")?;
    size.and_then(|text| text.parse().ok())
        .filter(|size| u64::is_power_of_two(*size))
        .ok_or_else(|| Error::damaged("wal_segment_size", "the server does not tell it"))
}

fn cluster_bytes(conn: &mut PgConnection) -> Result<u64, Error> {
    let query = "SELECT COALESCE(sum(pg_catalog.pg_database_size(oid)), 0)::text AS name
                 FROM pg_catalog.pg_database";
    let bytes = facts::name(conn, query, "asking how large the server is")?;
    Ok(bytes.and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// Keeps the server from removing the log that the backup will ask for at its end, for as long as
/// this connection lives.
fn hold_log(conn: &mut PgConnection) {
    let sql = format!(
        "SELECT pg_catalog.pg_create_physical_replication_slot('bitcraps_backup_{:08x}', true, true)",
        fastrand::u32(..)
    );
    if let Err(error) = facts::run(conn, &sql, "holding the log") {
        // The backup fails then only if the server removes log before its end, and says so.
        tracing::warn!(%error, "the log is not held during the backup");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"PostgreSQL-Backup-Manifest-Version": 1, "Files": [],
            "WAL-Ranges": [{"Timeline": 3, "Start-LSN": "0/2000028", "End-LSN": "0/3000000"}],
            "Manifest-Checksum": "00"}"#;
        std::fs::write(folder.path().join(LIST), text).unwrap();
        let range = WalRange::read(folder.path()).unwrap();
        let facts = range.facts(EngineFacts::default(), 16 << 20).unwrap();
        assert_eq!(facts.start_wal.as_deref(), Some("000000030000000000000002"));
        assert_eq!(facts.stop_wal.as_deref(), Some("000000030000000000000002"));
        assert_eq!(facts.timeline, Some(3));
        std::fs::write(folder.path().join(LIST), r#"{"WAL-Ranges": []}"#).unwrap();
        assert!(matches!(
            WalRange::read(folder.path()),
            Err(Error::Damaged { .. })
        ));
    }

    #[test]
    fn places_are_numbers() {
        assert_eq!(place("16/B374D848").unwrap(), 0x16_B374_D848);
        for bad in ["", "1", "x/1", "1/-1"] {
            place(bad).unwrap_err();
        }
    }
}
