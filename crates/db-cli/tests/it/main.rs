//! The real binary, run as a person and as a script run it.
#![cfg(test)]

mod archive;
mod audit;
mod backup;
mod backup_failed;
mod backup_words;
mod bad_input;
mod bucket;
mod bucket_lock;
mod bucket_waiting;
mod care;
mod checked;
mod commands;
mod config;
mod configuration;
mod copy;
mod copy_part;
mod copy_told;
mod create;
mod damage;
mod disagree;
mod disk;
mod documentation;
mod dry_run;
mod export;
mod full_disk;
mod half_copy;
mod health;
mod help;
#[cfg(target_os = "linux")]
mod host;
mod hostile_names;
mod import;
mod interrupt;
mod json;
mod large;
mod lost;
mod pages;
mod passwords;
mod pipes;
mod postgres;
#[cfg(target_os = "linux")]
mod priority;
mod published;
mod reconcile;
mod reset;
mod restore;
mod runbook;
mod schema;
mod seed;
mod signals;
mod slips;
mod sqlite;
mod support;
mod terminal;
mod vacuum;
