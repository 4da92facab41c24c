//! The real binary, run as a person and as a script run it.
#![cfg(test)]

mod audit;
mod backup;
mod bad_input;
mod bucket;
mod care;
mod commands;
mod configuration;
mod create;
mod disagree;
mod health;
mod interrupt;
mod json;
mod passwords;
mod postgres;
mod reconcile;
mod reset;
mod restore;
mod seed;
mod sqlite;
mod support;
