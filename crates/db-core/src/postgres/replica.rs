//! Reads on a streaming standby that show what was written.
//!
//! After a write the primary tells how far its log goes, and a read goes to a standby that has
//! replayed that far, is still a standby, and has not been paused. Asking comes before BEGIN: a
//! snapshot taken first could be older than the answer. Asking for the *insert* position instead
//! of the written one would be wrong: it may lie behind a page header that no record fills for
//! seconds.

use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use diesel::data_types::PgLsn;
use diesel::{PgConnection, QueryResult, RunQueryDsl, define_sql_function, select};

use super::connect::Role;
use super::lsn::Lsn;
use super::pool::{Lease, Server};
use super::session::Session;
use crate::config::PostgresOptions;
use crate::metrics::PoolMetrics;
use crate::{DatabaseUrl, Engine, Error};

/// A standby is asked again how it is after this, even if it is known to have replayed enough.
const ASK_AFTER: Duration = Duration::from_millis(500);

/// How long one that lags is left alone, at first and at most; and one that is no standby.
const OUT_FIRST: Duration = Duration::from_millis(250);
const OUT_MOST: Duration = Duration::from_secs(5);

/// The pause between two questions whether enough was replayed, at first and at most. A standby
/// next door needs 0.3 ms.
const PAUSE_FIRST: Duration = Duration::from_micros(200);
const PAUSE_MOST: Duration = Duration::from_millis(10);

define_sql_function!(fn pg_current_wal_lsn() -> diesel::sql_types::PgLsn);
define_sql_function!(fn current_setting(name: diesel::sql_types::Text) -> diesel::sql_types::Text);
define_sql_function!(fn pg_is_in_recovery() -> diesel::sql_types::Bool);
define_sql_function!(fn pg_is_wal_replay_paused() -> diesel::sql_types::Bool);
define_sql_function!(
    fn pg_last_wal_replay_lsn() -> diesel::sql_types::Nullable<diesel::sql_types::PgLsn>
);

/// How far the primary's log is written; after a commit that waits for the disk, that holds it.
pub(super) fn written(session: &mut Session) -> Result<Lsn, Error> {
    select(pg_current_wal_lsn())
        .get_result::<PgLsn>(&mut session.conn)
        .map(|lsn| Lsn(lsn.0))
        .map_err(|e| Error::classify(Engine::Postgres, &e))
}

/// Whether the COMMIT of the open transaction will wait until it is on disk.
pub(super) fn waits_for_disk(conn: &mut PgConnection) -> Result<bool, Error> {
    select(current_setting("synchronous_commit"))
        .get_result::<String>(conn)
        .map(|setting| setting != "off")
        .map_err(|e| Error::classify(Engine::Postgres, &e))
}

/// A standby in rotation, or out of it for a while.
pub(super) struct Replica {
    pub(super) server: Server,
    out: Mutex<Out>,
}

#[derive(Default)]
struct Out {
    until: Option<Instant>,
    /// How long it was left alone last; zero after a success.
    last: Duration,
}

/// Why a standby does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfit {
    Promoted,
    Paused,
    Behind,
    Lost,
    /// It did not answer in time.
    Silent,
}

impl Replica {
    pub(super) fn new(
        url: &DatabaseUrl,
        options: &Arc<PostgresOptions>,
        role: Role,
        metrics: PoolMetrics,
    ) -> Self {
        let role = Role {
            is_standby: true,
            ..role
        };
        Self {
            server: Server::new(url, options, role, metrics),
            out: Mutex::default(),
        }
    }

    /// Whether it may be asked at all.
    pub(super) fn is_in_rotation(&self) -> bool {
        let until = self.lock().until;
        until.is_none_or(|until| until <= Instant::now()) && !self.server.is_down()
    }

    /// A connection on which a new snapshot shows everything up to `needed`; none if it cannot be
    /// had by `deadline`.
    pub(super) fn lease(
        &self,
        needed: Lsn,
        deadline: Instant,
        place: &'static Location<'static>,
    ) -> Option<Lease> {
        let permit = match self.server.acquire(deadline) {
            Ok(permit) => permit,
            Err(error) => {
                tracing::debug!(%error, "a replica's connections are all in use");
                return None;
            }
        };
        let asked = self
            .server
            .checkout(permit, deadline, place)
            .and_then(|lease| self.ask(lease, needed, deadline));
        let (lease, state) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                tracing::debug!(%error, "a replica does not answer");
                self.leave_alone(Unfit::Silent);
                return None;
            }
        };
        match state {
            Ok(()) => {
                self.lock().last = Duration::ZERO;
                Some(lease)
            }
            Err(why) => {
                if why == Unfit::Lost {
                    drop(self.server.replace(lease));
                }
                self.leave_alone(why);
                None
            }
        }
    }

    /// Asks on another thread, unless it is known already: a standby that hangs does not hold the
    /// caller.
    fn ask(
        &self,
        mut lease: Lease,
        needed: Lsn,
        deadline: Instant,
    ) -> Result<(Lease, Result<(), Unfit>), Error> {
        if is_known(lease.session(), needed) {
            return Ok((lease, Ok(())));
        }
        self.server.ask(lease, deadline, move |session| {
            catch_up(session, needed, deadline)
        })
    }

    /// Takes it out of rotation for a while.
    pub(super) fn lost(&self, lease: Lease) {
        drop(self.server.replace(lease));
        self.leave_alone(Unfit::Lost);
    }

    fn leave_alone(&self, why: Unfit) {
        let mut out = self.lock();
        out.last = match why {
            Unfit::Promoted => OUT_MOST,
            // Its other connections are looked at before they are used.
            Unfit::Lost => OUT_FIRST,
            Unfit::Paused | Unfit::Behind | Unfit::Silent => {
                (out.last * 2).clamp(OUT_FIRST, OUT_MOST)
            }
        };
        out.until = Some(Instant::now() + out.last);
        tracing::info!(?why, replica = %self.server.url, "a replica is left alone for a while");
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_known(session: &Session, needed: Lsn) -> bool {
    session.replayed >= needed.0 && session.asked.is_some_and(|at| at.elapsed() < ASK_AFTER)
}

fn catch_up(session: &mut Session, needed: Lsn, deadline: Instant) -> Result<(), Unfit> {
    let mut pause = PAUSE_FIRST;
    loop {
        ask(session)?;
        if session.replayed >= needed.0 {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Unfit::Behind);
        }
        wait(pause.min(left));
        pause = (pause * 2).min(PAUSE_MOST);
    }
}

/// Asks a standby whether it is one, whether it replays, and how far it is.
fn ask(session: &mut Session) -> Result<(), Unfit> {
    let conn = &mut session.conn;
    let state: QueryResult<(bool, Option<PgLsn>)> =
        select((pg_is_in_recovery(), pg_last_wal_replay_lsn())).get_result(conn);
    match state {
        Err(_) => return Err(Unfit::Lost),
        Ok((false, _)) => return Err(Unfit::Promoted),
        Ok((true, replayed)) => session.replayed = replayed.map_or(0, |lsn| lsn.0),
    }
    // It fails on a server that was promoted a moment ago.
    let paused = select(pg_is_wal_replay_paused()).get_result::<bool>(conn);
    match paused {
        Ok(false) => {}
        Ok(true) => return Err(Unfit::Paused),
        Err(_) => return Err(Unfit::Promoted),
    }
    session.touch();
    session.asked = Some(session.used);
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a standby gives no sign when it has replayed; before PostgreSQL 19 one has to ask"
)]
fn wait(time: Duration) {
    thread::sleep(time);
}
