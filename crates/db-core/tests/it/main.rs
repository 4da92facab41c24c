//! Tests of `db-core` with real databases.
#![cfg(test)]

mod bulk;
mod database;
mod encryption;
mod errors;
mod postgres;
mod statements;
mod support;
