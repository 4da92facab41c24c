//! What several operations of one write involve, held before the first of them.

use std::collections::BTreeSet;

use db_core::Conn;
use db_schema::types::BetId;
use diesel::{PgConnection, QueryResult};

use super::accounts::Account;
use crate::dialect::{composing, locking};
use crate::{Result, check};

/// What the operations of one write involve: the keys that their requests name, in any order. What
/// follows from a key is held as well: of a bet its game and its player, of a position its player, of a
/// game that ends the players of its open bets.
///
/// Who is not there is passed over: the operation says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Involved<'a> {
    /// Whose money is moved: `user_id`, `player_id`, `from`, `to`, `winner`.
    pub players: &'a [&'a str],
    /// In which bets are placed, or which start or go on.
    pub games: &'a [&'a str],
    /// Which [`settle_game`](super::settle_game) ends.
    pub ending: &'a [&'a str],
    /// Which [`resolve_bet`](super::resolve_bet) settles.
    pub bets: &'a [BetId],
    /// Which [`claim_rewards`](super::claim_rewards) or [`unstake`](super::unstake) pays.
    pub positions: &'a [&'a str],
}

/// Holds what several operations on money involve until the transaction ends: call it first in the
/// closure, once, with all that they involve. Then such a write waits for others and never locks up
/// with them.
///
/// On PostgreSQL each operation waits for rivals in an order that keeps it from locking up with
/// them, but two operations one after another need not: a deposit to Grace and then a transfer from
/// Ada to Grace holds Grace and waits for Ada, while another one's transfer does it the other way
/// round; and so do bets in two games. PostgreSQL ends one of the two with a deadlock, and
/// [`write_with_retry`](db_core::Database::write_with_retry) begins it again; under load more attempts
/// meet than a policy has. Held first, in [the order of locks](super#the-order-of-locks), they take turns.
///
/// It costs two statements for players, and one or two for each other kind that is named; on SQLite,
/// where there is one writer, none. Whoever bets in a game that is held waits from the beginning of the
/// bet, instead of from where bets of one game take turns anyway.
///
/// ```
/// # use db_core::{Database, RetryPolicy};
/// # use db_repo::{Error, money};
/// # fn play(
/// #     database: &Database, bet: &money::PlaceBet, transfer: &money::Transfer,
/// #     now: db_schema::types::UtcTime,
/// # ) -> Result<(), Error> {
/// let involved = money::Involved {
///     players: &[&bet.player_id, &transfer.from, &transfer.to],
///     games: &[&bet.game_id],
///     ..money::Involved::default()
/// };
/// database.write_with_retry(&RetryPolicy::default(), |conn| {
///     money::hold(conn, &involved)?;
///     money::place_bet(conn, bet, now)?;
///     money::transfer(conn, transfer, now)
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// Three things are not held, and left to the retries: a reference that is asked for by itself as well
/// (who asks again asks for the whole write), the first money of a player who has none yet, and the
/// treasury for [`fund`](super::fund), which belongs into a write of its own.
///
/// # Errors
/// `Invalid` for a key that cannot be, `Database`.
pub fn hold(conn: &mut Conn<'_>, involved: &Involved<'_>) -> Result<()> {
    let named = [
        ("player_id", involved.players),
        ("game_id", involved.games),
        ("game_id", involved.ending),
        ("position_id", involved.positions),
    ];
    for (field, keys) in named {
        keys.iter().try_for_each(|key| check::sought(field, key))?;
    }
    match conn {
        // One writer at a time holds everything.
        Conn::Sqlite(_) => Ok(()),
        Conn::Postgres(c) => Ok(hold_postgres(c, involved)?),
    }
}

/// In the order of locks.
fn hold_postgres(c: &mut PgConnection, involved: &Involved<'_>) -> QueryResult<()> {
    let of_bets = composing::places_of(c, involved.bets)?;
    let (in_games, by_players): (Vec<_>, Vec<_>) = of_bets.into_iter().unzip();
    let named = involved.games.iter().chain(involved.ending);
    composing::hold_games(c, &all(named, &[&in_games]))?;
    let betting = composing::players_of_open_bets(c, involved.ending)?;
    let staking = composing::hold_positions(c, involved.positions)?;
    let players = all(involved.players.iter(), &[&by_players, &betting, &staking]);
    if !players.is_empty() {
        locking::players_postgres(c, &players)?;
    }
    if !involved.positions.is_empty() {
        locking::account_postgres(c, &Account::Treasury.id())?;
    }
    Ok(())
}

/// Each key once.
fn all<'k>(named: impl Iterator<Item = &'k &'k str>, found: &[&'k [String]]) -> Vec<&'k str> {
    let found = found
        .iter()
        .flat_map(|keys| keys.iter().map(String::as_str));
    let keys: BTreeSet<&str> = named.copied().chain(found).collect();
    keys.into_iter().collect()
}
