//! Which transactions of which databases the current thread is in.
//!
//! A cache must know: within a read its values must fit that snapshot, and within a write nothing
//! may be kept, because it may be rolled back. A `Database` must know as well, to refuse a call
//! inside another one that would wait for itself.

use std::cell::RefCell;
use std::sync::Arc;

use super::lookup::Standing;
use super::tables::TableClock;

thread_local! {
    /// Innermost last; a database is known by the address of its clock.
    static STANDING: RefCell<Vec<(*const TableClock, Standing)>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, the thread is in a transaction.
#[must_use]
pub(crate) struct Within {
    /// The guard belongs to its thread.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Within {
    /// A read is about to begin its snapshot.
    pub(crate) fn read(clock: &Arc<TableClock>) -> Self {
        Self::enter(clock, Standing::Reading(clock.now()))
    }

    /// A write is about to begin.
    pub(crate) fn write(clock: &Arc<TableClock>) -> Self {
        Self::enter(clock, Standing::Writing)
    }

    /// A computation for a cache is about to begin.
    pub(super) fn computation() -> Self {
        Self::push(std::ptr::null(), Standing::Busy)
    }

    fn enter(clock: &Arc<TableClock>, standing: Standing) -> Self {
        Self::push(Arc::as_ptr(clock), standing)
    }

    fn push(of: *const TableClock, standing: Standing) -> Self {
        STANDING.with_borrow_mut(|all| all.push((of, standing)));
        Self {
            _not_send: std::marker::PhantomData,
        }
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        STANDING.with_borrow_mut(Vec::pop);
    }
}

/// Where the current thread stands in the database of `clock`: in the write, if there is one.
pub(crate) fn standing(clock: &Arc<TableClock>) -> Standing {
    let of_this = Arc::as_ptr(clock);
    STANDING.with_borrow(|all| {
        let mut here = all.iter().filter(|(of, _)| std::ptr::eq(*of, of_this));
        let mut standing = if all.is_empty() {
            Standing::Outside
        } else {
            Standing::Busy
        };
        while let Some((_, next)) = here.next_back() {
            match (standing, *next) {
                (_, Standing::Writing) => return Standing::Writing,
                (Standing::Busy, reading) => standing = reading,
                _ => {}
            }
        }
        standing
    })
}
