//! Holes in the archived log: what a recovery from a base backup needs, and the archive lacks.
//!
//! PostgreSQL takes the first file that it does not get for the end of the log, and comes up with what
//! it has. Whether the log goes on behind it can be told from the names in the archive.

use std::collections::BTreeSet;

use super::base::place;
use super::segment::{WalFile, WalKind};
use super::server::ControlData;
use super::wal::Archive;
use crate::catalog::Listing;
use crate::codec::Identities;
use crate::error::Error;
use crate::manifest::{Kind, Manifest};
use crate::store::Store;

/// Sizes for which a segment can be built: 1 MiB to 1 GiB.
const SEGMENT_SIZES: std::ops::RangeInclusive<u32> = 20..=30;

/// A hole in an archived log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The first file that is missing.
    pub missing: WalFile,
    /// The last one that is there behind it.
    pub until: WalFile,
}

/// Where a recovery leaves its base backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    timeline: u32,
    /// The number of the last segment that the backup brings with it.
    last: u64,
    segment_size: u64,
    /// The server that the backup is of, if that is known.
    system: Option<u64>,
}

/// The archived log behind a base backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) gap: Option<Gap>,
    /// The last file, if there is any.
    pub(super) last: Option<WalFile>,
    /// What a recovery asks for when it has all.
    pub(super) next: WalFile,
    segment_size: u64,
}

impl Chain {
    /// Whether a recovery up to this place does without what is missing.
    pub(super) fn is_whole_up_to(&self, place: u64) -> bool {
        let missing = self.gap.as_ref().map(|gap| &gap.missing);
        // A history that is missing has no place; what it leads to is missing as a whole.
        missing.is_none_or(|file| file.start(self.segment_size).is_some_and(|at| at > place))
    }

    /// Whether a recovery that ended at `place`, and was not given `denied`, has seen all of it.
    pub(super) fn is_exhausted(&self, place: Option<u64>, denied: &BTreeSet<String>) -> bool {
        let Some(last) = &self.last else {
            return true;
        };
        // A last record that goes on in a segment to come begins as far before as it likes.
        denied.contains(self.next.as_str())
            || place.is_some_and(|place| {
                last.start(self.segment_size)
                    .is_none_or(|begin| place >= begin)
            })
    }
}

impl Start {
    /// Where the log of a backup ends, if its manifest tells how large the segments are.
    pub(super) fn of(manifest: &Manifest) -> Option<Self> {
        let engine = &manifest.engine;
        let pairs = [
            (engine.start_lsn.as_deref()?, engine.start_wal.as_deref()?),
            (engine.stop_lsn.as_deref()?, engine.stop_wal.as_deref()?),
        ];
        let fits = |size: &u64| {
            pairs.iter().enumerate().all(|(number, (lsn, file))| {
                let file = WalFile::parse(file).ok();
                // An end at the first byte of a segment is the end of the one before.
                let place = place(lsn)
                    .ok()
                    .map(|place| place - (number as u64).min(place));
                file.zip(place).is_some_and(|(file, place)| {
                    WalFile::segment(file.timeline(), place, *size) == file
                })
            })
        };
        let mut sizes = SEGMENT_SIZES.map(|bits| 1_u64 << bits).filter(fits);
        let (size, other) = (sizes.next()?, sizes.next());
        other.is_none().then_some(())?;
        Self::with_segments_of(manifest, size)
    }

    /// The same where the size of the segments is known.
    pub(super) fn with_segments_of(manifest: &Manifest, segment_size: u64) -> Option<Self> {
        let stop = WalFile::parse(manifest.engine.stop_wal.as_deref()?).ok()?;
        Some(Self {
            timeline: stop.timeline(),
            last: stop.start(segment_size)? / segment_size,
            segment_size,
            system: system(manifest),
        })
    }

    /// The log behind the backup. None where the server itself refuses to follow the timeline.
    pub(super) fn chain(
        &self,
        archive: &Archive<'_>,
        timeline: Option<u32>,
    ) -> Result<Option<Chain>, Error> {
        let first = self.look(archive, timeline, archive.names()?)?;
        match &first {
            // Files may have come while the names were read: the later ones are seen, and the earlier
            // ones not.
            Some(Chain { gap: Some(_), .. }) => self.look(archive, timeline, archive.names()?),
            _ => Ok(first),
        }
    }

