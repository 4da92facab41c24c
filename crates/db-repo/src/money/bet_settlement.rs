//! One bet is settled: what happens to its stake, and what it wins.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{
    BetOutcome, EntryType, GameEvent, NewNotification, NotificationType, OutboxType,
    TransactionType,
};
use db_schema::types::{BetId, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use serde_json::json;

use super::accounts::{self, Account, Entry};
use super::balances::{self, Balances, Change, Line};
use super::tell;
use crate::{BetResolved, Error, NotificationRepository, Result, StatsRepository};

statement! {
    struct FindBet {
        id: BetId as Binary,
    }
    returns (Text, Text, BigInt);
    "SELECT game_id, player_id, amount FROM bets WHERE id = " id
}

statement! {
    struct Decide {
        id: BetId as Binary,
        outcome: BetOutcome as Text,
        now: UtcTime as UtcTimestamp,
    }
    "UPDATE bets SET outcome = " outcome ", resolved_at = " now
    " WHERE id = " id " AND outcome IS NULL"
}

/// A bet, as far as money is concerned.
pub(super) struct OpenBet {
    pub(super) id: BetId,
    pub(super) player_id: String,
    pub(super) amount: i64,
}

/// How a bet ended.
pub(super) struct Verdict {
    pub(super) outcome: BetOutcome,
    pub(super) winnings: i64,
}

/// What settling a bet came to.
pub(super) struct Settled {
    /// Available again: the stake and the winnings, or nothing.
    pub(super) payout: i64,
    pub(super) balances: Balances,
}

/// A bet and its game.
pub(super) fn find(conn: &mut Conn<'_>, id: BetId) -> Result<Option<(String, OpenBet)>> {
    let found: Option<(String, String, i64)> =
        with_conn!(conn, |c| FindBet { id }.get_result(c)).optional()?;
    Ok(found.map(|(game_id, player_id, amount)| {
        let bet = OpenBet {
            id,
            player_id,
            amount,
        };
        (game_id, bet)
    }))
}

/// Writes down how a bet ended, if nobody has before.
pub(super) fn decide(
    conn: &mut Conn<'_>,
    id: BetId,
    outcome: BetOutcome,
    now: UtcTime,
) -> Result<()> {
    let decide = Decide { id, outcome, now };
    match with_conn!(conn, |c| decide.execute(c))? {
        1 => Ok(()),
        _ => Err(Error::AlreadyResolved(id)),
    }
}

/// A game that the caller holds, while its bets are settled.
pub(super) struct HeldGame<'a> {
    pub(super) id: &'a str,
    /// Of the operation.
    pub(super) reference: &'a str,
    /// What its account has; `games.pot_size` is the caller's to set.
    pub(super) pot: i64,
    pub(super) now: UtcTime,
}

impl HeldGame<'_> {
    /// Moves the money of a bet that was decided, and counts it.
    pub(super) fn settle(
        &mut self,
        conn: &mut Conn<'_>,
        bet: &OpenBet,
        verdict: &Verdict,
    ) -> Result<Settled> {
        let overflow = || Error::Overflow {
            owner: bet.player_id.clone(),
        };
        let (kind, payout) = match verdict.outcome {
            BetOutcome::Won => {
                let payout = bet.amount.checked_add(verdict.winnings);
                (TransactionType::BetWon, payout.ok_or_else(overflow)?)
            }
            BetOutcome::Lost => (TransactionType::BetLost, 0),
            BetOutcome::Push | BetOutcome::Void => (TransactionType::BetReturned, bet.amount),
        };
        let reference = bet.id.to_string();
        let change = Change {
            available: payout,
            locked: -bet.amount,
            staked: 0,
        };
        let line = Line::of(kind, &reference);
        let balances = balances::change(conn, &bet.player_id, change, line, self.now)?;
        match verdict.outcome {
            BetOutcome::Lost => self.collect(conn, bet.amount, &reference)?,
            BetOutcome::Won => self.pay(conn, verdict.winnings, &reference)?,
            BetOutcome::Push | BetOutcome::Void => {}
        }
        let counted = BetResolved {
            game_id: self.id,
            player_id: &bet.player_id,
            outcome: verdict.outcome,
            payout,
        };
        StatsRepository::bet_resolved(conn, counted, self.now)?;
        Ok(Settled { payout, balances })
    }

    /// A lost stake.
    fn collect(&mut self, conn: &mut Conn<'_>, stake: i64, reference: &str) -> Result<()> {
        let entry = Entry {
            kind: EntryType::BetLost,
            reference,
        };
        self.pot = accounts::change(conn, Account::Pot(self.id), stake, entry, self.now)?;
        Ok(())
    }

    /// Winnings, from the pot and as far as it lacks from the house.
    fn pay(&mut self, conn: &mut Conn<'_>, winnings: i64, reference: &str) -> Result<()> {
        let entry = Entry {
            kind: EntryType::BetWon,
            reference,
        };
        let of_pot = winnings.min(self.pot);
        let of_house = winnings - of_pot;
        if of_pot > 0 {
            self.pot = accounts::change(conn, Account::Pot(self.id), -of_pot, entry, self.now)?;
        }
        if of_house > 0 {
            accounts::change(conn, Account::House, -of_house, entry, self.now)?;
        }
        Ok(())
    }

    /// What the game's history says of a bet that was just settled.
    pub(super) const fn event(&self, bet: &OpenBet, verdict: &Verdict) -> GameEvent {
        GameEvent::BetResolved {
            bet_id: bet.id,
            outcome: verdict.outcome,
            winnings: verdict.winnings,
            pot: self.pot,
        }
    }

    /// Tells the outside, and the player who won.
    pub(super) fn announce(
        &self,
        conn: &mut Conn<'_>,
        bet: &OpenBet,
        verdict: &Verdict,
        settled: &Settled,
    ) -> Result<()> {
        let (user, payout) = (bet.player_id.as_str(), settled.payout);
        let payload = json!({
            "reference": self.reference, "bet_id": bet.id, "game_id": self.id, "player_id": user,
            "outcome": verdict.outcome, "winnings": verdict.winnings, "payout": payout,
        });
        tell(conn, Some(user), OutboxType::BetResolved, payload, self.now)?;
        if verdict.outcome != BetOutcome::Won {
            return Ok(());
        }
        let metadata = json!({"bet_id": bet.id, "game_id": self.id, "payout": payout});
        let note = NewNotification {
            user_id: user.to_owned(),
            notification_type: NotificationType::Win,
            title: "Bet won".to_owned(),
            message: format!("Your bet paid {payout} CRAP."),
            metadata: Some(metadata.into()),
            created_at: self.now,
        };
        NotificationRepository::create(conn, &note).map(drop)
    }
}
