//! PostgreSQL: a session-level advisory lock on the migrating connection.
//!
//! It is polled with `pg_try_advisory_lock`. The blocking form waits inside a transaction, and a
//! `CREATE INDEX CONCURRENTLY` of the holder waits for that transaction in turn, which the server
//! ends with `deadlock detected`.

use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use diesel::{PgConnection, QueryResult, QueryableByName, RunQueryDsl, sql_query};
use sha2::{Digest as _, Sha256};

use db_core::Engine;

use super::{Patience, Try, poll};
use crate::error::{Error, in_database};

/// How often the session is asked who it is before it is trusted. Behind a pooler that is not busy
/// one answer, and another, may come from the same server process by chance.
const LOOKS: usize = 5;

/// Advisory locks live in one space per database; this half of the key is ours ("bcdb").
const NAMESPACE: i32 = 0x6263_6462;

/// The held lock.
#[derive(Debug)]
pub(crate) struct AdvisoryLock {
    key: i32,
}

#[derive(QueryableByName)]
struct Tried {
    #[diesel(sql_type = Bool)]
    got: bool,
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[derive(Debug, QueryableByName)]
struct Owned {
    #[diesel(sql_type = Integer)]
    pid: i32,
    #[diesel(sql_type = BigInt)]
    held: i64,
}

#[derive(QueryableByName)]
struct Released {
    #[diesel(sql_type = Bool)]
    done: bool,
}

#[derive(QueryableByName)]
struct Holder {
    #[diesel(sql_type = Integer)]
    pid: i32,
    #[diesel(sql_type = Nullable<Text>)]
    application: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    client: Option<String>,
}

pub(super) fn acquire(
    conn: &mut PgConnection,
    schema: &str,
    patience: &mut Patience<'_>,
) -> Result<AdvisoryLock, Error> {
    let key = key_of(schema);
    let pid = poll(patience, || {
        let tried =
            sql_query("SELECT pg_try_advisory_lock($1, $2) AS got, pg_backend_pid() AS pid")
                .bind::<Integer, _>(NAMESPACE)
                .bind::<Integer, _>(key)
                .get_result::<Tried>(conn)
                .map_err(in_database(Engine::Postgres, "taking the migration lock"))?;
        if tried.got {
            Ok(Try::Got(tried.pid))
        } else {
            Ok(Try::Held(holder(conn, key)))
        }
    })?;
    refuse_pooler(conn, key, pid)?;
    Ok(AdvisoryLock { key })
}

impl AdvisoryLock {
    pub(super) fn release(self, conn: &mut PgConnection) {
        let released = sql_query("SELECT pg_advisory_unlock($1, $2) AS done")
            .bind::<Integer, _>(NAMESPACE)
            .bind::<Integer, _>(self.key)
            .get_result::<Released>(conn);
        match released {
            Ok(Released { done: true }) => {}
            Ok(Released { done: false }) => tracing::warn!(
                "the migration lock was no longer held at the end of the run: this connection goes \
                 through a pooler that changes the server's session; another run may have gone on \
                 beside this one, and a session of the pool may still hold the lock"
            ),
            // The server releases it with the session at the latest.
            Err(e) => {
                tracing::warn!(error = %e, "the migration lock could not be released by itself");
            }
        }
    }
}

/// Runs in two schemas of one database do not disturb each other.
fn key_of(schema: &str) -> i32 {
    let hash = Sha256::digest(schema.as_bytes());
    i32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// Behind a transaction pooler, consecutive statements reach different backends: the lock would be
/// stranded on one of them, and guard nothing.
///
/// That is only found where the statements do reach different ones: [`AdvisoryLock::release`] looks
/// once more, when the run has given the pooler more occasion.
fn refuse_pooler(conn: &mut PgConnection, key: i32, pid: i32) -> Result<(), Error> {
    for _ in 0..LOOKS {
        let owned = owned(conn, key)
            .map_err(in_database(Engine::Postgres, "checking the migration lock"))?;
        if !owned.is_held_by(pid) {
            return Err(Error::TransactionPooler);
        }
    }
    Ok(())
}

impl Owned {
    /// Whether it is the same session as before, and has the lock.
    const fn is_held_by(&self, pid: i32) -> bool {
        self.pid == pid && self.held == 1
    }
}

fn owned(conn: &mut PgConnection, key: i32) -> QueryResult<Owned> {
    sql_query(
        "SELECT pg_backend_pid() AS pid,
                (SELECT count(*) FROM pg_catalog.pg_locks
                 WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted
                   AND classid::bigint = $1 AND objid::bigint = $2 AND objsubid = 2) AS held",
    )
    .bind::<BigInt, _>(i64::from(NAMESPACE.cast_unsigned()))
    .bind::<BigInt, _>(i64::from(key.cast_unsigned()))
    .get_result::<Owned>(conn)
}

/// Who holds the lock, as far as the server tells.
fn holder(conn: &mut PgConnection, key: i32) -> String {
    let found = sql_query(
        "SELECT a.pid, a.application_name AS application, a.client_addr::text AS client
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
           AND l.classid::bigint = $1 AND l.objid::bigint = $2
           AND l.database = (SELECT oid FROM pg_catalog.pg_database
                             WHERE datname = current_database())",
    )
    .bind::<BigInt, _>(i64::from(NAMESPACE.cast_unsigned()))
    .bind::<BigInt, _>(i64::from(key.cast_unsigned()))
    .get_result::<Holder>(conn);
    match found {
        Ok(h) => format!(
            "{} from {} (backend {})",
            h.application
                .filter(|a| !a.is_empty())
                .unwrap_or_else(|| "a session".to_owned()),
            h.client.unwrap_or_else(|| "this host".to_owned()),
            h.pid
        ),
        // It was released between the two statements.
        Err(_) => "another session".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Owned;

    #[test]
    fn another_session_or_one_without_the_lock_is_not_ours() {
        assert!(Owned { pid: 7, held: 1 }.is_held_by(7));
        assert!(!Owned { pid: 8, held: 1 }.is_held_by(7));
        assert!(!Owned { pid: 7, held: 0 }.is_held_by(7));
    }
}
