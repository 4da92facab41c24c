//! SQL that truly differs: two functions side by side, one per engine, and a test that they mean
//! the same.

pub(crate) mod acting;
pub(crate) mod audit;
pub(crate) mod bet_events;
pub(crate) mod bet_outcomes;
pub(crate) mod bulk_bets;
pub(crate) mod claim;
pub(crate) mod columns;
pub(crate) mod composing;
pub(crate) mod locking;
pub(crate) mod metrics;
pub(crate) mod old;
pub(crate) mod settings;
pub(crate) mod sheet;
pub(crate) mod worlds;
