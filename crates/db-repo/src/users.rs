//! Players.

use std::collections::HashSet;

use db_core::{Conn, Engine, ErrorKind, statement, with_conn};
use db_schema::rows::{NewUser, User, UserChanges};
use db_schema::schema::users;
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Binary, Double, Text};

use crate::page::Place;
use crate::refusal::{Told, not_deleted, refused, touched_one};
use crate::{Error, Page, PageRequest, Result, check};

/// Characters of a username.
const USERNAME: std::ops::RangeInclusive<usize> = 1..=64;

/// Bytes of a public key: what today's signature schemes need, and none is a document.
const PUBLIC_KEY: std::ops::RangeInclusive<usize> = 1..=4_096;

/// Rows of one statement of [`UserRepository::create_many`]: far below SQLite's 32,766 parameters.
const BATCH: usize = 1_000;

const ENTITY: &str = "user";

statement! {
    /// The first page of the newest. The plus keeps SQLite from planning anew for each limit.
    struct UsersNewest {
        rows: i64 as BigInt,
    }
    returns (Text, Text, Binary, Double, UtcTimestamp, UtcTimestamp);
    "SELECT id, username, public_key, reputation, created_at, updated_at FROM users
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    /// A page of the newest, after this one.
    struct UsersBefore<'a> {
        at: UtcTime as UtcTimestamp,
        id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns (Text, Text, Binary, Double, UtcTimestamp, UtcTimestamp);
    "SELECT id, username, public_key, reputation, created_at, updated_at FROM users
    WHERE (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

/// Players and their reputation.
#[derive(Debug)]
pub struct UserRepository;

impl UserRepository {
    /// Adds a player.
    ///
    /// # Errors
    /// `Invalid`, `UsernameTaken`, `AlreadyExists`, `Database`.
    pub fn create(conn: &mut Conn<'_>, new: &NewUser) -> Result<User> {
        check_new(new)?;
        let values = (new, users::updated_at.eq(new.created_at));
        with_conn!(conn, |c| diesel::insert_into(users::table)
            .values(values)
            .returning(User::as_returning())
            .get_result(c))
        .map_err(|error| refused(conn, error, taken(&new.id, Some(&new.username)), &[]))
        .or_else(|error| match error {
            // Of a row that breaks both, SQLite names the name, PostgreSQL the key.
            Error::UsernameTaken(_)
                if conn.engine() == Engine::Sqlite && Self::exists(conn, &new.id)? =>
            {
                Err(Error::already_exists(ENTITY, &new.id))
            }
            error => Err(error),
        })
    }

    /// Adds players, all or none; how many.
    ///
    /// # Errors
    /// `Invalid`, `UsernameTaken`, `AlreadyExists`, `Database`.
    pub fn create_many(conn: &mut Conn<'_>, new: &[NewUser]) -> Result<usize> {
        new.iter().try_for_each(check_new)?;
        let mut added = 0;
        for batch in new.chunks(BATCH) {
            let values: Vec<_> = batch
                .iter()
                .map(|new| (new, users::updated_at.eq(new.created_at)))
                .collect();
            added += with_conn!(conn, |c| diesel::insert_into(users::table)
                .values(values)
                .execute(c))
            .map_err(|error| not_added(conn, error, batch))?;
        }
        Ok(added)
    }

    /// The player of this key.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find(conn: &mut Conn<'_>, id: &str) -> Result<Option<User>> {
        check::sought("id", id)?;
        Ok(with_conn!(conn, |c| users::table
            .find(id)
            .select(User::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The player of this key, who has to be there.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, id: &str) -> Result<User> {
        Self::find(conn, id)?.ok_or_else(|| Error::not_found(ENTITY, id))
    }

    /// The player of this name.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find_by_username(conn: &mut Conn<'_>, username: &str) -> Result<Option<User>> {
        check::sought("username", username)?;
        Ok(with_conn!(conn, |c| users::table
            .filter(users::username.eq(username))
            .select(User::as_select())
            .get_result(c))
        .optional()?)
    }

    /// Players, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list(conn: &mut Conn<'_>, page: &PageRequest) -> Result<Page<User>> {
        let page = &page.of("users")?;
        let rows = page.rows();
        let found: Vec<User> = match page.after_time()? {
            None => with_conn!(conn, |c| page.load(UsersNewest { rows }, c))?,
            Some((at, id)) => with_conn!(conn, |c| page.load(UsersBefore { at, id, rows }, c))?,
        };
        Ok(Page::of(found, page, |last| {
            Place::at(last.created_at, &last.id)
        }))
    }

    /// Changes what of a player is given.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `UsernameTaken`, `Database`.
    pub fn update(
        conn: &mut Conn<'_>,
        id: &str,
        changes: &UserChanges,
        now: UtcTime,
    ) -> Result<User> {
        check::sought("id", id)?;
        check_changes(changes)?;
        let set = (changes, users::updated_at.eq(now));
        with_conn!(conn, |c| diesel::update(users::table.find(id))
            .set(set)
            .returning(User::as_returning())
            .get_result(c))
        .map_err(|error| match error {
            DieselError::NotFound => Error::not_found(ENTITY, id),
            error => refused(conn, error, taken(id, changes.username.as_deref()), &[]),
        })
    }

    /// Sets a player's reputation.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn update_reputation(
        conn: &mut Conn<'_>,
        id: &str,
        reputation: f64,
        now: UtcTime,
    ) -> Result<()> {
        check::sought("id", id)?;
        check::finite("reputation", reputation)?;
        let set = (users::reputation.eq(reputation), users::updated_at.eq(now));
        let rows = with_conn!(conn, |c| diesel::update(users::table.find(id))
            .set(set)
            .execute(c))?;
        touched_one(rows, ENTITY, id)
    }

    /// Removes a player to whom nothing refers any more; a profile and statistics go along.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `InUse`, `Database`.
    pub fn delete(conn: &mut Conn<'_>, id: &str) -> Result<()> {
        check::sought("id", id)?;
        let rows = with_conn!(conn, |c| diesel::delete(users::table.find(id)).execute(c))
            .map_err(|error| not_deleted(error, ENTITY, id))?;
        touched_one(rows, ENTITY, id)
    }

    /// How many players there are.
    ///
    /// # Errors
    /// `Database`.
    pub fn count(conn: &mut Conn<'_>) -> Result<i64> {
        Ok(with_conn!(conn, |c| users::table.count().get_result(c))?)
    }

    /// Whether there is a player of this key.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn exists(conn: &mut Conn<'_>, id: &str) -> Result<bool> {
        check::sought("id", id)?;
        let query = diesel::dsl::select(diesel::dsl::exists(users::table.find(id)));
        Ok(with_conn!(conn, |c| query.get_result(c))?)
    }
}

