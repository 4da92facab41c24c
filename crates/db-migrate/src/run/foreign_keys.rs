//! SQLite's foreign keys, switched off around a migration that rebuilds a parent table.
//!
//! The pragma does nothing inside a transaction, and with foreign keys on, dropping the old parent
//! deletes every child that cascades. So it is switched before BEGIN, violations are compared
//! before and after, and it is switched back whatever happened.

use std::collections::BTreeMap;

use db_core::Engine;
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Integer, Text};
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use crate::error::{Error, in_database};

const DOING: &str = "switching foreign keys";

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Integer)]
    foreign_keys: i32,
}

#[derive(QueryableByName)]
struct Violations {
    #[diesel(sql_type = Text)]
    child: String,
    #[diesel(sql_type = Text)]
    parent: String,
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// How many rows of a child table have no parent, by child and parent.
pub(crate) type Orphans = BTreeMap<(String, String), i64>;

/// Whether foreign keys are on.
pub(crate) fn are_on(conn: &mut SqliteConnection) -> Result<bool, Error> {
    sql_query("PRAGMA foreign_keys")
        .get_result::<Setting>(conn)
        .map(|setting| setting.foreign_keys != 0)
        .map_err(in_database(Engine::Sqlite, DOING))
}

/// Switches foreign keys off and says whether they were on. Outside a transaction only.
pub(crate) fn switch_off(conn: &mut SqliteConnection) -> Result<bool, Error> {
    let were_on = are_on(conn)?;
    conn.batch_execute("PRAGMA foreign_keys = OFF")
        .map_err(in_database(Engine::Sqlite, DOING))?;
    Ok(were_on)
}

/// Switches them on again.
pub(crate) fn switch_on(conn: &mut SqliteConnection) -> Result<(), Error> {
    conn.batch_execute("PRAGMA foreign_keys = ON")
        .map_err(in_database(Engine::Sqlite, DOING))
}

/// Counts the rows without a parent.
pub(crate) fn orphans(conn: &mut SqliteConnection) -> Result<Orphans, Error> {
    let rows: Vec<Violations> = sql_query(
        "SELECT \"table\" AS child, parent, count(*) AS rows FROM pragma_foreign_key_check
         GROUP BY 1, 2",
    )
    .load(conn)
    .map_err(in_database(Engine::Sqlite, "checking foreign keys"))?;
    Ok(rows
        .into_iter()
        .map(|v| ((v.child, v.parent), v.rows))
        .collect())
}

/// What is worse than before, in words.
pub(crate) fn new_orphans(before: &Orphans, after: &Orphans) -> Vec<String> {
    after
        .iter()
        .filter_map(|(pair, rows)| {
            let more = rows - before.get(pair).copied().unwrap_or(0);
            (more > 0).then(|| {
                let (rows, verb) = if more == 1 {
                    ("row", "its")
                } else {
                    ("rows", "their")
                };
                format!(
                    "{more} {rows} of {} would lose {verb} parent in {}",
                    pair.0, pair.1
                )
            })
        })
        .collect()
}
