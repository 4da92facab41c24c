//! Word of whoever keeps a dump waiting for a lock, which nobody would know of otherwise.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use db_core::{Access, Connection, DatabaseUrl};

use super::facts;
use crate::error::Error;

/// What is shorter is no wait.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Looks who holds up the sessions of a dump, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    #[expect(dead_code, reason = "its drop ends the thread")]
    end: Sender<()>,
    holder: Arc<Mutex<Option<String>>>,
}

impl Held {
    /// Begins to look, from a session of its own. Each holder is told once.
    pub(super) fn watch(url: &DatabaseUrl) -> Self {
        let (end, ended) = channel::<()>();
        let holder = Arc::new(Mutex::new(None));
        let (known, url) = (Arc::clone(&holder), url.clone());
        let begun = thread::Builder::new()
            .name("waiting".to_owned())
            .spawn(move || {
                let mut session = None;
                while ended.recv_timeout(A_MOMENT) == Err(RecvTimeoutError::Timeout) {
                    match seen(&mut session, &url) {
                        Ok(None) => {}
                        Ok(found) => note(&known, found),
                        // A wait is not made worse by not knowing it.
                        Err(error) => {
                            tracing::debug!(%error, "nobody sees what is waited for");
                            return;
                        }
                    }
                }
            });
        if let Err(error) = begun {
            tracing::debug!(%error, "nobody sees what is waited for");
        }
        Self { end, holder }
    }

    /// Who held it up last.
    pub(super) fn holder(&self) -> Option<String> {
        let holder = self.holder.lock();
        holder.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tells a holder that was not told before.
fn note(known: &Mutex<Option<String>>, found: Option<String>) {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if *known != found {
        if let Some(holder) = &found {
            tracing::warn!("waiting for the lock of {holder}");
        }
        *known = found;
    }
}

fn seen(session: &mut Option<Connection>, url: &DatabaseUrl) -> Result<Option<String>, Error> {
    let connection = match session {
        Some(connection) => connection,
        None => session.insert(facts::connect(url, Access::ReadOnly)?),
    };
    let ours = facts::literal(super::NAME);
    facts::maybe(
        facts::postgres(connection)?,
        &format!(
            "SELECT pg_catalog.string_agg(DISTINCT 'backend ' || b.pid || ' of '
                    || coalesce(nullif(b.application_name, ''), 'an unnamed program')
                    || coalesce(' (' || b.usename || ')', ''), ', ') AS name
             FROM pg_catalog.pg_stat_activity AS a,
                  LATERAL unnest(pg_catalog.pg_blocking_pids(a.pid)) AS by (pid)
                  JOIN pg_catalog.pg_stat_activity AS b ON b.pid = by.pid
             WHERE a.application_name = {ours} AND a.datname = current_database()
               AND a.wait_event_type = 'Lock'"
        ),
        "looking who holds a lock",
    )
}
