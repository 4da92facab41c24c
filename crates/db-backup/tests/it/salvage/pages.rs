//! Looking into a SQLite file.

use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

/// The one line that a query returns.
pub(super) fn line(conn: &mut SqliteConnection, sql: &str) -> String {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        line: String,
    }
    let row: Line = sql_query(sql).get_result(conn).unwrap();
    row.line
}
