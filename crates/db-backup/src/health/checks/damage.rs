//! Damage that somebody met on the way.

use db_core::{DatabaseStats, Error};

use super::super::Verdict;
use super::super::look::Look;
use super::super::query::{Trouble, is_damage};

/// No statement of the pool or of another check has met damage.
#[expect(clippy::unnecessary_wraps, reason = "all checks have one signature")]
pub(super) fn run(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let of_pool = match &look.stats {
        Some(DatabaseStats::Sqlite(stats)) => stats.damage.as_ref(),
        _ => None,
    };
    let refused = look.refused().filter(|error| is_damage(error));
    let met: Option<&Error> = of_pool.or(look.damage.as_ref()).or(refused);
    let met = met.or(look.known_damage.as_deref());
    Ok(match met {
        Some(error) => Verdict::fail(error.message())
            .hint("restore the newest verified backup; `bitcraps-db salvage` reads what is left"),
        None if look.refused().is_some() => Verdict::unknown("the database cannot be opened"),
        None => Verdict::ok("none was met"),
    })
}
