//! One bet is settled: what happens to its stake, and what it wins.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{
    BetOutcome, EntryType, GameEvent, NewNotification, NewOutboxEntry, NotificationType,
    OutboxType, TransactionType,
};
use db_schema::schema::bets;
use db_schema::types::{BetId, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use serde_json::json;

use super::accounts::{Account, Entry};
use super::balances::{Balances, Change, Line};
use super::ledger::Ledger;
use crate::dialect::sheet::BATCH;
use crate::stats::BetResolved;
use crate::{Error, Result};

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

/// Writes down how bets ended, which the caller holds open.
pub(super) fn decide_many(
    conn: &mut Conn<'_>,
    decided: &[(OpenBet, Verdict)],
    now: UtcTime,
) -> Result<()> {
    for &outcome in BetOutcome::ALL {
        let of = decided
            .iter()
            .filter(|(_, verdict)| verdict.outcome == outcome);
        let ids: Vec<_> = of.map(|(bet, _)| bet.id).collect();
        for some in ids.chunks(BATCH) {
            let open = bets::table
                .filter(bets::id.eq_any(some))
                .filter(bets::outcome.is_null());
            let set = (bets::outcome.eq(outcome), bets::resolved_at.eq(now));
            let rows = with_conn!(conn, |c| diesel::update(open).set(set).execute(c))?;
            if let (true, Some(first)) = (rows != some.len(), some.first()) {
                return Err(Error::AlreadyResolved(*first));
            }
        }
    }
    Ok(())
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
        ledger: &mut impl Ledger,
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
        let balances = ledger.change(&bet.player_id, change, line, self.now)?;
        match verdict.outcome {
            BetOutcome::Lost => self.collect(ledger, bet.amount, &reference)?,
            BetOutcome::Won => self.pay(ledger, verdict.winnings, &reference)?,
            BetOutcome::Push | BetOutcome::Void => {}
        }
        let counted = BetResolved {
            game_id: self.id,
            player_id: &bet.player_id,
            outcome: verdict.outcome,
            payout,
        };
        ledger.count(counted, self.now)?;
        Ok(Settled { payout, balances })
    }

    /// A lost stake.
    fn collect(&mut self, ledger: &mut impl Ledger, stake: i64, reference: &str) -> Result<()> {
        let entry = Entry {
            kind: EntryType::BetLost,
            reference,
        };
        self.pot = ledger.change_account(Account::Pot(self.id), stake, entry, self.now)?;
        Ok(())
    }

    /// Winnings, from the pot and as far as it lacks from the house.
    fn pay(&mut self, ledger: &mut impl Ledger, winnings: i64, reference: &str) -> Result<()> {
        let entry = Entry {
            kind: EntryType::BetWon,
            reference,
        };
        let of_pot = winnings.min(self.pot);
        let of_house = winnings - of_pot;
        if of_pot > 0 {
            self.pot = ledger.change_account(Account::Pot(self.id), -of_pot, entry, self.now)?;
        }
        if of_house > 0 {
            ledger.change_account(Account::House, -of_house, entry, self.now)?;
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

    /// What the outside should know of it.
    pub(super) fn entry(&self, bet: &OpenBet, verdict: &Verdict, payout: i64) -> NewOutboxEntry {
        let user = bet.player_id.as_str();
        let payload = json!({
            "reference": self.reference, "bet_id": bet.id, "game_id": self.id, "player_id": user,
            "outcome": verdict.outcome, "winnings": verdict.winnings, "payout": payout,
        });
        NewOutboxEntry {
            user_id: Some(user.to_owned()),
            outbox_type: OutboxType::BetResolved,
            payload: payload.into(),
            created_at: self.now,
        }
    }

    /// What the player who won should know.
    pub(super) fn note(
        &self,
        bet: &OpenBet,
        verdict: &Verdict,
        payout: i64,
    ) -> Option<NewNotification> {
        if verdict.outcome != BetOutcome::Won {
            return None;
        }
        let metadata = json!({"bet_id": bet.id, "game_id": self.id, "payout": payout});
        Some(NewNotification {
            user_id: bet.player_id.clone(),
            notification_type: NotificationType::Win,
            title: "Bet won".to_owned(),
            message: format!("Your bet paid {payout} CRAP."),
            metadata: Some(metadata.into()),
            created_at: self.now,
        })
    }
}