    /// As it is told by these names; what another server has put behind the log is left out.
    fn look(
        &self,
        archive: &Archive<'_>,
        timeline: Option<u32>,
        mut files: BTreeSet<WalFile>,
    ) -> Result<Option<Chain>, Error> {
        loop {
            let chain = self.look_at(archive, timeline, &files)?;
            let until = chain.as_ref().and_then(|chain| chain.gap.as_ref());
            match until.map(|gap| gap.until.clone()) {
                Some(until) if self.is_strange(archive, &until)? => {
                    for strange in self.strangers(archive, until, &files)? {
                        files.remove(&strange);
                    }
                }
                _ => return Ok(chain),
            }
        }
    }

    fn is_strange(&self, archive: &Archive<'_>, file: &WalFile) -> Result<bool, Error> {
        let Some(own) = self.system else {
            return Ok(false);
        };
        let system = archive.system_of(file, self.segment_size)?;
        Ok(system.is_some_and(|system| system != own))
    }

    /// What another server has put there, of the unbroken row of files that ends with `last`. Ours may
    /// be its begin: an upgraded server goes on behind the log of the old one.
    fn strangers(
        &self,
        archive: &Archive<'_>,
        last: WalFile,
        files: &BTreeSet<WalFile>,
    ) -> Result<Vec<WalFile>, Error> {
        let before = |file: &WalFile| {
            let place = file.start(self.segment_size)?;
            let place = place.checked_sub(self.segment_size)?;
            let before = WalFile::segment(file.timeline(), place, self.segment_size);
            files.contains(&before).then_some(before)
        };
        let mut row: Vec<_> = std::iter::successors(Some(last), before).collect();
        let mut failed = None;
        let strange = row.partition_point(|file| {
            self.is_strange(archive, file).unwrap_or_else(|error| {
                failed.get_or_insert(error);
                false
            })
        });
        // The last one is, as was seen.
        row.truncate(strange.max(1));
        failed.map_or(Ok(row), Err)
    }

    fn look_at(
        &self,
        archive: &Archive<'_>,
        timeline: Option<u32>,
        files: &BTreeSet<WalFile>,
    ) -> Result<Option<Chain>, Error> {
        let newest = timeline.unwrap_or_else(|| self.newest(files));
        let Some(line) = self.line(archive, newest)? else {
            return Ok(None);
        };
        let mut chain = line.chain(files, self);
        if timeline.is_none() && chain.gap.is_none() {
            // A timeline that no history leads to is not followed.
            let later = files.iter().filter(|file| file.timeline() > newest).max();
            chain.gap = later.map(|later| Gap {
                missing: WalFile::history(newest + 1),
                until: later.clone(),
            });
        }
        Ok(Some(chain))
    }

    /// Whether nothing was archived yet when the backup was made: nothing of its timeline is there up to
    /// the hole, not even the backup's own last segment.
    fn is_before(&self, files: &BTreeSet<WalFile>, gap: &Gap) -> bool {
        let Some(hole) = gap.missing.start(self.segment_size) else {
            return false;
        };
        let segments = files
            .iter()
            .filter(|file| file.kind() == WalKind::Segment && file.timeline() == self.timeline);
        let mut places = segments.filter_map(|file| file.start(self.segment_size));
        places.all(|place| place > hole)
    }

    /// Whether there is a later backup of the same server.
    fn is_followed(&self, bases: &[Self]) -> bool {
        let at = |start: &Self| (start.timeline, start.last);
        let mut others = bases.iter().filter(|other| other.system == self.system);
        others.any(|other| at(other) > at(self))
    }

    /// As the server finds it: one number after the other, as long as there is a history.
    fn newest(&self, files: &BTreeSet<WalFile>) -> u32 {
        let mut newest = self.timeline;
        while files.contains(&WalFile::history(newest.saturating_add(1))) {
            newest += 1;
        }
        newest
    }

