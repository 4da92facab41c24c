//! Objects in worlds.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{NewWorldObject, Position, WorldObject, WorldObjectChanges};
use db_schema::schema::world_objects;
use db_schema::types::{JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Text};

use super::WorldRepository;
use crate::page::Place;
use crate::refusal::{Parent, Row, each_once, refused, touched_one};
use crate::{Error, Page, PageRequest, Result, check};

const ENTITY: &str = "world object";

/// Rows of one statement of [`WorldRepository::create_objects`]: far below SQLite's 32,766
/// parameters.
const BATCH: usize = 1_000;

/// Characters of a name: what the column holds.
const NAME: std::ops::RangeInclusive<usize> = 1..=255;

/// Columns in the order of [`WorldObject`].
pub(crate) type ObjectColumns = (
    BigInt,
    BigInt,
    Text,
    Text,
    JsonDoc,
    JsonDoc,
    UtcTimestamp,
    UtcTimestamp,
);

statement! {
    struct OfWorld {
        world: i64 as BigInt,
        after: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns ObjectColumns;
    "SELECT id, world_id, object_type, name, position, properties, created_at, updated_at
    FROM world_objects WHERE world_id = " world " AND id > " after "
    ORDER BY id LIMIT " rows " + 0"
}

statement! {
    struct OfType<'a> {
        world: i64 as BigInt,
        object_type: &'a str as Text,
        after: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns ObjectColumns;
    "SELECT id, world_id, object_type, name, position, properties, created_at, updated_at
    FROM world_objects WHERE world_id = " world " AND object_type = " object_type "
    AND id > " after " ORDER BY id LIMIT " rows " + 0"
}

statement! {
    struct Move {
        id: i64 as BigInt,
        position: Position as JsonDoc,
        at: UtcTime as UtcTimestamp,
    }
    "UPDATE world_objects SET position = " position ", updated_at = " at " WHERE id = " id
}

/// Objects.
impl WorldRepository {
    /// Puts an object into a world.
    ///
    /// # Errors
    /// `Invalid`, `MissingParent` for a world that is not there, `Database`.
    pub fn create_object(conn: &mut Conn<'_>, new: &NewWorldObject) -> Result<WorldObject> {
        check_new(new)?;
        let values = (new, world_objects::updated_at.eq(new.created_at));
        with_conn!(conn, |c| diesel::insert_into(world_objects::table)
            .values(values)
            .returning(WorldObject::as_returning())
            .get_result(c))
        .map_err(|error| refused(conn, error, |_| None, &[world(new.world_id)]))
    }

    /// Puts objects into worlds, all or none; how many.
    ///
    /// # Errors
    /// `Invalid`, `MissingParent` for a world that is not there, `Database`.
    pub fn create_objects(conn: &mut Conn<'_>, new: &[NewWorldObject]) -> Result<usize> {
        new.iter().try_for_each(check_new)?;
        let mut added = 0;
        for batch in new.chunks(BATCH) {
            let values: Vec<_> = batch
                .iter()
                .map(|new| (new, world_objects::updated_at.eq(new.created_at)))
                .collect();
            added += with_conn!(conn, |c| diesel::insert_into(world_objects::table)
                .values(values)
                .execute(c))
            .map_err(|error| {
                let parents = batch.iter().map(|new| world(new.world_id));
                refused(conn, error, |_| None, &each_once(parents))
            })?;
        }
        Ok(added)
    }

    /// The object of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find_object(conn: &mut Conn<'_>, id: i64) -> Result<Option<WorldObject>> {
        Ok(with_conn!(conn, |c| world_objects::table
            .find(id)
            .select(WorldObject::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The object of this key, which has to be there.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn get_object(conn: &mut Conn<'_>, id: i64) -> Result<WorldObject> {
        Self::find_object(conn, id)?.ok_or_else(|| Error::not_found(ENTITY, id))
    }

    /// Objects of a world, in the order in which they were made.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_objects(
        conn: &mut Conn<'_>,
        world: i64,
        page: &PageRequest,
    ) -> Result<Page<WorldObject>> {
        let page = &page.of("objects.of_world")?;
        let rows = page.rows();
        let after = page.after_id();
        let list = OfWorld { world, after, rows };
        let found: Vec<WorldObject> = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, |last| Place::of_id(last.id)))
    }

    /// Objects of one type in a world, in the order in which they were made.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_objects_by_type(
        conn: &mut Conn<'_>,
        world: i64,
        object_type: &str,
        page: &PageRequest,
    ) -> Result<Page<WorldObject>> {
        check::sought("object_type", object_type)?;
        let page = &page.of("objects.of_type")?;
        let rows = page.rows();
        let list = OfType {
            world,
            object_type,
            after: page.after_id(),
            rows,
        };
        let found: Vec<WorldObject> = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, |last| Place::of_id(last.id)))
    }

    /// Moves an object.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn move_object(
        conn: &mut Conn<'_>,
        id: i64,
        position: Position,
        now: UtcTime,
    ) -> Result<()> {
        check_position("position", position)?;
        let moved = Move {
            id,
            position,
            at: now,
        };
        let rows = with_conn!(conn, |c| moved.execute(c))?;
        touched_one(rows, ENTITY, id)
    }

    /// Changes what of an object is given.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn update_object(
        conn: &mut Conn<'_>,
        id: i64,
        changes: &WorldObjectChanges,
        now: UtcTime,
    ) -> Result<WorldObject> {
        check_changes(changes)?;
        let set = (changes, world_objects::updated_at.eq(now));
        with_conn!(conn, |c| diesel::update(world_objects::table.find(id))
            .set(set)
            .returning(WorldObject::as_returning())
            .get_result(c))
        .map_err(|error| match error {
            DieselError::NotFound => Error::not_found(ENTITY, id),
            error => error.into(),
        })
    }

    /// Removes an object.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn delete_object(conn: &mut Conn<'_>, id: i64) -> Result<()> {
        let rows = with_conn!(conn, |c| diesel::delete(world_objects::table.find(id))
            .execute(c))?;
        touched_one(rows, ENTITY, id)
    }
}

fn world(id: i64) -> Parent<'static> {
    Parent {
        constraint: "fk_world_objects_world_id",
        field: "world_id",
        row: Row::World(id),
    }
}

fn check_new(new: &NewWorldObject) -> Result<()> {
    check::word("object_type", &new.object_type)?;
    check::text("name", &new.name, NAME)?;
    check_position("position", new.position)?;
    check::moment("created_at", new.created_at)?;
    check::object("properties", &new.properties.0)
}

fn check_changes(changes: &WorldObjectChanges) -> Result<()> {
    if let Some(word) = &changes.object_type {
        check::word("object_type", word)?;
    }
    if let Some(name) = &changes.name {
        check::text("name", name, NAME)?;
    }
    if let Some(position) = changes.position {
        check_position("position", position)?;
    }
    match &changes.properties {
        Some(json) => check::object("properties", &json.0),
        None => Ok(()),
    }
}

pub(super) fn check_position(field: &'static str, position: Position) -> Result<()> {
    [position.x, position.y, position.z]
        .into_iter()
        .try_for_each(|number| check::finite(field, number))
}
