//! Whether two ways to write a database lead to the same one.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::os::unix::fs::MetadataExt as _;

use db_core::{Access, DatabaseUrl, Interrupt};

use super::error::{CopyError, Doing as _};
use super::side::{Bulk, Endpoint};

impl Endpoint {
    /// Whether the other one is the same database, however the two are written: the same file behind
    /// another path or link, the same database of a server behind another name of its host.
    ///
    /// # Errors
    /// [`CopyError::Database`] where one of two databases of servers cannot be asked.
    pub fn is_same_as(&self, other: &Self) -> Result<bool, CopyError> {
        if self.url == other.url {
            return Ok(true);
        }
        match (&self.url, &other.url) {
            (DatabaseUrl::SqliteFile(one), DatabaseUrl::SqliteFile(two)) => {
                let id = |path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
                Ok(matches!((id(one), id(two)), (Ok(one), Ok(two)) if one == two))
            }
            (DatabaseUrl::Postgres(_), DatabaseUrl::Postgres(_)) => self.meets(other),
            _ => Ok(false),
        }
    }

    /// An advisory lock counts within one database of one server: who holds it on one side keeps it
    /// from the other side only if the two are the same. That needs no right, and a restored copy of
    /// a whole server, which has the same identifiers, is told from it.
    fn meets(&self, other: &Self) -> Result<bool, CopyError> {
        let key = RandomState::new().build_hasher().finish().cast_signed();
        let doing = || "looking whether source and target are the same database".to_owned();
        let interrupt = Interrupt::default();
        let mut here = Bulk::open(self, Access::ReadOnly, &interrupt)?;
        let mut there = Bulk::open(other, Access::ReadOnly, &interrupt)?;
        here.execute("BEGIN").doing(doing)?;
        here.rows(&format!("SELECT pg_advisory_xact_lock({key})"))
            .doing(doing)?;
        let free = there
            .number(&format!("SELECT pg_try_advisory_xact_lock({key})::int"))
            .doing(doing)?;
        Ok(free == 0)
    }
}
