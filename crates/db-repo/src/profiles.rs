//! Telegram accounts of players.

use db_core::{Conn, Engine, statement, with_conn};
use db_schema::rows::{NewProfile, Profile, ProfileChanges};
use db_schema::schema::telegram_profiles;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use crate::page::Place;
use crate::refusal::{Parent, Row, not_deleted, refused, touched_one};
use crate::{Error, Page, PageRequest, Result, check};

const ENTITY: &str = "profile";

/// Characters of a name at Telegram.
const NAME: std::ops::RangeInclusive<usize> = 1..=64;

/// Characters of a language tag: the longest that RFC 5646 asks programs to hold.
const LANGUAGE: std::ops::RangeInclusive<usize> = 2..=35;

/// Columns in the order of [`Profile`].
type Row13 = (
    Text,
    BigInt,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Bool,
    Bool,
    Bool,
    Bool,
    Nullable<JsonDoc>,
    UtcTimestamp,
    UtcTimestamp,
);

statement! {
    /// What Telegram says now replaces what it said before; what has been verified stays so.
    struct Upsert<'a> {
        user: &'a str as Text,
        telegram: i64 as BigInt,
        username: Option<&'a str> as Nullable<Text>,
        first_name: Option<&'a str> as Nullable<Text>,
        last_name: Option<&'a str> as Nullable<Text>,
        language: Option<&'a str> as Nullable<Text>,
        is_bot: bool as Bool,
        is_premium: bool as Bool,
        metadata: Option<&'a Json> as Nullable<JsonDoc>,
        at: UtcTime as UtcTimestamp,
    }
    returns Row13;
    "INSERT INTO telegram_profiles (user_id, telegram_id, username, first_name, last_name,
    language_code, is_bot, is_premium, metadata, created_at, updated_at)
    VALUES (" user ", " telegram ", " username ", " first_name ", " last_name ", " language
    ", " is_bot ", " is_premium ", " metadata ", " at ", " at ")
    ON CONFLICT (user_id) DO UPDATE SET telegram_id = excluded.telegram_id,
    username = excluded.username, first_name = excluded.first_name,
    last_name = excluded.last_name, language_code = excluded.language_code,
    is_bot = excluded.is_bot, is_premium = excluded.is_premium,
    metadata = coalesce(excluded.metadata, telegram_profiles.metadata),
    updated_at = excluded.updated_at
    RETURNING user_id, telegram_id, username, first_name, last_name, language_code, is_bot,
    is_premium, email_verified, phone_verified, metadata, created_at, updated_at"
}

statement! {
    /// A page of the newest.
    struct Newest<'a> {
        at: UtcTime as UtcTimestamp,
        user: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Row13;
    "SELECT user_id, telegram_id, username, first_name, last_name, language_code, is_bot,
    is_premium, email_verified, phone_verified, metadata, created_at, updated_at
    FROM telegram_profiles WHERE (created_at, user_id) < (" at ", " user ")
    ORDER BY created_at DESC, user_id DESC LIMIT " rows " + 0"
}

statement! {
    /// A page of the newest whose address is not verified. `IS` keeps SQLite from the index of the
    /// flag, which most rows may share: it would sort them all for each page.
    struct Unverified<'a> {
        at: UtcTime as UtcTimestamp,
        user: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Row13;
    "SELECT user_id, telegram_id, username, first_name, last_name, language_code, is_bot,
    is_premium, email_verified, phone_verified, metadata, created_at, updated_at
    FROM telegram_profiles
    WHERE email_verified IS FALSE AND (created_at, user_id) < (" at ", " user ")
    ORDER BY created_at DESC, user_id DESC LIMIT " rows " + 0"
}

/// Telegram accounts: at most one per player, and one player per account.
#[derive(Debug)]
pub struct ProfileRepository;

