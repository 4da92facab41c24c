//! What a rollback journal puts back: the pages as they were before a transaction that did not end
//! (<https://sqlite.org/fileformat2.html#the_rollback_journal>).
//!
//! SQLite itself would put them back when it opens the file; here they are read where they are, so
//! that the damaged file is not written, and no file that a journal names is touched.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::pages::{Overlay, PAGE_SIZES, length, read_some, u32_at};
use crate::Error;

/// What each of its headers, and the record of a super-journal, begins or ends with.
const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

const HEADER: usize = 28;

/// Where SQLite keeps its locks, on a page that holds nothing.
const PENDING: u64 = 0x4000_0000;

/// Longer names are none.
const LONGEST_NAME: u32 = 4_096;

/// What a journal beside the file comes to.
#[derive(Debug)]
pub(super) enum Found {
    /// The transaction has ended.
    Ended,
    /// It has ended in all of its files: the journal that held them together is gone.
    EndedTogether,
    /// Not even its first header is one.
    Damaged,
    /// These pages are to be put back.
    Hot(Hot),
}

#[derive(Debug)]
pub(super) struct Hot {
    pub(super) overlay: Overlay,
    /// Whether it names a super-journal, which SQLite would open, and may remove.
    pub(super) has_super: bool,
    /// Whether it ends with a record that makes no sense, as after a loss of power.
    pub(super) is_cut: bool,
}

struct Header {
    records: u32,
    nonce: u32,
    pages: u32,
    sector: u32,
    page_size: u32,
}

/// Reads a journal as far as its checksums hold.
pub(super) fn read(journal: &File) -> Result<Found, Error> {
    let whole = length(journal)?;
    let mut first = [0; HEADER];
    let begun = read_some(journal, &mut first, 0)?;
    if begun == 0 || first[0] == 0 {
        // Truncated, or zeroed: how transactions end that keep their journal.
        return Ok(Found::Ended);
    }
    let Some(header) = header(journal, 0)? else {
        return Ok(Found::Damaged);
    };
    let is_power = |size: u32| size.is_power_of_two() && (32..=65_536).contains(&size);
    if !PAGE_SIZES.contains(&header.page_size) || !is_power(header.sector) {
        return Ok(Found::Damaged);
    }
    let super_journal = super_journal(journal, whole)?;
    if let Some(name) = &super_journal
        && !Path::new(std::ffi::OsStr::from_bytes(name)).exists()
    {
        return Ok(Found::EndedTogether);
    }
    let (sector, page_size) = (u64::from(header.sector), header.page_size);
    let mut overlay = Overlay {
        page_size,
        pages: header.pages,
        content: HashMap::new(),
        ends_the_file: true,
    };
    let mut is_cut = false;
    let mut next = Some((0, header));
    while let Some((at, header)) = next {
        let end = records(journal, (at + sector, whole), &header, &mut overlay)?;
        is_cut = end.is_none();
        let at = end.map(|end| end.next_multiple_of(sector));
        next = match at {
            Some(at) if at < whole => self::header(journal, at)?
                .filter(|later| later.page_size == page_size)
                .map(|header| (at, header)),
            _ => None,
        };
    }
    Ok(Found::Hot(Hot {
        overlay,
        has_super: super_journal.is_some(),
        is_cut,
    }))
}

fn header(journal: &File, at: u64) -> Result<Option<Header>, Error> {
    let mut bytes = [0; HEADER];
    let read = read_some(journal, &mut bytes, at)?;
    let is_header = read == HEADER && bytes.starts_with(&MAGIC);
    Ok(is_header.then(|| Header {
        records: u32_at(&bytes, 8),
        nonce: u32_at(&bytes, 12),
        pages: u32_at(&bytes, 16),
        sector: u32_at(&bytes, 20),
        page_size: u32_at(&bytes, 24),
    }))
}

/// Where the records of one header end; `None` if one of them is not what was written.
fn records(
    journal: &File,
    (mut at, whole): (u64, u64),
    header: &Header,
    overlay: &mut Overlay,
) -> Result<Option<u64>, Error> {
    let size = overlay.page_size as usize;
    let mut record = vec![0; size + 8];
    let room = whole.saturating_sub(at) / record.len() as u64;
    let count = match header.records {
        // Written without a sync: as many as there are.
        u32::MAX => room,
        count => u64::from(count),
    };
    for _ in 0..count {
        if read_some(journal, &mut record, at)? < record.len() {
            return Ok(None);
        }
        let page = u32_at(&record, 0);
        let content = &record[4..4 + size];
        if page == 0 || u64::from(page - 1) == PENDING / size as u64 {
            return Ok(None);
        }
        if checksum(content, header.nonce) != u32_at(&record, 4 + size) {
            return Ok(None);
        }
        if page <= overlay.pages {
            overlay.content.entry(page).or_insert(at + 4);
        }
        at += record.len() as u64;
    }
    Ok(Some(at))
}

/// A sum of every two hundredth byte, from the end.
fn checksum(page: &[u8], nonce: u32) -> u32 {
    let mut sum = nonce;
    let mut at = page.len() as u64 - 200;
    while at > 0 {
        let byte = usize::try_from(at).ok().and_then(|at| page.get(at));
        sum = sum.wrapping_add(byte.copied().unwrap_or(0).into());
        at = at.saturating_sub(200);
    }
    sum
}

/// The name of the journal that holds a transaction in several files together, at the end of each.
fn super_journal(journal: &File, whole: u64) -> Result<Option<Vec<u8>>, Error> {
    let mut tail = [0; 16];
    let Some(at) = whole.checked_sub(16) else {
        return Ok(None);
    };
    read_some(journal, &mut tail, at)?;
    let length = u32_at(&tail, 0);
    if tail[8..] != MAGIC || length == 0 || length > LONGEST_NAME {
        return Ok(None);
    }
    let Some(at) = at.checked_sub(length.into()) else {
        return Ok(None);
    };
    let mut name = vec![0; length as usize];
    read_some(journal, &mut name, at)?;
    let sum = name.iter().fold(0_u32, |sum, byte| {
        sum.wrapping_add(i32::from(byte.cast_signed()).cast_unsigned())
    });
    Ok((sum == u32_at(&tail, 4)).then_some(name))
}
