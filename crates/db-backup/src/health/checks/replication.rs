//! Standbys that fall behind, and slots that nobody reads.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use db_core::duration::show;
use db_core::{Access, Conn, Connection, DatabaseUrl, Interrupt};

use super::super::look::Look;
use super::super::query::{Named, Trouble, count, execute, gauge, named, number, size};
use super::super::{State, Verdict, metrics};

pub(super) const IS_STANDBY: &str = "SELECT pg_is_in_recovery()::int::bigint AS value";
/// So long a look waits for its standbys.
const PATIENCE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(50);
const BOUND: &str = "SET statement_timeout = '10s'";

const IS_PAUSED: &str = "SELECT pg_is_wal_replay_paused()::int::bigint AS value";

/// How far the log of the primary goes, in bytes from its beginning.
const WRITTEN: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS value";
/// The same of a standby, as far as it has received and replayed.
const RECEIVED: &str = "SELECT pg_wal_lsn_diff(coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::bigint AS value";
const REPLAYED: &str = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint AS value";
/// Milliseconds since the last transaction that a standby has replayed was committed.
const SINCE: &str = "SELECT (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint AS value";

/// Standbys that are connected, and bytes that each has not replayed. A base backup streams too,
/// and replays nothing.
const CONNECTED: &str = "
    SELECT coalesce(nullif(application_name, ''), 'standby') || ' at '
           || coalesce(host(client_addr), 'this machine') AS name,
           greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint AS value
    FROM pg_catalog.pg_stat_replication
    WHERE replay_lsn IS NOT NULL AND state IN ('streaming', 'catchup')
    ORDER BY value DESC";

/// Slots that nobody reads, with the bytes of the log that each keeps.
const IDLE_SLOTS: &str = "
    SELECT slot_name::text || coalesce(' (' || wal_status || ')', '') AS name,
           greatest(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
               ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint AS value
    FROM pg_catalog.pg_replication_slots
    WHERE NOT active AND restart_lsn IS NOT NULL ORDER BY value DESC";
/// Slots whose log is gone or will be at the next checkpoint.
const LOST_SLOTS: &str = "
    SELECT slot_name::text || ' (' || wal_status || ')' AS name, 0::bigint AS value
    FROM pg_catalog.pg_replication_slots WHERE wal_status IN ('unreserved', 'lost')";

/// What a standby says of itself.
struct Standby {
    name: String,
    state: State,
    bytes: u64,
    behind: Duration,
    words: String,
}

/// Every standby replays what the primary writes.
pub(super) fn lag(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let is_standby = look.ask(|conn| number(conn, IS_STANDBY))? == Some(1);
    let mut standbys = Vec::new();
    if is_standby {
        let limits = look.limits;
        standbys.push(look.ask(|conn| {
            let written = number(conn, RECEIVED)?.map(count);
            ask(conn, "this server".to_owned(), written, limits)
        })?);
    } else {
        let written = look.ask(|conn| number(conn, WRITTEN))?.map(count);
        standbys.extend(of_urls(written, look));
        if standbys.is_empty() {
            let connected = look.ask(|conn| named(conn, CONNECTED))?;
            standbys.extend(connected.into_iter().map(|row| of_row(row, look)));
        }
    }
    if standbys.is_empty() {
        return Ok(Verdict::ok("there is no standby"));
    }
    let state = standbys.iter().map(|s| s.state).max().unwrap_or(State::Ok);
    let bytes = standbys.iter().map(|s| s.bytes).max().unwrap_or_default();
    let behind = standbys.iter().map(|s| s.behind).max().unwrap_or_default();
    let worst = standbys.iter().max_by_key(|s| (s.state, s.behind, s.bytes));
    let observed = worst.map_or_else(String::new, |s| format!("{}: {}", s.name, s.words));
    let late = standbys.iter().filter(|s| s.state != State::Ok);
    let limit = &look.limits.replica_lag;
    Ok(Verdict::new(state, observed)
        .at(limit, |lag| show(*lag))
        .names(late.map(|s| format!("{}: {}", s.name, s.words)).collect())
        .hint("see the standby's log; reads go to the primary meanwhile")
        .measure(metrics::REPLICA_LAG, behind.as_secs_f64())
        .measure(metrics::REPLICA_LAG_BYTES, gauge(bytes)))
}

/// Asks all standbys at once, each in a thread of its own: one that hangs keeps its thread, and nobody
/// else. It is asked again when it has answered.
fn of_urls(written: Option<u64>, look: &Look<'_>) -> Vec<Standby> {
    let target = look.target;
    let asked = target.replicas.iter().map(|url| {
        let name = url.to_string();
        if !target.asked().insert(name.clone()) {
            return (name, None);
        }
        let (tell, told) = channel();
        let (url, limits) = (url.clone(), look.limits.clone());
        let asked = Asked {
            all: Arc::clone(&target.asked),
            own: name.clone(),
        };
        let ask = move || {
            let answer = of_url(&url, &asked.own, written, &limits);
            drop(asked);
            // Whoever asked may have gone on.
            drop(tell.send(answer));
        };
        let thread = std::thread::Builder::new().name("standby".to_owned());
        if let Err(error) = thread.spawn(ask) {
            tracing::warn!(%error, "a standby cannot be asked");
        }
        (name, Some(told))
    });
    let asked: Vec<_> = asked.collect();
    let deadline = Instant::now() + PATIENCE;
    let answers = asked.into_iter().map(|(name, told)| {
        let answer = told.and_then(|told| wait_for(&told, deadline, &target.interrupt));
        answer.unwrap_or_else(|| lost(name, "it does not answer".to_owned()))
    });
    answers.collect()
}

/// A standby that is being asked: until this is dropped, in a panic too, it is not asked again.
struct Asked {
    all: Arc<Mutex<BTreeSet<String>>>,
    own: String,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.own);
    }
}

