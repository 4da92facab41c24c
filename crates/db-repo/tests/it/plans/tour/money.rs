//! Games, bets, and everything that moves money.

use db_repo::money::{
    self, BetResult, ClaimRewards, Deposit, Fund, Fundable, Involved, Lock, PlaceBet,
    PlayHouseGame, ResolveBet, SettleGame, Settlement, Stake, Transfer, Unlock, Unstake, Withdraw,
};
use db_repo::{BetRepository, GameRepository, PageRequest, UserRepository};
use db_schema::rows::{BetOutcome, BetType, GamePhase, GameState, HouseOutcome, NewGame};
use db_schema::types::BetId;

use super::{Step, go};
use crate::support::{at, new_user};

const DAY: i64 = 86_400;

pub(super) fn run(step: Step<'_>) {
    go(step, "money: players", |conn| {
        UserRepository::create(conn, &new_user("m1", 0))?;
        UserRepository::create(conn, &new_user("m2", 0))
    });
    moves(step);
    games(step);
    bets(step);
    staking(step);
}

fn moves(step: Step<'_>) {
    let reference = || "r".to_owned();
    let user_id = || "m1".to_owned();
    go(step, "money: fund", |conn| {
        for account in [Fundable::House, Fundable::Treasury] {
            let reference = format!("{account:?}");
            let amount = 1_000_000;
            money::fund(
                conn,
                &Fund {
                    reference,
                    account,
                    amount,
                },
                at(0),
            )?;
        }
        Ok(())
    });
    go(step, "money: deposit", |conn| {
        let request = Deposit {
            reference: reference(),
            user_id: user_id(),
            amount: 10_000,
        };
        money::deposit(conn, &request, at(0))?;
        money::deposit(
            conn,
            &Deposit {
                reference: "s".into(),
                ..request.clone()
            },
            at(0),
        )?;
        // Again, which reads the answer.
        money::deposit(conn, &request, at(0))
    });
    go(step, "money: withdraw", |conn| {
        let request = Withdraw {
            reference: reference(),
            user_id: user_id(),
            amount: 1,
        };
        money::withdraw(conn, &request, at(0))
    });
    go(step, "money: transfer", |conn| {
        let request = Transfer {
            reference: reference(),
            from: user_id(),
            to: "m2".into(),
            amount: 100,
        };
        money::transfer(conn, &request, at(0))
    });
    go(step, "money: lock and unlock", |conn| {
        let lock = Lock {
            reference: reference(),
            user_id: user_id(),
            amount: 5,
        };
        money::lock(conn, &lock, at(0))?;
        let unlock = Unlock {
            reference: reference(),
            user_id: user_id(),
            amount: 5,
        };
        money::unlock(conn, &unlock, at(0))
    });
    go(step, "money: play_house_game", |conn| {
        let request = PlayHouseGame {
            reference: reference(),
            user_id: user_id(),
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
        money::play_house_game(conn, &request, at(0))
    });
}

fn games(step: Step<'_>) {
    let after = |list: &str| {
        let cursor = format!("2:{list}:1700000000000000.g");
        PageRequest::default().after(cursor.parse().unwrap())
    };
    go(step, "games: create", |conn| {
        let id = "m1".to_owned();
        GameRepository::create(
            conn,
            &NewGame {
                id,
                created_at: at(0),
            },
        )
    });
    go(step, "games: find", |conn| GameRepository::find(conn, "m1"));
    go(step, "games: start", |conn| {
        GameRepository::start(conn, "m1", at(1))
    });
    go(step, "games: advance_phase", |conn| {
        GameRepository::advance_phase(conn, "m1", GamePhase::Point, at(1))
    });
    go(step, "games: list_by_state", |conn| {
        GameRepository::list_by_state(conn, GameState::Open, &PageRequest::default())?;
        GameRepository::list_by_state(conn, GameState::Open, &after("games.by_state"))
    });
    go(step, "games: list_active", |conn| {
        GameRepository::list_active(conn, &PageRequest::default())?;
        GameRepository::list_active(conn, &after("games.active"))
    });
}

fn bet(number: u128) -> BetId {
    BetId(uuid::Uuid::from_u128(number))
}

fn bets(step: Step<'_>) {
    let after = |list: &str| {
        let cursor = format!("2:{list}:1700000000000000.{}", bet(1));
        PageRequest::default().after(cursor.parse().unwrap())
    };
    go(step, "money: hold", |conn| {
        let involved = Involved {
            players: &["m1", "u1"],
            games: &["m1"],
            ending: &["m1"],
            bets: &[bet(1)],
            positions: &["m1"],
        };
        money::hold(conn, &involved)
    });
    go(step, "money: place_bet", |conn| {
        for number in 1..=4 {
            let request = PlaceBet {
                reference: number.to_string(),
                bet_id: bet(number),
                game_id: "m1".into(),
                player_id: "m1".into(),
                bet_type: BetType::Pass,
                amount: 10,
            };
            money::place_bet(conn, &request, at(2))?;
        }
        Ok(())
    });
    go(step, "bets: find", |conn| BetRepository::find(conn, bet(1)));
    go(step, "bets: list_by_game", |conn| {
        BetRepository::list_by_game(conn, "m1", &PageRequest::default())?;
        BetRepository::list_by_game(conn, "m1", &after("bets.by_game"))
    });
    go(step, "bets: list_by_player", |conn| {
        BetRepository::list_by_player(conn, "m1", &PageRequest::default())?;
        BetRepository::list_by_player(conn, "m1", &after("bets.by_player"))
    });
    go(step, "bets: open_of_game", |conn| {
        BetRepository::open_of_game(conn, "m1")
    });
    go(step, "money: resolve_bet", |conn| {
        for (number, outcome, winnings) in [
            (1, BetOutcome::Lost, 0),
            (2, BetOutcome::Won, 15),
            (4, BetOutcome::Push, 0),
        ] {
            let request = ResolveBet {
                reference: number.to_string(),
                bet_id: bet(number),
                outcome,
                winnings,
            };
            money::resolve_bet(conn, &request, at(3))?;
        }
        Ok(())
    });
    go(step, "money: settle_game", |conn| {
        let result = BetResult {
            bet_id: bet(3),
            outcome: BetOutcome::Lost,
            winnings: 0,
        };
        let request = SettleGame {
            reference: "m1".into(),
            game_id: "m1".into(),
            settlement: Settlement::Completed {
                results: vec![result],
                winner: Some("m1".into()),
            },
        };
        money::settle_game(conn, &request, at(4))
    });
    go(step, "bets: create_many", |conn| {
        let mut past = BetRepository::get(conn, bet(3))?;
        past.id = bet(5);
        BetRepository::create_many(conn, &[past])
    });
}

fn staking(step: Step<'_>) {
    let position_id = || "m1".to_owned();
    go(step, "money: stake", |conn| {
        let request = Stake {
            reference: "r".into(),
            position_id: position_id(),
            user_id: "m1".into(),
            amount: 1_000,
            lock_period_days: 365,
            reward_rate: 0.1,
        };
        money::stake(conn, &request, at(0))
    });
    go(step, "money: claim_rewards", |conn| {
        let request = ClaimRewards {
            reference: "r".into(),
            position_id: position_id(),
        };
        money::claim_rewards(conn, &request, at(100 * DAY))
    });
    go(step, "money: unstake", |conn| {
        let request = Unstake {
            reference: "r".into(),
            position_id: position_id(),
        };
        money::unstake(conn, &request, at(400 * DAY))
    });
}
