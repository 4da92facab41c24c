//! JSON documents: text in SQLite, `JSONB` in PostgreSQL.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Json as DieselJson, Jsonb};
use diesel::sqlite::{Sqlite, SqliteValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The SQL type of a JSON document, whose value is a [`Json`] or a [`Value`].
///
/// `Some(Value::Null)` is the JSON text `null`, `None` is SQL's NULL. Compare documents as
/// values, never as text: PostgreSQL reorders keys and writes `1e2` as `100`. A text that holds
/// the character U+0000 is refused when it is written, because PostgreSQL cannot hold it.
#[derive(Debug, Clone, Copy, Default, diesel::SqlType, diesel::query_builder::QueryId)]
// By number: a name would cost one look-up in the server's catalog per connection.
#[diesel(
    sqlite_type(name = "Text"),
    postgres_type(oid = 3802, array_oid = 3807)
)]
pub struct JsonDoc;

/// A JSON document as a column holds it.
///
/// Rows can be read straight into a [`Value`]. What is written or compared has to be of this
/// type, because only a type of this crate can be an expression of a SQL type of this crate.
#[derive(Debug, Clone, Default, PartialEq, AsExpression, FromSqlRow, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[diesel(sql_type = JsonDoc)]
#[serde(transparent)]
pub struct Json(pub Value);

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        json.0
    }
}

impl<DB: Backend> ToSql<JsonDoc, DB> for Json
where
    Value: ToSql<JsonDoc, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        self.0.to_sql(out)
    }
}

impl<DB: Backend> FromSql<JsonDoc, DB> for Json
where
    Value: FromSql<JsonDoc, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Value::from_sql(value).map(Self)
    }
}

impl ToSql<JsonDoc, Sqlite> for Value {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        refuse_nul(self)?;
        out.set_value(self.to_string());
        Ok(IsNull::No)
    }
}

impl FromSql<JsonDoc, Sqlite> for Value {
    fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        // SQLite stores it as text; Diesel reads its own Json type from the same.
        FromSql::<DieselJson, Sqlite>::from_sql(value)
    }
}

impl ToSql<JsonDoc, Pg> for Value {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        refuse_nul(self)?;
        ToSql::<Jsonb, Pg>::to_sql(self, &mut out.reborrow())
    }
}

impl FromSql<JsonDoc, Pg> for Value {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        FromSql::<Jsonb, Pg>::from_sql(value)
    }
}

/// Refuses on both engines what PostgreSQL would refuse.
fn refuse_nul(value: &Value) -> Result<(), &'static str> {
    let clean = match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => return items.iter().try_for_each(refuse_nul),
        Value::Object(fields) => {
            fields.values().try_for_each(refuse_nul)?;
            !fields.keys().any(|key| key.contains('\0'))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    };
    if clean {
        Ok(())
    } else {
        Err("a JSON text holds the character U+0000, which PostgreSQL cannot store")
    }
}
