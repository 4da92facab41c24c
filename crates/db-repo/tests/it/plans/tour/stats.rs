//! Totals of players and games. The operations on money write them.

use db_repo::{LeaderboardOrder, PageRequest, StatsRepository};

use super::{Step, go};

pub(super) fn run(step: Step<'_>) {
    go(step, "stats: find_player", |conn| {
        StatsRepository::find_player(conn, "u1")
    });
    go(step, "stats: find_game", |conn| {
        StatsRepository::find_game(conn, "g1")
    });
    let tags = ["total_won", "total_wagered", "biggest_win", "games_won"];
    for (order, tag) in LeaderboardOrder::ALL.iter().zip(tags) {
        go(step, &format!("stats: leaderboard by {order:?}"), |conn| {
            StatsRepository::leaderboard(conn, *order, &PageRequest::default())?;
            let after = format!("2:leaderboard.{tag}:1.u1").parse().unwrap();
            StatsRepository::leaderboard(conn, *order, &PageRequest::default().after(after))
        });
    }
}
