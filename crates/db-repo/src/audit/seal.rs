//! Sealing: a hash over each run of lines, which holds the hash before.

use db_core::{Clock, Conn, Database, ErrorKind, RetryPolicy, statement, with_conn};
use db_schema::rows::AuditSeal;
use db_schema::schema::audit_seals;
use db_schema::types::UtcTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use serde::Serialize;

use super::hash::{Lines, line_hash, seal_hash};
use super::verify::agrees_with_its_marks;
use super::{Anchor, AnchorFile, AuditRepository, Fault, StoredSeal};
use crate::dialect::audit;
use crate::refusal::refused;
use crate::{Error, Result, check};

/// Lines under one seal unless the caller says otherwise: a few milliseconds of the writer's time,
/// and 64 KiB of marks.
pub const SEAL_LINES: i64 = 4_096;

/// Most lines under one seal.
const MOST_LINES: i64 = 100_000;

/// What comes before the first seal.
const NOTHING: [u8; 32] = [0; 32];

statement! {
    struct LastSeal {}
    returns Nullable<BigInt>;
    "SELECT max(id) FROM audit_seals"
}

statement! {
    /// What an anchor and the next seal know of a seal.
    struct HashOf {
        id: i64 as BigInt,
    }
    returns (BigInt, Binary);
    "SELECT last_id, hash FROM audit_seals WHERE id = " id
}

/// What [`AuditRepository::seal_all`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Sealed {
    /// How many seals it made.
    pub seals: i64,
    /// How many lines are under them.
    pub lines: i64,
    /// The newest seal, also of an earlier run; none while nothing was ever sealed.
    #[cfg_attr(feature = "json-schema", schemars(with = "Option<String>"))]
    pub head: Option<Anchor>,
}

impl AuditRepository {
    /// Up to which line the trail can be sealed: the last number that a line was given, with none up
    /// to it still to come; none if there never was a line.
    ///
    /// It is a write of its own. On PostgreSQL it waits up to 3 seconds for those that have written
    /// to the trail at that moment, and holds up nobody; it needs the right to read the sequence
    /// `audit_logs_id_seq`.
    ///
    /// # Errors
    /// `TrailBroken` for a line with a number that none was given yet, `Database`; `LockTimeout` in
    /// it may be tried again.
    pub fn boundary(conn: &mut Conn<'_>) -> Result<Option<i64>> {
        // In this order: a number is given before its line can be seen.
        let newest = audit::newest_line(conn)?;
        let boundary = audit::boundary(conn)?;
        match newest {
            Some(id) if boundary.is_none_or(|last| id > last) => {
                Err(Error::TrailBroken(Fault::LineAhead { id }))
            }
            _ => Ok(boundary),
        }
    }

    /// Seals the next lines, at most `lines` and none beyond the boundary, which
    /// [`boundary`](Self::boundary) gave in a transaction before this one; the new head, or none if
    /// there is nothing to seal.
    ///
    /// The newest seal has to be whole, to follow from the one before, and to be of lines that can
    /// be: nothing is sealed on from one that somebody put there.
    ///
    /// The seal is over what the engine holds, byte by byte. JSON is one text on SQLite and another
    /// on PostgreSQL, so a copy of the trail on the other engine has to be sealed anew.
    ///
    /// # Errors
    /// `TrailBroken`, `Invalid`, `Database`; `Serialization` in it if another program sealed at the
    /// same time.
    pub fn seal(
        conn: &mut Conn<'_>,
        boundary: i64,
        lines: i64,
        now: UtcTime,
    ) -> Result<Option<AuditSeal>> {
        check::within("lines", lines, 1..=MOST_LINES)?;
        let (id, from, previous_hash) = match sound_head(conn)? {
            None => (1, 1, NOTHING.to_vec()),
            Some(head) => {
                let Some(id) = head.id.checked_add(1) else {
                    return Err(broken(Fault::ChainBroken { seal: head.id }));
                };
                // Behind the last number that can be there is nothing.
                let Some(from) = head.last_id.checked_add(1) else {
                    return Ok(None);
                };
                (id, from, head.hash)
            }
        };
        let found = audit::lines(conn, from, boundary, lines)?;
        let (Some(first), Some(last)) = (found.first(), found.last()) else {
            return Ok(None);
        };
        let (first_id, last_id) = (first.id, last.id);
        if audit::last_number(conn)?.is_none_or(|given| last_id > given) {
            return Err(broken(Fault::LineAhead { id: last_id }));
        }
        let mut gathered = Lines::default();
        let mut buffer = Vec::new();
        for line in &found {
            gathered.add(line.id, &line_hash(line, &mut buffer));
        }
        let mut seal = StoredSeal {
            id,
            first_id,
            last_id,
            row_count: i64::try_from(found.len()).unwrap_or(i64::MAX),
            marks: gathered.marks(),
            previous_hash,
            hash: Vec::new(),
            sealed_at: now.timestamp_micros(),
        };
        seal.hash = seal_hash(&seal).to_vec();
        let seal = AuditSeal {
            id: seal.id,
            first_id: seal.first_id,
            last_id: seal.last_id,
            row_count: seal.row_count,
            marks: seal.marks,
            previous_hash: seal.previous_hash,
            hash: seal.hash,
            sealed_at: now,
        };
        with_conn!(conn, |c| diesel::insert_into(audit_seals::table)
            .values(&seal)
            .execute(c))
        .map_err(|error| refused(conn, error, overtaken, &[]))?;
        Ok(Some(seal))
    }

