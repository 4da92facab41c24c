//! SQLite: made beside writers, read back, restored.

pub(crate) mod bank;
mod encrypted;
mod failed;
mod flips;
mod hostile;
mod round_trip;
mod soak;
mod swap;
