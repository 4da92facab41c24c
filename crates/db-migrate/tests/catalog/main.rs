//! The catalog against live databases: what must differ, what must not, and what it costs.

mod differ;
mod equal;
mod model;
mod support;
mod tracker;
