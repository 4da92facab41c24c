//! The rows of the tables: `X` as it is read, `NewX` as it is written, `XChanges` for an update in
//! parts; and the vocabularies of their columns. One module per aggregate.

mod account;
mod asset;
mod audit;
mod bet;
mod consensus;
mod game;
mod game_event;
mod house_game;
mod metric;
mod notification;
mod outbox;
mod peer;
mod profile;
mod session;
mod setting;
mod statistics;
mod token;
mod transaction;
mod usage_config;
mod user;
mod world;

pub use account::{Account, AccountEntry, AccountKind, EntryType};
pub use asset::{Asset, AssetChanges, NewAsset};
pub use audit::{AuditAction, AuditLog, AuditSeal};
pub use bet::{Bet, BetOutcome, BetType};
pub use consensus::{ConsensusRound, ConsensusVote, NewConsensusRound};
pub use game::{Game, GamePhase, GameState, NewGame};
pub use game_event::{GameEvent, NewGameEvent, StoredGameEvent};
pub use house_game::{HouseGame, HouseOutcome};
pub use metric::{Metric, NewMetric};
pub use notification::{NewNotification, Notification, NotificationType};
pub use outbox::{NewOutboxEntry, OutboxEntry, OutboxStatus, OutboxType};
pub use peer::{ConnectionState, Peer, PeerConnection, PeerSighting, PeerState};
pub use profile::{NewProfile, Profile, ProfileChanges};
pub use session::{
    Event, NewEvent, NewSession, NewUsageSnapshot, Session, SnapshotType, UsageSnapshot,
};
pub use setting::Setting;
pub use statistics::{GameStatistics, PlayerStatistics};
pub use token::{StakingPosition, TokenBalance};
pub use transaction::{Transaction, TransactionStatus, TransactionType};
pub use usage_config::{Theme, TimeFormat, UsageConfig, UsageConfigChanges, UsagePlan, UsageView};
pub use user::{NewUser, User, UserChanges};
pub use world::{
    NewWorld, NewWorldObject, Position, World, WorldChanges, WorldObject, WorldObjectChanges,
};
