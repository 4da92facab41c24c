//! Every interleaving of the cache's core, by loom.
//!
//! The files under test are compiled here a second time, with loom's locks in the place of std's.
//! So no flag has to reach the whole tree of dependencies, and plain `cargo test` runs this.
#![cfg(test)]

#[expect(dead_code, reason = "what the models leave out, the library uses")]
mod cache {
    mod sync {
        pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
        pub(super) use loom::sync::{Condvar, Mutex, RwLock};
    }

    #[path = "../../../src/cache/flight.rs"]
    mod flight;
    #[path = "../../../src/cache/lookup.rs"]
    mod lookup;
    #[path = "../../../src/cache/tables.rs"]
    mod tables;

    mod tests;
}
