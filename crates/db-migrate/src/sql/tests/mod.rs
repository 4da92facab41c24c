//! Examples of the module, by topic.

mod canonical;
mod checksum;
mod diff;
mod facts;
mod postgres;
mod sqlite;