    fn line(&self, archive: &Archive<'_>, newest: u32) -> Result<Option<Line>, Error> {
        if newest == self.timeline {
            return Ok(Some(Line(vec![(newest, 0)])));
        }
        let Some(text) = archive.text(&WalFile::history(newest))? else {
            return Ok(None);
        };
        let mut line = Line::default();
        let mut begin = 0;
        for (timeline, end) in ancestors(&text)? {
            line.0.push((timeline, begin));
            begin = end / self.segment_size;
        }
        line.0.push((newest, begin));
        let knows_ours = line
            .0
            .iter()
            .any(|(timeline, _)| *timeline == self.timeline);
        Ok(knows_ours.then_some(line))
    }
}

/// Timelines from the oldest to the newest, each with the number of its first segment.
#[derive(Debug, Default)]
struct Line(Vec<(u32, u64)>);

impl Line {
    /// The file of this number that a recovery wants: the newest timeline's, which holds what its
    /// parent wrote before the switch.
    fn file(&self, number: u64, segment_size: u64) -> WalFile {
        let mut from_newest = self.0.iter().rev();
        let found = from_newest.find(|(_, begin)| *begin <= number);
        let timeline = found.map_or(1, |(timeline, _)| *timeline);
        WalFile::segment(timeline, number.saturating_mul(segment_size), segment_size)
    }

    fn chain(&self, files: &BTreeSet<WalFile>, start: &Start) -> Chain {
        let size = start.segment_size;
        let number_of = |file: &WalFile| Some(file.start(size)? / size);
        let wanted = files
            .iter()
            .filter(|file| file.kind() == WalKind::Segment)
            .filter_map(|file| Some((number_of(file)?, file)))
            .filter(|(number, file)| *number > start.last && self.file(*number, size) == **file)
            .map(|(number, _)| number)
            .max();
        // That a timeline was left is told by its child, however little of both was archived.
        let left = self.0.last().map(|(_, begin)| begin.saturating_sub(1));
        let left = left.filter(|number| *number > start.last);
        let last = wanted.max(left);
        let mut chain = Chain {
            gap: None,
            last: wanted.map(|number| self.file(number, size)),
            next: self.file(last.unwrap_or(start.last) + 1, size),
            segment_size: size,
        };
        let Some(last) = last else {
            return chain;
        };
        // The backup's own last segment, if another timeline goes on in it.
        let own = self.file(start.last, size).timeline() == start.timeline;
        let first = start.last + u64::from(own);
        let missing = (first..=last)
            .map(|number| self.file(number, size))
            .find(|file| !files.contains(file));
        chain.gap = missing.map(|missing| Gap {
            missing,
            until: match &chain.last {
                Some(file) if wanted >= left => file.clone(),
                _ => WalFile::history(self.0.last().map_or(1, |(timeline, _)| *timeline)),
            },
        });
        chain
    }
}

/// The timelines before one, and where each was left, as its history tells: `1\t0/3000148\treason`.
fn ancestors(text: &str) -> Result<Vec<(u32, u64)>, Error> {
    let wrong =
        |line: &str| Error::damaged("the history of a timeline", format!("it says {line:?}"));
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split_whitespace();
            let (Some(timeline), Some(end)) = (words.next(), words.next()) else {
                return Err(wrong(line));
            };
            let timeline = timeline.parse().map_err(|_| wrong(line))?;
            Ok((timeline, place(end).map_err(|_| wrong(line))?))
        })
        .collect()
}

/// The log behind a backup; `control` of its files tells more than the manifest.
pub(super) fn chain(
    archive: &Archive<'_>,
    manifest: &Manifest,
    control: Option<&ControlData>,
    timeline: Option<u32>,
) -> Result<Option<Chain>, Error> {
    let size = control.and_then(|control| control.get("Bytes per WAL segment")?.parse().ok());
    let start = match size {
        Some(size) => Start::with_segments_of(manifest, size),
        None => Start::of(manifest),
    };
    start.map_or(Ok(None), |start| start.chain(archive, timeline))
}

/// The server that a backup is of.
pub(super) fn system(manifest: &Manifest) -> Option<u64> {
    manifest.engine.system_identifier.as_deref()?.parse().ok()
}

