//! A canonical catalog of a live database, from which drift is found and named.
//!
//! A [`Catalog`] lists everything that a migration can create, object by object, each with a
//! text that does not depend on where the database lives or on how it came to be: object
//! identifiers, column numbers, statistics, owners and grants are not part of it, and neither
//! are temporary objects, members of extensions, and the tables of the ledgers themselves.
//!
//! Every object carries two texts. The *strict* one is what the engine says, and what a person
//! is shown; the *loose* one survives a dump and a restore, which rewrite expressions without
//! changing what they mean. [`Tracker`] follows a run of many migrations without reading
//! everything again after each of them, and [`model`] holds the same schema as typed values.

mod compare;
pub mod diagram;
mod fingerprint;
pub mod model;
mod object;
pub mod parity;
mod postgres;
mod scope;
mod sqlite;
mod text;
mod tracker;

use db_core::Conn;
use diesel::QueryResult;

pub use compare::{Change, Difference, Mode};
pub use object::{Kind, Object};
pub use scope::Scope;
pub use sqlite::shadows::not_a_shadow;
pub use tracker::{Delta, Tracker};

use fingerprint::Sum;

/// All objects of a database that are in scope, sorted by kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    objects: Vec<Object>,
}

impl Catalog {
    /// Reads the live catalog.
    ///
    /// It may be called inside a transaction or outside of one. On PostgreSQL the search path
    /// is pinned while reading and is afterwards what it was.
    ///
    /// # Errors
    /// Whatever the engine says, as Diesel reports it.
    pub fn read(conn: &mut Conn<'_>, scope: &Scope) -> QueryResult<Self> {
        let objects = match conn {
            Conn::Sqlite(c) => sqlite::read(c, scope)?,
            Conn::Postgres(c) => postgres::read(c, scope)?,
        };
        Ok(Self::from_objects(objects))
    }

    /// A catalog of objects that were read earlier, in any order.
    #[must_use]
    pub fn from_objects(mut objects: Vec<Object>) -> Self {
        objects.sort_unstable();
        Self { objects }
    }

    /// The objects, sorted by kind and name.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// How many objects there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether nothing is in scope.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The objects as a list, for example to store them.
    #[must_use]
    pub fn into_objects(self) -> Vec<Object> {
        self.objects
    }

    /// 64 hexadecimal digits that stand for the strict texts of all objects.
    #[must_use]
    pub fn strict_fingerprint(&self) -> String {
        self.sum(Mode::Strict).fingerprint()
    }

    /// 64 hexadecimal digits that stand for the loose texts of all objects.
    #[must_use]
    pub fn loose_fingerprint(&self) -> String {
        self.sum(Mode::Loose).fingerprint()
    }

    /// What differs when this catalog is what one expects and `live` is what there is.
    #[must_use]
    pub fn compare(&self, live: &Self, mode: Mode) -> Vec<Difference> {
        compare::compare(&self.objects, &live.objects, mode)
    }

    fn sum(&self, mode: Mode) -> Sum {
        let mut sum = Sum::default();
        for object in &self.objects {
            sum.add(&object.digest(mode));
        }
        sum
    }
}
