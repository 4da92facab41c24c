//! The pages of a damaged file, from the file and its log, whatever their content.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use db_core::Interrupt;

use crate::Error;

/// What a header in order begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// SQLite's own limits of the size of a page.
pub(super) const PAGE_SIZES: [u32; 8] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];

/// So many pages are looked at where the header does not tell their size.
const SAMPLES: u64 = 400;

/// A b-tree page's first byte, of the kinds that hold rows.
pub(super) const TABLE_LEAF: u8 = 0x0d;
pub(super) const TABLE_INTERIOR: u8 = 0x05;
pub(super) const INDEX_LEAF: u8 = 0x0a;
pub(super) const INDEX_INTERIOR: u8 = 0x02;

/// How text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    /// As `PRAGMA encoding` takes it.
    pub(super) const fn pragma(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16le",
            Self::Utf16Be => "UTF-16be",
        }
    }
}

/// The file's header, as far as it can be believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// Whether it begins as it should.
    pub(super) is_intact: bool,
    pub(super) page_size: u32,
    /// Bytes at the end of each page that are not SQLite's.
    pub(super) reserved: u8,
    pub(super) encoding: Encoding,
    /// Where the list of free pages begins, and how many there are.
    pub(super) freelist: u32,
    pub(super) free_pages: u32,
    pub(super) user_version: i32,
    pub(super) application_id: i32,
}

/// Pages that a log or a journal has in place of the file's.
#[derive(Debug)]
pub(super) struct Overlay {
    pub(super) page_size: u32,
    /// How many pages the database has with them.
    pub(super) pages: u32,
    /// Where the content of each is.
    pub(super) content: HashMap<u32, u64>,
    /// Whether what the file has behind `pages` is no part of the database.
    pub(super) ends_the_file: bool,
}

/// A copy of a database file and what lies over it, read page by page.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    over: Option<(File, Overlay)>,
    pub(super) header: Header,
    /// Pages of the file itself.
    in_file: u32,
    /// Pages behind those that only the log has, in order. It can claim any number of pages; only
    /// those that it holds are looked at.
    behind: Vec<u32>,
    interrupt: Interrupt,
}

impl Pages {
    /// Reads the header, or finds out what it should say.
    pub(super) fn open(
        file: File,
        over: Option<(File, Overlay)>,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let length = length(&file)?;
        let mut first = [0; 100];
        read_some(&file, &mut first, 0)?;
        let page_size = over
            .as_ref()
            .map(|(_, overlay)| overlay.page_size)
            .or_else(|| size_in(&first))
            .map_or_else(|| guess_size(&file, length), Ok)?;
        let mut pages = Self {
            header: header(&first, page_size),
            in_file: u32::try_from(length.div_ceil(u64::from(page_size))).unwrap_or(u32::MAX),
            behind: Vec::new(),
            over: None,
            file,
            interrupt: interrupt.clone(),
        };
        if let Some((file, overlay)) = over {
            if overlay.ends_the_file {
                pages.in_file = pages.in_file.min(overlay.pages);
            }
            let behind = overlay.content.keys().copied();
            pages.behind = behind.filter(|page| *page > pages.in_file).collect();
            pages.behind.sort_unstable();
            pages.over = Some((file, overlay));
            // The newest header may be in the log.
            if let Some(page) = pages.read(1)?
                && let Some(newest) = page.first_chunk::<100>()
            {
                pages.header = header(newest, page_size);
            }
        }
        Ok(pages)
    }

    /// How many pages there are to read.
    pub(super) fn count(&self) -> u32 {
        let behind = u32::try_from(self.behind.len()).unwrap_or(u32::MAX);
        self.in_file.saturating_add(behind)
    }

    /// The numbers of these pages, in order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        (1..=self.in_file).chain(self.behind.iter().copied())
    }

    /// Whether there is such a page.
    pub(super) fn has(&self, page: u32) -> bool {
        (1..=self.in_file).contains(&page) || self.behind.binary_search(&page).is_ok()
    }

    /// Bytes of a page that SQLite uses.
    pub(super) fn usable(&self) -> usize {
        let usable = self.header.page_size - u32::from(self.header.reserved);
        usable as usize
    }

    /// The content of a page, counted from 1, without its reserved end; `None` if there is no such
    /// page. A last page that is cut off is filled with zeros. All work goes through here, so here
    /// it is interrupted.
    pub(super) fn read(&self, page: u32) -> Result<Option<Vec<u8>>, Error> {
        if self.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        if !self.has(page) {
            return Ok(None);
        }
        let mut content = vec![0; self.header.page_size as usize];
        let over = self.over.as_ref();
        let over = over.and_then(|(file, overlay)| Some((file, *overlay.content.get(&page)?)));
        if let Some((file, at)) = over {
            read_some(file, &mut content, at)?
        } else {
            let at = u64::from(page - 1) * u64::from(self.header.page_size);
            read_some(&self.file, &mut content, at)?
        };
        content.truncate(self.usable());
        Ok(Some(content))
    }
}

