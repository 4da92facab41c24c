//! One bet of the load, the same from every contender.

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use crate::keys::{Key, spread};

/// Games that bets are placed in, all active.
pub const GAMES: u64 = 1_000;

/// What each bet is.
pub const STAKE: i64 = 10;

/// Who says that they place it, beside the player: address and program.
pub const ACTOR: (&str, &str) = ("203.0.113.7", "bench");

/// A bet to place; its texts are written in place.
#[derive(Debug, Default)]
pub struct Bet {
    player: Key,
    game: String,
    id: [u8; 16],
    text: String,
    /// When, Unix microseconds.
    pub now: i64,
}

impl Bet {
    /// The `number`th bet, of one of so many players, placed now.
    pub fn of(&mut self, number: u64, players: u64) -> &Self {
        self.at(number, players, now_micros())
    }

    /// The `number`th bet, of one of so many players.
    pub fn at(&mut self, number: u64, players: u64, now: i64) -> &Self {
        self.player.of(number, players);
        self.game.clear();
        // Writing to a String cannot fail.
        let _infallible = write!(self.game, "game{:06}", spread(spread(number)) % GAMES);
        // UUIDs of version 7: milliseconds, and what no other has.
        self.now = now;
        let high = ((now / 1_000).cast_unsigned() << 16) | 0x7000 | (spread(!number) & 0xfff);
        let low = (1 << 63) | (spread(number) >> 2);
        self.id = ((u128::from(high) << 64) | u128::from(low)).to_be_bytes();
        self.text.clear();
        for (at, byte) in self.id.iter().enumerate() {
            if [4, 6, 8, 10].contains(&at) {
                self.text.push('-');
            }
            let _infallible = write!(self.text, "{byte:02x}");
        }
        self
    }

    /// Its key.
    pub const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// Its key as text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Who places it.
    pub fn player(&self) -> &str {
        self.player.text()
    }

    /// In which game.
    pub fn game(&self) -> &str {
        &self.game
    }
}

/// The key of the `number`th game, as the filling writes it.
pub fn game_key(number: u64) -> String {
    format!("game{number:06}")
}

/// The time, Unix microseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a contender is the program that reads the clock"
)]
pub fn now_micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bets_are_distinct_and_spread_over_players_and_games() {
        let mut bet = Bet::default();
        let mut seen: Vec<(String, String, String)> = (0..10_000)
            .map(|number| {
                let bet = bet.at(number, 100, 1_700_000_000_000_000);
                (bet.text().into(), bet.player().into(), bet.game().into())
            })
            .collect();
        assert_eq!(seen[0].0.len(), 36);
        assert!(seen[0].0.starts_with("018bcfe5-6800-7"), "{}", seen[0].0);
        seen.sort();
        seen.dedup_by(|a, b| a.0 == b.0);
        assert_eq!(seen.len(), 10_000);
        let mut games: Vec<_> = seen
            .iter()
            .map(|(_, player, game)| (player, game))
            .collect();
        games.sort();
        games.dedup();
        assert!(games.len() > 9_000, "{} pairs", games.len());
        assert!(games.iter().all(|(_, game)| **game < game_key(GAMES)));
    }
}