fn wait_for<T>(told: &Receiver<T>, deadline: Instant, interrupt: &Interrupt) -> Option<T> {
    loop {
        match told.recv_timeout(GLANCE) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if interrupt.is_set() || Instant::now() > deadline => {
                return None;
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn of_url(
    url: &DatabaseUrl,
    name: &str,
    written: Option<u64>,
    limits: &super::super::HealthLimits,
) -> Standby {
    let asked = Connection::open(url, Access::ReadOnly)
        .map_err(Trouble::from)
        .and_then(|mut connection| {
            let mut conn = connection.conn();
            execute(&mut conn, BOUND)?;
            ask(&mut conn, name.to_owned(), written, limits)
        });
    asked.unwrap_or_else(|trouble| lost(name.to_owned(), trouble.to_string()))
}

/// One of which nothing is known.
const fn lost(name: String, words: String) -> Standby {
    Standby {
        name,
        state: State::Fail,
        bytes: 0,
        behind: Duration::ZERO,
        words,
    }
}

/// Asks a standby how far it is behind `written`. One that has replayed all is not behind, however
/// long ago the last transaction was.
fn ask(
    conn: &mut Conn<'_>,
    name: String,
    written: Option<u64>,
    limits: &super::super::HealthLimits,
) -> Result<Standby, Trouble> {
    if number(conn, IS_STANDBY)? != Some(1) {
        return Err(Trouble::Other("it is a standby no more".to_owned()));
    }
    let is_paused = number(conn, IS_PAUSED)? == Some(1);
    let replayed = number(conn, REPLAYED)?.map(count);
    let since = number(conn, SINCE)?.map(count);
    let bytes = written
        .zip(replayed)
        .map_or(0, |(w, r)| w.saturating_sub(r));
    let behind = if bytes == 0 {
        Duration::ZERO
    } else {
        Duration::from_millis(since.unwrap_or_default())
    };
    let mut state = limits
        .replica_lag
        .judge(&behind)
        .max(limits.replica_lag_bytes.judge(&bytes));
    let mut words = format!("{} and {} behind", show(behind), size(bytes));
    if is_paused {
        state = state.max(State::Warn);
        words.push_str(", and paused");
    }
    Ok(Standby {
        name,
        state,
        bytes,
        behind,
        words,
    })
}

fn of_row(row: Named, look: &Look<'_>) -> Standby {
    let bytes = count(row.value);
    Standby {
        state: look.limits.replica_lag_bytes.judge(&bytes),
        words: format!("{} behind", size(bytes)),
        name: row.name,
        bytes,
        behind: Duration::ZERO,
    }
}

/// No slot keeps the log for nobody.
pub(super) fn slots(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let idle = look.ask(|conn| named(conn, IDLE_SLOTS))?;
    let lost = look.ask(|conn| named(conn, LOST_SLOTS))?;
    let most = idle.first().map_or(0, |row| count(row.value));
    let limit = &look.limits.slot_retained;
    let lossy = if lost.is_empty() {
        State::Ok
    } else {
        State::Fail
    };
    let observed = match (idle.len(), lost.len()) {
        (_, 1..) => "a slot has lost its part of the log".to_owned(),
        (0, _) => "no slot is left alone".to_owned(),
        _ => format!("a slot that nobody reads keeps {}", size(most)),
    };
    let late = idle
        .into_iter()
        .filter(|row| limit.judge(&count(row.value)) != State::Ok);
    let names = late.map(|row| format!("{}: {}", row.name, size(count(row.value))));
    let names = names.chain(lost.into_iter().map(|row| row.name)).collect();
    Ok(Verdict::new(limit.judge(&most).max(lossy), observed)
        .at(limit, |bytes| size(*bytes))
        .names(names)
        .hint("start its reader, or drop it: pg_drop_replication_slot; max_slot_wal_keep_size bounds it")
        .measure(metrics::SLOT_RETAINED, gauge(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_panics_is_asked_again() {
        let all = Arc::new(Mutex::new(BTreeSet::from(["a".to_owned(), "b".to_owned()])));
        let asked = Asked {
            all: Arc::clone(&all),
            own: "a".to_owned(),
        };
        let thread = std::thread::spawn(move || {
            let _asked = asked;
            panic!("it panics");
        });
        thread.join().unwrap_err();
        assert_eq!(*all.lock().unwrap(), BTreeSet::from(["b".to_owned()]));
    }
}