/// Holds the files of a backup against what its manifest says whose they are.
pub(super) fn check_system(manifest: &Manifest, control: &ControlData) -> Result<(), Error> {
    let (Some(told), Some(found)) = (system(manifest), control.get("Database system identifier"))
    else {
        return Ok(());
    };
    if found == told.to_string() {
        return Ok(());
    }
    Err(Error::damaged(
        manifest.name.as_str(),
        format!("its files are of the server {found}, and its manifest says {told}"),
    ))
}

/// Refuses a log with a hole in it.
pub(super) fn refuse(store: &dyn Store, chain: &Chain) -> Result<(), Error> {
    match &chain.gap {
        Some(gap) => Err(error(store, gap)),
        None => Ok(()),
    }
}

fn error(store: &dyn Store, gap: &Gap) -> Error {
    Error::LogGap {
        place: store.location(),
        file: gap.missing.to_string(),
        what: format!("is missing, and the log goes on to {}", gap.until),
    }
}

/// The holes behind the base backups of a store, each once. A log whose histories are encrypted and
/// cannot be read without an identity is not judged, and neither is what may be another server's: one
/// whose segments cannot be read where there are base backups of several servers. A base backup that
/// was made before anything was archived has no log, which is none of its holes once there is a later
/// one of its server.
///
/// # Errors
/// What keeps the store from being read.
pub fn gaps(store: &dyn Store, listing: &Listing) -> Result<Vec<Gap>, Error> {
    let bases = listing.backups.iter().filter_map(|entry| {
        let manifest = entry.manifest.as_ref().ok()?;
        (manifest.kind == Kind::PostgresBase).then(|| Start::of(manifest))?
    });
    let bases: Vec<Start> = bases.collect();
    if bases.is_empty() {
        return Ok(Vec::new());
    }
    let identities = Identities::default();
    let archive = Archive::new(store, &identities, None);
    let first = gaps_in(&archive, &bases, &archive.names()?)?;
    if first.is_empty() {
        return Ok(first);
    }
    // As in `Start::chain`, but with one more listing for all.
    gaps_in(&archive, &bases, &archive.names()?)
}

