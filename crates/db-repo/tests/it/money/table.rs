//! A table to play at: players with money, a funded house, games, and short ways to say requests.

use db_core::{Conn, Database};
use db_repo::money::{
    self, BetResult, Deposit, Fund, Fundable, Lock, PlaceBet, PlacedBet, PlayHouseGame, ResolveBet,
    ResolvedBet, SettleGame, SettledGame, Settlement, Stake, Transfer, Withdraw,
};
use db_repo::{Error, GameRepository};
use db_schema::rows::{BetOutcome, BetType, HouseOutcome};
use db_schema::types::{BetId, UtcTime};
use db_testkit::TestDb;

use super::books::books;
use crate::rows::new_game;
use crate::support::{at, open, refusal, users, write};

/// Ada, Bob and Cid with 1,000 each, the house with 500, game g1 open.
#[track_caller]
pub(crate) fn table(db: &TestDb) -> Database {
    let database = open(db);
    users(&database, &["ada", "bob", "cid"]);
    for user in ["ada", "bob", "cid"] {
        let request = deposit(&format!("start {user}"), user, 1_000);
        write(&database, |conn| money::deposit(conn, &request, at(0)));
    }
    let request = fund("start", Fundable::House, 500);
    write(&database, |conn| money::fund(conn, &request, at(0)));
    game(&database, "g1");
    database
}

#[track_caller]
pub(crate) fn game(database: &Database, id: &str) {
    let new = new_game(id, 0);
    write(database, |conn| GameRepository::create(conn, &new));
}

pub(crate) fn deposit(reference: &str, user: &str, amount: i64) -> Deposit {
    Deposit {
        reference: reference.to_owned(),
        user_id: user.to_owned(),
        amount,
    }
}

pub(crate) fn fund(reference: &str, account: Fundable, amount: i64) -> Fund {
    Fund {
        reference: reference.to_owned(),
        account,
        amount,
    }
}

pub(crate) fn bet_id(number: u128) -> BetId {
    BetId(uuid::Uuid::from_u128(number))
}

/// A bet on the pass line, referred to by its number.
pub(crate) fn bet(number: u128, game: &str, player: &str, amount: i64) -> PlaceBet {
    PlaceBet {
        reference: format!("bet {number}"),
        bet_id: bet_id(number),
        game_id: game.to_owned(),
        player_id: player.to_owned(),
        bet_type: BetType::Pass,
        amount,
    }
}

#[track_caller]
pub(crate) fn place(
    database: &Database,
    number: u128,
    game: &str,
    player: &str,
    amount: i64,
) -> PlacedBet {
    let request = bet(number, game, player, amount);
    write(database, |conn| money::place_bet(conn, &request, at(10)))
}

pub(crate) fn verdict(number: u128, outcome: BetOutcome, winnings: i64) -> ResolveBet {
    ResolveBet {
        reference: format!("end of bet {number}"),
        bet_id: bet_id(number),
        outcome,
        winnings,
    }
}

#[track_caller]
pub(crate) fn resolve(
    database: &Database,
    number: u128,
    outcome: BetOutcome,
    winnings: i64,
) -> ResolvedBet {
    let request = verdict(number, outcome, winnings);
    write(database, |conn| money::resolve_bet(conn, &request, at(20)))
}

pub(crate) fn result(number: u128, outcome: BetOutcome, winnings: i64) -> BetResult {
    BetResult {
        bet_id: bet_id(number),
        outcome,
        winnings,
    }
}

pub(crate) fn end(game: &str, results: Vec<BetResult>, winner: Option<&str>) -> SettleGame {
    SettleGame {
        reference: format!("end of {game}"),
        game_id: game.to_owned(),
        settlement: Settlement::Completed {
            results,
            winner: winner.map(str::to_owned),
        },
    }
}

pub(crate) fn cancel(game: &str) -> SettleGame {
    SettleGame {
        reference: format!("end of {game}"),
        game_id: game.to_owned(),
        settlement: Settlement::Cancelled,
    }
}

/// A game against the house that pays so much, the bet included.
pub(crate) fn house_game(reference: &str, user: &str, (bet, payout): (i64, i64)) -> PlayHouseGame {
    PlayHouseGame {
        reference: reference.to_owned(),
        user_id: user.to_owned(),
        algorithm_type: "dice".to_owned(),
        bet_amount: bet,
        outcome: match payout.cmp(&bet) {
            std::cmp::Ordering::Greater => HouseOutcome::Won,
            std::cmp::Ordering::Equal => HouseOutcome::Push,
            std::cmp::Ordering::Less => HouseOutcome::Lost,
        },
        multiplier: 1.98,
        payout_amount: payout,
        house_edge: 0.01,
        session_id: None,
        seed: None,
        metadata: None,
    }
}

/// So much at ten per cent a year, for a day at least.
pub(crate) fn stake(reference: &str, position: &str, user: &str, amount: i64) -> Stake {
    Stake {
        reference: reference.to_owned(),
        position_id: position.to_owned(),
        user_id: user.to_owned(),
        amount,
        lock_period_days: 1,
        reward_rate: 0.1,
    }
}

pub(crate) fn transfer(reference: &str, from: &str, to: &str, amount: i64) -> Transfer {
    Transfer {
        reference: reference.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        amount,
    }
}

pub(crate) fn withdraw(reference: &str, user: &str, amount: i64) -> Withdraw {
    Withdraw {
        reference: reference.to_owned(),
        user_id: user.to_owned(),
        amount,
    }
}

pub(crate) fn lock(reference: &str, user: &str, amount: i64) -> Lock {
    Lock {
        reference: reference.to_owned(),
        user_id: user.to_owned(),
        amount,
    }
}

#[track_caller]
pub(crate) fn settle(database: &Database, request: &SettleGame) -> SettledGame {
    write(database, |conn| money::settle_game(conn, request, at(30)))
}

/// Refused, and nothing of it is left.
#[track_caller]
pub(crate) fn refused<T: Send + std::fmt::Debug>(
    database: &Database,
    f: impl FnOnce(&mut Conn<'_>, UtcTime) -> Result<T, Error> + Send,
) -> Error {
    let before = books(database);
    let error = refusal(database, |conn| f(conn, at(99)));
    assert_eq!(books(database), before, "after: {error}");
    error
}
