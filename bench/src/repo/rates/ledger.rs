//! Settlements of thousands of bets, and reconciliation of all players.

use anyhow::{Context as _, Result, ensure};
use bench_load::Key;
use bench_load::repo::{STAKE, game_key};
use db_core::RetryPolicy;
use db_repo::money::{self, BetResult, Fundable, Settlement};
use db_repo::{Error, Reconciliation};
use db_schema::rows::{BetOutcome, BetType, GameState};
use db_schema::types::BetId;
use uuid::Uuid;

use super::{PLAYERS, Rates, now, timed};
use crate::metrics::{mebibytes, millis};

/// Games whose bets are settled; nobody else bets in them.
pub(super) const SETTLED: [u64; 3] = [0, 1, 2];

/// Bets that are placed in one transaction.
const AT_A_TIME: u64 = 500;

impl Rates<'_> {
    /// Games of a tenth, of many and of four times as many bets, so that it shows whether the time of one
    /// bet stays the same.
    pub(super) fn settle(&mut self, many: u64) -> Result<()> {
        let fund = money::Fund {
            reference: "settle".to_owned(),
            account: Fundable::House,
            amount: 1_000_000_000,
        };
        let policy = RetryPolicy::default();
        self.database
            .write_with_retry(&policy, |conn| money::fund(conn, &fund, now()))?;
        for (game, bets) in SETTLED.into_iter().zip([many / 10, many, 4 * many]) {
            let game_id = game_key(game);
            self.place(&game_id, game, bets)?;
            let settle = money::SettleGame {
                reference: game_id.clone(),
                settlement: Settlement::Completed {
                    results: (0..bets).map(|number| result(game, number)).collect(),
                    winner: None,
                },
                game_id,
            };
            let (settled, time) = timed(|| {
                let settled = self
                    .database
                    .write_with_retry(&policy, |conn| money::settle_game(conn, &settle, now()))?;
                Ok(settled)
            })?;
            ensure!(
                settled.bets == bets && settled.state == GameState::Completed,
                "{settled:?}"
            );
            self.set(
                &format!("settle.{bets}.ms"),
                &format!("settle a game of {bets} bets"),
                millis(time),
                "ms",
            );
        }
        Ok(())
    }

    fn place(&self, game: &str, number: u64, bets: u64) -> Result<()> {
        let mut key = Key::default();
        let mut first = 0;
        while first < bets {
            let end = bets.min(first + AT_A_TIME);
            let requests: Vec<_> = (first..end)
                .map(|bet| money::PlaceBet {
                    reference: format!("{game}-{bet}"),
                    bet_id: bet_id(number, bet),
                    game_id: game.to_owned(),
                    player_id: key.of(bet, PLAYERS).to_owned(),
                    bet_type: BetType::Pass,
                    amount: STAKE,
                })
                .collect();
            self.database
                .write_with_retry(&RetryPolicy::default(), |conn| {
                    for request in &requests {
                        money::place_bet(conn, request, now())?;
                    }
                    Ok::<_, Error>(())
                })?;
            first = end;
        }
        Ok(())
    }

    /// All of it in one read; memory is what the peak of this program grows by.
    pub(super) fn reconcile(&mut self, users: u64) -> Result<()> {
        let before = begin_peak()?;
        let (report, time) = timed(|| {
            let report = self.database.read(|conn| Reconciliation::new().run(conn))?;
            Ok(report)
        })?;
        let grown = peak()?.saturating_sub(before);
        ensure!(report.is_sound() && report.users == users, "{report:?}");
        self.set(
            &format!("reconcile.{users}.s"),
            &format!("reconcile {users} players"),
            time.as_secs_f64(),
            "s",
        );
        self.set(
            &format!("reconcile.{users}.mib"),
            &format!("memory of it, {users} players"),
            mebibytes(grown),
            "MiB",
        );
        Ok(())
    }
}

/// Every other bet is won, as much as was staked.
fn result(game: u64, number: u64) -> BetResult {
    let won = number.is_multiple_of(2);
    BetResult {
        bet_id: bet_id(game, number),
        outcome: if won {
            BetOutcome::Won
        } else {
            BetOutcome::Lost
        },
        winnings: if won { STAKE } else { 0 },
    }
}

const fn bet_id(game: u64, number: u64) -> BetId {
    BetId(Uuid::from_u64_pair(game, number))
}

/// Forgets the peak so far; the bytes in use now.
fn begin_peak() -> Result<u64> {
    std::fs::write("/proc/self/clear_refs", "5").context("the peak cannot be set anew")?;
    peak()
}

/// The largest number of bytes since then.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .context("the system does not say what the peak is")?
        .parse()?;
    Ok(kib * 1_024)
}
