//! Worlds.

mod objects;
mod space;

pub(crate) use objects::ObjectColumns;

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{NewWorld, World, WorldChanges};
use db_schema::schema::worlds;
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::page::Place;
use crate::refusal::{refused, touched_one};
use crate::{Error, Page, PageRequest, Result, check};

const ENTITY: &str = "world";

/// Characters of a name: what the column holds.
const NAME: std::ops::RangeInclusive<usize> = 1..=255;

/// Characters of a description.
const DESCRIPTION: usize = 10_000;

statement! {
    struct ByName<'a> {
        after: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns (BigInt, Text, Nullable<Text>, UtcTimestamp, UtcTimestamp);
    "SELECT id, name, description, created_at, updated_at FROM worlds WHERE name > " after "
    ORDER BY name LIMIT " rows " + 0"
}

/// Worlds and the objects in them.
#[derive(Debug)]
pub struct WorldRepository;

impl WorldRepository {
    /// Makes a world.
    ///
    /// # Errors
    /// `Invalid`, `WorldNameTaken`, `Database`.
    pub fn create(conn: &mut Conn<'_>, new: &NewWorld) -> Result<World> {
        check::name("name", &new.name, NAME)?;
        check_description(new.description.as_deref())?;
        check::moment("created_at", new.created_at)?;
        let values = (new, worlds::updated_at.eq(new.created_at));
        with_conn!(conn, |c| diesel::insert_into(worlds::table)
            .values(values)
            .returning(World::as_returning())
            .get_result(c))
        .map_err(|error| refused(conn, error, taken(Some(&new.name)), &[]))
    }

    /// The world of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, id: i64) -> Result<Option<World>> {
        Ok(with_conn!(conn, |c| worlds::table
            .find(id)
            .select(World::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The world of this key, which has to be there.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, id: i64) -> Result<World> {
        Self::find(conn, id)?.ok_or_else(|| Error::not_found(ENTITY, id))
    }

    /// The world of this name.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find_by_name(conn: &mut Conn<'_>, name: &str) -> Result<Option<World>> {
        check::sought("name", name)?;
        Ok(with_conn!(conn, |c| worlds::table
            .filter(worlds::name.eq(name))
            .select(World::as_select())
            .get_result(c))
        .optional()?)
    }

    /// Worlds, by name.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list(conn: &mut Conn<'_>, page: &PageRequest) -> Result<Page<World>> {
        let page = &page.of("worlds")?;
        let rows = page.rows();
        let after = page.after_key();
        let found: Vec<World> = with_conn!(conn, |c| page.load(ByName { after, rows }, c))?;
        Ok(Page::of(found, page, |last| Place::of_key(&last.name)))
    }

    /// Changes what of a world is given.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `WorldNameTaken`, `Database`.
    pub fn update(
        conn: &mut Conn<'_>,
        id: i64,
        changes: &WorldChanges,
        now: UtcTime,
    ) -> Result<World> {
        if let Some(name) = &changes.name {
            check::name("name", name, NAME)?;
        }
        check_description(changes.description.as_ref().and_then(Option::as_deref))?;
        let set = (changes, worlds::updated_at.eq(now));
        with_conn!(conn, |c| diesel::update(worlds::table.find(id))
            .set(set)
            .returning(World::as_returning())
            .get_result(c))
        .map_err(|error| match error {
            DieselError::NotFound => Error::not_found(ENTITY, id),
            error => refused(conn, error, taken(changes.name.as_deref()), &[]),
        })
    }

    /// Removes a world and everything in it.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn delete(conn: &mut Conn<'_>, id: i64) -> Result<()> {
        let rows = with_conn!(conn, |c| diesel::delete(worlds::table.find(id)).execute(c))?;
        touched_one(rows, ENTITY, id)
    }

    /// How many worlds there are.
    ///
    /// # Errors
    /// `Database`.
    pub fn count(conn: &mut Conn<'_>) -> Result<i64> {
        Ok(with_conn!(conn, |c| worlds::table.count().get_result(c))?)
    }

    /// Whether there is a world of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn exists(conn: &mut Conn<'_>, id: i64) -> Result<bool> {
        let query = diesel::dsl::select(diesel::dsl::exists(worlds::table.find(id)));
        Ok(with_conn!(conn, |c| query.get_result(c))?)
    }
}

/// What a unique constraint of the table means.
fn taken(name: Option<&str>) -> impl FnOnce(&str) -> Option<Error> {
    move |constraint| match (constraint, name) {
        ("uq_worlds_name", Some(name)) => Some(Error::WorldNameTaken(name.to_owned())),
        _ => None,
    }
}

fn check_description(description: Option<&str>) -> Result<()> {
    description.map_or(Ok(()), |text| {
        check::prose("description", text, DESCRIPTION)
    })
}
