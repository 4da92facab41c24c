//! Transactions that stay open: they keep logs and dead rows alive, and locks.

use std::time::Duration;

use db_core::duration::show;
use db_core::{DatabaseStats, Engine, Holder};

use super::super::look::Look;
use super::super::query::{Trouble, count, gauge, named, number};
use super::super::{Verdict, metrics};

/// Whoever runs a transaction, its own state, and its age in milliseconds; prepared ones too. Our own
/// backups take their time, and are told apart.
const OPEN: &str = "
    SELECT 'process ' || pid || ' (' || coalesce(nullif(application_name, ''), 'no name') || ', '
           || coalesce(state, 'state not shown') || ')' AS name,
           (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::bigint AS value
    FROM pg_catalog.pg_stat_activity
    WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND datname = current_database() AND coalesce(application_name, '') <> 'bitcraps-db backup'
    UNION ALL
    SELECT 'prepared transaction ' || gid,
           (extract(epoch FROM clock_timestamp() - prepared) * 1000)::bigint
    FROM pg_catalog.pg_prepared_xacts WHERE database = current_database()
    ORDER BY value DESC LIMIT 5";

/// Milliseconds since the oldest of our own backups began.
const BACKUP: &str = "
    SELECT (extract(epoch FROM clock_timestamp() - min(xact_start)) * 1000)::bigint AS value
    FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND application_name = 'bitcraps-db backup'";

/// The oldest read or write is young.
pub(super) fn run(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let mut backup = None;
    let (oldest, names) = match look.target.engine() {
        Engine::Postgres => {
            backup = look.ask(|conn| number(conn, BACKUP))?;
            let open = look.ask(|conn| named(conn, OPEN))?;
            let age = open.first().map_or(0, |row| count(row.value));
            let limit = &look.limits.oldest_transaction;
            let old = open
                .iter()
                .filter(|row| Duration::from_millis(count(row.value)) >= limit.warn);
            let names = old.map(|row| {
                format!(
                    "{}: {}",
                    row.name,
                    show(Duration::from_millis(count(row.value)))
                )
            });
            (Duration::from_millis(age), names.collect())
        }
        Engine::Sqlite => {
            let Some(holder) = look.stats.as_ref().map(oldest_here) else {
                return Ok(Verdict::unknown(
                    "only the program that has the database open can tell",
                ));
            };
            let age = holder.map_or(Duration::ZERO, |holder| holder.age);
            let limit = &look.limits.oldest_transaction;
            let old = holder.filter(|holder| holder.age >= limit.warn);
            let names = old.map(|holder| format!("taken by {}", holder.caller));
            (age, names.into_iter().collect())
        }
    };
    let limit = &look.limits.oldest_transaction;
    let mut observed = if oldest.is_zero() {
        "none is open".to_owned()
    } else {
        format!("the oldest is open for {}", show(oldest))
    };
    if let Some(backup) = backup {
        let age = Duration::from_millis(count(backup));
        observed = format!("{observed}; a backup runs for {}", show(age));
    }
    Ok(Verdict::new(limit.judge(&oldest), observed)
        .at(limit, |age| show(*age))
        .names(names)
        .hint(match look.target.engine() {
            Engine::Sqlite => "end it: while it is open the write-ahead log cannot be folded in",
            Engine::Postgres => {
                "end it (pg_terminate_backend, COMMIT PREPARED): while it is open no dead row goes"
            }
        })
        .measure(metrics::OLDEST_TRANSACTION, oldest.as_secs_f64()))
}

fn oldest_here(stats: &DatabaseStats) -> Option<Holder> {
    let DatabaseStats::Sqlite(stats) = stats else {
        return None;
    };
    let reader = stats.readers.as_ref().and_then(|readers| readers.oldest);
    reader
        .into_iter()
        .chain(stats.writing)
        .max_by_key(|holder| holder.age)
}

/// Transactions since the oldest row was frozen: PostgreSQL stops writing before 2^31.
pub(super) fn age(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    const SQL: &str = "SELECT max(age(datfrozenxid))::bigint AS value FROM pg_catalog.pg_database";
    let age = count(look.ask(|conn| number(conn, SQL))?.unwrap_or_default());
    let limit = &look.limits.transaction_age;
    Ok(Verdict::new(
        limit.judge(&age),
        format!("{age} transactions since the last freeze"),
    )
    .at(limit, u64::to_string)
    .hint("VACUUM (FREEZE) the oldest tables, and find out why autovacuum does not")
    .measure(metrics::TRANSACTION_AGE, gauge(age)))
}
