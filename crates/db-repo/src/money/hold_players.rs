//! Players whose money several operations of one write move.

use db_core::Conn;

use crate::Result;
use crate::dialect::locking;

/// Holds the money of these players until the transaction ends, for whoever puts several operations
/// on money into one write: call it first in the closure, once, with all players whose money they
/// move, in any order.
///
/// On PostgreSQL each operation waits for rivals in an order that keeps it from locking up with
/// them, but two operations one after another need not: a deposit to Grace and then a transfer from
/// Ada to Grace holds Grace and waits for Ada, while another one's transfer does it the other way
/// round. PostgreSQL ends one of the two with a deadlock, and
/// [`write_with_retry`](db_core::Database::write_with_retry) begins it again; under load more attempts
/// meet than a policy has. Held first, they take turns. Two statements; on SQLite, where there is
/// one writer, none.
///
/// Of players it holds the money only. An operation on a game (bets and their ends) or on a staking
/// position holds that first and players afterwards: give it a write of its own, or let it be the
/// first of its write and leave the rest to the retries. A player who is not there is passed over: the
/// operation says so.
///
/// ```
/// # use db_core::{Database, RetryPolicy};
/// # use db_repo::{Error, money};
/// # fn pay(database: &Database, now: db_schema::types::UtcTime) -> Result<(), Error> {
/// # let deposit = money::Deposit { reference: "d".into(), user_id: "grace".into(), amount: 5 };
/// # let transfer = money::Transfer {
/// #     reference: "t".into(), from: "ada".into(), to: "grace".into(), amount: 5,
/// # };
/// database.write_with_retry(&RetryPolicy::default(), |conn| {
///     money::hold_players(conn, &["ada", "grace"])?;
///     money::deposit(conn, &deposit, now)?;
///     money::transfer(conn, &transfer, now)
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Database`.
pub fn hold_players(conn: &mut Conn<'_>, users: &[&str]) -> Result<()> {
    match conn {
        // One writer at a time holds everything.
        Conn::Sqlite(_) => Ok(()),
        Conn::Postgres(c) => Ok(locking::players_postgres(c, users)?),
    }
}
