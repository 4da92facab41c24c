//! The write-ahead log: how large it is, and whether it is archived.

use std::fs;
use std::io;
use std::time::Duration;

use db_core::duration::show;
use db_core::{Engine, ErrorKind};

use super::super::look::Look;
use super::super::query::{Trouble, count, gauge, number, size, word};
use super::super::{Limit, Verdict, metrics};
use super::replication::IS_STANDBY;

const LOG: &str = "SELECT sum(size)::bigint AS value FROM pg_catalog.pg_ls_waldir()";
const LARGEST: &str =
    "SELECT greatest(pg_size_bytes(current_setting('max_wal_size')), 1)::bigint AS value";
/// What is kept on purpose beside it: for standbys without a slot, and for slots up to their bound.
const KEPT: &str = "
    SELECT pg_size_bytes(current_setting('wal_keep_size'))
           + CASE WHEN setting.value::bigint > 0
                       AND EXISTS (SELECT FROM pg_catalog.pg_replication_slots)
                  THEN setting.value::bigint * 1024 * 1024 ELSE 0 END AS value
    FROM (SELECT setting AS value FROM pg_catalog.pg_settings
          WHERE name = 'max_slot_wal_keep_size') setting";

/// PostgreSQL keeps about `max_wal_size`; so many times as much means that something holds it.
const TIMES_WARN: u64 = 2;
const TIMES_FAIL: u64 = 4;

/// It is as small as checkpoints keep it.
pub(super) fn run(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let (bytes, limit, hint) = match look.target.engine() {
        Engine::Sqlite => (
            log_of_file(look)?,
            look.limits.wal_size,
            "a read that stays open keeps checkpoints from finishing: see the check `transactions`; \
             `bitcraps-db maintenance --checkpoint` folds the log in",
        ),
        Engine::Postgres => {
            let largest = look.ask(|conn| number(conn, LARGEST))?;
            let largest = largest.and_then(|n| u64::try_from(n).ok()).unwrap_or(1);
            let kept = look.ask(|conn| number(conn, KEPT))?;
            let kept = kept.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
            let times = |times: u64| largest.saturating_mul(times).saturating_add(kept);
            let bytes = look.ask(|conn| number(conn, LOG)).map_err(needs_monitor)?;
            (
                bytes
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or_default(),
                Limit::new(times(TIMES_WARN), times(TIMES_FAIL)),
                "a replication slot or a failing archive_command keeps it: see the checks `slots` and \
                 `wal_archive`",
            )
        }
    };
    Ok(
        Verdict::new(limit.judge(&bytes), format!("{} of log", size(bytes)))
            .at(&limit, |bytes| size(*bytes))
            .hint(hint)
            .measure(metrics::WAL_FILE_SIZE, gauge(bytes)),
    )
}

/// Only `stat`: opening what SQLite has open would drop its locks.
fn log_of_file(look: &Look<'_>) -> Result<u64, Trouble> {
    let Some(path) = look.target.url.path() else {
        return Ok(0);
    };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match fs::metadata(&log) {
        Ok(meta) => Ok(meta.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(Trouble::Other(format!("{}: {e}", log.display()))),
    }
}

/// So long a file may wait for the archiver: one that hangs fails nothing.
const WAITS: Limit<Duration> = Limit::new(Duration::from_mins(5), Duration::from_hours(1));

/// The server's archive command works, where one is set.
pub(super) fn archive(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    const MODE: &str = "SELECT current_setting('archive_mode') AS value";
    const HOW: &str =
        "SELECT CASE WHEN current_setting('archive_command') NOT IN ('', '(disabled)')
               THEN current_setting('archive_command')
               ELSE coalesce(current_setting('archive_library', true), '') END AS value";
    const FAILED: &str = "SELECT last_failed_wal AS value FROM pg_catalog.pg_stat_archiver
        WHERE last_failed_time > coalesce(last_archived_time, '-infinity')";
    const LAST: &str = "SELECT coalesce(last_archived_wal, 'nothing yet') AS value
        FROM pg_catalog.pg_stat_archiver";
    const WAITING: &str = "SELECT coalesce(extract(epoch FROM
            clock_timestamp() - min(modification)) * 1000, 0)::bigint AS value
        FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready'";
    let hint =
        "see the server's log; until it works the log grows, and no point in time can be restored";
    let mode = look.ask(|conn| word(conn, MODE))?.unwrap_or_default();
    if mode == "off" {
        return Ok(Verdict::ok("the log is not archived (archive_mode is off)"));
    }
    let is_standby = look.ask(|conn| number(conn, IS_STANDBY))? == Some(1);
    if mode == "on" && is_standby {
        return Ok(Verdict::ok(
            "a standby archives nothing (archive_mode is on)",
        ));
    }
    if look
        .ask(|conn| word(conn, HOW))?
        .unwrap_or_default()
        .is_empty()
    {
        return Ok(
            Verdict::fail("archive_mode is on, and no archive_command says how").hint(
                "set archive_command, or archive_mode to off; until then the log grows without end",
            ),
        );
    }
    let failed = look.ask(|conn| super::super::query::words(conn, FAILED))?;
    if let Some(segment) = failed.into_iter().next() {
        return Ok(Verdict::fail(format!("archiving {segment} fails")).hint(hint));
    }
    let last = look.ask(|conn| word(conn, LAST))?.unwrap_or_default();
    let waiting = match look.ask(|conn| number(conn, WAITING)) {
        Ok(millis) => Duration::from_millis(count(millis.unwrap_or_default())),
        // Who may not see it sees the failures.
        Err(Trouble::Database(error)) if error.kind() == ErrorKind::PermissionDenied => {
            return Ok(Verdict::ok(format!("archived up to {last}")));
        }
        Err(trouble) => return Err(trouble),
    };
    let mut observed = format!("archived up to {last}");
    if !waiting.is_zero() {
        observed = format!("{observed}; the next one waits for {}", show(waiting));
    }
    Ok(Verdict::new(WAITS.judge(&waiting), observed)
        .at(&WAITS, |wait| show(*wait))
        .hint(hint))
}

/// An ordinary role may not see it.
pub(super) fn needs_monitor(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Database(error) if error.kind() == ErrorKind::PermissionDenied => {
            Trouble::Database(error.with_hint("GRANT pg_monitor TO this role"))
        }
        other => other,
    }
}
