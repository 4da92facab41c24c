//! Interleavings of threads, by loom.
//!
//! The files under test are compiled here a second time, with loom's primitives in the place of
//! std's. So no flag has to reach the whole tree of dependencies, and plain `cargo test` runs this.
#![cfg(test)]

mod error {
    pub(crate) use db_core::{Error, ErrorKind};
}

mod writer;
