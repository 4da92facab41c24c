//! What only a file can do.

mod encryption;
mod files;
pub(crate) mod limits;
mod read_only;
