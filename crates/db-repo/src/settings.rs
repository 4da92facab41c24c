//! Settings of the whole application.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::Setting;
use db_schema::schema::settings;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};

use crate::dialect::settings::lock_setting;
use crate::page::Place;
use crate::refusal::touched_one;
use crate::{Error, Page, PageRequest, Result, check};

const ENTITY: &str = "setting";

/// Columns in the order of [`Setting`].
type Row5 = (BigInt, Text, JsonDoc, UtcTimestamp, UtcTimestamp);

statement! {
    struct Set<'a> {
        key: &'a str as Text,
        value: Json as JsonDoc,
        at: UtcTime as UtcTimestamp,
    }
    returns Row5;
    "INSERT INTO settings (setting_key, setting_value, created_at, updated_at)
    VALUES (" key ", " value ", " at ", " at ")
    ON CONFLICT (setting_key) DO UPDATE SET setting_value = excluded.setting_value,
    updated_at = excluded.updated_at
    RETURNING id, setting_key, setting_value, created_at, updated_at"
}

statement! {
    struct SetNew<'a> {
        key: &'a str as Text,
        value: Json as JsonDoc,
        at: UtcTime as UtcTimestamp,
    }
    "INSERT INTO settings (setting_key, setting_value, created_at, updated_at)
    VALUES (" key ", " value ", " at ", " at ") ON CONFLICT (setting_key) DO NOTHING"
}

statement! {
    struct Replace<'a> {
        key: &'a str as Text,
        value: Json as JsonDoc,
        at: UtcTime as UtcTimestamp,
    }
    "UPDATE settings SET setting_value = " value ", updated_at = " at
    " WHERE setting_key = " key
}

statement! {
    /// From a key on, but not that which the page before ended with.
    struct Following<'a> {
        from: &'a str as Text,
        after: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Row5;
    "SELECT id, setting_key, setting_value, created_at, updated_at FROM settings
    WHERE setting_key >= " from " AND setting_key <> " after "
    ORDER BY setting_key LIMIT " rows " + 0"
}

/// Settings: any JSON under a name, read as the type that the program wants.
#[derive(Debug)]
pub struct SettingsRepository;

impl SettingsRepository {
    /// The value of this name.
    ///
    /// # Errors
    /// `Invalid`, `SettingMismatch` if it is of another type, `Database`.
    pub fn find<T: DeserializeOwned>(conn: &mut Conn<'_>, key: &str) -> Result<Option<T>> {
        check::sought("setting_key", key)?;
        match Self::find_row(conn, key)? {
            Some(row) => read(key, row.setting_value).map(Some),
            None => Ok(None),
        }
    }

    /// The value of this name, which has to be set.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `SettingMismatch` if it is of another type, `Database`.
    pub fn get<T: DeserializeOwned>(conn: &mut Conn<'_>, key: &str) -> Result<T> {
        Self::find(conn, key)?.ok_or_else(|| Error::not_found(ENTITY, key))
    }