/// What a unique constraint of the table means.
fn taken(id: &str, username: Option<&str>) -> impl FnOnce(&str) -> Option<Error> {
    move |constraint| match (constraint, username) {
        ("pk_users", _) => Some(Error::already_exists(ENTITY, id)),
        ("uq_users_username", Some(name)) => Some(Error::UsernameTaken(name.to_owned())),
        _ => None,
    }
}

/// Which of many was refused: PostgreSQL says it, on SQLite it is looked for.
fn not_added(conn: &mut Conn<'_>, error: DieselError, batch: &[NewUser]) -> Error {
    let told = Told::by(&error);
    let taken = |constraint: &str| match constraint {
        "pk_users" => {
            let new = told.among(batch, |new| new.id.clone())?;
            Some(Error::already_exists(ENTITY, &new.id))
        }
        "uq_users_username" => {
            let new = told.among(batch, |new| new.username.clone())?;
            Some(Error::UsernameTaken(new.username.clone()))
        }
        _ => None,
    };
    match refused(conn, error, taken, &[]) {
        Error::Database(error)
            if conn.engine() == Engine::Sqlite && error.kind() == ErrorKind::Constraint =>
        {
            match first_taken(conn, batch) {
                Ok(found) => found.unwrap_or(Error::Database(error)),
                Err(failed) => failed.into(),
            }
        }
        error => error,
    }
}

/// The first whose key or name another one has, here or among those before it.
fn first_taken(conn: &mut Conn<'_>, batch: &[NewUser]) -> QueryResult<Option<Error>> {
    let ids = batch.iter().map(|new| new.id.as_str());
    let names = batch.iter().map(|new| new.username.as_str());
    let (ids, names): (Vec<_>, Vec<_>) = (ids.collect(), names.collect());
    let mut ids: HashSet<String> = with_conn!(conn, |c| users::table
        .filter(users::id.eq_any(&ids))
        .select(users::id)
        .load(c))?
    .into_iter()
    .collect();
    let mut names: HashSet<String> = with_conn!(conn, |c| users::table
        .filter(users::username.eq_any(&names))
        .select(users::username)
        .load(c))?
    .into_iter()
    .collect();
    Ok(batch.iter().find_map(|new| {
        if !ids.insert(new.id.clone()) {
            return Some(Error::already_exists(ENTITY, &new.id));
        }
        let is_new = names.insert(new.username.clone());
        (!is_new).then(|| Error::UsernameTaken(new.username.clone()))
    }))
}

fn check_new(new: &NewUser) -> Result<()> {
    check::key("id", &new.id)?;
    check::name("username", &new.username, USERNAME)?;
    check::bytes("public_key", &new.public_key, PUBLIC_KEY)?;
    check::moment("created_at", new.created_at)
}

fn check_changes(changes: &UserChanges) -> Result<()> {
    if let Some(username) = &changes.username {
        check::name("username", username, USERNAME)?;
    }
    if let Some(key) = &changes.public_key {
        check::bytes("public_key", key, PUBLIC_KEY)?;
    }
    changes
        .reputation
        .map_or(Ok(()), |value| check::finite("reputation", value))
}
