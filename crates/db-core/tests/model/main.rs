//! Interleavings of threads, by loom: of the writer's executor, of the cache's core, of the gates
//! before connections, and of the notes of who holds one.
//!
//! The files under test are compiled here a second time, with loom's primitives in the place of
//! std's. So no flag has to reach the whole tree of dependencies, and plain `cargo test` runs this.
#![cfg(test)]

// The files under test name them so.
use db_core::{Error, ErrorKind};

#[expect(dead_code, reason = "the gates give only some of it")]
#[path = "../../src/error/advice.rs"]
mod advice;
#[expect(unreachable_pub, reason = "it is a part of the library's interface")]
#[path = "../../src/duration.rs"]
mod duration;
mod park;

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

#[expect(dead_code, reason = "what the models leave out, the library uses")]
mod held {
    mod sync {
        pub(super) use loom::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
    }

    #[path = "../../../src/held/place.rs"]
    mod place;
    #[expect(unreachable_pub, reason = "it is a part of the library's interface")]
    #[path = "../../../src/held/slots.rs"]
    mod slots;

    mod tests;

    pub(crate) use slots::{Held, longest};
}

mod postgres {
    mod sync {
        pub(super) use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering};
        pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

        pub(super) use crate::park::{Thread, current, park, wait};
    }

    #[expect(unreachable_pub, reason = "it is a part of the library's interface")]
    #[path = "../../../src/postgres/gate.rs"]
    mod gate;
    #[path = "../../../src/postgres/pace.rs"]
    mod pace;

    mod tests;
}

mod sqlite {
    mod reader {
        mod sync {
            pub(super) use loom::sync::atomic::{
                AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
            };
            pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

            pub(super) use crate::park::wait;

            pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
                mutex.lock().unwrap()
            }
        }

        #[expect(dead_code, reason = "gauges")]
        #[path = "../../../../src/sqlite/reader/gate.rs"]
        mod gate;

        mod tests;
    }
}

mod error {
    pub(crate) use crate::advice;
    pub(crate) use db_core::{Error, ErrorKind};
}

mod writer;

/// Three threads with locks have too many interleavings: those with more than two switches away
/// from a thread that could go on are left out.
fn bounded(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}
