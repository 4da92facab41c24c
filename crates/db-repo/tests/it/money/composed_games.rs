//! Several operations in one write that involve games, bets and staking positions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use db_core::{Conn, Database, Engine, RetryPolicy, with_conn};
use db_repo::money::{self, ClaimRewards, Fundable, Involved, Stake, Transfer, Unstake};
use db_repo::{Error, Reconciliation};
use db_schema::rows::BetOutcome;
use db_testkit::{TestDb, both_engines};
use diesel::Connection as _;
use diesel::connection::InstrumentationEvent;

use super::concurrency::{so_many, wait_for_a_waiter};
use super::table::{
    bet, bet_id, cancel, deposit, end, fund, game, house_game, place, table, verdict,
};
use crate::support::{at, read, write};

const TASKS: usize = 24;

const ROUNDS: usize = 4;

/// Statements of [`money::hold`] on PostgreSQL at most, whatever is named.
const MOST_STATEMENTS: usize = 7;

/// A second game, much money everywhere, and for each player a position that pays all the time.
fn large_table(db: &TestDb) -> Database {
    let database = table(db);
    game(&database, "g2");
    write(&database, |conn| {
        for account in [Fundable::House, Fundable::Treasury] {
            let request = fund(&format!("much {account:?}"), account, 1_000_000_000);
            money::fund(conn, &request, at(0))?;
        }
        for user in ["ada", "bob"] {
            money::deposit(
                conn,
                &deposit(&format!("much {user}"), user, 1_000_000),
                at(0),
            )?;
            money::stake(conn, &stake(&format!("of {user}"), user), at(0))?;
        }
        Ok(())
    });
    database
}

/// 100 that earn three a second.
fn stake(position: &str, user: &str) -> Stake {
    Stake {
        reference: format!("open {position}"),
        position_id: position.into(),
        user_id: user.into(),
        amount: 100,
        lock_period_days: 1,
        reward_rate: 1_000_000.0,
    }
}

/// One of everything, in one order or the other: `number` is this write's own.
fn everything(conn: &mut Conn<'_>, number: usize) -> Result<(), Error> {
    let [one, other] = [["ada", "bob"], ["bob", "ada"]][number % 2];
    let [first, second] = [["g1", "g2"], ["g2", "g1"]][number / 2 % 2];
    let now = at(100 + i64::try_from(number).unwrap());
    let key = number as u128 * 10;
    let own = format!("own {number}");
    money::place_bet(conn, &bet(key, first, one, 1), now)?;
    money::stake(conn, &stake(&own, one), now)?;
    money::claim_rewards(conn, &claim(number, one), now)?;
    money::place_bet(conn, &bet(key + 1, second, other, 1), now)?;
    money::play_house_game(conn, &house_game(&format!("p {number}"), one, (2, 3)), now)?;
    let transfer = Transfer {
        reference: format!("t {number}"),
        from: one.into(),
        to: other.into(),
        amount: 1,
    };
    money::transfer(conn, &transfer, now)?;
    money::claim_rewards(conn, &claim(number, other), now)?;
    let close = Unstake {
        reference: format!("close {number}"),
        position_id: own,
    };
    money::unstake(conn, &close, now)?;
    money::resolve_bet(conn, &verdict(key, BetOutcome::Won, 2), now).map(drop)
}

fn claim(number: usize, user: &str) -> ClaimRewards {
    ClaimRewards {
        reference: format!("claim {number} of {user}"),
        position_id: format!("of {user}"),
    }
}

/// What [`everything`] involves. A position and a bet that it makes itself are nobody else's.
const EVERYTHING: Involved<'static> = Involved {
    players: &["bob", "ada"],
    games: &["g2", "g1"],
    ending: &[],
    bets: &[],
    positions: &["of bob", "of ada"],
};

/// What is done by itself meanwhile.
fn alone(conn: &mut Conn<'_>, number: usize) -> Result<(), Error> {
    let [one, other] = [["ada", "bob"], ["bob", "ada"]][number % 2];
    let now = at(100 + i64::try_from(number).unwrap());
    match number / 2 % 5 {
        0 => money::place_bet(conn, &bet(number as u128 * 10, "g1", one, 1), now).map(drop),
        1 => money::place_bet(conn, &bet(number as u128 * 10, "g2", "cid", 1), now).map(drop),
        2 => money::claim_rewards(conn, &claim(number, one), now).map(drop),
        3 => money::play_house_game(conn, &house_game(&format!("p {number}"), one, (2, 3)), now)
            .map(drop),
        _ => {
            let transfer = Transfer {
                reference: format!("t {number}"),
                from: one.into(),
                to: other.into(),
                amount: 1,
            };
            money::transfer(conn, &transfer, now).map(drop)
        }
    }
}

