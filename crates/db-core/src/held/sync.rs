//! The synchronization of this module, so that a model checker can take its place.

pub(super) use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
