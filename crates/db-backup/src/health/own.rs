//! What an application tells of its own data, as checks.

use chrono::{DateTime, Utc};
use db_core::{Conn, Error, duration};
use diesel::Connection as _;

use super::{Cost, Examiner, State, Verdict};
use crate::{Invariant, Observation};

impl Examiner {
    /// The same with a check of the invariant's name, which fails when it does not hold and says what is
    /// wrong. It looks in one snapshot, so that sums fit together beside writes that go on.
    #[must_use]
    pub fn with_invariant(self, cost: Cost, invariant: Invariant) -> Self {
        self.with_check(invariant.name().to_owned(), cost, move |conn, _| {
            let seen = in_one_snapshot(conn, |conn| invariant.observe(conn))?;
            let (observed, wrong) = match seen {
                Observation::Checked { observed, wrong } => (observed, wrong),
                Observation::Unchecked { why } => return Ok(Verdict::unknown(why)),
            };
            if wrong.is_empty() {
                return Ok(Verdict::ok(observed));
            }
            let is_said = wrong.len() == 1 && wrong[0] == observed;
            let verdict = Verdict::fail(observed).names(if is_said { Vec::new() } else { wrong });
            Ok(match invariant.hint() {
                Some(hint) => verdict.hint(hint),
                None => verdict,
            })
        })
    }

    /// The same with the check `outbox`: events leave, and none was given up. `read` returns since when
    /// the oldest event waits, how many wait, and how many were given up, as `db_repo::invariants::outbox`
    /// does.
    #[must_use]
    pub fn with_outbox(
        self,
        read: impl Fn(&mut Conn<'_>) -> Result<(Option<DateTime<Utc>>, u64, u64), Error>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.with_timed_check("outbox".into(), Cost::Cheap, move |conn, limits, now| {
            let limit = &limits.outbox_age;
            let (oldest, waiting, given_up) = read(conn)?;
            // The check of the clock says so if it stands before the event.
            let age = oldest.and_then(|at| now.signed_duration_since(at).to_std().ok());
            let age = age.unwrap_or_default();
            let least = if given_up > 0 { State::Warn } else { State::Ok };
            let observed = format!(
                "{waiting} waiting, the oldest for {}, {given_up} given up",
                duration::show(age)
            );
            Ok(Verdict::new(limit.judge(&age).max(least), observed)
                .at(limit, |age| duration::show(*age))
                .hint(
                    "is the relay running? What was given up is requeued when its receiver is well",
                ))
        })
    }
}

fn in_one_snapshot<T>(
    conn: &mut Conn<'_>,
    look: impl FnOnce(&mut Conn<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    match conn {
        Conn::Sqlite(c) => c.transaction(|c| look(&mut c.into())),
        Conn::Postgres(c) => c
            .build_transaction()
            .repeatable_read()
            .read_only()
            .run(|c| look(&mut c.into())),
    }
}
