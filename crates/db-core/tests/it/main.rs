//! Tests of `db-core` with real databases.
#![cfg(test)]

mod postgres;
