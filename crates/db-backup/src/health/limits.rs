//! From where on something is not ok.

use std::time::Duration;

use db_core::duration;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::State;

/// Bytes in a mebibyte and a gibibyte.
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Two values: from the first on it is a warning, from the second on a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit<T> {
    /// From here on it wants attention.
    pub warn: T,
    /// From here on it is broken.
    pub fail: T,
}

impl<T: PartialOrd> Limit<T> {
    /// A limit of these two values.
    pub const fn new(warn: T, fail: T) -> Self {
        Self { warn, fail }
    }

    /// Whether both can be reached by a value that rises.
    fn rises(&self) -> bool {
        self.warn <= self.fail
    }

    /// How a value is that ought to be small.
    pub fn judge(&self, value: &T) -> State {
        if *value >= self.fail {
            State::Fail
        } else if *value >= self.warn {
            State::Warn
        } else {
            State::Ok
        }
    }

    /// How a value is that ought to be large.
    pub fn judge_least(&self, value: &T) -> State {
        if *value <= self.fail {
            State::Fail
        } else if *value <= self.warn {
            State::Warn
        } else {
            State::Ok
        }
    }
}

/// All limits. In `bitcraps-db.toml` they are the table `[health]`, each as
/// `wal_size = { warn = "256MiB", fail = "1GiB" }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of limits")]
#[non_exhaustive]
pub struct HealthLimits {
    /// How long the engine takes to answer a trivial query.
    #[serde(deserialize_with = "spans")]
    pub response: Limit<Duration>,
    /// Bytes in the write-ahead log of a SQLite file. PostgreSQL's is held against its own
    /// `max_wal_size`.
    #[serde(deserialize_with = "sizes")]
    pub wal_size: Limit<u64>,
    /// The share of a disk that is free, from 0 to 1.
    #[serde(deserialize_with = "plain")]
    pub disk_free: Limit<f64>,
    /// The age of the oldest open read or transaction.
    #[serde(deserialize_with = "spans")]
    pub oldest_transaction: Limit<Duration>,
    /// Calls that gave up on a connection, or were turned away, since the last look.
    #[serde(deserialize_with = "plain")]
    pub pool_refusals: Limit<u64>,
    /// Transactions per minute that failed for a reason that is the database's.
    #[serde(deserialize_with = "plain")]
    pub failures_per_minute: Limit<f64>,
    /// How far a standby is behind.
    #[serde(deserialize_with = "spans")]
    pub replica_lag: Limit<Duration>,
    /// Bytes of the log that a standby has not replayed, where its time is not known.
    #[serde(deserialize_with = "sizes")]
    pub replica_lag_bytes: Limit<u64>,
    /// Bytes of the log that a replication slot nobody uses keeps.
    #[serde(deserialize_with = "sizes")]
    pub slot_retained: Limit<u64>,
    /// The age of the last backup.
    #[serde(deserialize_with = "spans")]
    pub backup_age: Limit<Duration>,
    /// The age of the last backup that was restored and verified.
    #[serde(deserialize_with = "spans")]
    pub restore_age: Limit<Duration>,
    /// How far the clock has gone back, or differs from the server's.
    #[serde(deserialize_with = "spans")]
    pub clock_back: Limit<Duration>,
    /// The share of a file's pages that are free, or of a table's rows that are dead, from 0 to 1.
    #[serde(deserialize_with = "plain")]
    pub bloat: Limit<f64>,
    /// Less waste than this is not worth a word.
    #[serde(deserialize_with = "size")]
    pub bloat_least: u64,
    /// Fewer dead rows than this are not worth a word.
    pub dead_rows_least: u64,
    /// Transactions since a table was frozen last; PostgreSQL stops before 2^31.
    #[serde(deserialize_with = "plain")]
    pub transaction_age: Limit<u64>,
    /// The least size of an unused index that is worth a word.
    #[serde(deserialize_with = "size")]
    pub unused_index_least: u64,
    /// An index counts as unused after this long without a scan.
    #[serde(deserialize_with = "span")]
    pub unused_after: Duration,
    /// The share of a table's rows that have changed since statistics were gathered.
    #[serde(deserialize_with = "plain")]
    pub stale_statistics: Limit<f64>,
    /// Smaller tables need no statistics.
    pub statistics_least_rows: u64,
    /// The mean time of a statement.
    #[serde(deserialize_with = "spans")]
    pub slow_query: Limit<Duration>,
    /// A statement that ran less often does not count.
    pub slow_query_least_calls: u64,
    /// How long the oldest event waits in the outbox. For who looks there.
    #[serde(deserialize_with = "spans")]
    pub outbox_age: Limit<Duration>,
}

