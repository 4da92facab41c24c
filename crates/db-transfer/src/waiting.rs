//! Word of waits for others' locks, which nobody would know of otherwise.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use db_core::bulk::{CellRef, PostgresBulk, SqliteBulk};
use db_core::{Access, DatabaseUrl, ErrorKind, Interrupt};

/// What is shorter is no wait.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Who holds a lock of a file of SQLite cannot be asked.
const WRITER: &str = "another program that writes to the database";
const READER: &str = "another program that reads the database";
const OTHER: &str = "another program that has the database open";

/// What is told of who holds a lock: once for each wait, from any thread.
#[derive(Clone)]
pub struct OnWait(Arc<dyn Fn(&str) + Send + Sync>);

impl OnWait {
    /// Calls this with the holder of a lock.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, holder: &str) {
        (self.0)(holder);
    }
}

impl Default for OnWait {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for OnWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnWait").finish_non_exhaustive()
    }
}

/// Tells of a wait unless it is dropped within a moment.
#[derive(Debug)]
pub struct Pending {
    #[expect(dead_code, reason = "its drop ends the thread")]
    end: Sender<()>,
}

impl Pending {
    /// Begins to open a file of SQLite, which waits as long as somebody keeps readers out.
    #[must_use]
    pub fn opening(url: &DatabaseUrl, on_wait: &OnWait) -> Self {
        let holder = format!("another program, which seems to keep everybody out of {url}");
        let on_wait = on_wait.clone();
        Self::after(move || {
            on_wait.tell(&holder);
            false
        })
    }

    /// Tells who holds up a session of PostgreSQL, as another session sees it. Returns the name too
    /// under which programs connect that work for it.
    pub(crate) fn session(
        url: &DatabaseUrl,
        bulk: &mut PostgresBulk,
        on_wait: &OnWait,
    ) -> Result<(Self, String), db_core::Error> {
        let pid = pid_of(bulk)?;
        let helper = helper_of(&pid);
        let one = format!("a.pid = {pid} OR a.application_name = '{helper}'");
        Ok((Self::held_up(url, &one, on_wait), helper))
    }

    /// The same of several sessions of one database.
    pub(crate) fn sessions<'b>(
        url: &DatabaseUrl,
        bulks: impl Iterator<Item = &'b mut PostgresBulk>,
        on_wait: &OnWait,
    ) -> Result<Self, db_core::Error> {
        let pids = bulks.map(pid_of).collect::<Result<Vec<_>, _>>()?;
        let any = format!("a.pid IN ({})", pids.join(", "));
        Ok(Self::held_up(url, &any, on_wait))
    }

    /// Tells who holds up the sessions that a condition is true of.
    fn held_up(url: &DatabaseUrl, is_ours: &str, on_wait: &OnWait) -> Self {
        let sql = format!(
            "SELECT DISTINCT 'backend ' || b.pid || ' of ' || \
             coalesce(nullif(b.application_name, ''), 'an unnamed program') \
             || coalesce(' (' || b.usename || ')', '') \
             FROM pg_catalog.pg_stat_activity AS a, \
             LATERAL unnest(pg_catalog.pg_blocking_pids(a.pid)) AS by (pid) \
             JOIN pg_catalog.pg_stat_activity AS b ON b.pid = by.pid \
             WHERE ({is_ours}) AND a.wait_event_type = 'Lock' \
             ORDER BY 1"
        );
        let (url, on_wait) = (url.clone(), on_wait.clone());
        let (mut second, mut told) = (None, Vec::new());
        Self::after(move || {
            match blockers(&mut second, &url, &sql) {
                Ok(found) => {
                    if !found.is_empty() && found != told {
                        on_wait.tell(&found.join(", "));
                    }
                    told = found;
                    true
                }
                // A wait is not made worse by not knowing it.
                Err(error) => {
                    tracing::debug!(%error, "nobody sees what is waited for");
                    false
                }
            }
        })
    }

    /// Looks every moment, as long as it says so. Nobody waits for the thread, which may itself wait for
    /// a server.
    fn after(mut look: impl FnMut() -> bool + Send + 'static) -> Self {
        let (end, ended) = mpsc::channel();
        let begun = thread::Builder::new()
            .name("waiting".to_owned())
            .spawn(move || {
                while ended.recv_timeout(A_MOMENT) == Err(RecvTimeoutError::Timeout) && look() {}
            });
        if let Err(error) = begun {
            tracing::debug!(%error, "nobody sees what is waited for");
        }
        Self { end }
    }
}

