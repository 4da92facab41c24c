//! The real binary, run as a person and as a script run it.
#![cfg(test)]

mod audit;
mod bad_input;
mod commands;
mod configuration;
mod create;
mod disagree;
mod interrupt;
mod json;
mod passwords;
mod postgres;
mod reconcile;
mod reset;
mod seed;
mod sqlite;
mod support;
