//! What a broken constraint means, alike on both engines.
//!
//! PostgreSQL names every constraint. SQLite names checks, gives the columns of uniques, which the
//! generated map turns into names, and says nothing of foreign keys; there the parents are looked
//! for in the same transaction (docs/adr/0020).

use db_core::{Conn, ConstraintKind, ConstraintMap, with_conn};
use db_schema::constraints;
use db_schema::schema::{games, sessions, users, worlds};
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::result::Error as DieselError;

use crate::Error;

/// The named constraints of our schema.
pub(crate) const CONSTRAINTS: ConstraintMap = ConstraintMap {
    unique: constraints::UNIQUE,
    foreign_key: constraints::FOREIGN_KEY,
    check: constraints::CHECK,
};

/// A row that another one refers to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row<'a> {
    User(&'a str),
    Game(&'a str),
    Session(&'a str),
    World(i64),
    /// One of several, of which the database does not say.
    WorldOfMany,
}

/// A foreign key and the row that it has to find.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parent<'a> {
    /// Name of the foreign key.
    pub(crate) constraint: &'static str,
    /// Name of the column.
    pub(crate) field: &'static str,
    pub(crate) row: Row<'a>,
}

impl Parent<'_> {
    /// A user to whom one of many rows refers: PostgreSQL does not say which of them is not there.
    pub(crate) const fn user_of_many(constraint: &'static str) -> Self {
        Self {
            constraint,
            field: "user_id",
            row: Row::User("of many"),
        }
    }

    /// That it is not there.
    pub(crate) fn missing(&self) -> Error {
        let (entity, key) = match self.row {
            Row::User(key) => ("user", key.to_owned()),
            Row::Game(key) => ("game", key.to_owned()),
            Row::Session(key) => ("session", key.to_owned()),
            Row::World(key) => ("world", key.to_string()),
            Row::WorldOfMany => ("world", "of many".to_owned()),
        };
        Error::MissingParent {
            field: self.field,
            entity,
            key,
        }
    }

    pub(crate) fn is_there(&self, conn: &mut Conn<'_>) -> QueryResult<bool> {
        macro_rules! there {
            ($query:expr) => {
                with_conn!(conn, |c| select(exists($query)).get_result(c))
            };
        }
        match self.row {
            Row::User(key) => there!(users::table.find(key)),
            Row::Game(key) => there!(games::table.find(key)),
            Row::Session(key) => there!(sessions::table.find(key)),
            Row::World(key) => there!(worlds::table.find(key)),
            // Only PostgreSQL lets one go meanwhile, and it names the foreign key.
            Row::WorldOfMany => Ok(true),
        }
    }
}

/// What the refusal of an insert or update means: `unique` gives the error for the name of a unique
/// constraint or a primary key, `parents` are the rows referred to.
pub(crate) fn refused(
    conn: &mut Conn<'_>,
    error: DieselError,
    unique: impl FnOnce(&str) -> Option<Error>,
    parents: &[Parent<'_>],
) -> Error {
    let error = db_core::Error::from(error);
    let Some(violation) = error.constraint(&CONSTRAINTS) else {
        return Error::Database(error);
    };
    let meant = match (violation.kind(), violation.name()) {
        (ConstraintKind::Unique, Some(name)) => unique(name),
        (ConstraintKind::ForeignKey, Some(name)) => parents
            .iter()
            .find(|parent| parent.constraint == name)
            .map(Parent::missing),
        (ConstraintKind::ForeignKey, None) => {
            for parent in parents {
                match parent.is_there(conn) {
                    Ok(true) => {}
                    Ok(false) => return parent.missing(),
                    Err(failed) => return failed.into(),
                }
            }
            None
        }
        _ => None,
    };
    meant.unwrap_or(Error::Database(error))
}

/// What the refusal of a delete means: others refer to the row.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a key is a number or borrowed text, and handing it over reads better"
)]
pub(crate) fn not_deleted(error: DieselError, entity: &'static str, key: impl ToString) -> Error {
    let error = db_core::Error::from(error);
    match error.violation().map(db_core::Violation::kind) {
        Some(ConstraintKind::ForeignKey) => Error::InUse {
            entity,
            key: key.to_string(),
        },
        _ => Error::Database(error),
    }
}

/// A statement that has to touch one row did.
pub(crate) fn touched_one(
    rows: usize,
    entity: &'static str,
    key: impl ToString,
) -> Result<(), Error> {
    match rows {
        1 => Ok(()),
        _ => Err(Error::not_found(entity, key)),
    }
}
