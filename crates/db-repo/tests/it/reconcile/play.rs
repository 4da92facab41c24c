//! What is reconciled: five players, and one of each operation.

use db_core::Conn;
use db_repo::money::{self, Fundable};
use db_repo::{Error, GameRepository};
use db_schema::rows::BetOutcome;

use crate::money::table::{
    self, deposit, fund, house_game, lock, result, stake, transfer, withdraw,
};
use crate::rows::new_game;
use crate::support::at;

pub(super) use crate::money::table::bet_id as bet;

/// One of each operation, and the books of five players: `u1` to `u4` have moved money, `u5` has not.
/// In `g1` there are open bets and something in the pot, `g2` is settled.
pub(super) fn play(conn: &mut Conn<'_>) -> Result<(), Error> {
    money::fund(conn, &fund("r1", Fundable::House, 10_000), at(0))?;
    money::fund(conn, &fund("r2", Fundable::Treasury, 10_000), at(0))?;
    for n in 1..=4 {
        let deposit = deposit(&format!("r{n}"), &format!("u{n}"), 1_000);
        money::deposit(conn, &deposit, at(1))?;
    }
    money::transfer(conn, &transfer("r1", "u1", "u4", 50), at(2))?;
    money::withdraw(conn, &withdraw("r1", "u4", 70), at(3))?;
    money::lock(conn, &lock("r1", "u2", 30), at(4))?;
    money::stake(conn, &stake("r1", "p1", "u3", 200), at(5))?;
    money::play_house_game(conn, &house_game("r1", "u1", (10, 20)), at(6))?;
    bet_and_settle(conn)
}

fn bet_and_settle(conn: &mut Conn<'_>) -> Result<(), Error> {
    for id in ["g1", "g2"] {
        GameRepository::create(conn, &new_game(id, 7))?;
    }
    for (number, player) in (1..=6).zip(["u1", "u2", "u3", "u1", "u2", "u3"]) {
        let game = if number <= 3 { "g1" } else { "g2" };
        money::place_bet(conn, &table::bet(number, game, player, 100), at(8))?;
    }
    money::resolve_bet(conn, &table::verdict(3, BetOutcome::Lost, 0), at(9))?;
    let results = vec![
        result(4, BetOutcome::Won, 90),
        result(5, BetOutcome::Lost, 0),
        result(6, BetOutcome::Push, 0),
    ];
    money::settle_game(conn, &table::end("g2", results, Some("u1")), at(10))?;
    Ok(())
}
