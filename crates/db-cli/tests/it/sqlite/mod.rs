//! What only a file can do.

mod files;
mod limits;
mod read_only;
