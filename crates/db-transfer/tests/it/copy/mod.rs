//! Whole databases from one place to another.

mod checks;
mod foreseen;
mod generated;
mod interrupted;
mod misfits;
mod odd;
mod omitted;
mod parallel;
mod public;
mod same;
mod schema;
mod snapshot;
mod support;