fn pid_of(bulk: &mut PostgresBulk) -> Result<String, db_core::Error> {
    let found = bulk.rows("SELECT pg_catalog.pg_backend_pid()")?.concat();
    Ok(found.into_iter().next().flatten().unwrap_or_default())
}

/// The name under which programs connect that work for the session of this number.
fn helper_of(pid: &str) -> String {
    format!("bitcraps-db for {pid}")
}

fn blockers(
    second: &mut Option<PostgresBulk>,
    url: &DatabaseUrl,
    sql: &str,
) -> Result<Vec<String>, db_core::Error> {
    let bulk = match second {
        Some(bulk) => bulk,
        None => second.insert(PostgresBulk::open(
            url,
            Access::ReadOnly,
            &Interrupt::default(),
        )?),
    };
    Ok(bulk.rows(sql)?.concat().into_iter().flatten().collect())
}

/// Tells of rows that a file of SQLite does not take. Without WAL they are written to it whenever the
/// cache is full, for which nobody may read: SQLite waits for that inside of its statement.
#[derive(Debug)]
pub(crate) struct Stores {
    /// Odd while a row is being stored.
    beat: Arc<AtomicU64>,
    _watched: Option<Pending>,
}

impl Stores {
    pub(crate) fn watch(bulk: &SqliteBulk, on_wait: &OnWait) -> Result<Self, db_core::Error> {
        let beat = Arc::new(AtomicU64::new(0));
        let mut mode = bulk.prepare("PRAGMA journal_mode")?;
        mode.step()?;
        let is_log = mode.cell(0)? == CellRef::Text(b"wal");
        let watched = (!is_log).then(|| {
            let (seen, on_wait) = (Arc::clone(&beat), on_wait.clone());
            let (mut last, mut told) = (0, false);
            Pending::after(move || {
                let now = seen.load(Ordering::Relaxed);
                let is_stuck = now == last && now % 2 == 1;
                if is_stuck && !told {
                    on_wait.tell(READER);
                }
                (last, told) = (now, is_stuck);
                true
            })
        });
        Ok(Self {
            beat,
            _watched: watched,
        })
    }

    /// Stores a row.
    #[inline]
    pub(crate) fn row<T>(&mut self, store: impl FnOnce() -> T) -> T {
        let before = self.beat.load(Ordering::Relaxed);
        self.beat.store(before + 1, Ordering::Relaxed);
        let done = store();
        self.beat.store(before + 2, Ordering::Relaxed);
        done
    }
}

/// Begins a transaction of SQLite by `sql`, and tells if another one holds it up.
pub(crate) fn begin(
    bulk: &mut SqliteBulk,
    sql: &str,
    on_wait: &OnWait,
) -> Result<(), db_core::Error> {
    patiently(bulk, sql, WRITER, on_wait)
}

/// Ends one. Without WAL that waits until nobody reads, which is told too.
pub(crate) fn commit(bulk: &mut SqliteBulk, on_wait: &OnWait) -> Result<(), db_core::Error> {
    patiently(bulk, "COMMIT", READER, on_wait)
}

/// Takes a file for this connection alone by `sql`, and tells if another one keeps it from that.
pub(crate) fn exclude(
    bulk: &mut SqliteBulk,
    sql: &str,
    on_wait: &OnWait,
) -> Result<(), db_core::Error> {
    patiently(bulk, sql, OTHER, on_wait)
}

/// Runs what can be run again where a lock was not to be had, and tells whose it is after a moment.
fn patiently(
    bulk: &mut SqliteBulk,
    sql: &str,
    holder: &str,
    on_wait: &OnWait,
) -> Result<(), db_core::Error> {
    let patience = patience(bulk)?;
    let rest = patience.saturating_sub(A_MOMENT);
    if rest.is_zero() {
        return bulk.execute(sql);
    }
    wait_for(bulk, A_MOMENT)?;
    let done = match bulk.execute(sql) {
        Err(error) if error.kind() == ErrorKind::Busy => {
            on_wait.tell(holder);
            wait_for(bulk, rest)?;
            bulk.execute(sql)
        }
        done => done,
    };
    wait_for(bulk, patience)?;
    done
}

fn patience(bulk: &SqliteBulk) -> Result<Duration, db_core::Error> {
    let mut query = bulk.prepare("PRAGMA busy_timeout")?;
    query.step()?;
    Ok(match query.cell(0)? {
        CellRef::Integer(millis) => Duration::from_millis(u64::try_from(millis).unwrap_or(0)),
        _ => Duration::ZERO,
    })
}

fn wait_for(bulk: &mut SqliteBulk, patience: Duration) -> Result<(), db_core::Error> {
    bulk.execute(&format!("PRAGMA busy_timeout = {}", patience.as_millis()))
}
