//! Objects in a box, by x and key, in the words of the index of positions: SQLite takes numbers out
//! of JSON with `json_extract`, PostgreSQL with an arrow and a cast. SQLite is told which index: it
//! takes that of z for as good and then sorts what it finds for each page.
//!
//! A page goes on after the x that the one before ended with, in 64 bits. A hand may have written
//! a whole number that they do not hold, such as 2^53 + 1: SQLite, which orders by the number as it
//! was written, passes over it; PostgreSQL orders by what the cast makes of it.

use db_core::{Conn, statement};
use db_schema::rows::{Position, WorldObject};
use diesel::sql_types::{BigInt, Double};
use diesel::{QueryResult, RunQueryDsl as _};

use crate::worlds::ObjectColumns;

/// A page of what stands in a box.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoxPage {
    pub(crate) world: i64,
    pub(crate) min: Position,
    pub(crate) max: Position,
    /// Where to go on: at least `min.x`.
    pub(crate) from_x: f64,
    /// The last key at that x.
    pub(crate) after: i64,
    pub(crate) rows: i64,
}

statement! {
    struct Sqlite {
        world: i64 as BigInt,
        from_x: f64 as Double,
        max_x: f64 as Double,
        min_y: f64 as Double,
        max_y: f64 as Double,
        min_z: f64 as Double,
        max_z: f64 as Double,
        after: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns (ObjectColumns, Double);
    "SELECT id, world_id, object_type, name, position, properties, created_at, updated_at,
    CAST(json_extract(position, '$.x') AS REAL)
    FROM world_objects INDEXED BY idx_world_objects_world_id_x_y_z WHERE world_id = " world "
    AND json_extract(position, '$.x') BETWEEN " from_x " AND " max_x "
    AND json_extract(position, '$.y') BETWEEN " min_y " AND " max_y "
    AND json_extract(position, '$.z') BETWEEN " min_z " AND " max_z "
    AND json_extract(position, '$.x') = CAST(json_extract(position, '$.x') AS REAL)
    AND (json_extract(position, '$.x') > " from_x " OR id > " after ")
    ORDER BY json_extract(position, '$.x'), id LIMIT " rows " + 0"
}

statement! {
    struct Postgres {
        world: i64 as BigInt,
        from_x: f64 as Double,
        max_x: f64 as Double,
        min_y: f64 as Double,
        max_y: f64 as Double,
        min_z: f64 as Double,
        max_z: f64 as Double,
        after: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns (ObjectColumns, Double);
    "SELECT id, world_id, object_type, name, position, properties, created_at, updated_at,
    (position -> 'x')::double precision
    FROM world_objects WHERE world_id = " world "
    AND (position -> 'x')::double precision BETWEEN " from_x " AND " max_x "
    AND (position -> 'y')::double precision BETWEEN " min_y " AND " max_y "
    AND (position -> 'z')::double precision BETWEEN " min_z " AND " max_z "
    AND ((position -> 'x')::double precision > " from_x " OR id > " after ")
    ORDER BY (position -> 'x')::double precision, id LIMIT " rows " + 0"
}

/// The objects, and the x of each as the engine has it.
pub(crate) fn in_box(conn: &mut Conn<'_>, page: &BoxPage) -> QueryResult<Vec<(WorldObject, f64)>> {
    macro_rules! run {
        ($statement:ident, $c:ident) => {
            $statement {
                world: page.world,
                from_x: page.from_x,
                max_x: page.max.x,
                min_y: page.min.y,
                max_y: page.max.y,
                min_z: page.min.z,
                max_z: page.max.z,
                after: page.after,
                rows: page.rows,
            }
            .load($c)
        };
    }
    match conn.reborrow() {
        Conn::Sqlite(c) => run!(Sqlite, c),
        Conn::Postgres(c) => run!(Postgres, c),
    }
}
