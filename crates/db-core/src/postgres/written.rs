//! How far a replica must be to show what this process has written.

use std::sync::atomic::{AtomicU64, Ordering};

use super::lsn::Lsn;

/// The place in the log behind our latest write, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Written {
    last: AtomicU64,
    /// Writes whose place cannot be told: until a later one has one, no replica will do.
    blind: AtomicU64,
    /// So many of these have a later one.
    covered: AtomicU64,
}

/// What had been written without a place when a write began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before(u64);

impl Written {
    /// To be taken before a COMMIT that waits for the disk: it flushes what is committed by now.
    pub(super) fn before(&self) -> Before {
        Before(self.blind.load(Ordering::Acquire))
    }

    /// Notes a write, after its COMMIT and before its caller is answered.
    pub(super) fn note(&self, place: Option<Lsn>, before: Before) {
        match place {
            Some(lsn) => {
                self.last.fetch_max(lsn.0, Ordering::AcqRel);
                // Not those that were noted meanwhile: their commits may lie behind `lsn`.
                self.covered.fetch_max(before.0, Ordering::AcqRel);
            }
            None => {
                self.blind.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// What a replica must have replayed; none if that is not known.
    pub(super) fn needed(&self) -> Option<Lsn> {
        // In this order: whoever sees that a write is covered sees by which place.
        let covered = self.covered.load(Ordering::Acquire);
        let blind = self.blind.load(Ordering::Acquire);
        (blind <= covered).then(|| Lsn(self.last.load(Ordering::Acquire)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_without_a_place_needs_a_later_one_with() {
        let written = Written::default();
        assert_eq!(written.needed(), Some(Lsn(0)));
        let (early, blind) = (written.before(), written.before());
        written.note(None, blind);
        assert_eq!(written.needed(), None);
        // It was under way when the other one was noted, and may lie before it.
        written.note(Some(Lsn(5)), early);
        assert_eq!(written.needed(), None);
        let late = written.before();
        written.note(Some(Lsn(9)), late);
        assert_eq!(written.needed(), Some(Lsn(9)));
        written.note(Some(Lsn(7)), early);
        assert_eq!(written.needed(), Some(Lsn(9)));
    }
}
