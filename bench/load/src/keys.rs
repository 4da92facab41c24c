//! Which rows are asked for, in an order that every contender shares.

use std::fmt::Write as _;

/// Spreads consecutive numbers over the keys, so that neighbours in time are none in the file
/// (the finalizer of `SplitMix64`, <https://prng.di.unimi.it/splitmix64.c>).
pub const fn spread(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// When the first user came, Unix microseconds; each comes one after the one before.
pub const FIRST_USER: i64 = 1_700_000_000_000_000;

/// Rows that a page of 100 asks for.
const PAGE: u64 = 101;

/// A user's key that is written in place, so that no contender pays for an allocation.
#[derive(Debug, Default)]
pub struct Key(String);

impl Key {
    /// The key of the user that the `number`th operation asks for, of `users` there are.
    pub fn of(&mut self, number: u64, users: u64) -> &str {
        self.0.clear();
        // Writing to a String cannot fail.
        let _infallible = write!(self.0, "user{:09}", spread(number) % users.max(1));
        &self.0
    }

    /// Where the page that the `number`th operation asks for begins: behind a user who has 101
    /// older ones. When the filling says that this user came, and who it is.
    pub fn cursor(&mut self, number: u64, users: u64) -> (i64, &str) {
        let user = PAGE + spread(number) % users.saturating_sub(PAGE).max(1);
        self.0.clear();
        // Writing to a String cannot fail.
        let _infallible = write!(self.0, "user{user:09}");
        (FIRST_USER + user.cast_signed(), &self.0)
    }

    /// The key that was written last.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// The key of the `number`th user, as the seed writes it.
pub fn key_of(number: u64) -> String {
    format!("user{number:09}")
}

/// The game that the `number`th bet is on.
pub const fn game(number: u64) -> &'static str {
    const GAMES: [&str; 8] = [
        "game1", "game2", "game3", "game4", "game5", "game6", "game7", "game8",
    ];
    GAMES[(number % 8) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_seed_and_spread_out() {
        let mut key = Key::default();
        let mut seen: Vec<String> = (0..1_000).map(|n| key.of(n, 100).to_owned()).collect();
        assert_ne!(seen[0], seen[1]);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 100);
        assert_eq!(
            (seen[0].as_str(), seen[99].as_str()),
            ("user000000000", "user000000099")
        );
        assert_eq!(seen[7], key_of(7));
    }
}
