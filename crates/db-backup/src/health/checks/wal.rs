//! The write-ahead log: how large it is, and whether it is archived.

use std::fs;
use std::io;

use db_core::Engine;

use super::super::look::Look;
use super::super::query::{Trouble, gauge, number, size, word};
use super::super::{Limit, Verdict, metrics};

const LOG: &str = "SELECT sum(size)::bigint AS value FROM pg_catalog.pg_ls_waldir()";
const LARGEST: &str =
    "SELECT greatest(pg_size_bytes(current_setting('max_wal_size')), 1)::bigint AS value";

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
            let bytes = look.ask(|conn| number(conn, LOG)).map_err(needs_monitor)?;
            (
                bytes
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or_default(),
                Limit::new(largest * TIMES_WARN, largest * TIMES_FAIL),
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

/// The server's archive command works, where one is set.
pub(super) fn archive(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    const MODE: &str = "SELECT current_setting('archive_mode') AS value";
    const FAILED: &str = "SELECT last_failed_wal AS value FROM pg_catalog.pg_stat_archiver
        WHERE last_failed_time > coalesce(last_archived_time, '-infinity')";
    const LAST: &str = "SELECT coalesce(last_archived_wal, 'nothing yet') AS value
        FROM pg_catalog.pg_stat_archiver";
    if look.ask(|conn| word(conn, MODE))?.as_deref() == Some("off") {
        return Ok(Verdict::ok("the log is not archived (archive_mode is off)"));
    }
    let failed = look.ask(|conn| super::super::query::words(conn, FAILED))?;
    if let Some(segment) = failed.into_iter().next() {
        return Ok(Verdict::fail(format!("archiving {segment} fails"))
            .hint("see the server's log; until it works the log grows, and no point in time can be restored"));
    }
    let last = look.ask(|conn| word(conn, LAST))?;
    Ok(Verdict::ok(format!(
        "archived up to {}",
        last.unwrap_or_default()
    )))
}

/// An ordinary role may not see it.
pub(super) fn needs_monitor(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Database(error) if error.kind() == db_core::ErrorKind::PermissionDenied => {
            Trouble::Database(error.with_hint("GRANT pg_monitor TO this role"))
        }
        other => other,
    }
}
