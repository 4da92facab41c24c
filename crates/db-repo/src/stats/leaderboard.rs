//! Players by one of their totals, along an index over the total and the player.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::PlayerStatistics;
use db_schema::types::UtcTimestamp;
use diesel::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::page::Place;
use crate::{Page, PageRequest, Result};

type Columns = (
    Text,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    Nullable<UtcTimestamp>,
    UtcTimestamp,
    UtcTimestamp,
);

/// Declares the order of a leaderboard, with the two statements of each: its first page, and one
/// after a value and a player.
macro_rules! orders {
    ($($(#[$meta:meta])* $order:ident: $column:literal, $field:ident, $first:ident, $next:ident;)+) => {
        /// What a leaderboard is ordered by.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum LeaderboardOrder {
            $($(#[$meta])* $order,)+
        }

        impl LeaderboardOrder {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$order,)+];

            /// The column of the total.
            pub(crate) const fn column(self) -> &'static str {
                match self {
                    $(Self::$order => $column,)+
                }
            }

            /// The total in question.
            #[must_use]
            pub const fn value(self, player: &PlayerStatistics) -> i64 {
                match self {
                    $(Self::$order => player.$field,)+
                }
            }
        }

        $(
            statement! {
                struct $first {
                    rows: i64 as BigInt,
                }
                returns Columns;
                "SELECT player_id, games_played, games_won, bet_count, bets_won, total_wagered,
                total_won, biggest_win, current_streak, longest_winning_streak,
                longest_losing_streak, last_played_at, created_at, updated_at
                FROM player_statistics ORDER BY " $column " DESC, player_id DESC LIMIT " rows " + 0"
            }

            statement! {
                struct $next<'a> {
                    value: i64 as BigInt,
                    player_id: &'a str as Text,
                    rows: i64 as BigInt,
                }
                returns Columns;
                "SELECT player_id, games_played, games_won, bet_count, bets_won, total_wagered,
                total_won, biggest_win, current_streak, longest_winning_streak,
                longest_losing_streak, last_played_at, created_at, updated_at
                FROM player_statistics WHERE (" $column ", player_id) < (" value ", " player_id ")
                ORDER BY " $column " DESC, player_id DESC LIMIT " rows " + 0"
            }
        )+

        pub(super) fn page(
            conn: &mut Conn<'_>,
            order: LeaderboardOrder,
            page: &PageRequest,
        ) -> Result<Page<PlayerStatistics>> {
            let list = format!("leaderboard.{}", order.column());
            let page = &page.of(&list)?;
            let rows = page.rows();
            let found: Vec<PlayerStatistics> = match (order, page.place()) {
                $(
                    (LeaderboardOrder::$order, None) => {
                        with_conn!(conn, |c| $first { rows }.load(c))?
                    }
                    (LeaderboardOrder::$order, Some((value, player_id))) => {
                        let next = $next {
                            value,
                            player_id,
                            rows,
                        };
                        with_conn!(conn, |c| page.load(next, c))?
                    }
                )+
            };
            Ok(Page::of(found, page, |last| {
                Place::new(order.value(last), &last.player_id)
            }))
        }
    };
}

orders! {
    /// Payouts of all bets that were won.
    TotalWon: "total_won", total_won, FirstByTotalWon, NextByTotalWon;
    /// Stakes of all bets.
    TotalWagered: "total_wagered", total_wagered, FirstByTotalWagered, NextByTotalWagered;
    /// The largest single payout.
    BiggestWin: "biggest_win", biggest_win, FirstByBiggestWin, NextByBiggestWin;
    /// Games won.
    GamesWon: "games_won", games_won, FirstByGamesWon, NextByGamesWon;
}
