//! The migration engine on real databases, one topic per module, both engines where it applies.
#![cfg(test)]

mod diesel_peer;
mod drift;
mod edits;
mod failure;
mod foreign_keys;
mod idle;
mod lifecycle;
mod locks;
mod model;
mod postgres;
mod rehearsal;
mod rollback;
mod sources;
mod stepwise;
mod support;
