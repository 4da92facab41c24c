//! A game ends: what happens once its open bets are known.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{
    EntryType, GameEvent, GamePhase, GameState, NewNotification, NotificationType, OutboxType,
    TransactionType,
};
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use serde_json::json;

use super::accounts::{self, Account, Entry};
use super::balances::{self, Change, Line};
use super::bet_settlement::{self, HeldGame, OpenBet, Verdict};
use super::sheet::Sheet;
use super::{games, tell};
use crate::moment::just_after;
use crate::refusal::touched_one;
use crate::{Error, NotificationRepository, OutboxRepository, Result, StatsRepository};

statement! {
    struct EndGame<'a> {
        game: &'a str as Text,
        state: GameState as Text,
        phase: GamePhase as Text,
        now: UtcTime as UtcTimestamp,
        winner: Option<&'a str> as Nullable<Text>,
    }
    "UPDATE games SET state = " state ", phase = " phase ", pot_size = 0, completed_at = " now
    ", winner_id = " winner " WHERE id = " game
}

/// A game while it ends.
pub(super) struct Ending<'a, 'c> {
    game: HeldGame<'a>,
    sheet: Sheet<'c>,
    paid: i64,
    events: Vec<GameEvent>,
}

/// What an end came to.
pub(super) struct Ended {
    /// What became available to players, without the pot.
    pub(super) paid: i64,
    /// What was in the pot.
    pub(super) pot: i64,
}

impl<'a, 'c> Ending<'a, 'c> {
    /// With so many bets to settle.
    pub(super) fn of(conn: &'c mut Conn<'_>, game: HeldGame<'a>, bets: usize) -> Self {
        Self {
            game,
            sheet: Sheet::of(conn),
            paid: 0,
            events: Vec::with_capacity(bets + 1),
        }
    }

    /// Some bets of it, whose players' balances the caller holds.
    pub(super) fn settle(&mut self, decided: &[(OpenBet, Verdict)]) -> Result<()> {
        let now = self.game.now;
        bet_settlement::decide_many(self.sheet.conn(), decided, now)?;
        let players = decided.iter().map(|(bet, _)| bet.player_id.as_str());
        self.sheet.read(players)?;
        let mut entries = Vec::with_capacity(decided.len());
        let mut notes = Vec::new();
        for (bet, verdict) in decided {
            let payout = self.game.settle(&mut self.sheet, bet, verdict)?.payout;
            let paid = self.paid.checked_add(payout);
            self.paid = paid.ok_or_else(|| Error::Overflow {
                owner: format!("game {}", self.game.id),
            })?;
            self.events.push(self.game.event(bet, verdict));
            entries.push(self.game.entry(bet, verdict, payout));
            notes.extend(self.game.note(bet, verdict, payout));
        }
        self.sheet.write_down(now)?;
        OutboxRepository::enqueue_many(self.sheet.conn(), &entries)?;
        NotificationRepository::create_many(self.sheet.conn(), &notes)?;
        Ok(())
    }

    /// The game itself, when its bets are settled.
    pub(super) fn end(self, state: GameState, winner: Option<&str>) -> Result<Ended> {
        let Self {
            game,
            sheet,
            paid,
            mut events,
        } = self;
        let HeldGame { id, pot, now, .. } = game;
        let conn = &mut sheet.write(now)?;
        // The sheet may have changed the accounts' and the winner's rows.
        let later = just_after(now);
        give_pot(conn, &game, winner, later)?;
        let end = EndGame {
            game: id,
            state,
            phase: GamePhase::Ended,
            now,
            winner,
        };
        let rows = with_conn!(conn, |c| end.execute(c))?;
        touched_one(rows, "game", id)?;
        if let Some(winner) = winner {
            StatsRepository::game_won(conn, winner, later)?;
        }
        events.push(GameEvent::GameSettled {
            state,
            winner_id: winner.map(str::to_owned),
            pot: 0,
        });
        games::record(conn, id, &events, now)?;
        let payload = json!({
            "reference": game.reference, "game_id": id, "state": state,
            "winner_id": winner, "pot": pot, "paid": paid,
        });
        tell(conn, winner, OutboxType::GameSettled, payload, now)?;
        if let Some(winner) = winner {
            let note = NewNotification {
                user_id: winner.to_owned(),
                notification_type: NotificationType::Win,
                title: "Game won".to_owned(),
                message: format!("You won the game and its pot of {pot} CRAP."),
                metadata: Some(json!({"game_id": id, "pot": pot}).into()),
                created_at: now,
            };
            NotificationRepository::create(conn, &note)?;
        }
        Ok(Ended { paid, pot })
    }
}

/// Nothing stays in the pot of a game that has ended.
fn give_pot(
    conn: &mut Conn<'_>,
    game: &HeldGame<'_>,
    winner: Option<&str>,
    now: UtcTime,
) -> Result<()> {
    let HeldGame { id, pot, .. } = *game;
    if pot == 0 {
        return Ok(());
    }
    let kind = match winner {
        Some(winner) => {
            let line = Line::of(TransactionType::PotWon, id);
            balances::change(conn, winner, Change::available(pot), line, now)?;
            EntryType::PotWon
        }
        None => EntryType::PotToHouse,
    };
    let entry = Entry {
        kind,
        reference: id,
    };
    accounts::change(conn, Account::Pot(id), -pot, entry, now)?;
    if winner.is_none() {
        accounts::change(conn, Account::House, pot, entry, now)?;
    }
    Ok(())
}
