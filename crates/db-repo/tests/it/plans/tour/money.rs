//! Games, bets, and everything that moves money.

use db_repo::money::{self, ClaimRewards, Fundable, Involved, Stake, Unlock, Unstake};
use db_repo::{BetRepository, GameRepository, PageRequest, UserRepository};
use db_schema::rows::{BetOutcome, GamePhase, GameState};

use super::{Step, go};
use crate::money::table::{
    self, bet_id as bet, deposit, fund, house_game, lock, transfer, withdraw,
};
use crate::rows::new_game;
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
    go(step, "money: fund", |conn| {
        money::fund(conn, &fund("h", Fundable::House, 1_000_000), at(0))?;
        money::fund(conn, &fund("t", Fundable::Treasury, 1_000_000), at(0))
    });
    go(step, "money: deposit", |conn| {
        money::deposit(conn, &deposit("r", "m1", 10_000), at(0))?;
        money::deposit(conn, &deposit("s", "m1", 10_000), at(0))?;
        // Again, which reads the answer.
        money::deposit(conn, &deposit("r", "m1", 10_000), at(0))
    });
    go(step, "money: withdraw", |conn| {
        money::withdraw(conn, &withdraw("r", "m1", 1), at(0))
    });
    go(step, "money: transfer", |conn| {
        money::transfer(conn, &transfer("r", "m1", "m2", 100), at(0))
    });
    go(step, "money: lock and unlock", |conn| {
        money::lock(conn, &lock("r", "m1", 5), at(0))?;
        let unlock = Unlock {
            reference: "r".into(),
            user_id: "m1".into(),
            amount: 5,
        };
        money::unlock(conn, &unlock, at(0))
    });
    go(step, "money: play_house_game", |conn| {
        money::play_house_game(conn, &house_game("r", "m1", (10, 20)), at(0))
    });
}

fn games(step: Step<'_>) {
    let after = |list: &str| {
        let cursor = format!("2:{list}:1700000000000000.g");
        PageRequest::default().after(cursor.parse().unwrap())
    };
    go(step, "games: create", |conn| {
        GameRepository::create(conn, &new_game("m1", 0))
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
            money::place_bet(conn, &table::bet(number, "m1", "m1", 10), at(2))?;
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
    go(step, "bets: list_open_by_game", |conn| {
        BetRepository::list_open_by_game(conn, "m1", &PageRequest::default())?;
        BetRepository::list_open_by_game(conn, "m1", &after("bets.open_by_game"))
    });
    go(step, "money: resolve_bet", |conn| {
        for (number, outcome, winnings) in [
            (1, BetOutcome::Lost, 0),
            (2, BetOutcome::Won, 15),
            (4, BetOutcome::Push, 0),
        ] {
            money::resolve_bet(conn, &table::verdict(number, outcome, winnings), at(3))?;
        }
        Ok(())
    });
    go(step, "money: settle_game", |conn| {
        let results = vec![table::result(3, BetOutcome::Lost, 0)];
        money::settle_game(conn, &table::end("m1", results, Some("m1")), at(4))
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
            lock_period_days: 365,
            ..table::stake("r", "m1", "m1", 1_000)
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