impl Default for HealthLimits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let minutes = Duration::from_mins;
        let hours = Duration::from_hours;
        Self {
            response: Limit::new(Duration::from_millis(250), seconds(2)),
            wal_size: Limit::new(256 * MIB, GIB),
            disk_free: Limit::new(0.10, 0.05),
            oldest_transaction: Limit::new(seconds(30), minutes(10)),
            pool_refusals: Limit::new(1, 10),
            failures_per_minute: Limit::new(10.0, 100.0),
            replica_lag: Limit::new(seconds(10), minutes(1)),
            replica_lag_bytes: Limit::new(64 * MIB, GIB),
            slot_retained: Limit::new(GIB, 10 * GIB),
            backup_age: Limit::new(hours(2), hours(24)),
            restore_age: Limit::new(hours(24), hours(72)),
            clock_back: Limit::new(seconds(5), minutes(1)),
            bloat: Limit::new(0.5, 0.9),
            bloat_least: 64 * MIB,
            dead_rows_least: 10_000,
            transaction_age: Limit::new(1_000_000_000, 1_800_000_000),
            unused_index_least: 64 * MIB,
            unused_after: hours(7 * 24),
            stale_statistics: Limit::new(0.5, 10.0),
            statistics_least_rows: 10_000,
            slow_query: Limit::new(seconds(1), seconds(30)),
            slow_query_least_calls: 5,
            outbox_age: Limit::new(minutes(5), hours(1)),
        }
    }
}

/// A limit that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {rule}")]
pub struct InvalidLimit {
    /// Which.
    pub name: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

impl HealthLimits {
    /// Makes sure that each limit can be reached in its order.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(&self) -> Result<(), InvalidLimit> {
        let rising = "`warn` must not be above `fail`";
        let share = "must be shares from 0 to 1, `warn` not below `fail`";
        let free = self.disk_free;
        let is_share = (0.0..=1.0).contains(&free.warn) && (0.0..=free.warn).contains(&free.fail);
        let in_order = [
            ("response", self.response.rises(), rising),
            ("wal_size", self.wal_size.rises(), rising),
            ("disk_free", is_share, share),
            (
                "oldest_transaction",
                self.oldest_transaction.rises(),
                rising,
            ),
            ("pool_refusals", self.pool_refusals.rises(), rising),
            (
                "failures_per_minute",
                self.failures_per_minute.rises(),
                rising,
            ),
            ("replica_lag", self.replica_lag.rises(), rising),
            ("replica_lag_bytes", self.replica_lag_bytes.rises(), rising),
            ("slot_retained", self.slot_retained.rises(), rising),
            ("backup_age", self.backup_age.rises(), rising),
            ("restore_age", self.restore_age.rises(), rising),
            ("clock_back", self.clock_back.rises(), rising),
            ("bloat", self.bloat.rises(), rising),
            ("transaction_age", self.transaction_age.rises(), rising),
            ("stale_statistics", self.stale_statistics.rises(), rising),
            ("slow_query", self.slow_query.rises(), rising),
            ("outbox_age", self.outbox_age.rises(), rising),
        ];
        match in_order.into_iter().find(|(_, holds, _)| !holds) {
            Some((name, _, rule)) => Err(InvalidLimit { name, rule }),
            None => Ok(()),
        }
    }
}

/// A limit as it is written.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "two limits, as in { warn = …, fail = … }"
)]
struct Written<T> {
    warn: T,
    fail: T,
}

/// A number of bytes, or a text with a unit.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "no size; write 256MiB, 1GiB or a number of bytes"
)]
enum Size {
    Bytes(u64),
    Text(String),
}

impl Size {
    fn bytes(self) -> Result<u64, String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Text(text) => parse_size(&text),
        }
    }
}

