//! JSON: one document with all tables, or one object per line.
//!
//! The reader is our own, because `serde_json` tells no places of values, rounds numbers unless that
//! is switched off for the whole program, and has no limit to the length of a text.

mod rows;
#[cfg(test)]
mod tests;
mod tokens;
mod told;
mod values;

pub use rows::{JsonReader, Section};
pub(crate) use values::{quote, unhex};
