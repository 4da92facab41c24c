//! Whether calls get their connection, and whether what they do succeeds.

use db_core::DatabaseStats;

use super::super::look::{Look, refusals};
use super::super::query::{Trouble, counted, gauge};
use super::super::{State, Verdict, metrics};

const NOT_OPEN: &str = "only the program that has the database open can tell";

/// Nobody waits in vain for a connection.
#[expect(clippy::unnecessary_wraps, reason = "all checks have one signature")]
pub(super) fn saturation(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let Some(stats) = &look.stats else {
        return Ok(Verdict::unknown(NOT_OPEN));
    };
    let (in_use, waiting, oldest, is_full) = match stats {
        DatabaseStats::Sqlite(stats) => match &stats.readers {
            // Somebody waits only while all readers are in use.
            Some(readers) => (
                readers.in_use,
                readers.waiting,
                readers.oldest,
                readers.waiting > 0,
            ),
            None => (0, 0, stats.writing, false),
        },
        DatabaseStats::Postgres(stats) => {
            let gate = &stats.gate;
            let is_full = gate.in_use >= gate.permits && gate.waiting > 0;
            (gate.in_use, gate.waiting, stats.oldest, is_full)
        }
        _ => return Ok(Verdict::unknown("a kind of pool that is not known here")),
    };
    let total = refusals(stats);
    let refused = total.saturating_sub(look.memory.refusals);
    look.memory.refusals = total;
    let limit = &look.limits.pool_refusals;
    let full = if is_full { State::Warn } else { State::Ok };
    let observed = format!(
        "{} in use, {waiting} waiting, {refused} turned away since the last look",
        counted(
            u64::try_from(in_use).unwrap_or_default(),
            "connection",
            "connections"
        )
    );
    let mut verdict = Verdict::new(limit.judge(&refused).max(full), observed)
        .limit(format!(
            "warn when all are in use and somebody waits, or {} are turned away; fail {}",
            limit.warn, limit.fail
        ))
        .measure(metrics::POOL_REFUSED, gauge(refused));
    if let Some(holder) = oldest {
        verdict = verdict.hint(format!(
            "the connection held longest was taken {:.1?} ago by {}",
            holder.age, holder.caller
        ));
    }
    Ok(verdict.hint("allow more connections (max_connections), or shorten transactions"))
}

/// Transactions that fail for a reason that is the database's are rare.
#[expect(clippy::unnecessary_wraps, reason = "all checks have one signature")]
pub(super) fn failures(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let Some(database) = &look.target.database else {
        return Ok(Verdict::unknown(NOT_OPEN));
    };
    let total = database.failed_transactions();
    let failed = total.saturating_sub(look.memory.failures);
    look.memory.failures = total;
    // A look that comes at once after another must not make a rate of one failure.
    let minutes = look.memory.looked.elapsed().as_secs_f64().max(10.0) / 60.0;
    let rate = gauge(failed) / minutes;
    let limit = &look.limits.failures_per_minute;
    let observed = format!("{failed} failed since the last look");
    Ok(Verdict::new(limit.judge(&rate), observed)
        .at(limit, |rate| format!("{rate} per minute"))
        .hint("see the program's log, and error.type of db.client.operation.duration")
        .measure(metrics::FAILURE_RATE, rate))
}
