//! What is known of files that lie in an object store.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::assets;
use crate::types::{Json, UtcTime};

/// What is known of a file in an object store.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = assets, check_for_backend(Sqlite, Pg))]
pub struct Asset {
    /// Key.
    pub id: i64,
    /// What it is called; not unique.
    pub name: String,
    /// What kind of file: a word of the application's.
    pub kind: String,
    /// URL or path in the object store, unique.
    pub location: String,
    /// Size of the content.
    pub size_bytes: i64,
    /// SHA-256 of the content.
    pub hash: Vec<u8>,
    /// Anything else: an object.
    pub metadata: Json,
    /// When it was made known.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
}

/// A file to be known.
#[derive(Debug, Clone, PartialEq, Insertable)]
#[diesel(table_name = assets, treat_none_as_default_value = false)]
pub struct NewAsset {
    /// What it is called; not unique.
    pub name: String,
    /// What kind of file: a word of the application's.
    pub kind: String,
    /// URL or path in the object store, unique.
    pub location: String,
    /// Size of the content.
    pub size_bytes: i64,
    /// SHA-256 of the content.
    pub hash: Vec<u8>,
    /// Anything else: an object.
    pub metadata: Json,
    /// Now.
    pub created_at: UtcTime,
}

/// What of an asset to change; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, AsChangeset)]
#[diesel(table_name = assets)]
pub struct AssetChanges {
    /// What it is called; not unique.
    pub name: Option<String>,
    /// What kind of file: a word of the application's.
    pub kind: Option<String>,
    /// URL or path in the object store, unique.
    pub location: Option<String>,
    /// Size of the content.
    pub size_bytes: Option<i64>,
    /// SHA-256 of the content.
    pub hash: Option<Vec<u8>>,
    /// Anything else: an object, which replaces the one before.
    pub metadata: Option<Json>,
}
