//! What the model counts of players and games, and that the database counts the same.
//!
//! When a row was last changed is left out: the database notes its own time if two changes of one
//! write bear the same moment.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::TimeDelta;
use db_core::{Conn, Database, with_conn};
use db_repo::{Error, LeaderboardOrder, PageRequest, StatsRepository};
use db_schema::rows::{BetOutcome, GameStatistics, PlayerStatistics};
use db_schema::schema::{game_statistics, player_statistics};
use db_schema::types::UtcTime;
use diesel::prelude::*;

/// Rows of one page of a leaderboard: few, so that there are many pages.
const PAGE: i64 = 97;

/// Totals of all players and games that a history has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) players: BTreeMap<String, PlayerStatistics>,
    games: BTreeMap<String, GameStatistics>,
}

impl Statistics {
    pub(crate) fn created(&mut self, game: &str, now: UtcTime) {
        self.games.insert(game.to_owned(), new_game(game, now));
    }

    /// `first` if the player had no bet in the game before.
    pub(crate) fn placed(
        &mut self,
        (game, player): (&str, &str),
        amount: i64,
        first: bool,
        now: UtcTime,
    ) {
        self.wagered(player, amount, first, now);
        let game = self.games.get_mut(game).unwrap();
        game.player_count += i64::from(first);
        game.bet_count += 1;
        game.total_wagered += amount;
    }

    /// `payout` is the stake and the winnings, of a bet that was won.
    pub(crate) fn resolved(
        &mut self,
        game: &str,
        player: &str,
        (outcome, payout): (BetOutcome, i64),
        now: UtcTime,
    ) {
        self.ended(player, (outcome, payout), now);
        if outcome == BetOutcome::Won {
            let game = self.games.get_mut(game).unwrap();
            game.total_won += payout;
            game.biggest_win = game.biggest_win.max(payout);
        }
    }

    pub(crate) fn house_game(&mut self, player: &str, bet: i64, payout: i64, now: UtcTime) {
        self.wagered(player, bet, true, now);
        let outcome = match payout.cmp(&bet) {
            Ordering::Greater => BetOutcome::Won,
            Ordering::Equal => BetOutcome::Push,
            Ordering::Less => BetOutcome::Lost,
        };
        // The end is the second change of the row.
        self.ended(player, (outcome, payout), just_after(now));
        if outcome == BetOutcome::Won {
            self.game_won(player, now);
        }
    }

    pub(crate) fn game_won(&mut self, player: &str, now: UtcTime) {
        self.player(player, just_after(now)).games_won += 1;
    }

    fn wagered(&mut self, player: &str, amount: i64, new_game: bool, now: UtcTime) {
        let player = self.player(player, now);
        player.games_played += i64::from(new_game);
        player.bet_count += 1;
        player.total_wagered += amount;
        player.last_played_at = Some(now);
    }

    fn ended(&mut self, player: &str, (outcome, payout): (BetOutcome, i64), now: UtcTime) {
        let player = self.player(player, now);
        player.last_played_at = Some(now);
        match outcome {
            BetOutcome::Won => {
                player.bets_won += 1;
                player.total_won += payout;
                player.biggest_win = player.biggest_win.max(payout);
                player.current_streak = player.current_streak.max(0) + 1;
                player.longest_winning_streak =
                    player.longest_winning_streak.max(player.current_streak);
            }
            BetOutcome::Lost => {
                player.current_streak = player.current_streak.min(0) - 1;
                player.longest_losing_streak =
                    player.longest_losing_streak.max(-player.current_streak);
            }
            BetOutcome::Push | BetOutcome::Void => {}
        }
    }

    fn player(&mut self, id: &str, now: UtcTime) -> &mut PlayerStatistics {
        self.players
            .entry(id.to_owned())
            .or_insert_with(|| PlayerStatistics {
                player_id: id.to_owned(),
                games_played: 0,
                games_won: 0,
                bet_count: 0,
                bets_won: 0,
                total_wagered: 0,
                total_won: 0,
                biggest_win: 0,
                current_streak: 0,
                longest_winning_streak: 0,
                longest_losing_streak: 0,
                last_played_at: None,
                created_at: now,
                updated_at: now,
            })
    }

    /// What is stored of the players and games whose keys begin so.
    pub(crate) fn stored(conn: &mut Conn<'_>, prefix: &str) -> Result<Self, Error> {
        let like = format!("{prefix}%");
        let players: Vec<PlayerStatistics> = with_conn!(conn, |c| player_statistics::table
            .filter(player_statistics::player_id.like(&like))
            .load(c))?;
        let games: Vec<GameStatistics> = with_conn!(conn, |c| game_statistics::table
            .filter(game_statistics::game_id.like(&like))
            .load(c))?;
        let players = players.into_iter().map(|row| (row.player_id.clone(), row));
        let games = games.into_iter().map(|row| (row.game_id.clone(), row));
        Ok(Self {
            players: players.collect(),
            games: games.collect(),
        })
    }

    /// Without the times of the last changes.
    pub(crate) fn comparable(mut self) -> Self {
        for player in self.players.values_mut() {
            player.updated_at = player.created_at;
        }
        for game in self.games.values_mut() {
            game.updated_at = game.created_at;
        }
        self
    }
}

/// When an operation notes what it changes once the row may have changed already: a microsecond later.
fn just_after(now: UtcTime) -> UtcTime {
    UtcTime::from(now.checked_add_signed(TimeDelta::microseconds(1)).unwrap())
}

fn new_game(id: &str, now: UtcTime) -> GameStatistics {
    GameStatistics {
        game_id: id.to_owned(),
        player_count: 0,
        bet_count: 0,
        total_wagered: 0,
        total_won: 0,
        biggest_win: 0,
        created_at: now,
        updated_at: now,
    }
}

/// Compares every page of every leaderboard with the players of all histories; how many there are.
pub(crate) fn compare_leaderboards(
    database: &Database,
    players: &[PlayerStatistics],
) -> Result<usize, String> {
    for order in LeaderboardOrder::ALL {
        let mut expected: Vec<(i64, &str)> = players
            .iter()
            .map(|player| (order.value(player), player.player_id.as_str()))
            .collect();
        expected.sort_unstable_by(|a, b| b.cmp(a));
        let mut expected = expected.into_iter();
        let mut page = PageRequest::first(PAGE);
        loop {
            let found = database
                .read(|conn| StatsRepository::leaderboard(conn, *order, &page))
                .map_err(|error| error.to_string())?;
            for player in &found.items {
                let found = (order.value(player), player.player_id.as_str());
                let expected = expected.next();
                if expected != Some(found) {
                    return Err(format!("{order:?}: {found:?}, the model has {expected:?}"));
                }
            }
            let Some(next) = found.next else { break };
            page = PageRequest::first(PAGE).after(next);
        }
        if let Some(missing) = expected.next() {
            return Err(format!("{order:?} ends before {missing:?}"));
        }
    }
    Ok(players.len())
}
