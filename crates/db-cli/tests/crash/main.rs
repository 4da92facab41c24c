//! Processes that are killed, that start together, that visit an application's database: the whole
//! binary.
#![cfg(test)]

mod backup;
mod checkpoint;
mod kill;
mod prune;
mod replace;
mod rush;
mod sqlite;
mod world;
