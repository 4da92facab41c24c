//! A bet is settled.

use db_core::Conn;
use db_schema::rows::BetOutcome;
use db_schema::types::{BetId, UtcTime};
use serde::{Deserialize, Serialize};

use super::balances::Balances;
use super::bet_settlement::{HeldGame, Verdict, decide, find};
use super::operations::{Asked, OperationKind, once};
use super::{MOST, games};
use crate::dialect::locking::Hold;
use crate::{Error, NotificationRepository, OutboxRepository, Result, check};

/// Settles a bet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResolveBet {
    /// Chosen by the caller, once per settlement.
    #[serde(skip)]
    pub reference: String,
    /// Which bet.
    pub bet_id: BetId,
    /// How it ended.
    pub outcome: BetOutcome,
    /// What it won beyond the stake, smallest unit of CRAP; 0 unless it was won.
    pub winnings: i64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedBet {
    /// The bet.
    pub bet_id: BetId,
    /// Its game.
    pub game_id: String,
    /// Who placed it.
    pub player_id: String,
    /// What became available: the stake and the winnings, or nothing.
    pub payout: i64,
    /// What is in the pot of the game.
    pub pot_size: i64,
    /// What the player has.
    pub balances: Balances,
}

/// Settles a bet, once. A lost stake goes into the pot of the game; winnings come from the pot and,
/// as far as that lacks, from the house; a push or a void gives the stake back.
///
/// # Errors
/// `Invalid`, `NotFound` bet, `AlreadyResolved`, `GameClosed`, `HouseShort`, `Overflow`,
/// `ReferenceConflict`, `Database`.
pub fn resolve_bet(conn: &mut Conn<'_>, request: &ResolveBet, now: UtcTime) -> Result<ResolvedBet> {
    check_result(request.outcome, request.winnings)?;
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::ResolveBet,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let found = find(conn, request.bet_id)?;
        let (game_id, open) = found.ok_or_else(|| Error::not_found("bet", request.bet_id))?;
        let (state, pot) = games::held(conn, &game_id, Hold::Pot)?;
        let verdict = Verdict {
            outcome: request.outcome,
            winnings: request.winnings,
        };
        decide(conn, open.id, verdict.outcome, now)?;
        games::open(&game_id, state)?;
        let mut game = HeldGame {
            id: &game_id,
            reference,
            pot,
            now,
        };
        let settled = game.settle(conn, &open, &verdict)?;
        if game.pot != pot {
            games::mirror_pot(conn, &game_id, game.pot)?;
        }
        games::record(conn, &game_id, &[game.event(&open, &verdict)], now)?;
        let payout = settled.payout;
        OutboxRepository::enqueue(conn, &game.entry(&open, &verdict, payout))?;
        if let Some(note) = game.note(&open, &verdict, payout) {
            NotificationRepository::create(conn, &note)?;
        }
        let pot_size = game.pot;
        Ok(ResolvedBet {
            bet_id: open.id,
            game_id,
            player_id: open.player_id,
            payout,
            pot_size,
            balances: settled.balances,
        })
    })
}

/// Winnings are of a bet that was won.
pub(super) fn check_result(outcome: BetOutcome, winnings: i64) -> Result<()> {
    check::within("winnings", winnings, 0..=MOST)?;
    check::rule(
        "winnings",
        winnings == 0 || outcome == BetOutcome::Won,
        "must be 0 unless the bet was won",
    )
}