impl ProfileRepository {
    /// Adds a player's account.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists`, `TelegramIdTaken`, `MissingParent`, `Database`.
    pub fn create(conn: &mut Conn<'_>, new: &NewProfile) -> Result<Profile> {
        check_new(new)?;
        let values = (new, telegram_profiles::updated_at.eq(new.created_at));
        with_conn!(conn, |c| diesel::insert_into(telegram_profiles::table)
            .values(values)
            .returning(Profile::as_returning())
            .get_result(c))
        .map_err(|error| refused_profile(conn, error, &new.user_id, Some(new.telegram_id)))
        .or_else(|error| match error {
            // Of a row that breaks both, SQLite names either, PostgreSQL the key.
            Error::TelegramIdTaken(_)
                if conn.engine() == Engine::Sqlite && Self::exists(conn, &new.user_id)? =>
            {
                Err(Error::already_exists(ENTITY, &new.user_id))
            }
            error => Err(error),
        })
    }

    /// Adds a player's account, or puts what Telegram says of it now in the place of what it said.
    /// What is verified stays, and so do the creation and, where none is given, the metadata.
    ///
    /// # Errors
    /// `Invalid`, `TelegramIdTaken`, `MissingParent`, `Database`.
    pub fn upsert(conn: &mut Conn<'_>, new: &NewProfile) -> Result<Profile> {
        check_new(new)?;
        let upsert = Upsert {
            user: &new.user_id,
            telegram: new.telegram_id,
            username: new.username.as_deref(),
            first_name: new.first_name.as_deref(),
            last_name: new.last_name.as_deref(),
            language: new.language_code.as_deref(),
            is_bot: new.is_bot,
            is_premium: new.is_premium,
            metadata: new.metadata.as_ref(),
            at: new.created_at,
        };
        with_conn!(conn, |c| upsert.get_result(c))
            .map_err(|error| refused_profile(conn, error, &new.user_id, Some(new.telegram_id)))
    }

    /// The account of this player.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find(conn: &mut Conn<'_>, user_id: &str) -> Result<Option<Profile>> {
        check::sought("user_id", user_id)?;
        Ok(with_conn!(conn, |c| telegram_profiles::table
            .find(user_id)
            .select(Profile::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The account of this player, who has to have one.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, user_id: &str) -> Result<Profile> {
        Self::find(conn, user_id)?.ok_or_else(|| Error::not_found(ENTITY, user_id))
    }

    /// The account that Telegram gave this number.
    ///
    /// # Errors
    /// `Database`.
    pub fn find_by_telegram_id(conn: &mut Conn<'_>, telegram_id: i64) -> Result<Option<Profile>> {
        Ok(with_conn!(conn, |c| telegram_profiles::table
            .filter(telegram_profiles::telegram_id.eq(telegram_id))
            .select(Profile::as_select())
            .get_result(c))
        .optional()?)
    }

    /// Accounts, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list(conn: &mut Conn<'_>, page: &PageRequest) -> Result<Page<Profile>> {
        let page = &page.of("profiles")?;
        let rows = page.rows();
        let (at, user) = page.before_time()?;
        let found = with_conn!(conn, |c| page.load(Newest { at, user, rows }, c))?;
        Ok(Page::of(found, page, place))
    }

    /// Accounts whose address is not verified, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_with_unverified_email(
        conn: &mut Conn<'_>,
        page: &PageRequest,
    ) -> Result<Page<Profile>> {
        let page = &page.of("profiles.with_unverified_email")?;
        let rows = page.rows();
        let (at, user) = page.before_time()?;
        let found = with_conn!(conn, |c| page.load(Unverified { at, user, rows }, c))?;
        Ok(Page::of(found, page, place))
    }

    /// Changes what of an account is given.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `TelegramIdTaken`, `Database`.
    pub fn update(
        conn: &mut Conn<'_>,
        user_id: &str,
        changes: &ProfileChanges,
        now: UtcTime,
    ) -> Result<Profile> {
        check::sought("user_id", user_id)?;
        check_changes(changes)?;
        let set = (changes, telegram_profiles::updated_at.eq(now));
        with_conn!(conn, |c| diesel::update(
            telegram_profiles::table.find(user_id)
        )
        .set(set)
        .returning(Profile::as_returning())
        .get_result(c))
        .map_err(|error| match error {
            DieselError::NotFound => Error::not_found(ENTITY, user_id),
            error => refused_profile(conn, error, user_id, changes.telegram_id),
        })
    }

