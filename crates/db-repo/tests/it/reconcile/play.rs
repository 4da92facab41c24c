//! What is reconciled: five players, and one of each operation.

use db_core::Conn;
use db_repo::money::{self, BetResult, Fundable, Settlement};
use db_repo::{Error, GameRepository};
use db_schema::rows::{BetOutcome, BetType, HouseOutcome, NewGame};
use db_schema::types::BetId;
use uuid::Uuid;

use crate::support::at;

pub(super) fn bet(number: u128) -> BetId {
    Uuid::from_u128(number).into()
}

/// One of each operation, and the books of five players: `u1` to `u4` have moved money, `u5` has not.
/// In `g1` there are open bets and something in the pot, `g2` is settled.
pub(super) fn play(conn: &mut Conn<'_>) -> Result<(), Error> {
    let reference = |n: i32| format!("r{n}");
    for (n, account) in [(1, Fundable::House), (2, Fundable::Treasury)] {
        let fund = money::Fund {
            reference: reference(n),
            account,
            amount: 10_000,
        };
        money::fund(conn, &fund, at(0))?;
    }
    for n in 1..=4 {
        let user_id = format!("u{n}");
        let deposit = money::Deposit {
            reference: reference(n),
            user_id,
            amount: 1_000,
        };
        money::deposit(conn, &deposit, at(1))?;
    }
    let transfer = money::Transfer {
        reference: reference(1),
        from: "u1".into(),
        to: "u4".into(),
        amount: 50,
    };
    money::transfer(conn, &transfer, at(2))?;
    let withdraw = money::Withdraw {
        reference: reference(1),
        user_id: "u4".into(),
        amount: 70,
    };
    money::withdraw(conn, &withdraw, at(3))?;
    let lock = money::Lock {
        reference: reference(1),
        user_id: "u2".into(),
        amount: 30,
    };
    money::lock(conn, &lock, at(4))?;
    let stake = money::Stake {
        reference: reference(1),
        position_id: "p1".into(),
        user_id: "u3".into(),
        amount: 200,
        lock_period_days: 30,
        reward_rate: 0.05,
    };
    money::stake(conn, &stake, at(5))?;
    let house = money::PlayHouseGame {
        reference: reference(1),
        user_id: "u1".into(),
        algorithm_type: "dice".into(),
        bet_amount: 10,
        outcome: HouseOutcome::Won,
        multiplier: 2.0,
        payout_amount: 20,
        house_edge: 0.01,
        session_id: None,
        seed: None,
        metadata: None,
    };
    money::play_house_game(conn, &house, at(6))?;
    bet_and_settle(conn)
}

fn bet_and_settle(conn: &mut Conn<'_>) -> Result<(), Error> {
    for game in ["g1", "g2"] {
        GameRepository::create(
            conn,
            &NewGame {
                id: game.into(),
                created_at: at(7),
            },
        )?;
    }
    for (number, player) in (1..=6).zip(["u1", "u2", "u3", "u1", "u2", "u3"]) {
        let place = money::PlaceBet {
            reference: format!("b{number}"),
            bet_id: bet(number),
            game_id: if number <= 3 { "g1" } else { "g2" }.into(),
            player_id: player.into(),
            bet_type: BetType::Pass,
            amount: 100,
        };
        money::place_bet(conn, &place, at(8))?;
    }
    let lost = money::ResolveBet {
        reference: "r1".into(),
        bet_id: bet(3),
        outcome: BetOutcome::Lost,
        winnings: 0,
    };
    money::resolve_bet(conn, &lost, at(9))?;
    let results = [
        (4, BetOutcome::Won, 90),
        (5, BetOutcome::Lost, 0),
        (6, BetOutcome::Push, 0),
    ]
    .map(|(number, outcome, winnings)| BetResult {
        bet_id: bet(number),
        outcome,
        winnings,
    });
    let settle = money::SettleGame {
        reference: "r1".into(),
        game_id: "g2".into(),
        settlement: Settlement::Completed {
            results: results.into(),
            winner: Some("u1".into()),
        },
    };
    money::settle_game(conn, &settle, at(10))?;
    Ok(())
}
