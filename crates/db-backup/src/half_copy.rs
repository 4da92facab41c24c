//! The half that a killed copy into a database of PostgreSQL leaves there.

use db_core::{Conn, Engine};
use diesel::sql_types::Bool;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use crate::backup::Invariant;

/// What is said of one.
pub const HALF_COPY: &str = "a copy into this database was killed, and what is there is a part of it \
     (its notes are in __db_migrate_copy): `bitcraps-db copy --undo` with the same --from and --to takes it \
     away";

#[derive(QueryableByName)]
struct There {
    #[diesel(sql_type = Bool)]
    there: bool,
}

/// Whether a copy into this database has stopped half way. Only on PostgreSQL can it.
///
/// # Errors
/// What the database says.
pub fn half_copy(conn: &mut Conn<'_>) -> Result<bool, db_core::Error> {
    let Conn::Postgres(conn) = conn.reborrow() else {
        return Ok(false);
    };
    sql_query("SELECT to_regclass('__db_migrate_copy') IS NOT NULL AS there")
        .get_result::<There>(conn)
        .map(|row| row.there)
        .map_err(|e| db_core::Error::classify(Engine::Postgres, &e))
}

impl Invariant {
    /// What has to be true of any database: that it is not the half of a copy that was killed.
    #[must_use]
    pub fn no_half_copy() -> Self {
        Self::new("half_copy", |conn| {
            let found = half_copy(conn)?.then(|| HALF_COPY.to_owned());
            Ok(found.into_iter().collect())
        })
    }
}
