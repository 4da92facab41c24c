//! Balances that somebody changed by hand: what would go below zero is refused, and says where to look.

use db_core::Database;
use db_repo::Error;
use db_repo::money::{self, Unlock, Unstake};
use db_schema::rows::BetOutcome;
use db_testkit::{TestDb, both_engines};

use super::table::{cancel, end, lock, place, resolve, result, stake, table, verdict};
use crate::support::{at, refusal, write};

/// What no operation does.
#[track_caller]
fn by_hand(database: &Database, sql: &str) {
    write(database, |conn| {
        conn.batch_execute(sql).map_err(Error::from)
    });
}

both_engines! {
    fn less_than_a_bet_is_locked(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 10);
        by_hand(&database, "UPDATE token_balances SET locked_balance = 9 WHERE user_id = 'ada'");
        let said = "the locked_balance of ada is 9, which is less than 10: reconcile";
        for outcome in [BetOutcome::Lost, BetOutcome::Push] {
            let refused = refusal(&database, |conn| {
                money::resolve_bet(conn, &verdict(1, outcome, 0), at(20))
            });
            assert_eq!(refused.to_string(), said);
        }
        let refused = refusal(&database, |conn| money::settle_game(conn, &cancel("g1"), at(20)));
        assert_eq!(refused.to_string(), said);
    }

    fn less_is_held_than_is_given_back(db: TestDb) {
        let database = table(&db);
        write(&database, |conn| {
            money::lock(conn, &lock("l", "ada", 50), at(1))?;
            money::stake(conn, &stake("s", "p1", "ada", 70), at(1))
        });
        by_hand(
            &database,
            "UPDATE token_balances SET locked_balance = 0, staked_balance = 69 WHERE user_id = 'ada'",
        );
        let unlock = Unlock { reference: "l".into(), user_id: "ada".into(), amount: 50 };
        let refused = refusal(&database, |conn| money::unlock(conn, &unlock, at(2)));
        assert_eq!(
            refused.to_string(),
            "the locked_balance of ada is 0, which is less than 50: reconcile"
        );
        let unstake = Unstake { reference: "u".into(), position_id: "p1".into() };
        let refused = refusal(&database, |conn| money::unstake(conn, &unstake, at(2)));
        assert_eq!(
            refused.to_string(),
            "the staked_balance of ada is 69, which is less than 70: reconcile"
        );
    }

    fn less_is_in_a_pot_than_its_game_says(db: TestDb) {
        let database = table(&db);
        for number in 1..=2 {
            place(&database, number, "g1", "ada", 100);
        }
        resolve(&database, 1, BetOutcome::Lost, 0);
        by_hand(&database, "UPDATE accounts SET balance = 20 WHERE id = 'pot:g1'");
        let refused = refusal(&database, |conn| {
            money::resolve_bet(conn, &verdict(2, BetOutcome::Won, 30), at(20))
        });
        let said = |needed| {
            format!("the pot of game g1 has 20, which is less than {needed}: reconcile")
        };
        assert_eq!(refused.to_string(), said(30));
        let won = end("g1", vec![result(2, BetOutcome::Won, 30)], None);
        let refused = refusal(&database, |conn| money::settle_game(conn, &won, at(20)));
        assert_eq!(refused.to_string(), said(30));
        // And the rest of it, which goes to the house.
        let refused = refusal(&database, |conn| money::settle_game(conn, &cancel("g1"), at(20)));
        assert_eq!(refused.to_string(), said(100));
    }
}
