//! Verification: is the trail still what was sealed?

use db_core::{Conn, statement, with_conn};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde::Serialize;

use super::hash::{Lines, Mark, line_hash, marks, seal_hash};
use super::{Anchor, AuditRepository, StoredSeal};
use crate::Result;
use crate::dialect::audit;

/// Lines that are read at a time.
const LINES: i64 = 2_000;

statement! {
    /// How many lines come after one.
    struct LinesAfter {
        id: i64 as BigInt,
    }
    returns BigInt;
    "SELECT count(*) FROM audit_logs WHERE id > " id
}

/// The first thing that is wrong with a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// A sealed line is not what it was.
    #[error("line {id} was changed")]
    LineChanged {
        /// Of `audit_logs`.
        id: i64,
    },
    /// A sealed line is gone.
    #[error("line {id} is missing")]
    LineMissing {
        /// Of `audit_logs`.
        id: i64,
    },
    /// A line came between sealed ones.
    #[error("line {id} was inserted")]
    LineInserted {
        /// Of `audit_logs`.
        id: i64,
    },
    /// A line has a number that was not given to any yet: it was written by hand, and those that
    /// come would be taken for lines put in between.
    #[error("line {id} was inserted: no line has been given this number yet")]
    LineAhead {
        /// Of `audit_logs`.
        id: i64,
    },
    /// A line holds what was sealed under another id.
    #[error("line {id} was reordered: it holds what line {content_of} held")]
    LineReordered {
        /// Of `audit_logs`.
        id: i64,
        /// Where its content belongs.
        content_of: i64,
    },
    /// A line of a seal is not what it was, forged so well that its short hash does not tell which.
    #[error("one of the lines {first} to {last} was changed")]
    LinesForged {
        /// First line under the seal.
        first: i64,
        /// Last line under the seal.
        last: i64,
    },
    /// A seal is not what it was.
    #[error("seal {seal} was changed")]
    SealChanged {
        /// Of `audit_seals`.
        seal: i64,
    },
    /// A seal is whole in itself and does not follow from the one before: one of the two was made
    /// anew.
    #[error("seal {seal} does not follow from the seal before: one of the two was made anew")]
    ChainBroken {
        /// The later of the two.
        seal: i64,
    },
    /// A seal is gone; if it is the last that an anchor knows, the end of the trail is cut off.
    #[error("seal {seal} is missing")]
    SealMissing {
        /// Of `audit_seals`.
        seal: i64,
    },
    /// A seal is not the one that was anchored: it was made anew, or one before it.
    #[error("seal {seal} is not the one that was anchored: it or one before it was made anew")]
    AnchorDiffers {
        /// Of `audit_seals`.
        seal: i64,
    },
}

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Verification {
    /// The first thing that is wrong, in the order of the trail; nothing behind it was looked at.
    pub fault: Option<Fault>,
    /// Whole seals before that.
    pub seals: i64,
    /// Lines under them.
    pub lines: i64,
    /// Anchors that hold.
    pub anchors: usize,
    /// Lines behind the last seal, of which nothing can be said; none counted after a fault.
    pub unsealed: i64,
    /// The last whole seal.
    #[cfg_attr(feature = "json-schema", schemars(with = "Option<String>"))]
    pub head: Option<Anchor>,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.fault.is_none()
    }
}

impl AuditRepository {
    /// Computes all seals anew, from the first line to the last that is sealed, and compares. It
    /// reads the whole trail, a batch at a time, and needs no snapshot: what is sealed stays.
    ///
    /// Without an anchor from outside the database nobody can tell that the end of the trail was
    /// cut off with its seals, or that all was made anew from some line on.
    ///
    /// # Errors
    /// `Database`. What is wrong with the trail is no error but [`Verification::fault`].
    pub fn verify(conn: &mut Conn<'_>, anchors: &[Anchor]) -> Result<Verification> {
        let mut found = Verification {
            fault: None,
            seals: 0,
            lines: 0,
            anchors: 0,
            unsealed: 0,
            head: None,
        };
        let mut last_line = 0;
        let mut hash = vec![0; 32];
        loop {
            let seal = audit::seal_from(conn, found.seals + 1)?;
            let next = found.seals + 1;
            let Some(seal) = seal else { break };
            found.fault = fault_of_seal(&seal, next, last_line, &hash, anchors)
                .map_or_else(|| fault_of_lines(conn, last_line, &seal), |f| Ok(Some(f)))?;
            if found.fault.is_some() {
                return Ok(found);
            }
            found.seals = next;
            found.lines += seal.row_count;
            found.anchors += anchors.iter().filter(|anchor| anchor.seal == next).count();
            found.head = Some(Anchor::new(seal.id, &seal.hash));
            last_line = seal.last_id;
            hash = seal.hash;
        }
        if anchors.iter().any(|anchor| anchor.seal > found.seals) {
            let seal = found.seals + 1;
            found.fault = Some(Fault::SealMissing { seal });
            return Ok(found);
        }
        found.unsealed = with_conn!(conn, |c| LinesAfter { id: last_line }.get_result(c))?;
        Ok(found)
    }
}

