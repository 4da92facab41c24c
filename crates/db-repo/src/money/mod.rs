//! Money: every way in which CRAP moves.
//!
//! A player has three balances: available, locked (open bets and holds) and staked. The house, the
//! treasury and the pot of each game are accounts. An operation is a request with a reference that
//! the caller chooses, and all of it happens or nothing: balances by conditional updates that never
//! go below zero, a line for each movement of a player (`transactions`) and of an account
//! (`account_entries`), statistics, the game's event, an outbox entry, and a notification where the
//! player should know. The sum over all accounts changes only by [`deposit`], [`withdraw`] and
//! [`fund`].
//!
//! The same reference with the same content again has no second effect and gets the first answer;
//! with another content it is `ReferenceConflict`. References count per kind of operation. After
//! any error the transaction is rolled back, even if the closure swallows it; a part that may fail goes
//! under `Conn::savepoint`. On PostgreSQL use
//! `write_with_retry`: rivals may have to begin again.
//!
//! ```
//! # use db_core::{Database, RetryPolicy};
//! # use db_repo::{Error, money};
//! # fn pay(database: &Database, now: db_schema::types::UtcTime) -> Result<(), Error> {
//! let request = money::Transfer {
//!     reference: "invoice 17".into(),
//!     from: "ada".into(),
//!     to: "grace".into(),
//!     amount: 250,
//! };
//! let answer = database.write_with_retry(&RetryPolicy::default(), |conn| {
//!     money::transfer(conn, &request, now)
//! })?;
//! println!("{} left", answer.from.available);
//! # Ok(())
//! # }
//! ```
//!
//! # The order of locks
//!
//! On PostgreSQL every operation takes rows in one order, so that writes of one operation wait for one
//! another but do not lock each other up:
//!
//! 1. the reference,
//! 2. games, by key,
//! 3. staking positions, by key,
//! 4. players, by key: their balances,
//! 5. the treasury,
//! 6. the house.
//!
//! What comes with one of these needs no place of its own: a pot is changed only by who holds its game
//! alone, the statistics of a player by who holds the player. The statistics of a game come last, and
//! after them its events, since whoever bets holds the game only open.
//!
//! Of several operations in one write the second may want a row that comes before those of the first.
//! Such a write begins with [`hold`], which takes what all of them involve in this order, and games alone.

mod accounts;
mod balances;
mod bet_settlement;
mod claim_rewards;
mod deposit;
mod fund;
mod game_ending;
mod games;
mod hold;
mod holds;
mod ledger;
mod operations;
mod place_bet;
mod play_house_game;
mod positions;
mod resolve_bet;
mod rewards;
mod settle_game;
mod sheet;
mod stake;
mod transfer;
mod unstake;
mod withdraw;

pub(crate) use accounts::open_pot;
pub use balances::Balances;
pub use claim_rewards::{ClaimRewards, ClaimedRewards, claim_rewards};
pub use deposit::{Deposit, deposit};
pub use fund::{Fund, Fundable, FundedAccount, fund};
pub(crate) use games::{held as hold_game, open as open_game, record};
pub use hold::{Involved, hold};
pub use holds::{Lock, Unlock, lock, unlock};
pub use operations::OperationKind;
pub use place_bet::{PlaceBet, PlacedBet, place_bet};
pub use play_house_game::{PlayHouseGame, PlayedHouseGame, play_house_game};
pub use resolve_bet::{ResolveBet, ResolvedBet, resolve_bet};
pub use rewards::reward;
pub use settle_game::{BetResult, SettleGame, SettledGame, Settlement, settle_game};
pub use stake::{Stake, Staked, stake};
pub use transfer::{Transfer, Transferred, transfer};
pub use unstake::{Unstake, Unstaked, unstake};
pub use withdraw::{Withdraw, withdraw};

use db_core::Conn;
use db_schema::rows::{NewOutboxEntry, OutboxType};
use db_schema::types::UtcTime;

use crate::{OutboxRepository, Result};

/// Most that one operation moves, smallest unit of CRAP: 2⁵³ is a little more, so that a program
/// that has only floating-point numbers can still read it.
pub const MOST: i64 = 9_000_000_000_000_000;

/// Enqueues what the outside should know.
fn tell(
    conn: &mut Conn<'_>,
    user: Option<&str>,
    outbox_type: OutboxType,
    payload: serde_json::Value,
    now: UtcTime,
) -> Result<()> {
    let entry = NewOutboxEntry {
        user_id: user.map(str::to_owned),
        outbox_type,
        payload: payload.into(),
        created_at: now,
    };
    OutboxRepository::enqueue(conn, &entry).map(drop)
}
