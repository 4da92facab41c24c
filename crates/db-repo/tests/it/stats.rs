//! Totals of players and games.

use chrono::TimeDelta;
use db_core::{Conn, Database, RetryPolicy, with_conn};
use db_repo::money::{self, Fundable, Settlement};
use db_repo::{Error, GameRepository, LeaderboardOrder, PageRequest, StatsRepository};
use db_schema::rows::{
    BetOutcome, BetType, GamePhase, GameState, GameStatistics, HouseOutcome, PlayerStatistics,
};
use db_schema::schema::{game_statistics, games, player_statistics};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;
use uuid::Uuid;

use crate::rows::new_game;
use crate::support::{at, open, read, users, write};

/// Adds open games.
pub(crate) fn games(database: &Database, ids: &[&str]) {
    let rows: Vec<_> = ids
        .iter()
        .map(|id| {
            (
                games::id.eq(*id),
                games::state.eq(GameState::Open),
                games::phase.eq(GamePhase::ComeOut),
                games::created_at.eq(at(0)),
            )
        })
        .collect();
    write(database, |conn| {
        Ok(with_conn!(conn, |c| diesel::insert_into(games::table)
            .values(rows)
            .execute(c))?)
    });
}

/// Players with money, the house with some, and a game that takes bets.
fn ready(db: &TestDb) -> Database {
    let database = open(db);
    users(&database, &["u1", "u2"]);
    write(&database, |conn| {
        for id in ["u1", "u2"] {
            let deposit = money::Deposit {
                reference: id.to_owned(),
                user_id: id.to_owned(),
                amount: 10_000,
            };
            money::deposit(conn, &deposit, at(0))?;
        }
        let fund = money::Fund {
            reference: "f".to_owned(),
            account: Fundable::House,
            amount: 10_000,
        };
        money::fund(conn, &fund, at(0))?;
        GameRepository::create(conn, &new_game("g1", 0))
    });
    database
}

/// A player bets in the game; the number names the bet.
fn bet(
    conn: &mut Conn<'_>,
    number: u128,
    player: &str,
    (amount, seconds): (i64, i64),
) -> Result<(), Error> {
    let request = money::PlaceBet {
        reference: number.to_string(),
        bet_id: Uuid::from_u128(number).into(),
        game_id: "g1".to_owned(),
        player_id: player.to_owned(),
        bet_type: BetType::Pass,
        amount,
    };
    money::place_bet(conn, &request, at(seconds)).map(drop)
}

/// The bet ends.
fn end(
    conn: &mut Conn<'_>,
    number: u128,
    outcome: BetOutcome,
    (winnings, seconds): (i64, i64),
) -> Result<(), Error> {
    let request = money::ResolveBet {
        reference: number.to_string(),
        bet_id: Uuid::from_u128(number).into(),
        outcome,
        winnings,
    };
    money::resolve_bet(conn, &request, at(seconds)).map(drop)
}

fn player(database: &Database, id: &str) -> PlayerStatistics {
    read(database, |conn| StatsRepository::find_player(conn, id)).unwrap()
}

/// What a player has after bets that end so, in words: current, longest winning, longest losing.
fn streaks(conn: &mut Conn<'_>, first: u128, endings: &str) -> Result<(i64, i64, i64), Error> {
    for (number, ending) in (first..).zip(endings.chars()) {
        let (outcome, winnings) = match ending {
            'w' => (BetOutcome::Won, 1),
            'l' => (BetOutcome::Lost, 0),
            'p' => (BetOutcome::Push, 0),
            _ => (BetOutcome::Void, 0),
        };
        bet(conn, number, "u1", (1, 1))?;
        end(conn, number, outcome, (winnings, 1))?;
    }
    let player = StatsRepository::find_player(conn, "u1")?.unwrap();
    Ok((
        player.current_streak,
        player.longest_winning_streak,
        player.longest_losing_streak,
    ))
}

