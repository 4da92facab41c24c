//! Which tables a write changed, told by the server itself.
//!
//! PostgreSQL counts the rows that a transaction has inserted, updated and deleted in each table,
//! those of triggers, cascades and functions too. What it does not count, TRUNCATE and changes of
//! the schema, is seen from the statements.

use diesel::sql_types::{Bool, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

use crate::{Engine, Error};

/// `track_counts` can be off, by a superuser; then nothing was counted.
const TABLES: &str = "
    SELECT relname::text AS name, current_setting('track_counts')::bool AS counted
    FROM pg_catalog.pg_stat_xact_user_tables
    WHERE n_tup_ins + n_tup_upd + n_tup_del > 0
    UNION ALL
    SELECT '', false WHERE NOT current_setting('track_counts')::bool";

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    counted: bool,
}

/// The tables whose rows the present transaction has changed; none if that cannot be told.
///
/// # Errors
/// Why the server did not answer. The transaction is over then: the server takes its COMMIT
/// without an error, and rolls back.
pub(super) fn tables(conn: &mut PgConnection) -> Result<Option<Vec<String>>, Error> {
    let found = sql_query(TABLES)
        .load::<Table>(conn)
        .map_err(|e| Error::classify(Engine::Postgres, &e))?;
    let counted = found.iter().all(|table| table.counted);
    Ok(counted.then(|| found.into_iter().map(|table| table.name).collect()))
}
