//! Which tables a write touched, told by the server itself.
//!
//! Whoever writes to a table holds a lock on it until the transaction ends, which is stronger than
//! those of reading and of FOR UPDATE: rules, triggers, cascades and functions too, on partitions and
//! foreign tables as well. So a transaction's own locks name all that it can have changed. What it
//! changed of the schema is seen from the statements.
//!
//! The alternative, `pg_stat_xact_user_tables`, takes four times as long, can be switched off, and
//! still counts what the session wrote in earlier transactions that were not reported yet.
//!
//! It errs on one side: a statement that touched no row counts as one that did.

use diesel::sql_types::Text;
use diesel::{PgConnection, RunQueryDsl};

use crate::{Engine, Error, statement};

statement! {
    /// Names of the locked tables, and of those whose partitions or children they are: a query over
    /// the parent shows their rows.
    struct Touched {}
    returns Text;
    "WITH RECURSIVE touched (oid) AS (
         SELECT relation FROM pg_catalog.pg_locks
         WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'relation'
           AND mode NOT IN ('AccessShareLock', 'RowShareLock')
         UNION
         SELECT inhparent FROM pg_catalog.pg_inherits JOIN touched ON inhrelid = touched.oid
     )
     SELECT CAST(relname AS text) FROM pg_catalog.pg_class JOIN touched USING (oid)
     WHERE relnamespace <> CAST('pg_catalog' AS regnamespace)"
}

/// The tables that the present transaction can have changed.
///
/// # Errors
/// Why the server did not answer. The transaction is over then: the server takes its COMMIT
/// without an error, and rolls back.
pub(super) fn tables(conn: &mut PgConnection) -> Result<Vec<String>, Error> {
    Touched {}
        .load(conn)
        .map_err(|e| Error::classify(Engine::Postgres, &e))
}
