//! Which tables a write changed, told by the server itself.
//!
//! PostgreSQL counts the rows that a transaction has inserted, updated and deleted in each table,
//! those of triggers, cascades and functions too. What it does not count, TRUNCATE and changes of
//! the schema, is seen from the statements.

use diesel::sql_types::{Bool, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

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
pub(super) fn tables(conn: &mut PgConnection) -> Option<Vec<String>> {
    let found = sql_query(TABLES).load::<Table>(conn).ok()?;
    let counted = found.iter().all(|table| table.counted);
    counted.then(|| found.into_iter().map(|table| table.name).collect())
}
