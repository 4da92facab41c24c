//! What a program has written, and what a disk may hold of it when the power goes.
//!
//! Of a file the disk holds what was synced. Of what was written since it may hold anything: each
//! sector of each write is there or is not. That a file was made or deleted is certain after the
//! next sync of a file that is new, with which SQLite syncs the folder as well.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a disk writes in one piece.
const SECTOR: u64 = 512;

#[derive(Debug, Clone)]
pub(super) enum Event {
    Open {
        file: PathBuf,
    },
    Write {
        file: PathBuf,
        offset: u64,
        bytes: Box<[u8]>,
    },
    Truncate {
        file: PathBuf,
        size: u64,
    },
    Sync {
        file: PathBuf,
    },
    Delete {
        file: PathBuf,
        synced: bool,
    },
    Mark(u64),
}

/// What a program has written, in order.
#[derive(Debug, Clone, Default)]
pub struct Record {
    events: Vec<Event>,
}

/// What a disk holds after the power went.
#[derive(Debug)]
pub struct Image {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// The last number that the program had been told.
    pub mark: u64,
}

impl Record {
    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Moments at which the power may go: before the first event, and after each.
    #[must_use]
    pub fn moments(&self) -> Range<usize> {
        0..self.events.len() + 1
    }

    /// What the disk may hold at a moment. `keeps` says of each sector that was written and not
    /// synced, and of each change of a size or a folder, whether it is there.
    #[must_use]
    pub fn cut(&self, moment: usize, mut keeps: impl FnMut() -> bool) -> Image {
        let mut platter = Platter::default();
        for event in &self.events[..moment] {
            platter.take(event);
        }
        platter.lose_power(&mut keeps)
    }
}

impl Image {
    /// Puts the files into another folder.
    ///
    /// # Errors
    /// What writing them says.
    pub fn put_into(&self, folder: &Path) -> std::io::Result<()> {
        for (file, bytes) in &self.files {
            std::fs::write(folder.join(file.file_name().unwrap_or_default()), bytes)?;
        }
        Ok(())
    }
}

/// The disk, and what is on its way to it.
#[derive(Default)]
struct Platter<'r> {
    files: BTreeMap<&'r Path, File<'r>>,
    /// Of files that were deleted, which is not certain.
    deleted: BTreeMap<&'r Path, File<'r>>,
    mark: u64,
}

#[derive(Default)]
struct File<'r> {
    /// Whether it is certain that it is there.
    certain: bool,
    synced: Vec<u8>,
    pending: Vec<&'r Event>,
}

impl<'r> Platter<'r> {
    fn take(&mut self, event: &'r Event) {
        match event {
            Event::Mark(number) => self.mark = *number,
            Event::Open { file } => {
                // The database itself was made, and is empty, before SQLite opens it.
                let certain = !is_side_file(file);
                self.files.entry(file).or_insert_with(|| File {
                    certain,
                    ..File::default()
                });
            }
            Event::Write { file, .. } | Event::Truncate { file, .. } => {
                self.files.entry(file).or_default().pending.push(event);
            }
            Event::Sync { file } => {
                let synced = self.files.entry(file).or_default();
                for event in std::mem::take(&mut synced.pending) {
                    apply(&mut synced.synced, event, &mut || true);
                }
                if !synced.certain {
                    self.sync_folder();
                }
            }
            Event::Delete { file, synced } => {
                if let Some(gone) = self.files.remove(file.as_path()) {
                    self.deleted.insert(file, gone);
                }
                if *synced {
                    self.sync_folder();
                }
            }
        }
    }

    fn sync_folder(&mut self) {
        self.deleted.clear();
        self.files.values_mut().for_each(|file| file.certain = true);
    }

    fn lose_power(self, keeps: &mut impl FnMut() -> bool) -> Image {
        let mut files = BTreeMap::new();
        let deleted = self.deleted.into_iter().map(|entry| (true, entry));
        let present = self.files.into_iter().map(|entry| (false, entry));
        // What is there now goes before what was there before it.
        for (deleted, (path, file)) in deleted.chain(present) {
            let there = if deleted {
                !keeps()
            } else {
                file.certain || keeps()
            };
            if there {
                files.insert(path.to_owned(), file.lose_power(keeps));
            }
        }
        Image {
            files,
            mark: self.mark,
        }
    }
}

