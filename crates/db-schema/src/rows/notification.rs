//! Messages to players.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::types::{Json, UtcTime, vocabulary};

vocabulary! {
    /// What a message is about.
    pub enum NotificationType {
        /// A bet or a game was won.
        Win = "win",
        /// Money came in.
        Deposit = "deposit",
        /// Money went out.
        Withdrawal = "withdrawal",
        /// Another player sent money.
        Transfer = "transfer",
        /// A staking position was closed.
        StakeEnded = "stake_ended",
        /// From those who run the place.
        System = "system",
    }
}

/// A message to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewNotification {
    /// To whom.
    pub user_id: String,
    /// What about.
    pub notification_type: NotificationType,
    /// One line.
    pub title: String,
    /// The text.
    pub message: String,
    /// What a program needs to show more.
    pub metadata: Option<Json>,
    /// Now.
    pub created_at: UtcTime,
}

/// A message to a player.
#[derive(Debug, Clone, PartialEq, Queryable, Serialize, Deserialize)]
pub struct Notification {
    /// Key.
    pub id: i64,
    /// To whom.
    pub user_id: String,
    /// What about.
    pub notification_type: NotificationType,
    /// One line.
    pub title: String,
    /// The text.
    pub message: String,
    /// Whether the player has read it.
    pub is_read: bool,
    /// When.
    pub read_at: Option<UtcTime>,
    /// When it was sent.
    pub created_at: UtcTime,
    /// What a program needs to show more.
    pub metadata: Option<Json>,
}
