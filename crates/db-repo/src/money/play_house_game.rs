//! A game of one player against the house.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{
    EntryType, HouseOutcome, NewNotification, NotificationType, OutboxType, TransactionType,
};
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::accounts::{self, Account, Entry};
use super::balances::{self, Balances, Change, Line};
use super::operations::{Asked, OperationKind, once};
use super::{MOST, tell};
use crate::moment::just_after;
use crate::{NotificationRepository, Result, StatsRepository, check};

/// Characters of the name of an algorithm.
const WORD: RangeInclusive<usize> = 1..=64;

/// Characters of a session's name and of a seed.
const TEXT: RangeInclusive<usize> = 1..=512;

statement! {
    struct AddGame<'a> {
        user: &'a str as Text,
        algorithm: &'a str as Text,
        bet: i64 as BigInt,
        outcome: HouseOutcome as Text,
        multiplier: f64 as Double,
        payout: i64 as BigInt,
        edge: f64 as Double,
        session: Option<&'a str> as Nullable<Text>,
        seed: Option<&'a str> as Nullable<Text>,
        now: UtcTime as UtcTimestamp,
        metadata: Option<&'a Json> as Nullable<JsonDoc>,
    }
    returns BigInt;
    "INSERT INTO house_games (user_id, algorithm_type, bet_amount, outcome, multiplier,
    payout_amount, house_edge, session_id, seed, created_at, metadata) VALUES ("
    user ", " algorithm ", " bet ", " outcome ", " multiplier ", " payout ", " edge ", "
    session ", " seed ", " now ", " metadata ") RETURNING id"
}

/// A game of one player against the house, decided already.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlayHouseGame {
    /// Chosen by the caller, once per game.
    #[serde(skip)]
    pub reference: String,
    /// Who plays.
    pub user_id: String,
    /// Which algorithm decided.
    pub algorithm_type: String,
    /// The stake, smallest unit of CRAP.
    pub bet_amount: i64,
    /// How it ended.
    pub outcome: HouseOutcome,
    /// Payout in multiples of the bet.
    pub multiplier: f64,
    /// What the house pays, the stake included; smallest unit of CRAP.
    pub payout_amount: i64,
    /// Share of the bet that the house keeps on average: 0.014 is 1.4 per cent.
    pub house_edge: f64,
    /// Session of play, as the client names it.
    pub session_id: Option<String>,
    /// Seed of the random numbers, so that the game can be proven fair.
    pub seed: Option<String>,
    /// What else is known.
    pub metadata: Option<Json>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayedHouseGame {
    /// Key of the game's row.
    pub house_game_id: i64,
    /// What the player has.
    pub balances: Balances,
}

/// Plays a game against the house: the bet goes to the house, the payout comes from it.
///
/// # Errors
/// `Invalid`, `NotFound` user, `InsufficientFunds`, `HouseShort`, `Overflow`, `ReferenceConflict`,
/// `Database`.
pub fn play_house_game(
    conn: &mut Conn<'_>,
    request: &PlayHouseGame,
    now: UtcTime,
) -> Result<PlayedHouseGame> {
    check_request(request)?;
    let (user, reference) = (request.user_id.as_str(), request.reference.as_str());
    let asked = Asked {
        kind: OperationKind::PlayHouseGame,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let balances = exchange(conn, request, now)?;
        StatsRepository::house_game(conn, user, request.bet_amount, request.payout_amount, now)?;
        let house_game_id = add_game(conn, request, now)?;
        let payload = json!({
            "reference": reference, "house_game_id": house_game_id, "user_id": user,
            "algorithm_type": request.algorithm_type, "bet_amount": request.bet_amount,
            "payout_amount": request.payout_amount, "outcome": request.outcome,
        });
        tell(conn, Some(user), OutboxType::HouseGamePlayed, payload, now)?;
        if request.outcome == HouseOutcome::Won {
            let metadata = json!({
                "house_game_id": house_game_id, "payout": request.payout_amount,
            });
            let note = NewNotification {
                user_id: user.to_owned(),
                notification_type: NotificationType::Win,
                title: "Game won".to_owned(),
                message: format!("Your game paid {} CRAP.", request.payout_amount),
                metadata: Some(metadata.into()),
                created_at: now,
            };
            NotificationRepository::create(conn, &note)?;
        }
        Ok(PlayedHouseGame {
            house_game_id,
            balances,
        })
    })
}

fn check_request(request: &PlayHouseGame) -> Result<()> {
    check::key("user_id", &request.user_id)?;
    check::text("algorithm_type", &request.algorithm_type, WORD)?;
    check::within("bet_amount", request.bet_amount, 1..=MOST)?;
    check::within("payout_amount", request.payout_amount, 0..=MOST)?;
    check::within("multiplier", request.multiplier, 0.0..=1e308)?;
    check::within("house_edge", request.house_edge, -1.0..=1.0)?;
    for (field, value) in [("session_id", &request.session_id), ("seed", &request.seed)] {
        if let Some(value) = value {
            check::text(field, value, TEXT)?;
        }
    }
    if let Some(metadata) = &request.metadata {
        check::json("metadata", &metadata.0)?;
    }
    let outcome = match request.payout_amount.cmp(&request.bet_amount) {
        Ordering::Greater => HouseOutcome::Won,
        Ordering::Equal => HouseOutcome::Push,
        Ordering::Less => HouseOutcome::Lost,
    };
    check::rule(
        "outcome",
        request.outcome == outcome,
        "must be won, push or lost as the payout is more than the bet, the same, or less",
    )
}

/// The bet goes to the house, and the payout comes from it.
fn exchange(conn: &mut Conn<'_>, request: &PlayHouseGame, now: UtcTime) -> Result<Balances> {
    let (user, reference) = (request.user_id.as_str(), request.reference.as_str());
    let (bet, payout) = (request.bet_amount, request.payout_amount);
    let line = Line::of(TransactionType::HouseBet, reference);
    let mut balances = balances::change(conn, user, Change::available(-bet), line, now)?;
    // Both rows change twice.
    let later = just_after(now);
    if payout > 0 {
        let line = Line::of(TransactionType::HouseWin, reference);
        balances = balances::change(conn, user, Change::available(payout), line, later)?;
    }
    let entry = |kind| Entry { kind, reference };
    accounts::change(conn, Account::House, bet, entry(EntryType::HouseBet), now)?;
    if payout > 0 {
        accounts::change(
            conn,
            Account::House,
            -payout,
            entry(EntryType::HouseWin),
            later,
        )?;
    }
    Ok(balances)
}

fn add_game(conn: &mut Conn<'_>, request: &PlayHouseGame, now: UtcTime) -> Result<i64> {
    let add = AddGame {
        user: &request.user_id,
        algorithm: &request.algorithm_type,
        bet: request.bet_amount,
        outcome: request.outcome,
        multiplier: request.multiplier,
        payout: request.payout_amount,
        edge: request.house_edge,
        session: request.session_id.as_deref(),
        seed: request.seed.as_deref(),
        now,
        metadata: request.metadata.as_ref(),
    };
    Ok(with_conn!(conn, |c| add.get_result(c))?)
}
