//! What has to be true of the data of BitCraps, wherever a copy of it is looked at.
//!
//! Whether a database is of BitCraps, and of which version, is decided each time anew: a schedule runs for months, and
//! a migration may come meanwhile.

use db_backup::{Invariant, Observation, Unchecked};
use db_core::{Conn, Engine, ErrorKind};
use diesel::sql_types::Text as SqlText;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use crate::args::CopyMethod;
use crate::output::text::Text;

/// What the money is reconciled from.
const MONEY: [&str; 5] = [
    "token_balances",
    "accounts",
    "account_entries",
    "operations",
    GAME_EVENTS,
];

/// Without it only the events are not looked at.
const GAME_EVENTS: &str = "game_events";

/// What every version of the schema is reconciled from.
const ALWAYS: [&str; 4] = ["users", "games", "bets", "transactions"];

/// By this column a schema says that it has accounts.
const OF_ACCOUNTS: &str = "transactions.locked_change";

/// What has to be true of a database that is backed up. A base backup reads no data, and is of the whole server.
pub(super) fn of_source(engine: Engine, method: CopyMethod) -> Vec<Invariant> {
    let is_dump = engine == Engine::Postgres && method == CopyMethod::Dump;
    let no_half_copy = is_dump.then(Invariant::no_half_copy);
    no_half_copy.into_iter().chain([money()]).collect()
}

/// What has to be true of one that is restored.
pub(in crate::command) fn of_copy() -> Vec<Invariant> {
    vec![money()]
}

/// That the money adds up, where there is any, as far as the schema says.
pub(in crate::command) fn money() -> Invariant {
    Invariant::where_possible("money", |conn| {
        let found = names(conn)?;
        let is_missing = |name: &&str| !found.iter().any(|one| one.name == *name);
        let missing: Vec<&str> = MONEY.into_iter().filter(is_missing).collect();
        if missing.len() == MONEY.len() {
            return Ok(unchecked("there are no tables of BitCraps"));
        }
        let older = format!("the schema is older: no {}", missing.join(", "));
        // A statement that fails would be the last one of a snapshot from which others are to read.
        let has_accounts = !is_missing(&OF_ACCOUNTS);
        let lacks_more = has_accounts && missing.iter().any(|name| *name != GAME_EVENTS);
        if lacks_more || ALWAYS.iter().any(is_missing) {
            return Ok(unchecked(&older));
        }
        match db_repo::invariants::money(conn) {
            Ok((observed, wrong)) if missing.is_empty() || !wrong.is_empty() => {
                Ok(Observation::Checked { observed, wrong })
            }
            Ok((observed, _)) => Ok(unchecked(&format!("{older}; {observed}"))),
            // Of a schema that this program does not know.
            Err(error) if error.kind() == ErrorKind::Statement => Ok(unchecked(&error.told())),
            Err(error) => Err(error),
        }
    })
}

fn unchecked(why: &str) -> Observation {
    Observation::Unchecked {
        why: why.to_owned(),
    }
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = SqlText)]
    name: String,
}

/// The tables that are there, and the columns of one.
fn names(conn: &mut Conn<'_>) -> Result<Vec<Name>, db_core::Error> {
    let engine = conn.engine();
    match conn.reborrow() {
        Conn::Sqlite(c) => sql_query(
            "SELECT name FROM sqlite_schema WHERE type = 'table'
             UNION ALL SELECT 'transactions.' || name FROM pragma_table_info('transactions')",
        )
        .load(c),
        Conn::Postgres(c) => sql_query(
            "SELECT relname::text AS name FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p')
             UNION ALL
             SELECT 'transactions.' || attname FROM pg_catalog.pg_attribute
             WHERE attrelid = pg_catalog.to_regclass('transactions') AND attnum > 0",
        )
        .load(c),
    }
    .map_err(|e| db_core::Error::classify(engine, &e))
}

/// A line for each that was not checked.
pub(in crate::command) fn tell(all: &[Unchecked], text: &mut Text) {
    for one in all {
        text.line(format!("not checked: {} ({})", one.name, one.why));
    }
}
