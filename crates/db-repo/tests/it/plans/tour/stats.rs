//! Totals of players and games.

use db_core::{Conn, with_conn};
use db_repo::{BetPlaced, BetResolved, Error, LeaderboardOrder, PageRequest, StatsRepository};
use db_schema::rows::{BetOutcome, GamePhase, GameState};
use db_schema::schema::games;
use diesel::prelude::*;

use super::{Step, go};
use crate::support::at;

fn game(conn: &mut Conn<'_>) -> Result<usize, Error> {
    let row = (
        games::id.eq("of totals"),
        games::state.eq(GameState::Open),
        games::phase.eq(GamePhase::ComeOut),
        games::created_at.eq(at(0)),
    );
    Ok(with_conn!(conn, |c| diesel::insert_into(games::table)
        .values(row)
        .execute(c))?)
}

pub(super) fn run(step: Step<'_>) {
    let placed = BetPlaced {
        game_id: "of totals",
        player_id: "u1",
        amount: 1,
        first_in_game: true,
    };
    let resolved = |outcome| BetResolved {
        game_id: "of totals",
        player_id: "u1",
        outcome,
        payout: 2,
    };
    go(step, "stats: bet_placed", |conn| {
        game(conn)?;
        StatsRepository::bet_placed(conn, placed, at(0))
    });
    go(step, "stats: house_game", |conn| {
        StatsRepository::house_game(conn, "u1", 1, 2, at(0))
    });
    go(step, "stats: bet_resolved", |conn| {
        StatsRepository::bet_resolved(conn, resolved(BetOutcome::Won), at(1))?;
        StatsRepository::bet_resolved(conn, resolved(BetOutcome::Lost), at(1))?;
        StatsRepository::bet_resolved(conn, resolved(BetOutcome::Push), at(1))
    });
    go(step, "stats: game_won", |conn| {
        StatsRepository::game_won(conn, "u1", at(1))
    });
    go(step, "stats: find_player", |conn| {
        StatsRepository::find_player(conn, "u1")
    });
    go(step, "stats: find_game", |conn| {
        StatsRepository::find_game(conn, "of totals")
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
