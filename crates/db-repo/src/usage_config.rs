//! How usage is shown.

use db_core::{Conn, with_conn};
use db_schema::rows::{UsageConfig, UsageConfigChanges};
use db_schema::schema::usage_config;
use db_schema::types::UtcTime;
use diesel::prelude::*;

use crate::refusal::{refused, touched_one};
use crate::{Error, Result, check};

const ENTITY: &str = "usage configuration";

/// There is one at most, so it needs no key.
const ACTIVE: &str = "that is active";

/// The configuration of usage monitoring: one row is active. A new database has one, with defaults.
#[derive(Debug)]
pub struct UsageConfigRepository;

impl UsageConfigRepository {
    /// Adds a configuration and makes it the active one; what is not given is as the table has it
    /// by default.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists` if one is active, `Database`.
    pub fn create(
        conn: &mut Conn<'_>,
        config: &UsageConfigChanges,
        now: UtcTime,
    ) -> Result<UsageConfig> {
        check(config)?;
        let taken = |constraint: &str| {
            (constraint == "idx_usage_config_active").then(|| Error::already_exists(ENTITY, ACTIVE))
        };
        let values = (
            config,
            usage_config::created_at.eq(now),
            usage_config::updated_at.eq(now),
        );
        with_conn!(conn, |c| diesel::insert_into(usage_config::table)
            .values(values)
            .returning(UsageConfig::as_returning())
            .get_result(c))
        .map_err(|error| refused(conn, error, taken, &[]))
    }

    /// The active configuration.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>) -> Result<Option<UsageConfig>> {
        Ok(with_conn!(conn, |c| usage_config::table
            .filter(usage_config::is_active.eq(true))
            .select(UsageConfig::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The active configuration, which there has to be.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>) -> Result<UsageConfig> {
        Self::find(conn)?.ok_or_else(|| Error::not_found(ENTITY, ACTIVE))
    }

    /// Changes what of the active configuration is given.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn update(
        conn: &mut Conn<'_>,
        changes: &UsageConfigChanges,
        now: UtcTime,
    ) -> Result<UsageConfig> {
        check(changes)?;
        // The second time after a rival who put one away and made another: on PostgreSQL a
        // statement that waited for that sees the first one gone, and not yet the other.
        let updated = match update_active(conn, changes, now)? {
            None => update_active(conn, changes, now)?,
            updated => updated,
        };
        updated.ok_or_else(|| Error::not_found(ENTITY, ACTIVE))
    }

    /// Sets everything in the active configuration to its default, or makes one.
    ///
    /// # Errors
    /// `Database`.
    pub fn reset(conn: &mut Conn<'_>, now: UtcTime) -> Result<UsageConfig> {
        match Self::update(conn, &UsageConfigChanges::defaults(), now) {
            Err(Error::NotFound { .. }) => Self::create(conn, &UsageConfigChanges::default(), now),
            done => done,
        }
    }

    /// Puts the active configuration away: it stays as a row, and none is active.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn deactivate(conn: &mut Conn<'_>, now: UtcTime) -> Result<()> {
        // The second time as in `update`.
        let rows = match deactivate_active(conn, now)? {
            0 => deactivate_active(conn, now)?,
            rows => rows,
        };
        touched_one(rows, ENTITY, ACTIVE)
    }
}

fn update_active(
    conn: &mut Conn<'_>,
    changes: &UsageConfigChanges,
    now: UtcTime,
) -> QueryResult<Option<UsageConfig>> {
    let active = usage_config::table.filter(usage_config::is_active.eq(true));
    let set = (changes, usage_config::updated_at.eq(now));
    with_conn!(conn, |c| diesel::update(active)
        .set(set)
        .returning(UsageConfig::as_returning())
        .get_result(c)
        .optional())
}

fn deactivate_active(conn: &mut Conn<'_>, now: UtcTime) -> QueryResult<usize> {
    let active = usage_config::table.filter(usage_config::is_active.eq(true));
    let set = (
        usage_config::is_active.eq(false),
        usage_config::updated_at.eq(now),
    );
    with_conn!(conn, |c| diesel::update(active).set(set).execute(c))
}

/// The ranges that the table checks.
fn check(config: &UsageConfigChanges) -> Result<()> {
    if let Some(Some(tokens)) = config.custom_limit_tokens {
        check::within("custom_limit_tokens", tokens, 1..=i64::MAX)?;
    }
    if let Some(name) = &config.timezone {
        check::text("timezone", name, 1..=64)?;
        check::rule(
            "timezone",
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/')),
            "must be an IANA name, or auto",
        )?;
    }
    if let Some(seconds) = config.refresh_rate {
        check::within("refresh_rate", seconds, 1..=60)?;
    }
    if let Some(times) = config.refresh_per_second {
        check::within("refresh_per_second", times, 0.1..=20.0)?;
    }
    if let Some(Some(hour)) = config.reset_hour {
        check::within("reset_hour", hour, 0..=23)?;
    }
    Ok(())
}
