//! Comma-separated values, as RFC 4180 has them.
//!
//! NULL is an empty field, and the empty text is `""`. That difference is why the reader is our own:
//! the `csv` crate does not tell which fields stood in quotes.

mod read;
#[cfg(test)]
mod tests;

pub use read::CsvReader;
