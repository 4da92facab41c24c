//! Settings of the whole application.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::settings;
use crate::types::{Json, UtcTime};

/// A setting of the whole application.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = settings, check_for_backend(Sqlite, Pg))]
pub struct Setting {
    /// Key of the row.
    pub id: i64,
    /// Its name, unique.
    pub setting_key: String,
    /// Any JSON.
    pub setting_value: Json,
    /// When it was first set.
    pub created_at: UtcTime,
    /// When it was last set.
    pub updated_at: UtcTime,
}
