//! Many at a time.

use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;

use db_core::{Conn, Database, RetryPolicy, statement};
use db_repo::money::{self, Transfer};
use db_repo::{Error, GameRepository};
use db_schema::rows::{BetOutcome, GamePhase};
use db_testkit::{TestDb, both_engines, size};
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::books::books;
use super::table::{bet, end, house_game, place, result, settle, table, verdict};
use crate::support::{at, write};

const THREADS: usize = 16;

/// Threads that ask for the same things.
const DUPLICATES: usize = 64;

/// Runs a closure on each of the threads, all beginning together.
fn together<T: Send>(f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    so_many(THREADS, f)
}

pub(super) fn so_many<T: Send>(count: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(count);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                let (barrier, f) = (&barrier, &f);
                scope.spawn(move || {
                    barrier.wait();
                    f(n)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// Retries as an application does; with so many rivals it may take more attempts.
fn policy() -> RetryPolicy {
    RetryPolicy::default().with_attempts(20)
}

fn transfer(database: &Database, reference: String, from: &str, to: &str) -> Result<(), Error> {
    let request = Transfer {
        reference,
        from: from.into(),
        to: to.into(),
        amount: 30,
    };
    database
        .write_with_retry(&policy(), |conn| money::transfer(conn, &request, at(5)))
        .map(drop)
}

statement! {
    /// Whether somebody in this database waits for a lock. Not by `pg_stat_activity`, which shows a
    /// transaction what it showed the first time.
    struct Waits {}
    returns Bool;
    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks
    WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())))"
}

/// On SQLite the rival queues for its turn to write, and cannot be seen.
pub(super) fn wait_for_a_waiter(conn: &mut Conn<'_>) -> Result<(), Error> {
    if let Conn::Postgres(c) = conn {
        loop {
            let waits: bool = Waits {}.get_result(*c)?;
            if waits {
                break;
            }
            thread::yield_now();
        }
    }
    Ok(())
}

