//! What keeps data alive, tried from outside on real databases.
#![cfg(test)]

mod health;
mod maintenance;
mod postgres;
mod prune;
mod published;
mod records;
mod retention;
mod salvage;
mod schedule;
mod series;
mod soak;
mod sqlite;
