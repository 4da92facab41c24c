//! Totals of players and games.

use db_core::{Conn, Database, with_conn};
use db_repo::{BetPlaced, BetResolved, Error, LeaderboardOrder, PageRequest, StatsRepository};
use db_schema::rows::{BetOutcome, GamePhase, GameState, GameStatistics, PlayerStatistics};
use db_schema::schema::games;
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use crate::support::{at, open, read, refusal, users, write};

/// A bet of `u1` in `g1`.
const BET: BetPlaced<'static> = BetPlaced {
    game_id: "g1",
    player_id: "u1",
    amount: 10,
    first_in_game: true,
};

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

fn ended(outcome: BetOutcome, payout: i64) -> BetResolved<'static> {
    BetResolved {
        game_id: "g1",
        player_id: "u1",
        outcome,
        payout,
    }
}

fn player(database: &Database, id: &str) -> PlayerStatistics {
    read(database, |conn| StatsRepository::find_player(conn, id)).unwrap()
}

/// What a player has after these endings, in words: current, longest winning, longest losing.
fn streaks(conn: &mut Conn<'_>, endings: &str) -> Result<(i64, i64, i64), Error> {
    for ending in endings.chars() {
        let outcome = match ending {
            'w' => BetOutcome::Won,
            'l' => BetOutcome::Lost,
            'p' => BetOutcome::Push,
            _ => BetOutcome::Void,
        };
        StatsRepository::bet_resolved(conn, ended(outcome, 1), at(1))?;
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
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        games(&database, &["g1"]);
        assert_eq!(read(&database, |conn| StatsRepository::find_player(conn, "u1")), None);
        assert_eq!(read(&database, |conn| StatsRepository::find_game(conn, "g1")), None);
        write(&database, |conn| {
            StatsRepository::bet_placed(conn, BET, at(1))?;
            StatsRepository::bet_placed(conn, BetPlaced { amount: 5, first_in_game: false, ..BET }, at(2))?;
            StatsRepository::bet_placed(conn, BetPlaced { player_id: "u2", ..BET }, at(3))?;
            StatsRepository::bet_resolved(conn, ended(BetOutcome::Won, 30), at(4))?;
            StatsRepository::bet_resolved(conn, ended(BetOutcome::Won, 20), at(5))?;
            StatsRepository::bet_resolved(conn, BetResolved { player_id: "u2", ..ended(BetOutcome::Lost, 0) }, at(6))?;
            StatsRepository::game_won(conn, "u1", at(7))
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
                updated_at: at(7),
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
                created_at: at(1),
                updated_at: at(6),
            })
        );
    }

    fn a_streak_ends_by_the_opposite_only(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        games(&database, &["g1"]);
        // Each goes on where the one before ended.
        for (endings, expected) in [
            ("l", (-1, 0, 1)),
            ("w", (1, 1, 1)),
            ("wp", (2, 2, 1)),
            ("vw", (3, 3, 1)),
            ("lpl", (-2, 3, 2)),
            ("ww", (2, 3, 2)),
            ("llll", (-4, 3, 4)),
            ("wwww", (4, 4, 4)),
        ] {
            let found = write(&database, |conn| streaks(conn, endings));
            assert_eq!(found, expected, "{endings}");
        }
    }

    fn a_first_ending_without_a_bet_counts_as_well(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        games(&database, &["g1"]);
        assert_eq!(write(&database, |conn| streaks(conn, "w")), (1, 1, 0));
        let player = player(&database, "u1");
        assert_eq!((player.bets_won, player.biggest_win), (1, 1));
    }

    fn games_against_the_house_count_as_game_and_bet(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        for (bet, payout) in [(10, 25), (10, 10), (10, 4), (10, 0)] {
            write(&database, |conn| StatsRepository::house_game(conn, "u1", bet, payout, at(bet)));
        }
        let player = player(&database, "u1");
        assert_eq!((player.games_played, player.games_won), (4, 1));
        assert_eq!((player.bet_count, player.bets_won), (4, 1));
        assert_eq!((player.total_wagered, player.total_won, player.biggest_win), (40, 25, 25));
        assert_eq!((player.current_streak, player.longest_losing_streak), (-2, 2));
    }

    fn who_or_what_is_not_there_is_named(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        games(&database, &["g1"]);
        let nobody = BetPlaced { player_id: "nobody", ..BET };
        let refused = refusal(&database, |conn| StatsRepository::bet_placed(conn, nobody, at(0)));
        assert_eq!(refused.to_string(), "player_id: there is no user nobody");
        let nowhere = BetPlaced { game_id: "nowhere", ..BET };
        let refused = refusal(&database, |conn| StatsRepository::bet_placed(conn, nowhere, at(0)));
        assert_eq!(refused.to_string(), "game_id: there is no game nowhere");
        let refused = refusal(&database, |conn| StatsRepository::game_won(conn, "nobody", at(0)));
        assert_eq!(refused.to_string(), "player_id: there is no user nobody");
        assert_eq!(read(&database, |conn| StatsRepository::find_player(conn, "u1")), None);
    }

    fn leaderboards_hold_every_player_once_with_ties(db: TestDb) {
        let database = open(&db);
        let ids: Vec<_> = (0..25).map(|n| format!("u{n:02}")).collect();
        users(&database, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        write(&database, |conn| {
            for (n, id) in (0..).zip(&ids) {
                // Three players share each value.
                let value = n / 3 + 1;
                StatsRepository::house_game(conn, id, value, value * 3, at(n))?;
                for _ in 1..value {
                    StatsRepository::game_won(conn, id, at(n))?;
                }
            }
            Ok(())
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
        let database = open(&db);
        users(&database, &["u1"]);
        games(&database, &["g1"]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        write(&database, |conn| {
                            StatsRepository::bet_placed(conn, BET, at(1))?;
                            StatsRepository::bet_resolved(conn, ended(BetOutcome::Won, 3), at(2))
                        });
                    }
                });
            }
        });
        let player = player(&database, "u1");
        assert_eq!((player.bet_count, player.total_wagered), (100, 1_000));
        assert_eq!((player.total_won, player.longest_winning_streak), (300, 100));
    }
}
