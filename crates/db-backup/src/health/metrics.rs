//! What is measured of a database's health, and under which names.
//!
//! Labels are those of `db-core`: `db.system.name` and `db.namespace`; the gauges of single checks
//! have `bitcraps.db.health.check` as well. `packaging/prometheus/bitcraps-db.rules.yml` alarms by
//! these names, with the dots as underscores.

use std::sync::Once;

use ::metrics::{Label, Unit, describe_gauge, gauge};
use db_core::Engine;

use super::{HealthReport, Target};

/// The state of a check: 0 ok, 1 warn, 2 fail, -1 unknown.
pub const STATE: &str = "bitcraps.db.health.state";
/// The worst state of all checks, likewise.
pub const OVERALL: &str = "bitcraps.db.health.overall";
/// How long a check took.
pub const DURATION: &str = "bitcraps.db.health.duration";
/// How long ago a check looked.
pub const AGE: &str = "bitcraps.db.health.age";
/// When the last look began, in seconds since 1970.
pub const LAST: &str = "bitcraps.db.health.last";
/// How long a trivial query took.
pub const RESPONSE_TIME: &str = "bitcraps.db.response_time";
/// Tables that are missing.
pub const TABLES_MISSING: &str = "bitcraps.db.tables.missing";
/// Indexes that are missing.
pub const INDEXES_MISSING: &str = "bitcraps.db.indexes.missing";
/// Migrations that are pending.
pub const MIGRATIONS_PENDING: &str = "bitcraps.db.migrations.pending";
/// Bytes that may be written on the fullest disk.
pub const DISK_FREE: &str = "bitcraps.db.disk.free";
/// The share of it that is free, from 0 to 1.
pub const DISK_FREE_RATIO: &str = "bitcraps.db.disk.free_ratio";
/// Bytes of the write-ahead log on disk.
pub const WAL_FILE_SIZE: &str = "bitcraps.db.wal.file_size";
/// Calls that the pool turned away since the look before.
pub const POOL_REFUSED: &str = "bitcraps.db.pool.refused";
/// Transactions that failed, per minute.
pub const FAILURE_RATE: &str = "bitcraps.db.failure_rate";
/// The age of the oldest open transaction.
pub const OLDEST_TRANSACTION: &str = "bitcraps.db.transaction.oldest";
/// Transactions since the oldest freeze.
pub const TRANSACTION_AGE: &str = "bitcraps.db.transaction.freeze_age";
/// The age of the last backup.
pub const BACKUP_AGE: &str = "bitcraps.db.backup.age";
/// Backups that failed since the last that did not.
pub const BACKUP_FAILURES: &str = "bitcraps.db.backup.failures";
/// The age of the last verified restore.
pub const RESTORE_AGE: &str = "bitcraps.db.backup.verified_restore_age";
/// How far the clock is off.
pub const CLOCK_BACK: &str = "bitcraps.db.clock.back";
/// The share of the file that is free, or of a table's rows that are dead.
pub const BLOAT: &str = "bitcraps.db.bloat";
/// How far the last standby is behind.
pub const REPLICA_LAG: &str = "bitcraps.db.replica.lag";
/// Bytes of the log that it has not replayed.
pub const REPLICA_LAG_BYTES: &str = "bitcraps.db.replica.lag_bytes";
/// Bytes of the log that the most hoarding unread slot keeps.
pub const SLOT_RETAINED: &str = "bitcraps.db.slot.retained";
/// Rows that refer to a row that is not there.
pub const ORPHANS: &str = "bitcraps.db.foreign_key.orphans";
/// Bytes of the database.
pub const SIZE: &str = "bitcraps.db.size";

