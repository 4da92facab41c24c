//! Cells and records: rows as they lie in pages, read with every length doubted
//! (<https://sqlite.org/fileformat2.html#record_format>).

use std::collections::HashSet;

use super::pages::{
    INDEX_INTERIOR, INDEX_LEAF, Pages, TABLE_INTERIOR, TABLE_LEAF, start_of, u16_at, u32_at,
};
use crate::Error;

/// SQLite makes no longer row.
const LONGEST_PAYLOAD: u64 = 1_000_000_000;

/// SQLite allows no more columns.
pub(super) const MOST_COLUMNS: usize = 32_767;

/// A stored value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    /// In the file's encoding.
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

/// A row of a table, or an entry of an index.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Of a table with rowids.
    pub(super) rowid: Option<i64>,
    pub(super) values: Vec<Value>,
}

/// What a page says of its children.
#[derive(Debug, Default)]
pub(super) struct Interior {
    /// Each child with the largest rowid that may be in it.
    pub(super) children: Vec<(u32, Option<i64>)>,
    /// Cells that make no sense.
    pub(super) damaged: usize,
}

/// The rows of a page.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    pub(super) rows: Vec<Row>,
    /// Cells that make no sense, or whose overflow pages do not.
    pub(super) damaged: usize,
}

/// How many overflow pages may still be read. A damaged cell can claim the whole file, and there can
/// be many of them: without a bound the work is the square of the file.
#[derive(Debug)]
pub(super) struct Budget(u64);

/// A page of overlapping cells could be read as hundreds of times its size; one in order holds its
/// own size, and the beginnings of few rows that go on elsewhere.
const MOST_OF_A_PAGE: usize = 16;

impl Budget {
    pub(super) fn of(pages: &Pages) -> Self {
        Self(u64::from(pages.count()).saturating_mul(8) + 1_000)
    }
}

/// The kind of a b-tree page.
pub(super) fn kind(number: u32, page: &[u8]) -> u8 {
    page.get(start_of(number)).copied().unwrap_or(0)
}

/// The offsets of a page's cells that are within it, and the number of those that are not.
fn cells(number: u32, page: &[u8]) -> (Vec<usize>, usize) {
    let start = start_of(number);
    let head = match kind(number, page) {
        TABLE_LEAF | INDEX_LEAF => 8,
        TABLE_INTERIOR | INDEX_INTERIOR => 12,
        _ => return (Vec::new(), 0),
    };
    let count = usize::from(u16_at(page, start + 3));
    let first = start + head;
    // A cell and its pointer take six bytes at least.
    let possible = page.len().saturating_sub(first) / 6;
    let mut damaged = count.saturating_sub(possible);
    let mut offsets = Vec::new();
    let mut seen = HashSet::new();
    for cell in 0..count.min(possible) {
        let at = usize::from(u16_at(page, first + 2 * cell));
        if at >= first && at < page.len() && seen.insert(at) {
            offsets.push(at);
        } else {
            damaged += 1;
        }
    }
    (offsets, damaged)
}

/// The children of an interior page, the last one too.
pub(super) fn interior(number: u32, page: &[u8]) -> Interior {
    let (offsets, damaged) = cells(number, page);
    let mut found = Interior {
        damaged,
        ..Interior::default()
    };
    let is_table = kind(number, page) == TABLE_INTERIOR;
    for at in offsets {
        let child = u32_at(page, at);
        let key = is_table
            .then(|| varint(page, at + 4).map(|(key, _)| key.cast_signed()))
            .flatten();
        if child == 0 || is_table && key.is_none() {
            found.damaged += 1;
        } else {
            found.children.push((child, key));
        }
    }
    match u32_at(page, start_of(number) + 8) {
        0 => found.damaged += 1,
        last => found.children.push((last, None)),
    }
    found
}

/// The rows of a leaf; of an index, interior pages hold entries as well.
pub(super) fn leaf(
    pages: &Pages,
    number: u32,
    page: &[u8],
    budget: &mut Budget,
) -> Result<Leaf, Error> {
    let (offsets, damaged) = cells(number, page);
    let mut found = Leaf {
        damaged,
        ..Leaf::default()
    };
    let kind = kind(number, page);
    let mut room = page.len().saturating_mul(MOST_OF_A_PAGE);
    for at in offsets {
        let row = if room == 0 {
            None
        } else {
            cell(pages, (kind, page), at, budget)?
        };
        match row {
            Some(row) => {
                room = room.saturating_sub(size(&row).min(page.len()));
                found.rows.push(row);
            }
            None => found.damaged += 1,
        }
    }
    Ok(found)
}

/// Bytes of a row, about.
fn size(row: &Row) -> usize {
    let values = row.values.iter().map(|value| match value {
        Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
        _ => 1,
    });
    values.sum()
}

