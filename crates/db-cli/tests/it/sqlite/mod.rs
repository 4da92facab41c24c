//! What only a file can do.

mod encryption;
mod files;
mod limits;
mod read_only;