/// Every metric of this module, with its unit and what it is.
pub const ALL: [(&str, Unit, &str); 26] = [
    (
        STATE,
        Unit::Count,
        "State of a check: 0 ok, 1 warn, 2 fail, -1 unknown",
    ),
    (
        OVERALL,
        Unit::Count,
        "Worst state of all checks: 0 ok, 1 warn, 2 fail, -1 unknown",
    ),
    (DURATION, Unit::Seconds, "How long a check took"),
    (AGE, Unit::Seconds, "How long ago a check looked"),
    (LAST, Unit::Seconds, "When the last look began, since 1970"),
    (
        RESPONSE_TIME,
        Unit::Seconds,
        "How long a trivial query took",
    ),
    (TABLES_MISSING, Unit::Count, "Tables that are missing"),
    (INDEXES_MISSING, Unit::Count, "Indexes that are missing"),
    (
        MIGRATIONS_PENDING,
        Unit::Count,
        "Migrations that are pending",
    ),
    (
        DISK_FREE,
        Unit::Bytes,
        "Bytes that may be written on the fullest disk",
    ),
    (
        DISK_FREE_RATIO,
        Unit::Count,
        "Share of the fullest disk that is free",
    ),
    (
        WAL_FILE_SIZE,
        Unit::Bytes,
        "Bytes of the write-ahead log on disk",
    ),
    (
        POOL_REFUSED,
        Unit::Count,
        "Calls turned away by the pool since the look before",
    ),
    (
        FAILURE_RATE,
        Unit::Count,
        "Transactions that failed, per minute",
    ),
    (
        OLDEST_TRANSACTION,
        Unit::Seconds,
        "Age of the oldest open transaction",
    ),
    (
        TRANSACTION_AGE,
        Unit::Count,
        "Transactions since the oldest freeze",
    ),
    (BACKUP_AGE, Unit::Seconds, "Age of the last backup"),
    (
        BACKUP_FAILURES,
        Unit::Count,
        "Backups that failed since the last that did not",
    ),
    (
        RESTORE_AGE,
        Unit::Seconds,
        "Age of the last verified restore",
    ),
    (CLOCK_BACK, Unit::Seconds, "How far the clock is off"),
    (
        BLOAT,
        Unit::Count,
        "Share of the file that is free, or of a table that is dead",
    ),
    (
        REPLICA_LAG,
        Unit::Seconds,
        "How far the last standby is behind",
    ),
    (
        REPLICA_LAG_BYTES,
        Unit::Bytes,
        "Bytes of the log that the last standby has not replayed",
    ),
    (
        SLOT_RETAINED,
        Unit::Bytes,
        "Bytes of the log that an unread slot keeps",
    ),
    (
        ORPHANS,
        Unit::Count,
        "Rows that refer to a row that is not there",
    ),
    (SIZE, Unit::Bytes, "Bytes of the database"),
];

const SYSTEM: &str = "db.system.name";
const NAMESPACE: &str = "db.namespace";
const CHECK: &str = "bitcraps.db.health.check";

/// Sets the gauges to what a look saw.
pub(super) fn record(target: &Target, report: &HealthReport) {
    static DESCRIBED: Once = Once::new();
    DESCRIBED.call_once(|| {
        for (name, unit, text) in ALL {
            describe_gauge!(name, unit, text);
        }
    });
    // OpenTelemetry's name of the engine, which is not ours.
    let system = match report.engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgresql",
    };
    let labels = vec![
        Label::from_static_parts(SYSTEM, system),
        Label::new(NAMESPACE, target.namespace()),
    ];
    for result in &report.results {
        let mut of_check = labels.clone();
        of_check.push(Label::new(CHECK, result.name.clone()));
        gauge!(STATE, of_check.clone()).set(f64::from(result.state.number()));
        gauge!(AGE, of_check.clone()).set(result.age.as_secs_f64());
        gauge!(DURATION, of_check).set(result.took.as_secs_f64());
        for measure in &result.measures {
            gauge!(measure.metric, labels.clone()).set(measure.value);
        }
    }
    gauge!(OVERALL, labels.clone()).set(f64::from(report.state().number()));
    let millis = report.at.timestamp_millis();
    #[expect(clippy::cast_precision_loss, reason = "exact for 200,000 years")]
    gauge!(LAST, labels).set(millis as f64 / 1_000.0);
}