/// Where the b-tree begins in a page: behind the file's header on the first one.
pub(super) const fn start_of(page: u32) -> usize {
    if page == 1 { 100 } else { 0 }
}

/// Two bytes, big endian; 0 beyond the end, which no caller takes for good.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at.saturating_add(2))
        .and_then(|b| b.try_into().ok())
        .map_or(0, u16::from_be_bytes)
}

/// Four bytes, big endian; 0 beyond the end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at.saturating_add(4))
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_be_bytes)
}

fn header(first: &[u8; 100], page_size: u32) -> Header {
    let is_intact = first.starts_with(MAGIC) && size_in(first) == Some(page_size);
    Header {
        is_intact,
        page_size,
        // SQLite itself wants at least 480 bytes of a page.
        reserved: if is_intact && page_size - u32::from(first[20]) >= 480 {
            first[20]
        } else {
            0
        },
        encoding: match u32_at(first, 56) {
            2 => Encoding::Utf16Le,
            3 => Encoding::Utf16Be,
            _ => Encoding::Utf8,
        },
        freelist: u32_at(first, 32),
        free_pages: u32_at(first, 36),
        user_version: u32_at(first, 60).cast_signed(),
        application_id: u32_at(first, 68).cast_signed(),
    }
}

/// The size that a header says, if there can be such a size.
fn size_in(first: &[u8; 100]) -> Option<u32> {
    let size = match u16_at(first, 16) {
        1 => 65_536,
        size => u32::from(size),
    };
    (first.starts_with(MAGIC) && PAGE_SIZES.contains(&size)).then_some(size)
}

/// The size at which most pages look like pages of a b-tree.
fn guess_size(file: &File, length: u64) -> Result<u32, Error> {
    let mut best = (0, 4096);
    for size in PAGE_SIZES {
        let pages = length / u64::from(size);
        let mut looks_right = 0_u64;
        let step = (pages / SAMPLES).max(1);
        let mut looked_at = 0_u64;
        let mut page = 1;
        while page < pages {
            let mut content = vec![0; size as usize];
            read_some(file, &mut content, page * u64::from(size))?;
            looked_at += 1;
            looks_right += u64::from(looks_like_tree(&content));
            page += step;
        }
        // Per thousand: there are more pages of a small size than of a large one.
        let share = (looks_right * 1000).checked_div(looked_at).unwrap_or(0);
        if share > best.0 {
            best = (share, size);
        }
    }
    Ok(best.1)
}

/// Whether all cell pointers of a page are behind its header, within it, and there are any.
fn looks_like_tree(page: &[u8]) -> bool {
    let Some(&kind) = page.first() else {
        return false;
    };
    let head = match kind {
        TABLE_LEAF | INDEX_LEAF => 8,
        TABLE_INTERIOR | INDEX_INTERIOR => 12,
        _ => return false,
    };
    let cells = usize::from(u16_at(page, 3));
    let content = match u16_at(page, 5) {
        0 => 65_536,
        at => usize::from(at),
    };
    cells > 0
        && head + 2 * cells <= content
        && content <= page.len()
        // A page of twice the size has free space or a page in its second half: its content area
        // would not reach the end.
        && (0..cells).any(|cell| usize::from(u16_at(page, head + 2 * cell)) > page.len() / 2)
        && (0..cells).all(|cell| {
            let at = usize::from(u16_at(page, head + 2 * cell));
            at >= content && at < page.len()
        })
}

pub(super) fn length(file: &File) -> Result<u64, Error> {
    let meta = file.metadata();
    Ok(meta.map_err(|e| Error::io("read", "the copy", e))?.len())
}

/// Fills the buffer as far as the file goes.
pub(super) fn read_some(file: &File, buffer: &mut [u8], at: u64) -> Result<usize, Error> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", "the copy", e)),
        }
    }
    Ok(done)
}
