//! The audit trail: what was done, by whom; and whether it is still what was written.
//!
//! Triggers write it, in the transaction of each change; nothing here adds a line. It is sealed in
//! runs: each seal is a hash over its lines and over the seal before. The newest seal's hash, the
//! anchor, belongs in a file outside of the database, so that nobody can make the chain anew.

mod anchor;
mod hash;
mod list;
mod seal;
mod verify;

pub use anchor::{Anchor, AnchorFile, Anchors, InvalidAnchor};
pub(crate) use hash::{StoredLine, StoredSeal};
pub use list::AuditFilter;
pub use seal::{SEAL_LINES, Sealed};
pub use verify::{Fault, Verification};

/// The audit trail.
#[derive(Debug)]
pub struct AuditRepository;
