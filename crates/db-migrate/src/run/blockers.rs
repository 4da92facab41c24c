//! Who stands in the way of a statement that could not have its lock in time (PostgreSQL).
//!
//! `pg_blocking_pids` answers only while a session waits, and this session is no longer waiting
//! when it learns that it waited in vain. So the locks of others are read on the tables that the
//! statement names, and on those of the indexes it names. A lock on a table that it does not name,
//! for example on the parent of one that it drops, is not found.

use std::fmt;

use db_core::{Conn, Engine};
use diesel::sql_types::{Array, Integer, Nullable, Text};
use diesel::{PgConnection, QueryResult, QueryableByName, RunQueryDsl, sql_query};
use serde::Serialize;

use crate::sql::names;

/// A session that holds a lock which a migration waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, QueryableByName)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Blocker {
    /// Its server process, for `pg_terminate_backend`.
    #[diesel(sql_type = Integer)]
    pub pid: i32,
    /// The name it gave itself, or what kind of process of the server it is.
    #[diesel(sql_type = Nullable<Text>)]
    pub application: Option<String>,
    /// Its role.
    #[diesel(sql_type = Nullable<Text>)]
    pub user: Option<String>,
    /// `active`, `idle in transaction`; none where the role may not see it.
    #[diesel(sql_type = Nullable<Text>)]
    pub state: Option<String>,
    /// When its present or last query began, in UTC; none where the role may not see it.
    #[diesel(sql_type = Nullable<Text>)]
    pub query_start: Option<String>,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backend {}", self.pid)?;
        let user = self.user.as_ref().map(|user| format!("user {user}"));
        let since = self
            .query_start
            .as_ref()
            .map(|at| format!("query of {at} UTC"));
        let known: Vec<&str> = [&self.application, &user, &self.state, &since]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|word| !word.is_empty())
            .collect();
        if known.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", known.join(", "))
    }
}

/// Statements that wait for readers too, because they change or remove what is read.
const WAIT_FOR_READERS: [&str; 6] = ["alter", "drop", "truncate", "lock", "reindex", "refresh"];

/// Everyone at once would be no help.
const QUERY: &str = "
    WITH named AS (
      SELECT oid FROM pg_catalog.pg_class WHERE relname = ANY($1)
      UNION
      SELECT i.indrelid FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE c.relname = ANY($1)
    ), holders AS (
      SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l
      WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
        AND l.relation IN (SELECT oid FROM named) AND l.mode <> ALL($2)
        AND l.database = (SELECT oid FROM pg_catalog.pg_database
                          WHERE datname = pg_catalog.current_database())
    )
    SELECT a.pid,
           coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend'))
             AS application,
           a.usename::text AS \"user\", a.state,
           pg_catalog.to_char(a.query_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
             AS query_start
    FROM pg_catalog.pg_stat_activity a JOIN holders h ON h.pid = a.pid
    ORDER BY a.xact_start NULLS LAST, a.pid LIMIT 3";

/// The sessions that hold locks on what the statement names, the oldest transaction first.
///
/// Not to know is no reason to fail: the list is then empty.
pub(super) fn find(conn: &mut Conn<'_>, statement: &str) -> Vec<Blocker> {
    let Conn::Postgres(c) = conn.reborrow() else {
        return Vec::new();
    };
    let names = names(Engine::Postgres, statement);
    let first = statement
        .split_ascii_whitespace()
        .next()
        .unwrap_or_default();
    let waits_for_readers = WAIT_FOR_READERS
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word));
    let harmless: &[&str] = if waits_for_readers {
        &[]
    } else {
        &["AccessShareLock"]
    };
    holders(c, &names, harmless).unwrap_or_else(|e| {
        tracing::debug!(error = %e, "who holds the lock cannot be seen");
        Vec::new()
    })
}

fn holders(
    conn: &mut PgConnection,
    names: &[String],
    harmless: &[&str],
) -> QueryResult<Vec<Blocker>> {
    sql_query(QUERY)
        .bind::<Array<Text>, _>(names)
        .bind::<Array<Text>, _>(harmless)
        .load(conn)
}