/// Runs so many writes at once, each of which has to succeed; how often their closures ran.
fn attempts(
    database: &Database,
    run: impl Fn(&mut Conn<'_>, usize) -> Result<(), Error> + Sync,
) -> usize {
    let attempts = AtomicUsize::new(0);
    so_many(TASKS, |n| {
        for round in 0..ROUNDS {
            let done = database.write_with_retry(&RetryPolicy::default(), |conn| {
                attempts.fetch_add(1, Ordering::Relaxed);
                run(conn, n * ROUNDS + round)
            });
            done.unwrap();
        }
    });
    attempts.into_inner()
}

both_engines! {
    fn writes_of_everything_that_hold_it_do_not_lock_each_other_up(db: TestDb) {
        let database = large_table(&db);
        let ran = attempts(&database, |conn, number| {
            if number % 3 == 0 {
                return alone(conn, number);
            }
            money::hold(conn, &EVERYTHING)?;
            everything(conn, number)
        });
        // No attempt is wasted: they wait, and none is ended by the engine.
        assert_eq!(ran, TASKS * ROUNDS);
        let report = read(&database, |conn| Reconciliation::new().run(conn));
        assert_eq!(report.differences, []);
    }

    fn bets_that_are_settled_in_two_games_at_once_are_held(db: TestDb) {
        let database = large_table(&db);
        let writes = (TASKS * ROUNDS) as u128;
        for number in 0..writes {
            let [first, second] = [["g1", "g2"], ["g2", "g1"]][number as usize % 2];
            place(&database, number * 2, first, ["ada", "bob"][number as usize / 2 % 2], 1);
            place(&database, number * 2 + 1, second, "cid", 1);
        }
        let ran = attempts(&database, |conn, number| {
            let bets = [0, 1].map(|next| number as u128 * 2 + next);
            // Of their games and players it is not told.
            let involved = Involved { bets: &bets.map(bet_id), ..Involved::default() };
            money::hold(conn, &involved)?;
            for bet in bets {
                money::resolve_bet(conn, &verdict(bet, BetOutcome::Won, 1), at(20))?;
            }
            Ok(())
        });
        assert_eq!(ran, TASKS * ROUNDS);
    }

    fn games_that_end_together_are_held_with_who_bets_in_them(db: TestDb) {
        let database = large_table(&db);
        let games: Vec<_> = (0..TASKS * ROUNDS).map(|number| format!("end {number}")).collect();
        for (number, id) in games.iter().enumerate() {
            game(&database, id);
            place(&database, number as u128 * 2, id, "ada", 1);
            place(&database, number as u128 * 2 + 1, id, "bob", 1);
        }
        let ran = attempts(&database, |conn, number| {
            if number % 2 == 0 {
                return alone(conn, 1_000 + number / 2);
            }
            // Bob's money first, and then whoever has bet.
            let involved = Involved {
                players: &["bob"],
                ending: &[&games[number]],
                ..Involved::default()
            };
            money::hold(conn, &involved)?;
            money::deposit(conn, &deposit(&format!("d {number}"), "bob", 1), at(30))?;
            money::settle_game(conn, &cancel(&games[number]), at(30)).map(drop)
        });
        assert_eq!(ran, TASKS * ROUNDS);
    }

    fn a_bet_that_waits_for_a_held_game_sees_its_end(db: TestDb) {
        let database = table(&db);
        let (begin, begun) = channel();
        let rival = thread::scope(|scope| {
            let (database, begun) = (&database, begun);
            let rival = scope.spawn(move || {
                begun.recv().unwrap();
                database.write(|conn| money::place_bet(conn, &bet(1, "g1", "ada", 1), at(20)))
            });
            write(database, move |conn| {
                let involved = Involved { ending: &["g1"], ..Involved::default() };
                money::hold(conn, &involved)?;
                // A savepoint within has a hold of its own.
                let request = end("g1", Vec::new(), None);
                conn.savepoint(|conn| money::settle_game(conn, &request, at(30)))?;
                begin.send(()).unwrap();
                wait_for_a_waiter(conn)
            });
            rival.join().unwrap()
        });
        assert!(matches!(rival, Err(Error::GameClosed { .. })), "{rival:?}");
    }

    fn to_hold_takes_few_statements_and_none_on_sqlite(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 1);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut acting = db.connect();
        let mut conn = acting.conn();
        let hearing = Arc::clone(&heard);
        with_conn!(conn, |c| c.set_instrumentation(
            move |event: InstrumentationEvent<'_>| {
                if let InstrumentationEvent::StartQuery { query, .. } = event {
                    hearing.lock().unwrap().push(query.to_string());
                }
            }
        ));
        let mut count = |involved: Involved<'_>| {
            money::hold(&mut conn, &involved).unwrap();
            std::mem::take(&mut *heard.lock().unwrap()).len()
        };
        let all = count(Involved { bets: &[bet_id(1)], ending: &["g1"], ..EVERYTHING });
        let players = count(Involved { players: &["ada"], ..Involved::default() });
        let nothing = count(Involved::default());
        let expected = match db.engine() {
            Engine::Sqlite => (0, 0, 0),
            Engine::Postgres => (MOST_STATEMENTS, 2, 0),
        };
        assert_eq!((all, players, nothing), expected);
    }
}

/// What [`money::hold`] is for. SQLite has one writer.
mod postgres {
    use std::sync::Barrier;

    use db_core::ErrorKind;

    use super::{Database, Error, TestDb, at, bet, money, so_many, table};

    /// A bet in each of two games, in one order or the other, with a pause in between.
    fn across(database: &Database, between: &Barrier, number: usize) -> Result<(), Error> {
        let [first, second] = [["g1", "g2"], ["g2", "g1"]][number];
        let player = ["ada", "bob"][number];
        database.write(|conn| {
            money::place_bet(conn, &bet(number as u128 * 2, first, player, 1), at(5))?;
            between.wait();
            money::place_bet(conn, &bet(number as u128 * 2 + 1, second, player, 1), at(5))?;
            Ok(())
        })
    }

    #[test]
    fn without_it_two_that_bet_in_two_games_lock_each_other_up() {
        let db = TestDb::postgres();
        let database = table(&db);
        super::game(&database, "g2");
        let between = Barrier::new(2);
        let mut ended = so_many(2, |number| across(&database, &between, number));
        ended.retain(Result::is_err);
        let [Err(Error::Database(error))] = ended.as_slice() else {
            panic!("one of them is ended: {ended:?}");
        };
        assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
    }
}
