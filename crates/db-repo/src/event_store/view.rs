//! A game as its events make it.

use std::collections::BTreeMap;

use db_schema::rows::{Bet, Game, GameEvent, GamePhase, StoredGameEvent};
use db_schema::types::BetId;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A game and its bets after one of its events: what the rows of the tables were at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameView {
    /// The last event that is in it.
    pub version: i64,
    /// The row of the game.
    pub game: Game,
    /// Its bets, by key.
    pub bets: BTreeMap<BetId, BetView>,
}

/// A bet as events make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BetView {
    /// The row of the bet.
    pub bet: Bet,
    /// What the player got beyond the stake; 0 as long as it is open. Smallest unit of CRAP.
    pub winnings: i64,
}

impl GameView {
    /// The state after the next event.
    ///
    /// # Errors
    /// `BrokenHistory` for an event that cannot follow.
    pub(crate) fn after(view: Option<Self>, stored: &StoredGameEvent) -> Result<Self> {
        let broken = |why: String| Error::BrokenHistory {
            game: stored.game_id.clone(),
            version: stored.version,
            why,
        };
        let event = stored.event().map_err(|error| broken(error.to_string()))?;
        let expected = view.as_ref().map_or(1, |view| view.version + 1);
        if stored.version != expected {
            return Err(broken(format!("event {expected} is missing")));
        }
        let next = match (view, event) {
            (None, GameEvent::GameCreated { state, phase, pot }) => Self {
                version: stored.version,
                game: Game {
                    id: stored.game_id.clone(),
                    state,
                    pot_size: pot,
                    phase,
                    created_at: stored.created_at,
                    completed_at: None,
                    winner_id: None,
                },
                bets: BTreeMap::new(),
            },
            (None, _) => return Err(broken("the game was not created before".to_owned())),
            (Some(mut view), event) => {
                view.take(event, stored).map_err(broken)?;
                view.version = stored.version;
                view
            }
        };
        Ok(next)
    }

    /// Takes in an event that is not the first.
    fn take(
        &mut self,
        event: GameEvent,
        stored: &StoredGameEvent,
    ) -> std::result::Result<(), String> {
        if self.game.completed_at.is_some() {
            return Err("the game has ended before".to_owned());
        }
        match event {
            GameEvent::GameCreated { .. } => return Err("the game is created again".to_owned()),
            GameEvent::PhaseChanged { state, phase } => {
                self.game.state = state;
                self.game.phase = phase;
            }
            GameEvent::BetPlaced {
                bet_id,
                player_id,
                bet_type,
                amount,
            } => {
                let bet = Bet {
                    id: bet_id,
                    game_id: stored.game_id.clone(),
                    player_id,
                    bet_type,
                    amount,
                    outcome: None,
                    created_at: stored.created_at,
                    resolved_at: None,
                };
                let placed = BetView { bet, winnings: 0 };
                if self.bets.insert(bet_id, placed).is_some() {
                    return Err(format!("bet {bet_id} is placed again"));
                }
            }
            GameEvent::BetResolved {
                bet_id,
                outcome,
                winnings,
                pot,
            } => {
                let Some(placed) = self.bets.get_mut(&bet_id) else {
                    return Err(format!("bet {bet_id} was not placed before"));
                };
                if placed.bet.outcome.is_some() {
                    return Err(format!("bet {bet_id} is resolved again"));
                }
                placed.bet.outcome = Some(outcome);
                placed.bet.resolved_at = Some(stored.created_at);
                placed.winnings = winnings;
                self.game.pot_size = pot;
            }
            GameEvent::GameSettled {
                state,
                winner_id,
                pot,
            } => {
                self.game.state = state;
                self.game.phase = GamePhase::Ended;
                self.game.pot_size = pot;
                self.game.winner_id = winner_id;
                self.game.completed_at = Some(stored.created_at);
            }
        }
        Ok(())
    }
}
