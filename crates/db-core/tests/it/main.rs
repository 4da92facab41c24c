//! Tests of `db-core` with real databases.
#![cfg(test)]

mod errors;
mod statements;
mod support;
