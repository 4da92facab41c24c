//! SQLite's half: snapshots, proofs of a copy, and the swap of a restore.

mod alone;
pub(crate) mod proof;
pub(crate) mod replace;
pub(crate) mod restore;
pub(crate) mod snapshot;
mod swap;
pub(crate) mod trial;
