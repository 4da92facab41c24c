//! Examples of the module, by topic, and what holds for random scripts.

mod canonical;
mod checksum;
mod diff;
mod facts;
mod postgres;
mod properties;
mod scripts;
mod sqlite;
