//! A batch of what is old, the oldest first. PostgreSQL does not know how few rows a subquery of
//! `IN` gives when its limit is bound, and may read the whole table to match them: of an array it
//! looks up each. Where it waits for a rival who changes such a row, it then looks at what the outer
//! statement asks of the row, and not at the array: there, what a rival may change is asked again.

use db_core::{Conn, statement};
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::sql_types::BigInt;
use diesel::{QueryResult, RunQueryDsl as _};

/// Declares a function that removes at most `rows` rows of a table from before a moment, and says
/// how many: by the name of the column of time, with what else has to hold, and with what of it has
/// to hold still after a rival's change.
macro_rules! delete_old {
    ($(#[$meta:meta])* $name:ident, $table:literal, $time:literal, $also:literal, $still:literal) => {
        $(#[$meta])*
        pub(crate) fn $name(
            conn: &mut Conn<'_>,
            before: UtcTime,
            rows: i64,
        ) -> QueryResult<usize> {
            statement! {
                struct OnSqlite {
                    before: UtcTime as UtcTimestamp,
                    rows: i64 as BigInt,
                }
                "DELETE FROM " $table " WHERE id IN (SELECT id FROM " $table " WHERE " $time
                " < " before $also " ORDER BY " $time " LIMIT " rows " + 0)"
            }
            statement! {
                struct OnPostgres {
                    before: UtcTime as UtcTimestamp,
                    rows: i64 as BigInt,
                }
                "DELETE FROM " $table " WHERE id = ANY (ARRAY(SELECT id FROM " $table " WHERE "
                $time " < " before $also " ORDER BY " $time " LIMIT " rows " + 0))
                AND " $time " < " before $still
            }
            match conn.reborrow() {
                Conn::Sqlite(c) => OnSqlite { before, rows }.execute(c),
                Conn::Postgres(c) => OnPostgres { before, rows }.execute(c),
            }
        }
    };
}

delete_old!(old_metrics, "performance_metrics", "recorded_at", "", "");
delete_old!(old_snapshots, "usage_snapshots", "timestamp", "", "");
delete_old!(
    /// What is delivered stays so.
    old_delivered,
    "outbox",
    "created_at",
    " AND status = 'delivered'",
    ""
);
delete_old!(old_notifications, "notifications", "created_at", "", "");
delete_old!(
    /// No ban, and nobody who is connected: a connection that is made meanwhile is a sighting.
    old_peers,
    "peers",
    "last_seen_at",
    " AND state <> 'banned' AND NOT EXISTS (SELECT 1 FROM peer_connections
    WHERE peer_id = peers.id AND disconnected_at IS NULL)",
    " AND state <> 'banned'"
);
