//! A line of code that can be stored and read without a lock.
#![expect(
    unsafe_code,
    reason = "no safe atomic holds a reference; the one block states why it is sound"
)]

use std::panic::Location;
use std::ptr;

use super::sync::{AtomicPtr, Ordering};

/// A line of the program, or none yet.
pub(super) struct Place(AtomicPtr<Location<'static>>);

impl Place {
    pub(super) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    pub(super) fn set(&self, line: &'static Location<'static>) {
        self.0
            .store(ptr::from_ref(line).cast_mut(), Ordering::Release);
    }

    pub(super) fn get(&self) -> Option<&'static Location<'static>> {
        let line = self.0.load(Ordering::Acquire);
        // SAFETY: it is null, or what `set` made of a reference that is valid for ever. Nobody
        // writes through it.
        unsafe { line.as_ref() }
    }
}
