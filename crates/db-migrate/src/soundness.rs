//! Integrity and foreign keys, checked before and after a run that asks for it.

use db_core::{Conn, Engine};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use crate::error::{Error, in_database};

/// More findings than this say nothing more.
const MOST_FINDINGS: usize = 20;

#[derive(QueryableByName)]
struct Finding {
    #[diesel(sql_type = Text)]
    finding: String,
}

/// What is wrong with the database, in words; nothing if it is sound.
pub(crate) fn check(conn: &mut Conn<'_>) -> Result<Vec<String>, Error> {
    match conn.reborrow() {
        Conn::Sqlite(c) => {
            let query = "SELECT integrity_check AS finding FROM pragma_integrity_check
                         WHERE integrity_check <> 'ok'
                         UNION ALL
                         SELECT count(*) || iif(count(*) = 1, ' row of ', ' rows of ') || \"table\" ||
                                iif(count(*) = 1, ' has', ' have') || ' no parent in ' || parent
                         FROM pragma_foreign_key_check GROUP BY \"table\", parent";
            let found: Vec<Finding> = sql_query(query)
                .load(c)
                .map_err(in_database(Engine::Sqlite, "checking integrity"))?;
            Ok(texts(found))
        }
        // The server guards foreign keys by itself. What migrations can leave behind is the index
        // of a CREATE INDEX CONCURRENTLY that failed.
        Conn::Postgres(c) => {
            let query = "SELECT 'index ' || indexrelid::regclass::text || ' is invalid'
                                AS finding
                         FROM pg_catalog.pg_index WHERE NOT indisvalid";
            let found: Vec<Finding> = sql_query(query)
                .load(c)
                .map_err(in_database(Engine::Postgres, "checking integrity"))?;
            Ok(texts(found))
        }
    }
}

fn texts(found: Vec<Finding>) -> Vec<String> {
    found
        .into_iter()
        .take(MOST_FINDINGS)
        .map(|f| f.finding)
        .collect()
}
