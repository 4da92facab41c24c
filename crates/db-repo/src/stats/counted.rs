//! The ends of many bets, counted in memory and written at once.

use std::collections::BTreeMap;

use db_core::{Conn, with_conn};
use db_schema::rows::{BetOutcome, PlayerStatistics};
use db_schema::schema::player_statistics;
use db_schema::types::UtcTime;
use diesel::prelude::*;

use super::{BetResolved, game_pays};
use crate::Result;
use crate::dialect::{locking, sheet};

/// How bets ended, by player and in their order. What comes of it is what
/// [`bet_resolved`](super::StatsRepository::bet_resolved) of each makes.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    players: BTreeMap<String, Vec<(BetOutcome, i64)>>,
    games: BTreeMap<String, Paid>,
}

/// What a game has paid.
#[derive(Debug, Default)]
struct Paid {
    total: i64,
    biggest: i64,
}

impl Counted {
    /// The end of a bet.
    pub(crate) fn add(&mut self, bet: BetResolved<'_>) {
        let ended = (bet.outcome, bet.payout);
        match self.players.get_mut(bet.player_id) {
            Some(bets) => bets.push(ended),
            None => drop(self.players.insert(bet.player_id.to_owned(), vec![ended])),
        }
        let paid = match bet.outcome {
            BetOutcome::Won => bet.payout,
            _ => 0,
        };
        let game = match self.games.get_mut(bet.game_id) {
            Some(game) => game,
            None => self.games.entry(bet.game_id.to_owned()).or_default(),
        };
        game.total = game.total.saturating_add(paid);
        game.biggest = game.biggest.max(paid);
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// `MissingParent` without the game, `Database`.
    pub(crate) fn write(&self, conn: &mut Conn<'_>, now: UtcTime) -> Result<()> {
        let players: Vec<_> = self.players.keys().map(String::as_str).collect();
        for some in players.chunks(sheet::BATCH) {
            if let Conn::Postgres(c) = conn {
                locking::statistics_postgres(c, some)?;
            }
            let found: Vec<PlayerStatistics> = with_conn!(conn, |c| player_statistics::table
                .filter(player_statistics::player_id.eq_any(some))
                .load(c))?;
            let mut known: BTreeMap<_, _> = found
                .into_iter()
                .map(|of| (of.player_id.clone(), of))
                .collect();
            let mut rows = Vec::with_capacity(some.len());
            for player in some {
                let mut of = known.remove(*player).unwrap_or_else(|| new(player, now));
                for (outcome, payout) in self.players.get(*player).into_iter().flatten() {
                    count(&mut of, *outcome, *payout);
                }
                rows.push(of);
            }
            sheet::write_totals(conn, &rows, now)?;
        }
        for (game, paid) in &self.games {
            game_pays(conn, game, paid.total, paid.biggest, now)?;
        }
        Ok(())
    }
}

/// Nothing was counted before.
fn new(player: &str, now: UtcTime) -> PlayerStatistics {
    PlayerStatistics {
        player_id: player.to_owned(),
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
    }
}

/// What was returned ends no streak.
fn count(of: &mut PlayerStatistics, outcome: BetOutcome, payout: i64) {
    match outcome {
        BetOutcome::Won => {
            of.bets_won += 1;
            of.total_won = of.total_won.saturating_add(payout);
            of.biggest_win = of.biggest_win.max(payout);
            of.current_streak = of.current_streak.max(0) + 1;
            of.longest_winning_streak = of.longest_winning_streak.max(of.current_streak);
        }
        BetOutcome::Lost => {
            of.current_streak = of.current_streak.min(0) - 1;
            of.longest_losing_streak = of.longest_losing_streak.max(-of.current_streak);
        }
        BetOutcome::Push | BetOutcome::Void => {}
    }
}
