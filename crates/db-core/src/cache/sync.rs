//! The locks of the cache's core, named here so that `tests/model` can put loom's in their place.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(super) use std::sync::{Condvar, Mutex, RwLock};
