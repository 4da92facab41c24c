//! Transactions, begun through Diesel's own manager, so that a migration written in Rust can nest.

use std::time::Duration;

use db_core::{Conn, Engine, with_conn};
use diesel::connection::{AnsiTransactionManager, TransactionManager, TransactionManagerStatus};
use diesel::{Connection, QueryResult};

use crate::error::{Error, in_database};

/// How long a statement waits for a lock on a table. Everyone who comes later waits behind it, so
/// it must be shorter than what users notice; the migration is then tried again.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// What is being done when a transaction is committed, as errors name it.
pub(crate) const COMMITTING: &str = "committing";

/// Begins a transaction that can write: `BEGIN IMMEDIATE` on SQLite, because a deferred one that
/// has read fails at its first write whatever `busy_timeout` says.
pub(crate) fn begin(conn: &mut Conn<'_>) -> Result<(), Error> {
    let begun = match conn.reborrow() {
        Conn::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE"),
        Conn::Postgres(c) => AnsiTransactionManager::begin_transaction_sql(
            c,
            &format!(
                "BEGIN; SET LOCAL lock_timeout = {}",
                LOCK_TIMEOUT.as_millis()
            ),
        ),
    };
    match begun {
        Err(diesel::result::Error::AlreadyInTransaction) => Err(Error::Refused(
            "the connection is inside a transaction; migrations need one that is not".to_owned(),
        )),
        other => other.map_err(in_database(conn.engine(), "beginning a transaction")),
    }
}

/// Commits it.
pub(crate) fn commit(conn: &mut Conn<'_>) -> Result<(), Error> {
    let engine = conn.engine();
    let committed: QueryResult<()> =
        with_conn!(conn, |c| AnsiTransactionManager::commit_transaction(c));
    committed.map_err(in_database(engine, COMMITTING))
}

/// Undoes it, with every savepoint that a panic left open. An engine that has ended the transaction
/// by itself has undone it already.
pub(crate) fn rollback(conn: &mut Conn<'_>) {
    while depth(conn) > 0 {
        let undone: QueryResult<()> =
            with_conn!(conn, |c| AnsiTransactionManager::rollback_transaction(c));
        if let Err(e) = undone {
            tracing::warn!(error = %e, "the rollback failed; the engine undoes what is left");
            return;
        }
    }
}

/// How many transactions and savepoints are open, as Diesel counts them.
pub(crate) fn depth(conn: &mut Conn<'_>) -> u32 {
    fn count<C>(conn: &mut C) -> u32
    where
        C: Connection<TransactionManager = AnsiTransactionManager>,
    {
        match AnsiTransactionManager::transaction_manager_status_mut(conn) {
            TransactionManagerStatus::Valid(status) => status
                .transaction_depth()
                .map_or(0, std::num::NonZeroU32::get),
            TransactionManagerStatus::InError => 0,
        }
    }
    with_conn!(conn, |c| count(c))
}

/// Runs `body` in a transaction of its own.
pub(crate) fn within<T>(
    conn: &mut Conn<'_>,
    body: impl FnOnce(&mut Conn<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    begin(conn)?;
    let done = body(conn).and_then(|value| {
        if depth(conn) == 1 {
            return Ok(value);
        }
        Err(Error::Refused(format!(
            "the transaction was ended from inside, by {}",
            match conn.engine() {
                Engine::Sqlite => "a ROLLBACK, an OR ROLLBACK or an I/O error",
                Engine::Postgres => "a COMMIT or ROLLBACK",
            }
        )))
    });
    match done.and_then(|value| commit(conn).map(|()| value)) {
        Ok(value) => Ok(value),
        Err(e) => {
            rollback(conn);
            Err(e)
        }
    }
}
