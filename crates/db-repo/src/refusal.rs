//! What a broken constraint means, alike on both engines.
//!
//! PostgreSQL names every constraint. SQLite names checks, gives the columns of uniques, which the
//! generated map turns into names, and says nothing of foreign keys; there the parents are looked
//! for in the same transaction (docs/adr/0020).

use std::collections::BTreeSet;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row<'a> {
    User(&'a str),
    Game(&'a str),
    Session(&'a str),
    World(i64),
}

impl Row<'_> {
    /// The kind of thing, and its key.
    fn named(self) -> (&'static str, String) {
        match self {
            Row::User(key) => ("user", key.to_owned()),
            Row::Game(key) => ("game", key.to_owned()),
            Row::Session(key) => ("session", key.to_owned()),
            Row::World(key) => ("world", key.to_string()),
        }
    }
}

/// A foreign key and the row that it has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Parent<'a> {
    /// Name of the foreign key.
    pub(crate) constraint: &'static str,
    /// Name of the column.
    pub(crate) field: &'static str,
    pub(crate) row: Row<'a>,
}

impl Parent<'_> {
    /// That it is not there.
    pub(crate) fn missing(&self) -> Error {
        let (entity, key) = self.row.named();
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
        }
    }
}

/// What many rows refer to, each once.
pub(crate) fn each_once<'a>(parents: impl Iterator<Item = Parent<'a>>) -> Vec<Parent<'a>> {
    let parents: BTreeSet<_> = parents.collect();
    parents.into_iter().collect()
}

/// The values of the key that PostgreSQL says a refusal is about: of many rows, which one.
///
/// Its DETAIL, `Key (id)=(u1) already exists.`, is in the language of the server, but for the parentheses, and
/// a value may hold any of them. So nothing is read out of it: it is asked whether it means a key that is known.
pub(crate) struct Told(Option<String>);

impl Told {
    /// What an error says before it is classified. Nothing on SQLite.
    pub(crate) fn by(error: &DieselError) -> Self {
        let DieselError::DatabaseError(_, information) = error else {
            return Self(None);
        };
        let values = information.details().and_then(|detail| {
            let (_, values) = detail.split_once(")=(")?;
            Some(values.to_owned())
        });
        Self(values)
    }

    /// Of these the one that it is about, by its key: the longest that fits.
    pub(crate) fn among<T>(
        &self,
        rows: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> Option<T> {
        let told = self.0.as_deref()?;
        let fits = |row: &T| {
            let after = told.strip_prefix(key(row).as_str());
            after.is_some_and(|after| after.starts_with(')'))
        };
        let rows = rows.into_iter().filter(fits);
        rows.max_by_key(|row| key(row).len())
    }
}

/// What the refusal of an insert or update means: `unique` gives the error for the name of a unique
/// constraint or a primary key, `parents` are the rows referred to, of a statement for many rows those of
/// all of them.
pub(crate) fn refused(
    conn: &mut Conn<'_>,
    error: DieselError,
    unique: impl FnOnce(&str) -> Option<Error>,
    parents: &[Parent<'_>],
) -> Error {
    let told = Told::by(&error);
    let error = db_core::Error::from(error);
    let Some(violation) = error.constraint(&CONSTRAINTS) else {
        return Error::Database(error);
    };
    let meant = match (violation.kind(), violation.name()) {
        (ConstraintKind::Unique, Some(name)) => unique(name),
        (ConstraintKind::ForeignKey, Some(name)) => {
            let mut of = parents.iter().filter(|parent| parent.constraint == name);
            let meant = match (of.next(), of.next()) {
                (Some(one), None) => Some(one),
                (one, other) => told.among(one.into_iter().chain(other).chain(of), |parent| {
                    parent.row.named().1
                }),
            };
            meant.map(Parent::missing)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_key_that_fits_is_meant() {
        let among = |detail: &str, keys: &[&'static str]| {
            let (_, values) = detail.split_once(")=(").unwrap();
            let told = Told(Some(values.to_owned()));
            told.among(keys.iter().copied(), |key| (*key).to_owned())
        };
        let detail = "Key (username)=(ada) already exists.";
        assert_eq!(among(detail, &["ad", "ada", "adam"]), Some("ada"));
        assert_eq!(among(detail, &["grace"]), None);
        let detail = "Key (username)=(a) b) already exists.";
        assert_eq!(among(detail, &["a", "a) b"]), Some("a) b"));
        let detail = "Schl\u{fc}ssel \u{bb}(username)=(ada)\u{ab} existiert bereits.";
        assert_eq!(among(detail, &["ada", "ad"]), Some("ada"));
        let none = Told::by(&DieselError::NotFound);
        assert_eq!(none.among(["ada"], |key| (*key).to_owned()), None);
    }
}