fn plain<'de, D, T>(deserializer: D) -> Result<Limit<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let Written { warn, fail } = Written::deserialize(deserializer)?;
    Ok(Limit { warn, fail })
}

fn spans<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limit<Duration>, D::Error> {
    let Written::<String> { warn, fail } = Written::deserialize(deserializer)?;
    Ok(Limit {
        warn: duration::parse(&warn).map_err(D::Error::custom)?,
        fail: duration::parse(&fail).map_err(D::Error::custom)?,
    })
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map_err(D::Error::custom)
}

fn sizes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limit<u64>, D::Error> {
    let Written::<Size> { warn, fail } = Written::deserialize(deserializer)?;
    Ok(Limit {
        warn: warn.bytes().map_err(D::Error::custom)?,
        fail: fail.bytes().map_err(D::Error::custom)?,
    })
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = Size::deserialize(deserializer)?;
    size.bytes().map_err(D::Error::custom)
}

/// `256MiB`, `1 GiB`, `4096`.
fn parse_size(text: &str) -> Result<u64, String> {
    let malformed = || format!("{text:?} is no size; write 256MiB, 1GiB or a number of bytes");
    let text = text.trim();
    let letters = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..letters].parse().map_err(|_| malformed())?;
    let shift = match text[letters..].trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(malformed()),
    };
    number.checked_mul(1 << shift).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_differs() {
        let text = r#"{"wal_size": {"warn": "1MiB", "fail": 4194304},
                       "backup_age": {"warn": "90m", "fail": "1d"},
                       "disk_free": {"warn": 0.2, "fail": 0.1}}"#;
        let limits: HealthLimits = serde_json::from_str(text).unwrap();
        assert_eq!(limits.wal_size, Limit::new(MIB, 4 * MIB));
        assert_eq!(
            limits.backup_age,
            Limit::new(Duration::from_mins(90), Duration::from_hours(24))
        );
        assert_eq!(limits.restore_age, HealthLimits::default().restore_age);
        limits.check().unwrap();
        HealthLimits::default().check().unwrap();
    }

    #[test]
    fn what_cannot_be_is_said() {
        for text in [
            r#"{"wall_size": {"warn": 1, "fail": 2}}"#,
            r#"{"wal_size": {"warn": 1}}"#,
            r#"{"wal_size": {"warn": "1 mile", "fail": 2}}"#,
            r#"{"backup_age": {"warn": "soon", "fail": "1d"}}"#,
        ] {
            serde_json::from_str::<HealthLimits>(text).unwrap_err();
        }
        let limits = HealthLimits {
            disk_free: Limit::new(0.1, 0.2),
            ..HealthLimits::default()
        };
        assert_eq!(limits.check().unwrap_err().name, "disk_free");
        // Every limit of two values that may not fall.
        let fields = [
            (
                "\"2h\"",
                "\"1h\"",
                &[
                    "response",
                    "oldest_transaction",
                    "replica_lag",
                    "backup_age",
                    "restore_age",
                    "clock_back",
                    "slow_query",
                    "outbox_age",
                ][..],
            ),
            (
                "2",
                "1",
                &[
                    "wal_size",
                    "pool_refusals",
                    "failures_per_minute",
                    "replica_lag_bytes",
                    "slot_retained",
                    "bloat",
                    "transaction_age",
                    "stale_statistics",
                ],
            ),
        ];
        for (warn, fail, names) in fields {
            for name in names {
                let text = format!("{{\"{name}\": {{\"warn\": {warn}, \"fail\": {fail}}}}}");
                let limits: HealthLimits = serde_json::from_str(&text).unwrap();
                assert_eq!(limits.check().unwrap_err().name, *name);
            }
        }
    }

    #[test]
    fn a_value_is_judged_from_both_sides() {
        let limit = Limit::new(2, 5);
        assert_eq!(
            [1, 2, 4, 5].map(|value| limit.judge(&value)),
            [State::Ok, State::Warn, State::Warn, State::Fail]
        );
        let limit = Limit::new(5, 2);
        assert_eq!(
            [6, 5, 3, 2].map(|value| limit.judge_least(&value)),
            [State::Ok, State::Warn, State::Warn, State::Fail]
        );
    }
}
