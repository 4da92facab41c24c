#![doc = include_str!("../README.md")]

mod actor;
mod assets;
mod audit;
mod bets;
mod check;
mod consensus;
mod dialect;
mod error;
mod event_store;
mod games;
mod house_games;
pub mod invariants;
mod metrics;
mod moment;
pub mod money;
mod notifications;
mod outbox;
mod page;
mod peers;
mod profiles;
mod reconcile;
mod refusal;
mod retention;
pub mod seed;
mod sessions;
mod settings;
mod stats;
mod tokens;
mod transactions;
mod usage_config;
mod users;
mod worlds;

pub use actor::Actor;
pub use assets::AssetRepository;
pub use audit::{
    Anchor, AnchorFile, Anchors, AuditFilter, AuditRepository, Fault, InvalidAnchor, SEAL_LINES,
    Sealed, Verification,
};
pub use bets::BetRepository;
pub use consensus::{ConsensusRepository, Quorum};
pub use error::Error;
pub use event_store::{BetView, EventStore, Expected, GameView, Until};
pub use games::GameRepository;
pub use house_games::HouseGameRepository;
pub use metrics::{MetricsRepository, RollUp};
pub use notifications::NotificationRepository;
pub use outbox::{
    ClaimedEntry, FailedDelivery, Lease, OutboxCounts, OutboxRelay, OutboxRepository, RelayReport,
    RetrySchedule,
};
pub use page::{Cursor, InvalidCursor, Listing, Page, PageRequest, Place};
pub use peers::PeerRepository;
pub use profiles::ProfileRepository;
pub use reconcile::{Check, Difference, Outcomes, ReconcileReport, Reconciliation};
pub use retention::{Retained, RetentionTask, RunningRetention};
pub use sessions::{EventRepository, SessionRepository, SnapshotFilter, UsageSnapshotRepository};
pub use settings::SettingsRepository;
pub use stats::{LeaderboardOrder, StatsRepository};
pub use tokens::TokenRepository;
pub use transactions::TransactionRepository;
pub use usage_config::UsageConfigRepository;
pub use users::UserRepository;
pub use worlds::WorldRepository;

/// The result of a repository's function.
pub type Result<T> = std::result::Result<T, Error>;