both_engines! {
    fn transfers_in_both_directions_lose_nothing(db: TestDb) {
        let database = table(&db);
        let refused: usize = together(|n| {
            let mut refused = 0;
            for round in 0..25 {
                let (from, to) = if n % 2 == 0 { ("ada", "bob") } else { ("bob", "ada") };
                match transfer(&database, format!("t {n} {round}"), from, to) {
                    Ok(()) => {}
                    Err(Error::InsufficientFunds { .. }) => refused += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            refused
        })
        .into_iter()
        .sum();
        let books = books(&database);
        assert_eq!(books.of("ada").0 + books.of("bob").0, 2_000);
        // Three deposits, and two lines of each transfer.
        assert_eq!(books.lines.len(), 3 + 2 * (THREADS * 25 - refused));
    }

    fn duplicates_have_one_effect_and_one_answer(db: TestDb) {
        let keys = u128::from(size("KEYS", 20));
        assert!(keys.is_multiple_of(2) && keys <= 2_000, "each of two players has 1,000");
        let database = table(&db);
        let answers = so_many(DUPLICATES, |n| {
            (0..keys)
                .map(|step| {
                    // Each begins elsewhere, so that they meet at many references.
                    let number = (step + n as u128) % keys;
                    let request = bet(number, "g1", ["ada", "bob"][number as usize % 2], 1);
                    let answer = database
                        .write_with_retry(&policy(), |conn| money::place_bet(conn, &request, at(6)));
                    let other = bet(number, "g1", ["ada", "bob"][number as usize % 2], 2);
                    let refused = database
                        .write_with_retry(&policy(), |conn| money::place_bet(conn, &other, at(6)));
                    assert!(matches!(refused, Err(Error::ReferenceConflict { .. })), "{refused:?}");
                    (number, serde_json::to_string(&answer.unwrap()).unwrap())
                })
                .collect::<Vec<_>>()
        });
        let mut answers: Vec<_> = answers.into_iter().flatten().collect();
        answers.sort();
        answers.dedup();
        assert_eq!(answers.len() as u128, keys, "one answer for each reference: {answers:?}");
        let books = books(&database);
        let keys = i64::try_from(keys).unwrap();
        let half = keys / 2;
        assert_eq!(i64::try_from(books.bets.len()).unwrap(), keys);
        let has = (1_000 - half, half, 0);
        assert_eq!((books.of("ada"), books.of("bob")), (has, has));
        assert_eq!(books.game_statistics[0].bet_count, keys);
        assert_eq!(books.game_statistics[0].player_count, 2);
        assert_eq!(books.counts["game_events"], keys + 1);
    }

    fn everything_at_once_adds_up(db: TestDb) {
        let database = table(&db);
        let players = ["ada", "bob", "cid"];
        for game in ["g2", "g3", "g4"] {
            super::table::game(&database, game);
        }
        write(&database, |conn| GameRepository::start(conn, "g2", at(1)));
        for number in 0..THREADS as u128 {
            place(&database, 10_000 + number, "g2", players[number as usize % 3], 3);
        }
        together(|n| {
            let who = players[n % 3];
            let other = players[(n + 1) % 3];
            for round in 0..8_u128 {
                let number = n as u128 * 100 + round;
                let game = ["g1", "g2"][n % 2];
                let request = bet(number, game, who, 7);
                let done = database.write_with_retry(&policy(), |conn| {
                    money::place_bet(conn, &request, at(7))
                });
                done.unwrap();
                transfer(&database, format!("t {number}"), who, other).unwrap();
                let outcome = [BetOutcome::Won, BetOutcome::Lost, BetOutcome::Push][round as usize % 3];
                let winnings = if outcome == BetOutcome::Won { 5 } else { 0 };
                let request = verdict(number, outcome, winnings);
                let done = database.write_with_retry(&policy(), |conn| {
                    money::resolve_bet(conn, &request, at(8))
                });
                done.unwrap();
                let play = house_game(&format!("p {number}"), other, (2, 3));
                let done = database.write_with_retry(&policy(), |conn| {
                    money::play_house_game(conn, &play, at(9))
                });
                done.unwrap();
                if n == 0 {
                    let phase = [GamePhase::Point, GamePhase::ComeOut][round as usize % 2];
                    let done = database.write_with_retry(&policy(), |conn| {
                        GameRepository::advance_phase(conn, "g2", phase, at(9))
                    });
                    done.unwrap();
                }
            }
        });
        let results = (0..THREADS as u128)
            .map(|number| result(10_000 + number, BetOutcome::Lost, 0))
            .collect();
        settle(&database, &end("g2", results, Some("cid")));
        let books = books(&database);
        assert_eq!(books.counts["house_games"], 128);
        // Five threads let Cid win against the house, eight times each.
        assert_eq!(books.player("cid").games_won, 5 * 8 + 1);
    }

    fn a_game_ends_once_whoever_bets_meanwhile(db: TestDb) {
        let database = table(&db);
        let done = together(|n| {
            if n == 0 {
                let request = super::table::cancel("g1");
                let ended = database.write_with_retry(&policy(), |conn| {
                    money::settle_game(conn, &request, at(30))
                });
                ended.unwrap();
                return 0;
            }
            let mut placed = 0;
            for round in 0..10 {
                let request = bet(n as u128 * 100 + round, "g1", ["ada", "bob", "cid"][n % 3], 1);
                let answer = database.write_with_retry(&policy(), |conn| {
                    money::place_bet(conn, &request, at(20))
                });
                match answer {
                    Ok(_) => placed += 1,
                    Err(Error::GameClosed { .. }) => break,
                    Err(other) => panic!("{other:?}"),
                }
            }
            placed
        });
        let books = books(&database);
        assert_eq!(books.bets.len(), done.iter().sum::<usize>());
        assert!(books.bets.iter().all(|bet| bet.outcome == Some(BetOutcome::Void)));
        for user in ["ada", "bob", "cid"] {
            assert_eq!(books.of(user), (1_000, 0, 0));
        }
    }

    fn a_bet_that_waits_for_the_end_of_its_game_sees_it(db: TestDb) {
        let database = table(&db);
        let (begin, begun) = channel();
        let rival = thread::scope(|scope| {
            let (database, begun) = (&database, begun);
            let rival = scope.spawn(move || {
                begun.recv().unwrap();
                let request = bet(1, "g1", "ada", 1);
                database.write(|conn| money::place_bet(conn, &request, at(20)))
            });
            write(database, move |conn| {
                money::settle_game(conn, &super::table::cancel("g1"), at(30))?;
                begin.send(()).unwrap();
                wait_for_a_waiter(conn)
            });
            rival.join().unwrap()
        });
        assert!(matches!(rival, Err(Error::GameClosed { .. })), "{rival:?}");
        assert_eq!(books(&database).bets, []);
    }

    fn one_bet_is_settled_once(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 100);
        let won = together(|n| {
            let mut request = verdict(1, BetOutcome::Won, 10);
            request.reference = format!("by {n}");
            let answer =
                database.write_with_retry(&policy(), |conn| money::resolve_bet(conn, &request, at(9)));
            match answer {
                Ok(_) => 1,
                Err(Error::AlreadyResolved(_)) => 0,
                Err(other) => panic!("{other:?}"),
            }
        });
        assert_eq!(won.into_iter().sum::<i32>(), 1);
        assert_eq!(books(&database).of("ada"), (1_010, 0, 0));
    }
}
