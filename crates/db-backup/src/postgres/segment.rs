//! Names of the files of PostgreSQL's write-ahead log, and what a segment says of itself.

use std::fmt;

use crate::error::Error;

/// What a file of the log is called, as `%f` of `archive_command` and `restore_command` gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalFile {
    name: String,
    kind: WalKind,
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalKind {
    /// A segment: 24 hexadecimal digits.
    Segment,
    /// The last segment of a timeline that was left, not full: `<segment>.partial`.
    Partial,
    /// The note of a base backup: `<segment>.<offset>.backup`.
    BackupNote,
    /// Where a timeline branched off: 8 digits and `.history`.
    History,
}

impl WalFile {
    /// Reads a name.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no file of the log.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let kind = kind_of(name).ok_or_else(|| {
            let shown: String = name.chars().take(60).collect();
            Error::usage(
                format!("{shown:?} is no file of PostgreSQL's write-ahead log"),
                "give %p to wal-push and %f %p to wal-fetch, as the server replaces them",
            )
        })?;
        Ok(Self {
            name: name.to_owned(),
            kind,
        })
    }

    /// The segment of a timeline in which a place lies.
    #[must_use]
    pub fn segment(timeline: u32, place: u64, segment_size: u64) -> Self {
        let per_file = 0x1_0000_0000 / segment_size.max(1);
        let number = place / segment_size.max(1);
        Self {
            name: format!(
                "{timeline:08X}{:08X}{:08X}",
                number / per_file.max(1),
                number % per_file.max(1)
            ),
            kind: WalKind::Segment,
        }
    }

    /// Where a timeline branched off.
    #[must_use]
    pub fn history(timeline: u32) -> Self {
        Self {
            name: format!("{timeline:08X}.history"),
            kind: WalKind::History,
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// What kind of file it is.
    #[must_use]
    pub const fn kind(&self) -> WalKind {
        self.kind
    }

    /// The timeline.
    #[must_use]
    pub fn timeline(&self) -> u32 {
        hex(&self.name[..8]).unwrap_or_default()
    }

    /// Where a segment begins, in bytes of the log.
    #[must_use]
    pub fn start(&self, segment_size: u64) -> Option<u64> {
        if self.kind == WalKind::History {
            return None;
        }
        let high = u64::from(hex(self.name.get(8..16)?)?);
        let low = u64::from(hex(self.name.get(16..24)?)?);
        high.checked_shl(32)?
            .checked_add(low.checked_mul(segment_size)?)
    }
}

impl fmt::Display for WalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn kind_of(name: &str) -> Option<WalKind> {
    let (digits, ending) = match name.split_once('.') {
        Some((digits, ending)) => (digits, Some(ending)),
        None => (name, None),
    };
    if !digits
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    {
        return None;
    }
    match (digits.len(), ending) {
        (24, None) => Some(WalKind::Segment),
        (24, Some("partial")) => Some(WalKind::Partial),
        (24, Some(ending)) => {
            let offset = ending.strip_suffix(".backup")?;
            (offset.len() == 8 && hex(offset).is_some()).then_some(WalKind::BackupNote)
        }
        (8, Some("history")) => Some(WalKind::History),
        _ => None,
    }
}

fn hex(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits, 16).ok()
}

/// What the first page of a segment says: `XLogLongPageHeaderData`, which has not changed its shape
/// since version 9.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) system_identifier: u64,
    pub(super) segment_size: u64,
}

/// Bytes of [`SegmentHeader`] in a file.
pub(super) const HEADER_BYTES: usize = 40;

/// `XLP_LONG_HEADER`.
const LONG_HEADER: u16 = 0x0002;