    /// The setting of this name as it is stored.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find_row(conn: &mut Conn<'_>, key: &str) -> Result<Option<Setting>> {
        check::sought("setting_key", key)?;
        Ok(with_conn!(conn, |c| settings::table
            .filter(settings::setting_key.eq(key))
            .select(Setting::as_select())
            .get_result(c))
        .optional()?)
    }

    /// Sets a value, whatever was there.
    ///
    /// # Errors
    /// `Invalid` for a name or value that cannot be, `Database`.
    pub fn set<T: Serialize + ?Sized>(
        conn: &mut Conn<'_>,
        key: &str,
        value: &T,
        now: UtcTime,
    ) -> Result<Setting> {
        check::key("setting_key", key)?;
        let set = Set {
            key,
            value: written(value)?,
            at: now,
        };
        Ok(with_conn!(conn, |c| set.get_result(c))?)
    }

    /// Sets a value if what is there is what was expected, nothing for `None`; whether it did.
    /// Values are compared as JSON, numbers by what they are worth: 1 is 1.0. Of several at once that expect the same, one does.
    ///
    /// # Errors
    /// `Invalid` for a name or value that cannot be, `Database`.
    pub fn compare_and_set<T: Serialize + ?Sized>(
        conn: &mut Conn<'_>,
        key: &str,
        expected: Option<&T>,
        value: &T,
        now: UtcTime,
    ) -> Result<bool> {
        check::key("setting_key", key)?;
        let value = written(value)?;
        let Some(expected) = expected else {
            let set = SetNew {
                key,
                value,
                at: now,
            };
            return Ok(with_conn!(conn, |c| set.execute(c))? == 1);
        };
        let expected = written(expected)?;
        if !lock_setting(conn, key)?.is_some_and(|found| is_same(&found.0, &expected.0)) {
            return Ok(false);
        }
        let set = Replace {
            key,
            value,
            at: now,
        };
        let rows = with_conn!(conn, |c| set.execute(c))?;
        touched_one(rows, ENTITY, key)?;
        Ok(true)
    }

    /// Settings whose names begin so, by name; all of them for an empty beginning.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list(conn: &mut Conn<'_>, prefix: &str, page: &PageRequest) -> Result<Page<Setting>> {
        check::sought("setting_key", prefix)?;
        let page = &page.of("settings")?;
        let rows = page.rows();
        let after = page.after_key();
        let list = Following {
            from: prefix.max(after),
            after,
            rows,
        };
        let mut found: Vec<Setting> = with_conn!(conn, |c| page.load(list, c))?;
        // In order of bytes, those that begin so are one run.
        let run = found
            .iter()
            .take_while(|row| row.setting_key.starts_with(prefix))
            .count();
        found.truncate(run);
        Ok(Page::of(found, page, |last| {
            Place::of_key(&last.setting_key)
        }))
    }

    /// Removes a setting.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn delete(conn: &mut Conn<'_>, key: &str) -> Result<()> {
        check::sought("setting_key", key)?;
        let one = settings::table.filter(settings::setting_key.eq(key));
        let rows = with_conn!(conn, |c| diesel::delete(one).execute(c))?;
        touched_one(rows, ENTITY, key)
    }

    /// Whether a setting is set.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn exists(conn: &mut Conn<'_>, key: &str) -> Result<bool> {
        check::sought("setting_key", key)?;
        let one = settings::table.filter(settings::setting_key.eq(key));
        let query = diesel::dsl::select(diesel::dsl::exists(one));
        Ok(with_conn!(conn, |c| query.get_result(c))?)
    }
}

fn written<T: Serialize + ?Sized>(value: &T) -> Result<Json> {
    let value = serde_json::to_value(value).map_err(|error| Error::Invalid {
        field: "setting_value",
        rule: format!("must be JSON: {error}"),
    })?;
    check::json("setting_value", &value)?;
    Ok(Json(value))
}

/// Whether two values are the same. PostgreSQL gives 1e16 back as 10000000000000000.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => is_same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, a)| other.get(key).is_some_and(|b| is_same(a, b)))
        }
        (one, other) => one == other,
    }
}

fn is_same_number(one: &Number, other: &Number) -> bool {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => one == other,
        (Some(whole), None) => other.as_f64().is_some_and(|number| is_whole(number, whole)),
        (None, Some(whole)) => one.as_f64().is_some_and(|number| is_whole(number, whole)),
        (None, None) => one.as_f64() == other.as_f64(),
    }
}

/// Whether a number is this whole one, exactly: whole ones of a document have 64 bits.
fn is_whole(number: f64, whole: i128) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is beyond 128 bits becomes their greatest, which is none of 64"
    )]
    let cut = number as i128;
    number.fract() == 0.0 && cut == whole
}

fn read<T: DeserializeOwned>(key: &str, value: Json) -> Result<T> {
    serde_json::from_value(value.0).map_err(|error| Error::SettingMismatch {
        key: key.to_owned(),
        reason: error.to_string(),
    })
}
