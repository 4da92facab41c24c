//! Processes that are killed, and processes that start together: the whole binary, both engines.
#![cfg(test)]

mod kill;
mod rush;
mod world;
