//! What happens in a game, event by event: enough to make its row and those of its bets again.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::rows::{BetOutcome, BetType, GamePhase, GameState};
use crate::schema::game_events;
use crate::types::{BetId, Json, UtcTime};

/// One thing that happened in a game. When it did is the time of the row; money is in the smallest
/// unit of CRAP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event_type", content = "payload", rename_all = "snake_case")]
pub enum GameEvent {
    /// It was opened. Always the first, and only the first.
    GameCreated {
        /// How far it is.
        state: GameState,
        /// What the first throw decides.
        phase: GamePhase,
        /// What is in the pot.
        pot: i64,
    },
    /// It went on.
    PhaseChanged {
        /// How far it is now.
        state: GameState,
        /// What the next throw decides.
        phase: GamePhase,
    },
    /// A player placed a bet. The pot stays as it is.
    BetPlaced {
        /// The bet.
        bet_id: BetId,
        /// Who bets.
        player_id: String,
        /// What on.
        bet_type: BetType,
        /// The stake.
        amount: i64,
    },
    /// A bet ended.
    BetResolved {
        /// The bet.
        bet_id: BetId,
        /// How it ended.
        outcome: BetOutcome,
        /// What the player gets beyond the stake; 0 unless it was won.
        winnings: i64,
        /// What is in the pot afterwards.
        pot: i64,
    },
    /// It ended: completed or cancelled, and nothing follows.
    GameSettled {
        /// `completed` or `cancelled`.
        state: GameState,
        /// Who won it, if anybody did.
        winner_id: Option<String>,
        /// What is in the pot afterwards.
        pot: i64,
    },
}

/// An event to append.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGameEvent {
    /// What kind of event.
    pub event_type: String,
    /// The rest of it.
    pub payload: Json,
}

impl From<&GameEvent> for NewGameEvent {
    fn from(event: &GameEvent) -> Self {
        let (event_type, payload) = match event {
            GameEvent::GameCreated { state, phase, pot } => (
                "game_created",
                json!({ "state": state, "phase": phase, "pot": pot }),
            ),
            GameEvent::PhaseChanged { state, phase } => {
                ("phase_changed", json!({ "state": state, "phase": phase }))
            }
            GameEvent::BetPlaced {
                bet_id,
                player_id,
                bet_type,
                amount,
            } => (
                "bet_placed",
                json!({
                    "bet_id": bet_id,
                    "player_id": player_id,
                    "bet_type": bet_type,
                    "amount": amount,
                }),
            ),
            GameEvent::BetResolved {
                bet_id,
                outcome,
                winnings,
                pot,
            } => (
                "bet_resolved",
                json!({
                    "bet_id": bet_id,
                    "outcome": outcome,
                    "winnings": winnings,
                    "pot": pot,
                }),
            ),
            GameEvent::GameSettled {
                state,
                winner_id,
                pot,
            } => (
                "game_settled",
                json!({ "state": state, "winner_id": winner_id, "pot": pot }),
            ),
        };
        Self {
            event_type: event_type.to_owned(),
            payload: Json(payload),
        }
    }
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Identifiable)]
#[diesel(table_name = game_events, primary_key(game_id, version), check_for_backend(Sqlite, Pg))]
pub struct StoredGameEvent {
    /// The game.
    pub game_id: String,
    /// Counts the events of the game: 1, 2, 3 and so on.
    pub version: i64,
    /// What kind of event.
    pub event_type: String,
    /// The rest of it.
    pub payload: Json,
    /// When it happened.
    pub created_at: UtcTime,
}

impl StoredGameEvent {
    /// The event.
    ///
    /// # Errors
    /// Of a kind, or with a payload, that this program does not know.
    pub fn event(&self) -> Result<GameEvent, serde_json::Error> {
        event(&self.event_type, &self.payload)
    }
}

impl NewGameEvent {
    /// The event.
    ///
    /// # Errors
    /// Of a kind, or with a payload, that this program does not know.
    pub fn event(&self) -> Result<GameEvent, serde_json::Error> {
        event(&self.event_type, &self.payload)
    }
}

fn event(event_type: &str, payload: &Json) -> Result<GameEvent, serde_json::Error> {
    let mut parts = serde_json::Map::new();
    parts.insert("event_type".to_owned(), event_type.into());
    parts.insert("payload".to_owned(), payload.0.clone());
    serde_json::from_value(Value::Object(parts))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_event_survives_being_a_row() {
        let bet_id = BetId(Uuid::from_u128(7));
        let (state, phase) = (GameState::Open, GamePhase::ComeOut);
        for (event, word) in [
            (
                GameEvent::GameCreated {
                    state,
                    phase,
                    pot: 0,
                },
                "game_created",
            ),
            (GameEvent::PhaseChanged { state, phase }, "phase_changed"),
            (
                GameEvent::BetPlaced {
                    bet_id,
                    player_id: "ada".into(),
                    bet_type: BetType::Pass,
                    amount: i64::MAX,
                },
                "bet_placed",
            ),
            (
                GameEvent::BetResolved {
                    bet_id,
                    outcome: BetOutcome::Won,
                    winnings: 1,
                    pot: 2,
                },
                "bet_resolved",
            ),
            (
                GameEvent::GameSettled {
                    state: GameState::Completed,
                    winner_id: None,
                    pot: 0,
                },
                "game_settled",
            ),
        ] {
            let new = NewGameEvent::from(&event);
            assert_eq!(new.event_type, word);
            let stored = StoredGameEvent {
                game_id: "g1".into(),
                version: 1,
                event_type: new.event_type,
                payload: new.payload,
                created_at: DateTime::UNIX_EPOCH.into(),
            };
            assert_eq!(stored.event().unwrap(), event);
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        for (event_type, payload) in [
            ("game_lost", json!({})),
            ("phase_changed", json!({ "state": "open" })),
            (
                "phase_changed",
                json!({ "state": "open", "phase": "twelfth" }),
            ),
        ] {
            let stored = StoredGameEvent {
                game_id: "g1".into(),
                version: 1,
                event_type: event_type.into(),
                payload: Json(payload),
                created_at: DateTime::UNIX_EPOCH.into(),
            };
            stored.event().unwrap_err();
        }
    }
}
