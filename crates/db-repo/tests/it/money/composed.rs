//! Several operations in one write.

use std::sync::atomic::{AtomicUsize, Ordering};

use db_core::{Conn, Database, RetryPolicy};
use db_repo::money::{self, Involved, Transfer};
use db_repo::{Error, TokenRepository, UserRepository};
use db_testkit::{TestDb, both_engines};

use super::concurrency::so_many;
use super::table::{bet_id, deposit, table};
use crate::support::{at, new_user, read, users, write};

const TASKS: usize = 50;

const ROUNDS: usize = 4;

fn of_players<'a>(players: &'a [&'a str]) -> Involved<'a> {
    Involved {
        players,
        ..Involved::default()
    }
}

/// Money for one player in, and on to the other.
fn composed(conn: &mut Conn<'_>, number: &str, of: &str, on: &str) -> Result<(), Error> {
    money::deposit(conn, &deposit(&format!("in {number}"), of, 10), at(5))?;
    let request = Transfer {
        reference: format!("on {number}"),
        from: of.into(),
        to: on.into(),
        amount: 10,
    };
    money::transfer(conn, &request, at(5)).map(drop)
}

/// How often the closure ran for so many writes of the tasks, each of which succeeded.
fn attempts(database: &Database, players: [&str; 2]) -> usize {
    let attempts = AtomicUsize::new(0);
    so_many(TASKS, |n| {
        for round in 0..ROUNDS {
            let [of, on] = if (n + round) % 2 == 0 {
                players
            } else {
                [players[1], players[0]]
            };
            let done = database.write_with_retry(&RetryPolicy::default(), |conn| {
                attempts.fetch_add(1, Ordering::Relaxed);
                // In whatever order they are named.
                money::hold(conn, &of_players(&[on, of]))?;
                composed(conn, &format!("{n} {round}"), of, on)
            });
            done.unwrap();
        }
    });
    attempts.into_inner()
}

both_engines! {
    fn composed_writes_that_hold_their_players_do_not_lock_each_other_up(db: TestDb) {
        let database = table(&db);
        // No attempt is wasted: they wait, and none is ended by the engine.
        assert_eq!(attempts(&database, ["ada", "bob"]), TASKS * ROUNDS);
        let has = |user| read(&database, |conn| TokenRepository::get(conn, user)).balance;
        let all = i64::try_from(2_000 + 10 * TASKS * ROUNDS).unwrap();
        assert_eq!(has("ada") + has("bob"), all);
    }

    fn players_without_any_money_yet_are_held_as_well(db: TestDb) {
        let database = table(&db);
        users(&database, &["new", "old"]);
        assert_eq!(attempts(&database, ["new", "old"]), TASKS * ROUNDS);
    }

    fn who_holds_players_and_who_transfers_wait_for_one_another(db: TestDb) {
        let database = table(&db);
        let runs = AtomicUsize::new(0);
        so_many(TASKS, |n| {
            for round in 0..ROUNDS {
                let number = format!("{n} {round}");
                let [of, on] = [["ada", "bob"], ["bob", "ada"]][round % 2];
                let done = database.write_with_retry(&RetryPolicy::default(), |conn| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    if n % 2 == 0 {
                        money::hold(conn, &of_players(&[of, on]))?;
                        return composed(conn, &number, of, on);
                    }
                    let request = Transfer {
                        reference: number.clone(),
                        from: of.into(),
                        to: on.into(),
                        amount: 1,
                    };
                    money::transfer(conn, &request, at(5)).map(drop)
                });
                done.unwrap();
            }
        });
        assert_eq!(runs.into_inner(), TASKS * ROUNDS);
    }

    fn who_is_not_there_is_passed_over_and_the_operation_says_so(db: TestDb) {
        let database = table(&db);
        let refused = database.write(|conn| {
            let nobody = Involved {
                games: &["none"],
                ending: &["neither"],
                bets: &[bet_id(9)],
                positions: &["none"],
                ..of_players(&["nobody", "ada", "ada"])
            };
            money::hold(conn, &nobody)?;
            money::hold(conn, &Involved::default())?;
            money::deposit(conn, &deposit("d", "nobody", 1), at(5))
        });
        assert!(matches!(refused, Err(Error::NotFound { entity: "user", .. })), "{refused:?}");
        // Others may be made meanwhile, and refer to them.
        write(&database, |conn| {
            money::hold(conn, &of_players(&["ada"]))?;
            UserRepository::create(conn, &new_user("dan", 0))
        });
    }
}
