//! Data in and out of real databases.
#![cfg(test)]

mod copy;
mod export;
mod generated;
mod import;
