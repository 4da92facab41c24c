//! Telegram accounts of players.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::telegram_profiles;
use crate::types::{Json, UtcTime};

/// The Telegram account of a player.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = telegram_profiles, primary_key(user_id), check_for_backend(Sqlite, Pg))]
#[expect(clippy::struct_excessive_bools, reason = "so are the columns")]
pub struct Profile {
    /// Whose it is: the key.
    pub user_id: String,
    /// Given by Telegram, unique.
    pub telegram_id: i64,
    /// Without the @; not unique.
    pub username: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// IETF language tag.
    pub language_code: Option<String>,
    /// Whether a program speaks.
    pub is_bot: bool,
    /// Whether Telegram is paid for.
    pub is_premium: bool,
    /// Whether the player has shown to own an address.
    pub email_verified: bool,
    /// Whether the player has shown to own a telephone.
    pub phone_verified: bool,
    /// Anything else.
    pub metadata: Option<Json>,
    /// When it was first seen.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
}

/// What Telegram says of an account. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Insertable)]
#[diesel(table_name = telegram_profiles, treat_none_as_default_value = false)]
pub struct NewProfile {
    /// Whose it is.
    pub user_id: String,
    /// Given by Telegram, unique, above 0.
    pub telegram_id: i64,
    /// Without the @.
    pub username: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// IETF language tag.
    pub language_code: Option<String>,
    /// Whether a program speaks.
    pub is_bot: bool,
    /// Whether Telegram is paid for.
    pub is_premium: bool,
    /// Anything else.
    pub metadata: Option<Json>,
    /// Now.
    pub created_at: UtcTime,
}

/// What of a profile to change; what is `None` stays, `Some(None)` takes away.
#[derive(Debug, Clone, Default, PartialEq, AsChangeset)]
#[diesel(table_name = telegram_profiles)]
pub struct ProfileChanges {
    /// Given by Telegram, unique, above 0.
    pub telegram_id: Option<i64>,
    /// Without the @.
    pub username: Option<Option<String>>,
    /// Given name.
    pub first_name: Option<Option<String>>,
    /// Family name.
    pub last_name: Option<Option<String>>,
    /// IETF language tag.
    pub language_code: Option<Option<String>>,
    /// Whether a program speaks.
    pub is_bot: Option<bool>,
    /// Whether Telegram is paid for.
    pub is_premium: Option<bool>,
    /// Anything else.
    pub metadata: Option<Option<Json>>,
}
