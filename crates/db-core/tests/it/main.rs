//! Tests of `db-core` with real databases.
#![cfg(test)]

mod database;
mod errors;
mod postgres;
mod statements;
mod support;
