//! The databases for tests, and the schema that the migrations build in them.
#![cfg(test)]

mod accounts;
mod audit;
mod bounds;
mod checks;
mod constraints;
mod databases;
mod docs;
mod migrations;
mod snapshot;
mod states;
mod support;
mod triggers;
