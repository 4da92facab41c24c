//! Players.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::users;
use crate::types::UtcTime;

/// A player.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = users, check_for_backend(Sqlite, Pg))]
pub struct User {
    /// Key.
    pub id: String,
    /// Unique.
    pub username: String,
    /// Raw bytes of the key that the player signs with.
    pub public_key: Vec<u8>,
    /// Any finite number.
    pub reputation: f64,
    /// When the player came.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
}

/// A player to be.
#[derive(Debug, Clone, PartialEq, Insertable)]
#[diesel(table_name = users, treat_none_as_default_value = false)]
pub struct NewUser {
    /// Key.
    pub id: String,
    /// Unique.
    pub username: String,
    /// Raw bytes of the key that the player signs with.
    pub public_key: Vec<u8>,
    /// Now.
    pub created_at: UtcTime,
}

/// What of a player to change; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, AsChangeset)]
#[diesel(table_name = users)]
pub struct UserChanges {
    /// Unique.
    pub username: Option<String>,
    /// Raw bytes of the key that the player signs with.
    pub public_key: Option<Vec<u8>>,
    /// Any finite number.
    pub reputation: Option<f64>,
}
