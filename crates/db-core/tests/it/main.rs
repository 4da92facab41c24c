//! Tests of `db-core` with real databases.
#![cfg(test)]

mod errors;
mod postgres;
mod statements;
mod support;
