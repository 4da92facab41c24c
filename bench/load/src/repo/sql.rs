//! The SQL that the repositories run, in flat text with `?` where a value is bound.

use std::fmt::Write as _;

/// A statement in the spelling of each engine that runs it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// SQLite's.
    pub sqlite: Option<&'static str>,
    /// PostgreSQL's, except that its parameters have numbers; see [`Step::postgres`].
    postgres: Option<&'static str>,
}

impl Step {
    const fn both(sql: &'static str) -> Self {
        Self {
            sqlite: Some(sql),
            postgres: Some(sql),
        }
    }

    /// PostgreSQL's, its parameters numbered in their order.
    pub fn postgres(&self) -> Option<String> {
        let mut parts = self.postgres?.split('?');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (part, number) in parts.zip(1..) {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "${number}{part}");
        }
        Some(text)
    }
}

/// A value to bind.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `TEXT`.
    Text(&'a str),
    /// `INTEGER`, `BIGINT`.
    Int(i64),
    /// `BLOB`, `BYTEA`.
    Bytes(&'a [u8]),
    /// Unix microseconds; `INTEGER`, `TIMESTAMPTZ`.
    Time(i64),
    /// `TEXT`, `JSONB`; none is NULL.
    Json(Option<&'a str>),
}

/// `UserRepository::find`: (id).
pub const FIND: Step = Step {
    sqlite: Some(
        "SELECT `users`.`id`, `users`.`username`, `users`.`public_key`, `users`.`reputation`, \
         `users`.`created_at`, `users`.`updated_at` FROM `users` WHERE (`users`.`id` = ?)",
    ),
    postgres: None,
};

/// `UserRepository::list` after a cursor: (`created_at`, id, rows).
pub const LIST: Step = Step {
    sqlite: Some(
        "SELECT id, username, public_key, reputation, created_at, updated_at FROM users \
         WHERE (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ? + 0",
    ),
    postgres: None,
};

/// One settled bet, by itself: the repository writes several at once.
pub const INSERT_SETTLED: &str = "INSERT INTO bets (id, game_id, player_id, bet_type, amount, \
                                  outcome, created_at, resolved_at) \
                                  VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

/// `money::place_bet` within `Actor::acts`, in the order in which they run.
pub const PLACE_BET: [Step; 13] = [
    Step {
        sqlite: Some(
            "INSERT INTO audit_context (id, user_id, ip_address, user_agent, at) \
             VALUES (1, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, \
             ip_address = excluded.ip_address, user_agent = excluded.user_agent, at = excluded.at",
        ),
        postgres: Some(
            "SELECT set_config('bitcraps.audit_user', ?, true), \
             set_config('bitcraps.audit_ip', ?, true), \
             set_config('bitcraps.audit_agent', ?, true), \
             set_config('bitcraps.audit_at', ?::text, true)",
        ),
    },
    Step::both(
        "INSERT INTO operations (kind, reference, content_hash, answer, created_at) \
         VALUES (?, ?, ?, '', ?) ON CONFLICT DO NOTHING",
    ),
    Step {
        sqlite: Some("SELECT state, pot_size FROM games WHERE id = ?"),
        postgres: Some("SELECT state, pot_size FROM games WHERE id = ? FOR KEY SHARE"),
    },
    Step::both(
        "UPDATE token_balances SET balance = balance + ?, locked_balance = locked_balance + ?, \
         staked_balance = staked_balance + ?, last_updated = ? \
         WHERE user_id = ? AND balance >= ? AND locked_balance >= ? AND staked_balance >= ? \
         AND balance + locked_balance + staked_balance <= ? \
         RETURNING balance, locked_balance, staked_balance",
    ),
    Step::both(
        "INSERT INTO transactions (user_id, transaction_type, amount, balance_before, \
         balance_after, status, reference_id, created_at, metadata, locked_change, staked_change) \
         VALUES (?, ?, ?, ?, ?, 'completed', ?, ?, ?, ?, ?)",
    ),
    Step::both(
        "INSERT INTO bets (id, game_id, player_id, bet_type, amount, created_at) \
         VALUES (?, ?, ?, ?, ?, ?)",
    ),
    Step::both(
        "INSERT INTO game_players (game_id, player_id, joined_at) VALUES (?, ?, ?) \
         ON CONFLICT DO NOTHING",
    ),
    Step::both(
        "INSERT INTO player_statistics (player_id, games_played, bet_count, total_wagered, \
         last_played_at, created_at, updated_at) VALUES (?, ?, 1, ?, ?, ?, ?) \
         ON CONFLICT (player_id) DO UPDATE SET \
         games_played = player_statistics.games_played + excluded.games_played, \
         bet_count = player_statistics.bet_count + 1, \
         total_wagered = CASE WHEN player_statistics.total_wagered > 9223372036854775807 - excluded.total_wagered \
         THEN 9223372036854775807 ELSE player_statistics.total_wagered + excluded.total_wagered END, \
         last_played_at = excluded.last_played_at, updated_at = excluded.updated_at",
    ),
    Step::both(
        "INSERT INTO game_statistics (game_id, player_count, bet_count, total_wagered, \
         created_at, updated_at) VALUES (?, ?, 1, ?, ?, ?) ON CONFLICT (game_id) DO UPDATE SET \
         player_count = game_statistics.player_count + excluded.player_count, \
         bet_count = game_statistics.bet_count + 1, \
         total_wagered = CASE WHEN game_statistics.total_wagered > 9223372036854775807 - excluded.total_wagered \
         THEN 9223372036854775807 ELSE game_statistics.total_wagered + excluded.total_wagered END, \
         updated_at = excluded.updated_at",
    ),
    Step::both(
        "INSERT INTO game_events (game_id, version, event_type, payload, created_at) \
         SELECT ?, (SELECT coalesce(max(version), 0) FROM game_events WHERE game_id = ?) + 1, \
         ?, ?, ? WHERE ? < 0 \
         OR ? = (SELECT coalesce(max(version), 0) FROM game_events WHERE game_id = ?) \
         RETURNING version",
    ),
    Step::both(
        "INSERT INTO outbox (user_id, outbox_type, payload, next_retry_at, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
    ),
    Step::both("UPDATE operations SET answer = ? WHERE kind = ? AND reference = ?"),
    Step {
        sqlite: Some(
            "UPDATE audit_context SET user_id = NULL, ip_address = NULL, user_agent = NULL, \
             at = NULL WHERE id = 1",
        ),
        postgres: None,
    },
];

#[cfg(test)]
mod tests {
    use super::PLACE_BET;

    #[test]
    fn parameters_of_postgres_have_numbers() {
        assert_eq!(
            PLACE_BET[11].postgres().unwrap(),
            "UPDATE operations SET answer = $1 WHERE kind = $2 AND reference = $3"
        );
        assert_eq!(PLACE_BET[12].postgres(), None);
    }
}
