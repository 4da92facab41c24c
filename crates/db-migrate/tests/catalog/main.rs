//! The catalog against live databases: what must differ, what must not, and what it costs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test whose preparation fails has failed"
)]

mod differ;
mod equal;
mod model;
mod settings;
mod support;
mod tracker;