impl File<'_> {
    fn lose_power(self, keeps: &mut impl FnMut() -> bool) -> Vec<u8> {
        let mut bytes = self.synced;
        for event in self.pending {
            apply(&mut bytes, event, keeps);
        }
        bytes
    }
}

fn is_side_file(path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    path.ends_with(b"-wal") || path.ends_with(b"-journal")
}

/// Applies of a change as much as is kept.
fn apply(content: &mut Vec<u8>, event: &Event, keeps: &mut impl FnMut() -> bool) {
    match event {
        Event::Truncate { size, .. } if keeps() => {
            content.resize(index(*size), 0);
        }
        Event::Write { offset, bytes, .. } => {
            let mut at = *offset;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let in_sector = index(SECTOR - at % SECTOR).min(rest.len());
                let (sector, later) = rest.split_at(in_sector);
                if keeps() {
                    let start = index(at);
                    let end = start + sector.len();
                    if content.len() < end {
                        content.resize(end, 0);
                    }
                    content[start..end].copy_from_slice(sector);
                }
                at += sector.len() as u64;
                rest = later;
            }
        }
        _ => {}
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &str, offset: u64, bytes: &[u8]) -> Event {
        Event::Write {
            file: file.into(),
            offset,
            bytes: bytes.into(),
        }
    }

    fn sync(file: &str) -> Event {
        Event::Sync { file: file.into() }
    }

    fn open(file: &str) -> Event {
        Event::Open { file: file.into() }
    }

    fn content<'i>(image: &'i Image, file: &str) -> Option<&'i [u8]> {
        image.files.get(Path::new(file)).map(Vec::as_slice)
    }

    #[test]
    fn what_was_synced_stays_and_the_rest_may_go_by_sectors() {
        let record = Record {
            events: vec![
                open("/d/a.db"),
                write("/d/a.db", 0, &[1; 600]),
                sync("/d/a.db"),
                Event::Mark(7),
                write("/d/a.db", 500, &[2; 600]),
            ],
        };
        let image = record.cut(2, || false);
        assert_eq!((content(&image, "/d/a.db"), image.mark), (Some(&[][..]), 0));
        let image = record.cut(5, || false);
        assert_eq!(content(&image, "/d/a.db"), Some(&[1; 600][..]));
        assert_eq!(image.mark, 7);
        // Sectors 0, 1 and 2 of the second write; only the middle one is kept.
        let mut turn = 0;
        let image = record.cut(5, || {
            turn += 1;
            turn == 2
        });
        let found = content(&image, "/d/a.db").unwrap();
        assert_eq!(
            (&found[..512], &found[512..]),
            (&[1; 512][..], &[2; 512][..])
        );
    }

    #[test]
    fn a_new_or_deleted_file_is_certain_after_the_sync_of_a_new_one() {
        let record = Record {
            events: vec![
                open("/d/a.db-wal"),
                write("/d/a.db-wal", 0, &[1]),
                sync("/d/a.db-wal"),
                Event::Delete {
                    file: "/d/a.db-wal".into(),
                    synced: false,
                },
                open("/d/b.db-wal"),
                sync("/d/b.db-wal"),
            ],
        };
        assert_eq!(content(&record.cut(2, || false), "/d/a.db-wal"), None);
        assert_eq!(
            content(&record.cut(3, || false), "/d/a.db-wal"),
            Some(&[1][..])
        );
        // The deletion is not kept, so it is back.
        assert_eq!(
            content(&record.cut(4, || false), "/d/a.db-wal"),
            Some(&[1][..])
        );
        assert_eq!(content(&record.cut(4, || true), "/d/a.db-wal"), None);
        assert_eq!(content(&record.cut(6, || false), "/d/a.db-wal"), None);
    }
}
