//! The half that a killed copy into a database of PostgreSQL leaves there.

use db_core::{Conn, Error};
use db_migrate::HalfCopy;

use crate::backup::Invariant;

/// What is said of one.
pub const HALF_COPY: &str = "a copy into this database was killed, and what is there is a part of it \
     (its notes are in __db_migrate_copy): `bitcraps-db copy --undo` with the same --from and --to takes it \
     away";

/// What a copy into this database has noted that stopped half way. Only on PostgreSQL can it.
///
/// # Errors
/// What the database says.
pub fn half_copy(conn: &mut Conn<'_>) -> Result<Option<HalfCopy>, Error> {
    let engine = conn.engine();
    HalfCopy::read(conn.reborrow()).map_err(|e| Error::classify(engine, &e))
}

impl Invariant {
    /// What has to be true of any database: that it is not the half of a copy that was killed.
    #[must_use]
    pub fn no_half_copy() -> Self {
        Self::new("half_copy", |conn| {
            let found = half_copy(conn)?.map(|_| HALF_COPY.to_owned());
            Ok(found.into_iter().collect())
        })
    }
}
