//! Scripts of SQL, statement by statement.

mod read;
#[cfg(test)]
mod tests;

pub use read::{SqlReader, Statement};
