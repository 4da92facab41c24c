//! A player bets in a game.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{BetType, GameEvent, OutboxType, TransactionType};
use db_schema::types::{BetId, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::balances::{self, Balances, Change, Line};
use super::operations::{Asked, OperationKind, once};
use super::{MOST, games, tell};
use crate::dialect::locking::Hold;
use crate::refusal::refused;
use crate::stats::BetPlaced;
use crate::{Error, Result, StatsRepository, check};

statement! {
    struct AddBet<'a> {
        id: BetId as Binary,
        game: &'a str as Text,
        player: &'a str as Text,
        bet_type: BetType as Text,
        amount: i64 as BigInt,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO bets (id, game_id, player_id, bet_type, amount, created_at) VALUES ("
    id ", " game ", " player ", " bet_type ", " amount ", " now ")"
}

statement! {
    struct Join<'a> {
        game: &'a str as Text,
        player: &'a str as Text,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO game_players (game_id, player_id, joined_at) VALUES (" game ", " player ", " now
    ") ON CONFLICT DO NOTHING"
}

/// A player bets in a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlaceBet {
    /// Chosen by the caller, once per bet.
    #[serde(skip)]
    pub reference: String,
    /// Key of the bet to be.
    pub bet_id: BetId,
    /// In which game.
    pub game_id: String,
    /// Who.
    pub player_id: String,
    /// On what.
    pub bet_type: BetType,
    /// The stake, smallest unit of CRAP.
    pub amount: i64,
}

/// What the player has then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedBet {
    /// The bet.
    pub bet_id: BetId,
    /// What the player has.
    pub balances: Balances,
}

/// Places a bet: its stake is locked until the bet is settled. The game has to be open or active.
///
/// # Errors
/// `Invalid`, `NotFound` game or user, `GameClosed`, `InsufficientFunds`, `AlreadyExists` bet,
/// `ReferenceConflict`, `Database`.
pub fn place_bet(conn: &mut Conn<'_>, request: &PlaceBet, now: UtcTime) -> Result<PlacedBet> {
    check::key("game_id", &request.game_id)?;
    check::key("player_id", &request.player_id)?;
    check::within("amount", request.amount, 1..=MOST)?;
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::PlaceBet,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        games::hold_open(conn, &request.game_id, Hold::Open)?;
        let balances = lock_stake(conn, request, now)?;
        add_bet(conn, request, now)?;
        let first = join(conn, request, now)?;
        let counted = BetPlaced {
            game_id: &request.game_id,
            player_id: &request.player_id,
            amount: request.amount,
            first_in_game: first,
        };
        StatsRepository::bet_placed(conn, counted, now)?;
        let placed = GameEvent::BetPlaced {
            bet_id: request.bet_id,
            player_id: request.player_id.clone(),
            bet_type: request.bet_type,
            amount: request.amount,
        };
        games::record(conn, &request.game_id, &[placed], now)?;
        let payload = json!({
            "reference": reference, "bet_id": request.bet_id, "game_id": request.game_id,
            "player_id": request.player_id, "bet_type": request.bet_type,
            "amount": request.amount,
        });
        tell(
            conn,
            Some(&request.player_id),
            OutboxType::BetPlaced,
            payload,
            now,
        )?;
        Ok(PlacedBet {
            bet_id: request.bet_id,
            balances,
        })
    })
}

fn lock_stake(conn: &mut Conn<'_>, request: &PlaceBet, now: UtcTime) -> Result<Balances> {
    let change = Change {
        available: -request.amount,
        locked: request.amount,
        staked: 0,
    };
    let bet = request.bet_id.to_string();
    let line = Line::of(TransactionType::Bet, &bet);
    balances::change(conn, &request.player_id, change, line, now)
}

fn add_bet(conn: &mut Conn<'_>, request: &PlaceBet, now: UtcTime) -> Result<()> {
    let add = AddBet {
        id: request.bet_id,
        game: &request.game_id,
        player: &request.player_id,
        bet_type: request.bet_type,
        amount: request.amount,
        now,
    };
    let added = with_conn!(conn, |c| add.execute(c));
    added.map(drop).map_err(|error| {
        let taken = |constraint: &str| {
            (constraint == "pk_bets").then(|| Error::already_exists("bet", request.bet_id))
        };
        refused(conn, error, taken, &[])
    })
}

/// The player takes part in the game; whether that is new.
fn join(conn: &mut Conn<'_>, request: &PlaceBet, now: UtcTime) -> Result<bool> {
    let join = Join {
        game: &request.game_id,
        player: &request.player_id,
        now,
    };
    Ok(with_conn!(conn, |c| join.execute(c))? == 1)
}
