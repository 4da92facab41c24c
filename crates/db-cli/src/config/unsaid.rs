//! What holds of the tables of the configuration file where they say nothing.

use std::fmt::Display;
use std::time::Duration;

use db_backup::health::{HealthLimits, Limit};
use db_core::duration;

use crate::database::show_size;

/// The settings of `[backup]`, and what they are without a word.
pub(super) const BACKUP: [(&str, &str); 18] = [
    ("dir", super::backup::DEFAULT_DIR),
    ("staging", "beside the database, or the user's cache"),
    ("scratch", "beside the database"),
    ("compress", "3"),
    ("recipients", "none"),
    ("recipients_file", "none"),
    ("identity", "none"),
    ("pg_bin", "looked for"),
    ("drill_server", "that of the database"),
    ("check", "quick"),
    ("keep_days", "7"),
    ("keep_last", "0"),
    ("keep_hourly", "0"),
    ("keep_daily", "0"),
    ("keep_weekly", "0"),
    ("keep_monthly", "0"),
    ("keep_yearly", "0"),
    ("every", "1h"),
];

/// The settings of `[health]`, and what they are without a word.
pub(super) fn health() -> Vec<(&'static str, String)> {
    let limits = HealthLimits::default();
    let spans =
        |limit: Limit<Duration>| both(&duration::show(limit.warn), &duration::show(limit.fail));
    let sizes = |limit: Limit<u64>| both(&show_size(limit.warn), &show_size(limit.fail));
    vec![
        ("response", spans(limits.response)),
        ("wal_size", sizes(limits.wal_size)),
        ("disk_free", plain(limits.disk_free)),
        ("oldest_transaction", spans(limits.oldest_transaction)),
        ("pool_refusals", plain(limits.pool_refusals)),
        ("failures_per_minute", plain(limits.failures_per_minute)),
        ("replica_lag", spans(limits.replica_lag)),
        ("replica_lag_bytes", sizes(limits.replica_lag_bytes)),
        ("slot_retained", sizes(limits.slot_retained)),
        ("backup_age", spans(limits.backup_age)),
        ("restore_age", spans(limits.restore_age)),
        ("clock_back", spans(limits.clock_back)),
        ("bloat", plain(limits.bloat)),
        ("bloat_least", show_size(limits.bloat_least)),
        ("dead_rows_least", limits.dead_rows_least.to_string()),
        ("transaction_age", plain(limits.transaction_age)),
        ("unused_index_least", show_size(limits.unused_index_least)),
        ("unused_after", duration::show(limits.unused_after)),
        ("stale_statistics", plain(limits.stale_statistics)),
        (
            "statistics_least_rows",
            limits.statistics_least_rows.to_string(),
        ),
        ("slow_query", spans(limits.slow_query)),
        (
            "slow_query_least_calls",
            limits.slow_query_least_calls.to_string(),
        ),
        ("outbox_age", spans(limits.outbox_age)),
    ]
}

fn plain<T: Display + Copy>(limit: Limit<T>) -> String {
    both(&limit.warn, &limit.fail)
}

fn both(warn: &dyn Display, fail: &dyn Display) -> String {
    format!("warn {warn}, fail {fail}")
}