impl SegmentHeader {
    /// Reads the header, and holds it against the name and the size of the file.
    ///
    /// The log has the byte order of the machine that wrote it, which is the one that reads it.
    pub(super) fn check(file: &WalFile, bytes: &[u8], size: u64) -> Result<Self, Error> {
        let wrong = |reason: String| Err(Error::damaged(file.as_str(), reason));
        let (Some(info), Some(timeline), Some(address), Some(system), Some(segment_size)) = (
            array(bytes, 2).map(u16::from_ne_bytes),
            array(bytes, 4).map(u32::from_ne_bytes),
            array(bytes, 8).map(u64::from_ne_bytes),
            array(bytes, 24).map(u64::from_ne_bytes),
            array(bytes, 32).map(u32::from_ne_bytes),
        ) else {
            return wrong("it is too short for a segment of the log".to_owned());
        };
        let segment_size = u64::from(segment_size);
        if info & LONG_HEADER == 0 || !segment_size.is_power_of_two() {
            return wrong("it does not begin as a segment of the log does".to_owned());
        }
        if size != segment_size {
            return wrong(format!(
                "it has {size} bytes, and its header says {segment_size}"
            ));
        }
        // The first page after a switch may carry the timeline before.
        if file.start(segment_size) != Some(address) || timeline > file.timeline() {
            return wrong("its header is that of another segment".to_owned());
        }
        Ok(Self {
            system_identifier: system,
            segment_size,
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_log_are_known() {
        for (name, kind) in [
            ("000000010000000A000000FF", WalKind::Segment),
            ("000000010000000A000000FF.partial", WalKind::Partial),
            (
                "000000010000000A000000FF.00000028.backup",
                WalKind::BackupNote,
            ),
            ("00000002.history", WalKind::History),
        ] {
            let file = WalFile::parse(name).unwrap();
            assert_eq!((file.kind(), file.as_str()), (kind, name));
        }
        for bad in [
            "",
            "stop",
            "../000000010000000A000000FF",
            "000000010000000a000000ff",
            "000000010000000A000000F",
            "000000010000000A000000FF.x",
            "000000010000000A000000FF.0000002.backup",
            "2.history",
            "000000010000000A000000FF\n",
        ] {
            assert!(
                matches!(WalFile::parse(bad), Err(Error::Usage { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn places_have_their_segment() {
        let size = 16 << 20;
        let place = 0x0A_FF00_0028;
        let file = WalFile::segment(1, place, size);
        assert_eq!(file.as_str(), "000000010000000A000000FF");
        assert_eq!(file.start(size), Some(0x0A_FF00_0000));
        assert_eq!(file.timeline(), 1);
        let small = WalFile::segment(3, place, 1 << 20);
        assert_eq!(small.as_str(), "000000030000000A00000FF0");
        assert_eq!(small.start(1 << 20), Some(0x0A_FF00_0000));
        assert_eq!(
            WalFile::parse("00000002.history").unwrap().start(size),
            None
        );
    }

    #[test]
    fn a_segment_under_another_name_is_found() {
        let name = WalFile::parse("000000010000000000000003").unwrap();
        let mut bytes = vec![0_u8; 1 << 20];
        bytes[2..4].copy_from_slice(&LONG_HEADER.to_ne_bytes());
        bytes[4..8].copy_from_slice(&1_u32.to_ne_bytes());
        bytes[8..16].copy_from_slice(&(3_u64 << 20).to_ne_bytes());
        bytes[24..32].copy_from_slice(&77_u64.to_ne_bytes());
        bytes[32..36].copy_from_slice(&(1_u32 << 20).to_ne_bytes());
        let header = SegmentHeader::check(&name, &bytes, 1 << 20).unwrap();
        assert_eq!(header.system_identifier, 77);
        assert_eq!(header.segment_size, 1 << 20);
        SegmentHeader::check(&name, &bytes, 1 << 19).unwrap_err();
        let other = WalFile::parse("000000010000000000000004").unwrap();
        SegmentHeader::check(&other, &bytes, 1 << 20).unwrap_err();
        SegmentHeader::check(&name, &bytes[..30], 1 << 20).unwrap_err();
        SegmentHeader::check(&name, &[0; 40], 1 << 20).unwrap_err();
    }
}