    /// Sets whether the player has shown to own the address.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn update_email_verified(
        conn: &mut Conn<'_>,
        user_id: &str,
        verified: bool,
        now: UtcTime,
    ) -> Result<()> {
        check::sought("user_id", user_id)?;
        let set = (
            telegram_profiles::email_verified.eq(verified),
            telegram_profiles::updated_at.eq(now),
        );
        let rows = with_conn!(conn, |c| diesel::update(
            telegram_profiles::table.find(user_id)
        )
        .set(set)
        .execute(c))?;
        touched_one(rows, ENTITY, user_id)
    }

    /// Sets whether the player has shown to own the telephone.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn update_phone_verified(
        conn: &mut Conn<'_>,
        user_id: &str,
        verified: bool,
        now: UtcTime,
    ) -> Result<()> {
        check::sought("user_id", user_id)?;
        let set = (
            telegram_profiles::phone_verified.eq(verified),
            telegram_profiles::updated_at.eq(now),
        );
        let rows = with_conn!(conn, |c| diesel::update(
            telegram_profiles::table.find(user_id)
        )
        .set(set)
        .execute(c))?;
        touched_one(rows, ENTITY, user_id)
    }

    /// Removes the account of this player.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn delete(conn: &mut Conn<'_>, user_id: &str) -> Result<()> {
        check::sought("user_id", user_id)?;
        let rows = with_conn!(conn, |c| diesel::delete(
            telegram_profiles::table.find(user_id)
        )
        .execute(c))
        .map_err(|error| not_deleted(error, ENTITY, user_id))?;
        touched_one(rows, ENTITY, user_id)
    }

    /// Whether this player has an account.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn exists(conn: &mut Conn<'_>, user_id: &str) -> Result<bool> {
        check::sought("user_id", user_id)?;
        let query =
            diesel::dsl::select(diesel::dsl::exists(telegram_profiles::table.find(user_id)));
        Ok(with_conn!(conn, |c| query.get_result(c))?)
    }
}

fn place(last: &Profile) -> Place {
    Place::at(last.created_at, &last.user_id)
}

fn refused_profile(
    conn: &mut Conn<'_>,
    error: DieselError,
    user_id: &str,
    telegram_id: Option<i64>,
) -> Error {
    let taken = |constraint: &str| match (constraint, telegram_id) {
        ("pk_telegram_profiles", _) => Some(Error::already_exists(ENTITY, user_id)),
        ("uq_telegram_profiles_telegram_id", Some(id)) => Some(Error::TelegramIdTaken(id)),
        _ => None,
    };
    let player = Parent {
        constraint: "fk_telegram_profiles_user_id",
        field: "user_id",
        row: Row::User(user_id),
    };
    refused(conn, error, taken, &[player])
}

fn check_new(new: &NewProfile) -> Result<()> {
    check::key("user_id", &new.user_id)?;
    check::within("telegram_id", new.telegram_id, 1..=i64::MAX)?;
    check_texts(
        new.username.as_deref(),
        new.first_name.as_deref(),
        new.last_name.as_deref(),
        new.language_code.as_deref(),
    )?;
    if let Some(json) = &new.metadata {
        check::json("metadata", &json.0)?;
    }
    check::moment("created_at", new.created_at)
}

fn check_changes(changes: &ProfileChanges) -> Result<()> {
    if let Some(id) = changes.telegram_id {
        check::within("telegram_id", id, 1..=i64::MAX)?;
    }
    check_texts(
        changes.username.as_ref().and_then(Option::as_deref),
        changes.first_name.as_ref().and_then(Option::as_deref),
        changes.last_name.as_ref().and_then(Option::as_deref),
        changes.language_code.as_ref().and_then(Option::as_deref),
    )?;
    match &changes.metadata {
        Some(Some(json)) => check::json("metadata", &json.0),
        _ => Ok(()),
    }
}

fn check_texts(
    username: Option<&str>,
    first_name: Option<&str>,
    last_name: Option<&str>,
    language_code: Option<&str>,
) -> Result<()> {
    for (field, value, length) in [
        ("username", username, NAME),
        ("first_name", first_name, NAME),
        ("last_name", last_name, NAME),
        ("language_code", language_code, LANGUAGE),
    ] {
        if let Some(value) = value {
            check::text(field, value, length)?;
        }
    }
    Ok(())
}