/// What is wrong with a seal, without a look at its lines.
fn fault_of_seal(
    seal: &StoredSeal,
    next: i64,
    last_line: i64,
    previous_hash: &[u8],
    anchors: &[Anchor],
) -> Option<Fault> {
    if seal.id != next {
        return Some(Fault::SealMissing { seal: next });
    }
    if seal.hash != seal_hash(seal) || !agrees_with_its_marks(seal) {
        return Some(Fault::SealChanged { seal: next });
    }
    if seal.previous_hash != previous_hash || seal.first_id <= last_line {
        return Some(Fault::ChainBroken { seal: next });
    }
    let differs = |anchor: &Anchor| anchor.seal == next && seal.hash != anchor.hash;
    anchors
        .iter()
        .any(differs)
        .then_some(Fault::AnchorDiffers { seal: next })
}

pub(super) fn agrees_with_its_marks(seal: &StoredSeal) -> bool {
    let Some(marks) = marks(seal) else {
        return false;
    };
    let ids: Vec<i64> = marks.map(|mark| mark.id).collect();
    ids.first() == Some(&seal.first_id)
        && ids.last() == Some(&seal.last_id)
        && i64::try_from(ids.len()) == Ok(seal.row_count)
        && ids.is_sorted_by(|a, b| a < b)
}

/// What is wrong with the lines behind `after` that are under a seal, which is whole.
fn fault_of_lines(conn: &mut Conn<'_>, after: i64, seal: &StoredSeal) -> Result<Option<Fault>> {
    let Some(mut expected) = marks(seal) else {
        return Ok(Some(Fault::SealChanged { seal: seal.id }));
    };
    // Before the first line there may be one that no seal knows.
    let mut from = if seal.id == 1 {
        Some(i64::MIN)
    } else {
        after.checked_add(1)
    };
    let mut gathered = Lines::default();
    let mut buffer = Vec::new();
    while let Some(first) = from {
        let lines = audit::lines(conn, first, seal.last_id, LINES)?;
        from = lines.last().and_then(|last| last.id.checked_add(1));
        for line in &lines {
            let Some(mark) = expected.next() else {
                return Ok(Some(Fault::LineInserted { id: line.id }));
            };
            if line.id < mark.id {
                return Ok(Some(Fault::LineInserted { id: line.id }));
            }
            if line.id > mark.id {
                return Ok(Some(Fault::LineMissing { id: mark.id }));
            }
            let hash = line_hash(line, &mut buffer);
            let held = Mark::of(line.id, &hash);
            if held != mark {
                return Ok(Some(match sealed_elsewhere(conn, held)? {
                    Some(content_of) => Fault::LineReordered {
                        id: line.id,
                        content_of,
                    },
                    None => Fault::LineChanged { id: line.id },
                }));
            }
            gathered.add(line.id, &hash);
        }
    }
    if let Some(mark) = expected.next() {
        return Ok(Some(Fault::LineMissing { id: mark.id }));
    }
    Ok(
        (gathered.marks() != seal.marks).then_some(Fault::LinesForged {
            first: seal.first_id,
            last: seal.last_id,
        }),
    )
}

/// The other line under whose id this content was sealed. It looks through all seals, once.
fn sealed_elsewhere(conn: &mut Conn<'_>, held: Mark) -> Result<Option<i64>> {
    let mut from = Some(1);
    while let Some(next) = from {
        let Some(seal) = audit::seal_from(conn, next)? else {
            break;
        };
        let found = marks(&seal).and_then(|mut marks| marks.find(|mark| mark.short == held.short));
        if let Some(mark) = found {
            return Ok(Some(mark.id));
        }
        from = seal.id.checked_add(1);
    }
    Ok(None)
}
