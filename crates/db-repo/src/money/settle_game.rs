//! A game ends: its bets are settled and its pot goes to somebody.

use std::collections::{BTreeSet, HashMap, HashSet};

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{BetOutcome, GameState};
use db_schema::types::{BetId, UtcTime};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use serde::{Deserialize, Serialize};

use super::bet_settlement::{self, HeldGame, OpenBet, Verdict};
use super::game_ending::Ending;
use super::operations::{Asked, OperationKind, once};
use super::resolve_bet::check_result;
use super::{balances, games};
use crate::dialect::locking::{self, Hold};
use crate::{Error, Result, check};

statement! {
    /// With the first one that is [too many](MOST_BETS).
    struct OpenBets<'a> {
        game: &'a str as Text,
    }
    returns (Binary, Text, BigInt);
    "SELECT id, player_id, amount FROM bets WHERE game_id = " game " AND outcome IS NULL
    ORDER BY created_at, id LIMIT 100001"
}

/// How one bet ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BetResult {
    /// Which bet.
    pub bet_id: BetId,
    /// How it ended.
    pub outcome: BetOutcome,
    /// What it won beyond the stake, smallest unit of CRAP; 0 unless it was won.
    pub winnings: i64,
}

/// How a game ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// With a result.
    Completed {
        /// Of each bet of the game that is open.
        results: Vec<BetResult>,
        /// Who gets the pot; the house without one.
        winner: Option<String>,
    },
    /// Without one: all open bets are void, and what lost bets have left in the pot goes to the
    /// house.
    Cancelled,
}

/// Ends a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettleGame {
    /// Chosen by the caller, once per game.
    #[serde(skip)]
    pub reference: String,
    /// Which game.
    pub game_id: String,
    /// How.
    pub settlement: Settlement,
}

/// Bets that are settled together: what is written of them is in memory meanwhile.
const AT_ONCE: usize = 1_000;

/// Most bets that one settlement settles: all of it is one write, which others wait for on SQLite.
const MOST_BETS: usize = 100_000;

/// What helps where there are more.
const FEWER_BETS: &str =
    "must be a game with at most 100,000 open bets; resolve_bet settles the others before";

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledGame {
    /// The game.
    pub game_id: String,
    /// Completed or cancelled.
    pub state: GameState,
    /// How many bets were settled.
    pub bets: u64,
    /// What became available to players: stakes and winnings, without the pot.
    pub paid: i64,
    /// What was in the pot, after all bets.
    pub pot: i64,
    /// Who got it; the house if nobody.
    pub winner_id: Option<String>,
}

/// Ends a game: settles its open bets, lost ones first, and gives the pot to the winner or to the
/// house. All of it is one write, so a game with more than 100,000 open bets has most of them settled
/// by [`resolve_bet`](super::resolve_bet) before. Bets are settled in batches of a
/// thousand, each by as many statements as one bet; balances, accounts and statistics are written in the end, so
/// that the audit trail has one line of each player's balance.
///
/// # Errors
/// `Invalid`, also for a bet of another game or one named twice; `NotFound` game, bet or user;
/// `GameClosed`, `AlreadyResolved`, `OpenBets` if an open bet is not named, `HouseShort`,
/// `Overflow`, `ReferenceConflict`, `Database`.
pub fn settle_game(conn: &mut Conn<'_>, request: &SettleGame, now: UtcTime) -> Result<SettledGame> {
    check_request(request)?;
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::SettleGame,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let game = request.game_id.as_str();
        let pot = games::hold_open(conn, game, Hold::State)?;
        let open = open_bets(conn, game)?;
        check::rule("game_id", open.len() <= MOST_BETS, FEWER_BETS)?;
        let (state, winner) = match &request.settlement {
            Settlement::Completed { winner, .. } => (GameState::Completed, winner.as_deref()),
            Settlement::Cancelled => (GameState::Cancelled, None),
        };
        let decided = match &request.settlement {
            Settlement::Completed { results, .. } => match_up(conn, game, open, results)?,
            Settlement::Cancelled => open.into_iter().map(void).collect(),
        };
        if let Some(winner) = winner {
            balances::exists(conn, winner)?;
        }
        if let Conn::Postgres(c) = conn {
            let players = decided.iter().map(|(bet, _)| bet.player_id.as_str());
            let players: BTreeSet<_> = players.chain(winner).collect();
            locking::balances_postgres(c, &Vec::from_iter(players))?;
        }
        let held = HeldGame {
            id: game,
            reference,
            pot,
            now,
        };
        let mut ending = Ending::of(conn, held, decided.len());
        for some in decided.chunks(AT_ONCE) {
            ending.settle(some)?;
        }
        let ended = ending.end(state, winner)?;
        Ok(SettledGame {
            game_id: request.game_id.clone(),
            state,
            bets: decided.len() as u64,
            paid: ended.paid,
            pot: ended.pot,
            winner_id: winner.map(str::to_owned),
        })
    })
}

fn check_request(request: &SettleGame) -> Result<()> {
    check::key("game_id", &request.game_id)?;
    let Settlement::Completed { results, winner } = &request.settlement else {
        return Ok(());
    };
    if let Some(winner) = winner {
        check::key("winner", winner)?;
    }
    let mut named = HashSet::with_capacity(results.len());
    for result in results {
        check_result(result.outcome, result.winnings)?;
        let new = named.insert(result.bet_id);
        check::rule("results", new, "must name each bet once")?;
    }
    Ok(())
}

/// Open bets of a game, the oldest first; one more than may be settled at most.
fn open_bets(conn: &mut Conn<'_>, game: &str) -> Result<Vec<OpenBet>> {
    let found: Vec<(BetId, String, i64)> = with_conn!(conn, |c| OpenBets { game }.load(c))?;
    Ok(found
        .into_iter()
        .map(|(id, player_id, amount)| OpenBet {
            id,
            player_id,
            amount,
        })
        .collect())
}

fn void(bet: OpenBet) -> (OpenBet, Verdict) {
    let verdict = Verdict {
        outcome: BetOutcome::Void,
        winnings: 0,
    };
    (bet, verdict)
}

/// Each result with its bet, lost ones first, so that the pot can pay what it can.
fn match_up(
    conn: &mut Conn<'_>,
    game: &str,
    open: Vec<OpenBet>,
    results: &[BetResult],
) -> Result<Vec<(OpenBet, Verdict)>> {
    let mut open: HashMap<_, _> = open.into_iter().map(|bet| (bet.id, bet)).collect();
    let mut decided = Vec::with_capacity(results.len());
    for result in results {
        let Some(bet) = open.remove(&result.bet_id) else {
            return Err(not_open(conn, game, result.bet_id)?);
        };
        let verdict = Verdict {
            outcome: result.outcome,
            winnings: result.winnings,
        };
        decided.push((bet, verdict));
    }
    if !open.is_empty() {
        return Err(Error::OpenBets {
            game: game.to_owned(),
            count: open.len() as u64,
        });
    }
    decided.sort_by_key(|(_, verdict)| verdict.outcome != BetOutcome::Lost);
    Ok(decided)
}

/// Why a bet is none of the game's open ones.
fn not_open(conn: &mut Conn<'_>, game: &str, bet: BetId) -> Result<Error> {
    Ok(match bet_settlement::find(conn, bet)? {
        None => Error::not_found("bet", bet),
        Some((of, _)) if of == game => Error::AlreadyResolved(bet),
        Some(_) => Error::Invalid {
            field: "results",
            rule: format!("must name bets of the game: {bet} is of another"),
        },
    })
}
