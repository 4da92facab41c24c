//! The repositories on both engines.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on must fail, and say where"
)]

mod actor;
mod assets;
mod audit;
mod bets;
mod complete;
mod consensus;
mod constraints;
mod doors;
mod event_append;
mod event_replay;
mod event_store;
mod games;
mod house_games;
mod metrics;
mod money;
mod notifications;
mod outbox;
mod outbox_kill;
mod outbox_relay;
mod peers;
mod plans;
mod profiles;
mod reconcile;
mod retention;
mod rows;
mod seed;
mod sessions;
mod settings;
mod stats;
mod support;
mod tokens;
mod transactions;
mod usage_config;
mod users;
mod worlds;