/// The rowids of a leaf of a table, without its rows.
pub(super) fn rowids(number: u32, page: &[u8]) -> Vec<i64> {
    let (offsets, _) = cells(number, page);
    let rowid = |at: usize| {
        let (_, length) = varint(page, at)?;
        varint(page, at + length).map(|(rowid, _)| rowid.cast_signed())
    };
    offsets.into_iter().filter_map(rowid).collect()
}

fn cell(
    pages: &Pages,
    (kind, page): (u8, &[u8]),
    mut at: usize,
    budget: &mut Budget,
) -> Result<Option<Row>, Error> {
    if kind == INDEX_INTERIOR {
        at += 4;
    }
    let Some((payload, length)) = varint(page, at) else {
        return Ok(None);
    };
    at += length;
    let mut rowid = None;
    if kind == TABLE_LEAF {
        let Some((id, length)) = varint(page, at) else {
            return Ok(None);
        };
        at += length;
        rowid = Some(id.cast_signed());
    }
    let Some(bytes) = payload_of(pages, (kind == TABLE_LEAF, page), (at, payload), budget)? else {
        return Ok(None);
    };
    Ok(record(&bytes).map(|values| Row { rowid, values }))
}

/// All bytes of a row, those on overflow pages too.
fn payload_of(
    pages: &Pages,
    (is_table, page): (bool, &[u8]),
    (at, length): (usize, u64),
    budget: &mut Budget,
) -> Result<Option<Vec<u8>>, Error> {
    let usable = pages.usable();
    let whole = u64::from(pages.count()).saturating_mul(usable as u64);
    if length == 0 || length > LONGEST_PAYLOAD.min(whole) {
        return Ok(None);
    }
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    let most = if is_table {
        usable - 35
    } else {
        (usable - 12) * 64 / 255 - 23
    };
    if length <= most {
        return Ok(page.get(at..at + length).map(<[u8]>::to_vec));
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let even = least + (length - least) % (usable - 4);
    let local = if even <= most { even } else { least };
    let Some(here) = page.get(at..at + local + 4) else {
        return Ok(None);
    };
    let mut bytes = here[..local].to_vec();
    let mut next = u32_at(here, local);
    while bytes.len() < length {
        if next < 2 || budget.0 == 0 {
            return Ok(None);
        }
        budget.0 -= 1;
        let Some(overflow) = pages.read(next)? else {
            return Ok(None);
        };
        let rest = (length - bytes.len()).min(usable - 4);
        bytes.extend_from_slice(&overflow[4..4 + rest]);
        next = u32_at(&overflow, 0);
    }
    // The chain of a row that is in order ends with it.
    Ok((next == 0).then_some(bytes))
}

/// The values of a record; `None` unless it fits its length exactly.
pub(super) fn record(bytes: &[u8]) -> Option<Vec<Value>> {
    let (head, mut at) = varint(bytes, 0)?;
    let head = usize::try_from(head).ok()?;
    if head < at || head > bytes.len() {
        return None;
    }
    let mut body = head;
    let mut values = Vec::new();
    while at < head {
        let (serial, length) = varint(&bytes[..head], at)?;
        at += length;
        let (value, length) = value(serial, bytes.get(body..)?)?;
        body += length;
        if values.len() == MOST_COLUMNS {
            return None;
        }
        values.push(value);
    }
    (body == bytes.len()).then_some(values)
}

fn value(serial: u64, body: &[u8]) -> Option<(Value, usize)> {
    let integer = |length: usize| {
        let bytes = body.get(..length)?;
        // The first byte carries the sign.
        let start = if bytes[0] & 0x80 == 0 { 0 } else { -1_i64 };
        let value = bytes.iter().fold(start, |v, b| v << 8 | i64::from(*b));
        Some((Value::Integer(value), length))
    };
    match serial {
        0 => Some((Value::Null, 0)),
        1..=4 => integer(usize::try_from(serial).ok()?),
        5 => integer(6),
        6 => integer(8),
        7 => {
            let bytes = body.get(..8)?.try_into().ok()?;
            Some((Value::Real(f64::from_be_bytes(bytes)), 8))
        }
        8 => Some((Value::Integer(0), 0)),
        9 => Some((Value::Integer(1), 0)),
        10 | 11 => None,
        _ => {
            let length = usize::try_from((serial - 12) / 2).ok()?;
            let bytes = body.get(..length)?.to_vec();
            Some(if serial.is_multiple_of(2) {
                (Value::Blob(bytes), length)
            } else {
                (Value::Text(bytes), length)
            })
        }
    }
}

/// A number of one to nine bytes, and how many.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for length in 0..9 {
        let byte = *bytes.get(at.checked_add(length)?)?;
        if length == 8 {
            return Some((value << 8 | u64::from(byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, length + 1));
        }
    }
    None
}
