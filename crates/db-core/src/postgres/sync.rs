//! The synchronization that the gate is made of, so that a model checker can take its place.

pub(super) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
pub(super) use std::thread::{Thread, current};

pub(super) use crate::wait::{park, wait};