fn gaps_in(
    archive: &Archive<'_>,
    bases: &[Start],
    files: &BTreeSet<WalFile>,
) -> Result<Vec<Gap>, Error> {
    let systems: BTreeSet<Option<u64>> = bases.iter().map(|base| base.system).collect();
    let mut found: Vec<Gap> = Vec::new();
    for start in bases {
        let gap = match start.look(archive, None, files.clone()) {
            Ok(chain) => chain.and_then(|chain| chain.gap),
            Err(Error::Identity { .. }) => None,
            Err(error) => return Err(error),
        };
        let Some(gap) = gap.filter(|gap| !found.contains(gap)) else {
            continue;
        };
        let is_known =
            systems.len() == 1 || archive.system_of(&gap.until, start.segment_size)?.is_some();
        if is_known && !(start.is_before(files, &gap) && start.is_followed(bases)) {
            found.push(gap);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 16 << 20;

    const START: Start = Start {
        timeline: 1,
        last: 4,
        segment_size: SIZE,
        system: None,
    };

    fn file(timeline: u32, number: u64) -> WalFile {
        WalFile::segment(timeline, number * SIZE, SIZE)
    }

    fn judge(line: &Line, files: &[WalFile]) -> Chain {
        line.chain(&files.iter().cloned().collect(), &START)
    }

    #[test]
    fn a_hole_is_named_and_the_end_is_none() {
        let line = Line(vec![(1, 0)]);
        let all: Vec<WalFile> = (2..=20).map(|number| file(1, number)).collect();
        let whole = judge(&line, &all);
        assert_eq!((whole.gap, whole.last), (None, Some(file(1, 20))));
        assert_eq!(whole.next, file(1, 21));
        // Whatever is missing but the last one, and nothing that the backup brings with it.
        for lost in 2..=20 {
            let rest: Vec<_> = all
                .iter()
                .filter(|f| **f != file(1, lost))
                .cloned()
                .collect();
            let gap = judge(&line, &rest).gap;
            let expected = (5..20).contains(&lost).then(|| Gap {
                missing: file(1, lost),
                until: file(1, 20),
            });
            assert_eq!(gap, expected, "{lost}");
        }
        let nothing = judge(&line, &[]);
        assert_eq!((&nothing.gap, &nothing.last), (&None, &None));
        assert!(nothing.is_exhausted(None, &BTreeSet::new()));
    }

    #[test]
    fn a_timeline_takes_the_place_of_its_parent() {
        // Left in segment 7.
        let line = Line(vec![(1, 0), (2, 7)]);
        let good = [file(1, 5), file(1, 6), file(2, 7), file(2, 8)];
        assert_eq!(judge(&line, &good).gap, None);
        // The parent's own segment of that number is another one.
        let parents = [file(1, 5), file(1, 6), file(1, 7), file(1, 8), file(2, 8)];
        assert_eq!(judge(&line, &parents).gap.unwrap().missing, file(2, 7));
        // Nothing of the child came yet; what is before it is needed all the same.
        assert_eq!(judge(&line, &[file(1, 5), file(1, 6)]).gap, None);
        let gap = judge(&line, &[file(1, 5)]).gap.unwrap();
        assert_eq!((gap.missing, gap.until), (file(1, 6), WalFile::history(2)));
        // It goes on in the last segment of the backup.
        let early = Line(vec![(1, 0), (2, 4)]);
        assert_eq!(
            judge(&early, &[file(2, 5)]).gap.unwrap().missing,
            file(2, 4)
        );
        assert_eq!(judge(&early, &[file(2, 4), file(2, 5)]).gap, None);
    }

    #[test]
    fn a_backup_from_before_the_archive_has_no_hole_once_there_is_a_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::LocalStore::new(folder.path());
        let put = |number| {
            let name = format!("wal_{}-0123456789abcdef.zst", file(1, number));
            std::fs::write(folder.path().join(name), "").unwrap();
        };
        let identities = Identities::default();
        let gaps = |bases: &[Start]| {
            let archive = Archive::new(&store, &identities, None);
            gaps_in(&archive, bases, &archive.names().unwrap()).unwrap()
        };
        for number in 8..=12 {
            put(number);
        }
        let later = Start { last: 9, ..START };
        let hole = |missing, until| Gap {
            missing: file(1, missing),
            until: file(1, until),
        };
        assert_eq!(gaps(&[START]), [hole(5, 12)]);
        assert_eq!(gaps(&[START, later]), []);
        // Another server's is no later one of ours.
        let other = Start {
            system: Some(7),
            ..later
        };
        assert_eq!(gaps(&[other]), []);
        // Its own last segment was archived, so what is behind it was lost.
        put(4);
        assert_eq!(gaps(&[START, later]), [hole(5, 12)]);
        put(14);
        assert_eq!(gaps(&[later]), [hole(13, 14)]);
    }

    #[test]
    fn a_recovery_that_ends_early_is_seen() {
        let chain = judge(&Line(vec![(1, 0)]), &[file(1, 5), file(1, 6)]);
        let none = BTreeSet::new();
        assert!(chain.is_exhausted(Some(6 * SIZE), &none));
        assert!(!chain.is_exhausted(Some(6 * SIZE - 1), &none));
        assert!(!chain.is_exhausted(None, &none));
        let asked = BTreeSet::from([file(1, 7).to_string()]);
        assert!(chain.is_exhausted(Some(5 * SIZE), &asked));
        let holed = judge(&Line(vec![(1, 0)]), &[file(1, 5), file(1, 7)]);
        assert!(holed.is_whole_up_to(6 * SIZE - 1));
        assert!(!holed.is_whole_up_to(6 * SIZE));
    }

    #[test]
    fn histories_are_read() {
        let text = "1\t0/3000148\tno recovery target specified\n\n2\t1/A0\tafter LSN 1/A0\n";
        assert_eq!(
            ancestors(text).unwrap(),
            [(1, 0x300_0148), (2, 0x1_0000_00A0)]
        );
        assert!(matches!(ancestors("x y"), Err(Error::Damaged { .. })));
    }
}
