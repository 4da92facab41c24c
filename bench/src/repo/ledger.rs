//! The books of the area: what bets leave behind, and how that has to agree.

use anyhow::{Result, ensure};
use bench_load::Work;
use bench_load::repo::{self, STAKE};

use crate::contest::database::Done;

/// Counts and sums; [`agree`] knows their order.
pub(super) const QUESTIONS: &[&str] = &[
    "SELECT CAST(count(*) AS TEXT) AS line FROM bets",
    "SELECT CAST(count(*) AS TEXT) AS line FROM operations WHERE answer <> ''",
    "SELECT CAST(count(*) AS TEXT) AS line FROM transactions",
    "SELECT CAST(count(*) AS TEXT) AS line FROM game_events",
    "SELECT CAST(count(*) AS TEXT) AS line FROM outbox WHERE status = 'pending'",
    "SELECT CAST(sum(bet_count) AS TEXT) AS line FROM player_statistics",
    "SELECT CAST(sum(bet_count) AS TEXT) AS line FROM game_statistics",
    "SELECT CAST(sum(locked_balance) AS TEXT) AS line FROM token_balances",
    "SELECT CAST(coalesce(sum(locked_change), 0) AS TEXT) AS line FROM transactions",
    "SELECT CAST(-sum(balance) AS TEXT) AS line FROM token_balances",
    "SELECT CAST(coalesce(-sum(amount), 0) AS TEXT) AS line FROM transactions",
    "SELECT CAST(count(*) AS TEXT) AS line FROM game_players",
    "SELECT CAST(sum(player_count) AS TEXT) AS line FROM game_statistics",
    "SELECT CAST(count(*) AS TEXT) AS line FROM audit_logs WHERE ip_address IS NOT NULL",
    "SELECT CAST(count(*) AS TEXT) AS line FROM audit_logs",
];

/// Rows of audited tables that a bet changes: balance, line, bet.
const AUDITED: i64 = 3;

/// Fails unless everything that belongs to a bet is there as often as bets are.
///
/// # Errors
/// Says what is not.
pub(super) fn agree(work: Work, changes: &[i64], done: Done) -> Result<()> {
    let [bets, per_bet @ .., players, in_games, by_whom, audited] = changes else {
        anyhow::bail!("{} answers are too few", changes.len());
    };
    let (rows, amounts) = per_bet.split_at(6);
    match work {
        Work::Repo(repo::Work::PlaceBet) => {
            done.are(*bets)?;
            ensure!(
                rows.iter().all(|count| count == bets),
                "{bets} bets, but operations, lines, events, entries and totals are {rows:?}"
            );
            ensure!(
                amounts.iter().all(|amount| *amount == bets * STAKE),
                "{bets} bets of {STAKE}, but locked and paid are {amounts:?}"
            );
            ensure!(
                players == in_games,
                "{players} players joined, the games count {in_games}"
            );
            ensure!(
                *audited == bets * AUDITED && by_whom == audited,
                "{bets} bets, {audited} lines of the trail, {by_whom} of them say by whom"
            );
        }
        Work::Repo(repo::Work::Bulk { .. }) => {
            done.are(*bets)?;
            ensure!(
                audited == bets && by_whom == bets,
                "{bets} bets, {audited} lines of the trail, {by_whom} of them say by whom"
            );
        }
        _ => ensure!(
            changes.iter().all(|change| *change == 0),
            "a reader wrote: {changes:?}"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work::Repo(repo::Work::PlaceBet);

    fn two_bets() -> Vec<i64> {
        vec![2, 2, 2, 2, 2, 2, 2, 20, 20, 20, 20, 1, 1, 6, 6]
    }

    #[test]
    fn whole_bets_agree_and_anything_missing_does_not() {
        let done = Done { done: 2, failed: 0 };
        assert_eq!(two_bets().len(), QUESTIONS.len());
        agree(WORK, &two_bets(), done).unwrap();
        for at in 0..QUESTIONS.len() {
            let mut changes = two_bets();
            changes[at] += 1;
            assert!(agree(WORK, &changes, done).is_err(), "{}", QUESTIONS[at]);
        }
        let other = Done { done: 3, failed: 0 };
        assert!(agree(WORK, &two_bets(), other).is_err());
    }
}
