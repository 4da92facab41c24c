//! Processes that are killed, that start together, that visit an application's database: the whole
//! binary.
#![cfg(test)]

mod kill;
mod rush;
mod sqlite;
mod world;