    /// Seals all that can be sealed, in runs of `lines`, and writes the head down in the file of
    /// anchors, if it is not there yet.
    ///
    /// All anchors of the file have to hold, or nothing is sealed: a trail whose end was cut off
    /// would grow a new one. A file without any is refused for a trail with seals, unless it is
    /// [to begin](AnchorFile::to_begin).
    ///
    /// # Errors
    /// `TrailBroken`, `AnchorFile`, `NoAnchors`, `Invalid`, `Database`.
    pub fn seal_all(
        database: &Database,
        lines: i64,
        clock: &dyn Clock,
        anchors: Option<&AnchorFile>,
    ) -> Result<Sealed> {
        let mut written = match anchors {
            Some(file) => file.read()?.anchors,
            None => Vec::new(),
        };
        written.sort_unstable();
        let policy = RetryPolicy::new();
        // A write, though it changes nothing: a read may be answered by a server that is behind.
        let head = database.write_with_retry(&policy, |conn| {
            written.iter().try_for_each(|anchor| holds(conn, *anchor))?;
            sound_head(conn)
        })?;
        if let (Some(file), Some(_)) = (anchors, &head)
            && written.is_empty()
            && !file.begins()
        {
            return Err(Error::NoAnchors {
                path: file.path().to_owned(),
            });
        }
        let boundary = database.write_with_retry(&policy, Self::boundary)?;
        let mut sealed = Sealed {
            seals: 0,
            lines: 0,
            head: head.map(|seal| Anchor::new(seal.id, &seal.hash)),
        };
        while let Some(boundary) = boundary {
            let now = UtcTime::from(clock.now());
            let seal = database
                .write_with_retry(&policy, |conn| Self::seal(conn, boundary, lines, now))?;
            let Some(seal) = seal else { break };
            sealed.seals += 1;
            sealed.lines += seal.row_count;
            sealed.head = Some(Anchor::new(seal.id, &seal.hash));
        }
        let last = written.last().map(|anchor| anchor.seal);
        if let (Some(file), Some(head)) = (anchors, sealed.head)
            && last.is_none_or(|last| head.seal > last)
        {
            file.append(head)?;
        }
        Ok(sealed)
    }
}

const fn broken(fault: Fault) -> Error {
    Error::TrailBroken(fault)
}

/// The newest seal, which has to be whole and to follow from the one before.
fn sound_head(conn: &mut Conn<'_>) -> Result<Option<StoredSeal>> {
    let newest: Option<i64> = with_conn!(conn, |c| LastSeal {}.get_result(c))?;
    let Some(id) = newest else {
        return Ok(None);
    };
    let Some(head) = audit::seal_from(conn, id)? else {
        return Err(broken(Fault::SealMissing { seal: id }));
    };
    if head.hash != seal_hash(&head) || !agrees_with_its_marks(&head) {
        return Err(broken(Fault::SealChanged { seal: id }));
    }
    let (last_line, hash) = if id == 1 {
        (0, NOTHING.to_vec())
    } else {
        let before = id.saturating_sub(1);
        hash_of(conn, before)?.ok_or(broken(Fault::SealMissing { seal: before }))?
    };
    if head.previous_hash != hash || head.first_id <= last_line {
        return Err(broken(Fault::ChainBroken { seal: id }));
    }
    // Not the boundary: another program may have sealed beyond ours in the meantime.
    if audit::last_number(conn)?.is_none_or(|given| head.last_id > given) {
        return Err(broken(Fault::LineMissing { id: head.last_id }));
    }
    Ok(Some(head))
}

/// Last line and hash of a seal.
fn hash_of(conn: &mut Conn<'_>, id: i64) -> Result<Option<(i64, Vec<u8>)>> {
    Ok(with_conn!(conn, |c| HashOf { id }.get_result(c)).optional()?)
}

fn holds(conn: &mut Conn<'_>, anchor: Anchor) -> Result<()> {
    let seal = anchor.seal;
    match hash_of(conn, seal)? {
        Some((_, hash)) if hash == anchor.hash => Ok(()),
        Some(_) => Err(broken(Fault::AnchorDiffers { seal })),
        None => Err(broken(Fault::SealMissing { seal })),
    }
}

/// Another program has made the seal in the meantime.
fn overtaken(constraint: &str) -> Option<Error> {
    matches!(constraint, "pk_audit_seals" | "uq_audit_seals_last_id").then(|| {
        Error::Database(db_core::Error::new(
            ErrorKind::Serialization,
            "another program has sealed the audit trail at the same time",
        ))
    })
}
