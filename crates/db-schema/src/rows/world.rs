//! Worlds and the objects in them.

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::serialize::{self, Output, ToSql};
use diesel::sqlite::{Sqlite, SqliteValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{world_objects, worlds};
use crate::types::{Json, JsonDoc, UtcTime};

/// A world that objects stand in.
#[derive(
    Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Serialize, Deserialize,
)]
#[diesel(table_name = worlds, check_for_backend(Sqlite, Pg))]
pub struct World {
    /// Key.
    pub id: i64,
    /// Unique.
    pub name: String,
    /// What it is like.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
}

/// A world to be.
#[derive(Debug, Clone, PartialEq, Eq, Insertable)]
#[diesel(table_name = worlds, treat_none_as_default_value = false)]
pub struct NewWorld {
    /// Unique.
    pub name: String,
    /// What it is like.
    pub description: Option<String>,
    /// Now.
    pub created_at: UtcTime,
}

/// What of a world to change; what is `None` stays, `Some(None)` takes away.
#[derive(Debug, Clone, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = worlds)]
pub struct WorldChanges {
    /// Unique.
    pub name: Option<String>,
    /// What it is like.
    pub description: Option<Option<String>>,
}

/// A place in a world: three finite numbers, in the units of the world.
///
/// Stored as a JSON object of `x`, `y` and `z`; other members that somebody added are not read.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, AsExpression, FromSqlRow, Serialize, Deserialize,
)]
#[diesel(sql_type = JsonDoc)]
pub struct Position {
    /// First axis.
    pub x: f64,
    /// Second axis.
    pub y: f64,
    /// Third axis.
    pub z: f64,
}

impl Position {
    /// The place of these coordinates.
    #[must_use]
    pub const fn new(x: f64, y: f64, z: f64) -> Self {
        Self { x, y, z }
    }

    fn document(self) -> Result<Value, String> {
        if [self.x, self.y, self.z].iter().all(|n| n.is_finite()) {
            Ok(serde_json::json!({ "x": self.x, "y": self.y, "z": self.z }))
        } else {
            Err(format!("no position: {self:?}"))
        }
    }
}

impl ToSql<JsonDoc, Sqlite> for Position {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.document()?.to_string());
        Ok(serialize::IsNull::No)
    }
}

impl ToSql<JsonDoc, Pg> for Position {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<JsonDoc, Pg>::to_sql(&self.document()?, &mut out.reborrow())
    }
}

impl FromSql<JsonDoc, Sqlite> for Position {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let document = <Value as FromSql<JsonDoc, Sqlite>>::from_sql(value)?;
        Ok(serde_json::from_value(document)?)
    }
}

impl FromSql<JsonDoc, Pg> for Position {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let document = <Value as FromSql<JsonDoc, Pg>>::from_sql(value)?;
        Ok(serde_json::from_value(document)?)
    }
}

/// An object in a world.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable, Serialize, Deserialize)]
#[diesel(table_name = world_objects, check_for_backend(Sqlite, Pg))]
pub struct WorldObject {
    /// Key.
    pub id: i64,
    /// Where it belongs.
    pub world_id: i64,
    /// What kind of thing: a word of the application's.
    pub object_type: String,
    /// What it is called; not unique.
    pub name: String,
    /// Where it stands.
    pub position: Position,
    /// Anything else: an object.
    pub properties: Json,
    /// When it was made.
    pub created_at: UtcTime,
    /// When the row was last changed.
    pub updated_at: UtcTime,
}

/// An object to be.
#[derive(Debug, Clone, PartialEq, Insertable)]
#[diesel(table_name = world_objects, treat_none_as_default_value = false)]
pub struct NewWorldObject {
    /// Where it belongs.
    pub world_id: i64,
    /// What kind of thing: a word of the application's.
    pub object_type: String,
    /// What it is called; not unique.
    pub name: String,
    /// Where it stands.
    pub position: Position,
    /// Anything else: an object.
    pub properties: Json,
    /// Now.
    pub created_at: UtcTime,
}

/// What of an object to change; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, AsChangeset)]
#[diesel(table_name = world_objects)]
pub struct WorldObjectChanges {
    /// What kind of thing: a word of the application's.
    pub object_type: Option<String>,
    /// What it is called; not unique.
    pub name: Option<String>,
    /// Where it stands.
    pub position: Option<Position>,
    /// Anything else: an object, which replaces the one before.
    pub properties: Option<Json>,
}