both_engines! {
    fn bets_add_up_for_player_and_game(db: TestDb) {
        let database = ready(&db);
        assert_eq!(read(&database, |conn| StatsRepository::find_player(conn, "u1")), None);
        assert_eq!(read(&database, |conn| StatsRepository::find_game(conn, "g2")), None);
        let zeros = read(&database, |conn| StatsRepository::find_game(conn, "g1")).unwrap();
        assert_eq!((zeros.player_count, zeros.bet_count, zeros.total_wagered), (0, 0, 0));
        write(&database, |conn| {
            bet(conn, 1, "u1", (10, 1))?;
            bet(conn, 2, "u1", (5, 2))?;
            bet(conn, 3, "u2", (10, 3))?;
            end(conn, 1, BetOutcome::Won, (20, 4))?;
            end(conn, 2, BetOutcome::Won, (15, 5))?;
            end(conn, 3, BetOutcome::Lost, (0, 6))?;
            let settle = money::SettleGame {
                reference: "s".to_owned(),
                game_id: "g1".to_owned(),
                settlement: Settlement::Completed { results: Vec::new(), winner: Some("u1".to_owned()) },
            };
            money::settle_game(conn, &settle, at(7))
        });
        assert_eq!(
            player(&database, "u1"),
            PlayerStatistics {
                player_id: "u1".into(),
                games_played: 1,
                games_won: 1,
                bet_count: 2,
                bets_won: 2,
                total_wagered: 15,
                total_won: 50,
                biggest_win: 30,
                current_streak: 2,
                longest_winning_streak: 2,
                longest_losing_streak: 0,
                last_played_at: Some(at(5)),
                created_at: at(1),
                // The game was won after its bets were counted.
                updated_at: (*at(7) + TimeDelta::microseconds(1)).into(),
            }
        );
        let second = player(&database, "u2");
        assert_eq!((second.bets_won, second.total_won, second.current_streak), (0, 0, -1));
        assert_eq!(second.last_played_at, Some(at(6)));
        let game = read(&database, |conn| StatsRepository::find_game(conn, "g1"));
        assert_eq!(
            game,
            Some(GameStatistics {
                game_id: "g1".into(),
                player_count: 2,
                bet_count: 3,
                total_wagered: 25,
                total_won: 50,
                biggest_win: 30,
                created_at: at(0),
                updated_at: at(6),
            })
        );
    }

    fn a_streak_ends_by_the_opposite_only(db: TestDb) {
        let database = ready(&db);
        // Each goes on where the one before ended.
        for (first, (endings, expected)) in (1..).step_by(10).zip([
            ("l", (-1, 0, 1)),
            ("w", (1, 1, 1)),
            ("wp", (2, 2, 1)),
            ("vw", (3, 3, 1)),
            ("lpl", (-2, 3, 2)),
            ("ww", (2, 3, 2)),
            ("llll", (-4, 3, 4)),
            ("wwww", (4, 4, 4)),
        ]) {
            let found = write(&database, |conn| streaks(conn, first, endings));
            assert_eq!(found, expected, "{endings}");
        }
    }

    fn the_end_of_a_bet_counts_though_the_totals_are_gone(db: TestDb) {
        let database = ready(&db);
        write(&database, |conn| {
            bet(conn, 1, "u1", (10, 1))?;
            with_conn!(conn, |c| diesel::delete(player_statistics::table).execute(c))?;
            with_conn!(conn, |c| diesel::delete(game_statistics::table).execute(c))?;
            end(conn, 1, BetOutcome::Won, (20, 4))
        });
        let player = player(&database, "u1");
        assert_eq!((player.bets_won, player.biggest_win, player.current_streak), (1, 30, 1));
        let game = read(&database, |conn| StatsRepository::find_game(conn, "g1")).unwrap();
        assert_eq!((game.total_won, game.biggest_win), (30, 30));
    }

    fn games_against_the_house_count_as_game_and_bet(db: TestDb) {
        let database = ready(&db);
        for (payout_amount, outcome) in [
            (25, HouseOutcome::Won),
            (10, HouseOutcome::Push),
            (4, HouseOutcome::Lost),
            (0, HouseOutcome::Lost),
        ] {
            let game = money::PlayHouseGame {
                reference: payout_amount.to_string(),
                user_id: "u1".to_owned(),
                algorithm_type: "dice".to_owned(),
                bet_amount: 10,
                outcome,
                multiplier: 1.0,
                payout_amount,
                house_edge: 0.01,
                session_id: None,
                seed: None,
                metadata: None,
            };
            write(&database, |conn| money::play_house_game(conn, &game, at(1)));
        }
        let player = player(&database, "u1");
        assert_eq!((player.games_played, player.games_won), (4, 1));
        assert_eq!((player.bet_count, player.bets_won), (4, 1));
        assert_eq!((player.total_wagered, player.total_won, player.biggest_win), (40, 25, 25));
        assert_eq!((player.current_streak, player.longest_losing_streak), (-2, 2));
    }

    fn leaderboards_hold_every_player_once_with_ties(db: TestDb) {
        let database = open(&db);
        let ids: Vec<_> = (0..25).map(|n| format!("u{n:02}")).collect();
        users(&database, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        // Three players share each value.
        let rows: Vec<_> = (0..)
            .zip(&ids)
            .map(|(n, id)| {
                let value = n / 3 + 1;
                (
                    player_statistics::player_id.eq(id),
                    player_statistics::games_won.eq(value),
                    player_statistics::total_wagered.eq(value),
                    player_statistics::total_won.eq(value * 3),
                    player_statistics::biggest_win.eq(value * 3),
                )
            })
            .collect();
        write(&database, |conn| {
            Ok(with_conn!(conn, |c| diesel::insert_into(player_statistics::table)
                .values(rows)
                .execute(c))?)
        });
        for order in LeaderboardOrder::ALL {
            let mut seen = Vec::new();
            let mut request = PageRequest::first(7);
            loop {
                let page = read(&database, |conn| StatsRepository::leaderboard(conn, *order, &request));
                seen.extend(page.items.iter().map(|player| {
                    (order.value(player), player.player_id.clone())
                }));
                match page.next {
                    Some(next) => request = PageRequest::first(7).after(next.to_string().parse().unwrap()),
                    None => break,
                }
            }
            assert_eq!(seen.len(), 25, "{order:?}");
            assert!(seen.is_sorted_by(|a, b| a > b), "{order:?}: {seen:?}");
        }
        // A place in one of them is none in another.
        let first = PageRequest::first(7);
        let won = LeaderboardOrder::TotalWon;
        let page = read(&database, |conn| StatsRepository::leaderboard(conn, won, &first));
        let after = first.after(page.next.unwrap());
        for order in LeaderboardOrder::ALL.iter().filter(|order| **order != won) {
            let refused = database
                .read(|conn| StatsRepository::leaderboard(conn, *order, &after))
                .unwrap_err();
            assert!(matches!(refused, Error::Invalid { field: "after", .. }), "{order:?}: {refused}");
        }
    }

    fn rivals_lose_no_count(db: TestDb) {
        let database = ready(&db);
        let policy = RetryPolicy::default();
        std::thread::scope(|scope| {
            for rival in 0..4 {
                let (database, policy) = (&database, &policy);
                scope.spawn(move || {
                    for n in 0..25 {
                        let number = rival * 25 + n + 1;
                        let placed = database.write_with_retry(policy, |conn| bet(conn, number, "u1", (10, 1)));
                        placed.unwrap();
                        let ended = database.write_with_retry(policy, |conn| {
                            end(conn, number, BetOutcome::Won, (3, 2))
                        });
                        ended.unwrap();
                    }
                });
            }
        });
        let player = player(&database, "u1");
        assert_eq!((player.bet_count, player.total_wagered), (100, 1_000));
        assert_eq!((player.total_won, player.longest_winning_streak), (1_300, 100));
    }
}
