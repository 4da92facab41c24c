//! Games of dice and games against the house.

use db_core::{Conn, Database};
use db_schema::rows::{BetOutcome, BetType, HouseOutcome, NewGame};
use db_schema::types::{BetId, UtcTime};
use uuid::Uuid;

use super::{Filled, Moments, Options, Progress, Source, same, write};
use crate::money::{self, BetResult, Settlement};
use crate::{Error, GameRepository, Result, TokenRepository};

/// Players of one game, and bets of each.
const PLAYERS: std::ops::Range<u64> = 2..7;
const BETS: std::ops::Range<u64> = 1..6;

/// One game in so many is still on.
const STILL_ON: u64 = 10;

/// Edge of the house in its own games: that of the pass line.
const HOUSE_EDGE: f64 = 0.014;

/// What one game is made of, fixed before it is written, so that a retry writes the same.
struct Script {
    game: String,
    at: UtcTime,
    bets: Vec<money::PlaceBet>,
    results: Vec<BetResult>,
    winner: Option<String>,
    settled: bool,
    house: Vec<money::PlayHouseGame>,
}

pub(super) fn fill(
    database: &Database,
    options: &Options,
    source: &mut Source,
    filled: &mut Filled,
    progress: &mut impl FnMut(Progress),
) -> Result<()> {
    for game in 0..options.games {
        let script = script(options, source, game);
        let found = database.read(|conn| GameRepository::find(conn, &script.game))?;
        if let Some(found) = found {
            // Of an interrupted run; each game is one write.
            same(found.created_at == script.at)?;
        } else {
            let (bets, house_games) =
                write(database, &source.prefix, script.at, |conn, moments| {
                    play(conn, &script, moments)
                })?;
            filled.games += 1;
            filled.bets += bets;
            filled.house_games += house_games;
        }
        let done = game + 1;
        if done.is_multiple_of(64) || done == options.games {
            progress(Progress {
                phase: "games",
                done,
                total: options.games,
            });
        }
    }
    Ok(())
}

fn script(options: &Options, source: &mut Source, number: u64) -> Script {
    let at = source.next_moment();
    let game = source.key("game", number);
    let mut bets = Vec::new();
    let mut results = Vec::new();
    let mut house = Vec::new();
    for seat in 0..source.rng.u64(PLAYERS) {
        let player = source.rng.u64(..options.users);
        let player = source.key("user", player);
        for bet in 0..source.rng.u64(BETS) {
            // One number per bet, over all games of this seed.
            let bet = (number << 16) | (seat << 8) | bet;
            let bet_id = BetId(Uuid::from_u64_pair(
                at.timestamp_micros().unsigned_abs(),
                (options.seed << 48) ^ bet,
            ));
            let amount = 10 * (1 + source.rng.i64(0..50));
            bets.push(money::PlaceBet {
                reference: source.key("bet", bet),
                bet_id,
                game_id: game.clone(),
                player_id: player.clone(),
                bet_type: BetType::ALL[source.rng.usize(..BetType::ALL.len())],
                amount,
            });
            results.push(result(source, bet_id, amount));
        }
        house.push(house_game(source, (number << 8) | seat, player));
    }
    let winner = source.rng.choice(&bets).map(|bet| bet.player_id.clone());
    Script {
        game,
        at,
        bets,
        results,
        winner,
        settled: number % STILL_ON != STILL_ON - 1,
        house,
    }
}

/// Nearly even, as the pass line is.
fn result(source: &mut Source, bet_id: BetId, amount: i64) -> BetResult {
    let (outcome, winnings) = match source.rng.u32(0..1_000) {
        0..493 => (BetOutcome::Won, amount),
        493..970 => (BetOutcome::Lost, 0),
        _ => (BetOutcome::Push, 0),
    };
    BetResult {
        bet_id,
        outcome,
        winnings,
    }
}

fn house_game(source: &mut Source, number: u64, user_id: String) -> money::PlayHouseGame {
    let bet_amount = 5 * (1 + source.rng.i64(0..20));
    let won = source.rng.u32(0..1_000) < 493;
    money::PlayHouseGame {
        reference: source.key("house", number),
        user_id,
        algorithm_type: (*source
            .rng
            .choice(&["dice", "slots", "coin"])
            .unwrap_or(&"dice"))
        .to_owned(),
        bet_amount,
        outcome: if won {
            HouseOutcome::Won
        } else {
            HouseOutcome::Lost
        },
        multiplier: if won { 2.0 } else { 0.0 },
        payout_amount: if won { 2 * bet_amount } else { 0 },
        house_edge: HOUSE_EDGE,
        session_id: Some(source.key("session", number >> 8)),
        seed: Some(format!("{:016x}", source.rng.u64(..))),
        metadata: None,
    }
}

/// Plays a game; how many bets and games against the house there were. Who has run out of money does
/// not bet.
fn play(conn: &mut Conn<'_>, script: &Script, moments: &mut Moments) -> Result<(u64, u64)> {
    let new = NewGame {
        id: script.game.clone(),
        created_at: script.at,
    };
    GameRepository::create(conn, &new)?;
    let mut placed = Vec::new();
    for (bet, result) in script.bets.iter().zip(&script.results) {
        if available(conn, &bet.player_id)? < bet.amount {
            continue;
        }
        money::place_bet(conn, bet, moments.next())?;
        placed.push(result.clone());
    }
    let mut house_games = 0;
    for game in &script.house {
        if available(conn, &game.user_id)? < game.bet_amount {
            continue;
        }
        money::play_house_game(conn, game, moments.next())?;
        house_games += 1;
    }
    let bets = placed.len() as u64;
    if script.settled {
        let settle = money::SettleGame {
            reference: script.game.clone(),
            game_id: script.game.clone(),
            settlement: Settlement::Completed {
                results: placed,
                winner: script.winner.clone(),
            },
        };
        money::settle_game(conn, &settle, moments.next())?;
    }
    Ok::<_, Error>((bets, house_games))
}

/// What a player can bet.
fn available(conn: &mut Conn<'_>, user: &str) -> Result<i64> {
    let found = TokenRepository::find(conn, user)?;
    Ok(found.map_or(0, |balances| balances.balance))
}
