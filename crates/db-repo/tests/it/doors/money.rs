//! Requests that move money.

use db_repo::money::{self, ClaimRewards, Fundable, Involved, MOST, Settlement, Unlock, Unstake};
use db_schema::rows::{BetOutcome, HouseOutcome};

use super::Door;
use super::wrong::{Writes, door};
use crate::money::table::{
    bet, cancel, deposit, end, fund, house_game, lock, result, stake, transfer, verdict, withdraw,
};
use crate::support::at;

/// No operation moves so much.
const NO_AMOUNTS: [i64; 5] = [0, -1, i64::MIN, MOST + 1, i64::MAX];

/// No payment is of so much, and nothing may be one.
const NO_PAYMENTS: [i64; 4] = [-1, i64::MIN, MOST + 1, i64::MAX];

pub(super) fn doors() -> Vec<Door> {
    let mut doors = moves();
    doors.extend(games());
    doors.extend(staking());
    doors.extend(involved());
    doors
}

fn moves() -> Vec<Door> {
    let deposits = Writes::of(deposit("r", "ada", 1))
        .by(door!(|conn, new| money::deposit(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("user_id", |new, text| new.user_id = text)
        .numbers("amount", &NO_AMOUNTS, |new, n| new.amount = n);
    let withdrawals = Writes::of(withdraw("r", "ada", 1))
        .by(door!(|conn, new| money::withdraw(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("user_id", |new, text| new.user_id = text)
        .numbers("amount", &NO_AMOUNTS, |new, n| new.amount = n);
    let funds = Writes::of(fund("r", Fundable::House, 1))
        .by(door!(|conn, new| money::fund(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .numbers("amount", &NO_AMOUNTS, |new, n| new.amount = n);
    let transfers = Writes::of(transfer("r", "ada", "bob", 1))
        .by(door!(|conn, new| money::transfer(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("from", |new, text| new.from = text)
        .key("to", |new, text| new.to = text)
        .with("to", |new| new.to = "ada".into())
        .numbers("amount", &NO_AMOUNTS, |new, n| new.amount = n);
    let locks = Writes::of(lock("r", "ada", 1))
        .by(door!(|conn, new| money::lock(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("user_id", |new, text| new.user_id = text)
        .numbers("amount", &NO_AMOUNTS, |new, n| new.amount = n);
    let unlock = Unlock {
        reference: "r".to_owned(),
        user_id: "ada".to_owned(),
        amount: 1,
    };
    let unlocks = Writes::of(unlock)
        .by(door!(|conn, new| money::unlock(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("user_id", |new, text| new.user_id = text)
        .numbers("amount", &NO_AMOUNTS, |new, n| new.amount = n);
    let all = [
        deposits.doors(),
        withdrawals.doors(),
        funds.doors(),
        transfers.doors(),
        locks.doors(),
        unlocks.doors(),
    ];
    all.into_iter().flatten().collect()
}

fn games() -> Vec<Door> {
    let bets = Writes::of(bet(1, "g1", "ada", 1))
        .by(door!(|conn, new| money::place_bet(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("game_id", |new, text| new.game_id = text)
        .key("player_id", |new, text| new.player_id = text)
        .numbers("amount", &NO_AMOUNTS, |new, n| new.amount = n);
    let verdicts = Writes::of(verdict(1, BetOutcome::Won, 1))
        .by(door!(|conn, new| money::resolve_bet(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .numbers("winnings", &NO_PAYMENTS, |new, n| new.winnings = n)
        .with("winnings", |new| new.outcome = BetOutcome::Lost);
    let ends = Writes::of(cancel("g1"))
        .by(door!(|conn, new| money::settle_game(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("game_id", |new, text| new.game_id = text)
        .key("winner", |new, text| {
            new.settlement = end("g1", Vec::new(), Some(&text)).settlement;
        })
        .numbers("winnings", &NO_PAYMENTS, |new, n| {
            new.settlement = Settlement::Completed {
                results: vec![result(1, BetOutcome::Won, n)],
                winner: None,
            };
        })
        .with("results", |new| {
            let twice = vec![result(1, BetOutcome::Lost, 0); 2];
            new.settlement = end("g1", twice, None).settlement;
        });
    let houses = Writes::of(house_game("r", "ada", (10, 20)))
        .by(door!(|conn, new| money::play_house_game(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("user_id", |new, text| new.user_id = text)
        .text("algorithm_type", |new, text| new.algorithm_type = text)
        .numbers("bet_amount", &NO_AMOUNTS, |new, n| new.bet_amount = n)
        .numbers("payout_amount", &NO_PAYMENTS, |new, n| {
            new.payout_amount = n;
        })
        .floats("multiplier", &[f64::NAN, f64::INFINITY, -0.1], |new, n| {
            new.multiplier = n;
        })
        .floats("house_edge", &[f64::NAN, 1.1, -1.1], |new, n| {
            new.house_edge = n;
        })
        .text("session_id", |new, text| new.session_id = Some(text))
        .text("seed", |new, text| new.seed = Some(text))
        .json("metadata", |new, json| new.metadata = Some(json))
        .with("outcome", |new| new.outcome = HouseOutcome::Lost);
    let all = [bets.doors(), verdicts.doors(), ends.doors(), houses.doors()];
    all.into_iter().flatten().collect()
}

fn staking() -> Vec<Door> {
    let stakes = Writes::of(stake("r", "p1", "ada", 1))
        .by(door!(|conn, new| money::stake(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("position_id", |new, text| new.position_id = text)
        .key("user_id", |new, text| new.user_id = text)
        .numbers("amount", &NO_AMOUNTS, |new, n| new.amount = n)
        .with("lock_period_days", |new| new.lock_period_days = -1)
        .with("lock_period_days", |new| new.lock_period_days = 36_501)
        .floats(
            "reward_rate",
            &[f64::NAN, f64::INFINITY, -0.1, 1e6 + 1.0],
            |new, n| {
                new.reward_rate = n;
            },
        )
        .with("reward_rate", |new| {
            (new.amount, new.reward_rate, new.lock_period_days) = (MOST, 1e6, 36_500);
        });
    let unstake = Unstake {
        reference: "r".to_owned(),
        position_id: "p1".to_owned(),
    };
    let unstakes = Writes::of(unstake)
        .by(door!(|conn, new| money::unstake(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("position_id", |new, text| new.position_id = text);
    let claim = ClaimRewards {
        reference: "r".to_owned(),
        position_id: "p1".to_owned(),
    };
    let claims = Writes::of(claim)
        .by(door!(|conn, new| money::claim_rewards(conn, new, at(0))))
        .key("reference", |new, text| new.reference = text)
        .key("position_id", |new, text| new.position_id = text);
    let all = [stakes.doors(), unstakes.doors(), claims.doors()];
    all.into_iter().flatten().collect()
}

/// What is held before several operations.
fn involved() -> Vec<Door> {
    Writes::of(Involved::default())
        .by(door!(|conn, new| money::hold(conn, new)))
        .with("player_id", |new| new.players = &["ada", "a\0b"])
        .with("game_id", |new| new.games = &["a\0b"])
        .with("game_id", |new| new.ending = &["a\0b"])
        .with("position_id", |new| new.positions = &["a\0b"])
        .doors()
}
