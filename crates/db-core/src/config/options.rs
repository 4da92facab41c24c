//! Checked settings, in the shape in which each engine's half uses them.

use std::time::Duration;

use super::value::UrlText;
use super::{ConfigError, DatabaseConfig, Synchronous, TlsMode};
use crate::encryption::{self, EncryptionKey, KeySource};
use crate::error::Error;
use crate::{Access, DatabaseUrl, IsolationLevel};

/// More connections than this is a mistake on any server.
const MOST_CONNECTIONS: u32 = 10_000;

/// SQLite and PostgreSQL count milliseconds in 31 bits.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// The most that SQLite maps, unless it was compiled otherwise: `SQLITE_MAX_MMAP_SIZE`.
const LARGEST_MAP: u64 = 0x7fff_0000;

/// SQLite counts the cache in KiB, in 31 bits.
const LARGEST_CACHE: u64 = (i32::MAX as u64) << 10;

/// What the kernel takes as `TCP_KEEPCNT`.
const MOST_KEEPALIVES: u32 = 127;

/// What the kernel takes as `TCP_KEEPIDLE` and `TCP_KEEPINTVL`; with more, nothing can connect.
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// Who waits longer for a server does not wait for this one.
const LONGEST_CONNECT: Duration = Duration::from_hours(1);

/// The settings of the engine that the URL chooses, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Options {
    /// SQLite's.
    Sqlite(SqliteOptions),
    /// PostgreSQL's.
    Postgres(PostgresOptions),
}

/// How a SQLite database is worked with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The file, or memory.
    pub url: DatabaseUrl,
    /// Connections to read with.
    pub max_readers: u32,
    /// The longest wait for a reader or a turn to write.
    pub acquire_timeout: Duration,
    /// A reader unused for this long is closed, if at all.
    pub idle_timeout: Option<Duration>,
    /// A connection held for longer is reported, if at all.
    pub held_threshold: Option<Duration>,
    /// Writes that may wait.
    pub max_waiters: u32,
    /// Whether a file that is not there is made.
    pub create_if_missing: bool,
    /// Whether to switch to a write-ahead log.
    pub wal: bool,
    /// The longest time between checkpoints, if time counts.
    pub checkpoint_interval: Option<Duration>,
    /// Pages in the log after which it is checkpointed.
    pub checkpoint_pages: u32,
    /// `PRAGMA busy_timeout`.
    pub busy_timeout: Duration,
    /// `PRAGMA cache_size`, in KiB (the pragma's value is its negative).
    pub cache_kib: u32,
    /// `PRAGMA mmap_size`; 0 is off.
    pub mmap_bytes: u64,
    /// `PRAGMA synchronous`.
    pub synchronous: Synchronous,
    /// Writes of threads per COMMIT.
    pub group_size: u32,
    /// Writes of tasks per COMMIT.
    pub async_group_size: u32,
    /// How long writes may join a COMMIT.
    pub group_age: Duration,
    /// Where the key is, if the file is encrypted.
    pub encryption_key: Option<KeySource>,
}

/// How a PostgreSQL database is worked with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The primary, as it was written.
    pub url: DatabaseUrl,
    /// The primary with every connection parameter that was set: what libpq gets.
    pub target: DatabaseUrl,
    /// Standbys, likewise with parameters.
    pub replicas: Vec<DatabaseUrl>,
    /// Connections to the primary, and to each standby.
    pub max_connections: u32,
    /// Connections to each server that are kept open although nobody uses them.
    pub min_connections: u32,
    /// A connection of this age is closed, if at all.
    pub max_lifetime: Option<Duration>,
    /// The longest wait for a connection.
    pub acquire_timeout: Duration,
    /// A connection unused for this long is closed, if at all.
    pub idle_timeout: Option<Duration>,
    /// A connection held for longer is reported, if at all.
    pub held_threshold: Option<Duration>,
    /// Callers that may wait for a connection.
    pub max_waiters: u32,
    /// The longest time to connect.
    pub connect_timeout: Duration,
    /// `statement_timeout`; 0 is none.
    pub statement_timeout: Duration,
    /// `lock_timeout`; 0 is none.
    pub lock_timeout: Duration,
    /// `idle_in_transaction_session_timeout`; 0 is none.
    pub idle_in_transaction_timeout: Duration,
    /// Isolation of a write that asks for none.
    pub isolation: IsolationLevel,
    /// Whether nothing may stay in a session.
    pub transaction_pooler: bool,
    /// How long a connection counts as alive after its last use.
    pub health_check_after: Duration,
    /// How long to wait for a standby to catch up.
    pub replica_wait: Duration,
}

impl SqliteOptions {
    /// The key of the file, if it is encrypted.
    pub(crate) fn key(&self) -> Result<Option<EncryptionKey>, Error> {
        self.encryption_key
            .as_ref()
            .map(KeySource::read)
            .transpose()
    }

    /// How the file is opened to be written.
    pub(crate) const fn access(&self) -> Access {
        if self.create_if_missing {
            Access::Create
        } else {
            Access::ReadWrite
        }
    }

    /// The defaults for the database at this URL, whose file is encrypted if it can be.
    #[cfg(test)]
    pub(crate) fn defaults(url: &str) -> Self {
        match DatabaseConfig::new(url).options() {
            Ok(Options::Sqlite(mut options)) => {
                let key = encryption::test_key().filter(|_| options.url.path().is_some());
                options.encryption_key = key.map(KeySource::of_test);
                options
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn resolve(config: &DatabaseConfig) -> Result<Options, ConfigError> {
    check_ranges(config)?;
    let given = &config.settings;
    let url = parse(config, "url", &given.url)?;
    let mut replicas = Vec::new();
    for text in &given.replicas.0 {
        let replica = parse(config, "replicas", text)?;
        replicas.push(target(config, &replica, "replicas")?);
    }
    let some = |duration: Duration| (!duration.is_zero()).then_some(duration);
    if let DatabaseUrl::Postgres(_) = &url {
        return Ok(Options::Postgres(PostgresOptions {
            target: target(config, &url, "url")?,
            url,
            replicas,
            max_connections: given.max_connections,
            min_connections: given.min_connections,
            max_lifetime: some(given.max_lifetime),
            acquire_timeout: given.connection_timeout,
            idle_timeout: some(given.idle_timeout),
            held_threshold: some(given.held_threshold),
            max_waiters: given.max_waiters,
            connect_timeout: given.connect_timeout,
            statement_timeout: given.statement_timeout,
            lock_timeout: given.lock_timeout,
            idle_in_transaction_timeout: given.idle_in_transaction_timeout,
            isolation: given.isolation,
            transaction_pooler: given.transaction_pooler,
            health_check_after: given.health_check_after,
            replica_wait: given.replica_wait,
        }));
    }
    let encryption_key = key_source(config, &url)?;
    Ok(Options::Sqlite(SqliteOptions {
        url,
        max_readers: given.max_connections,
        acquire_timeout: given.connection_timeout,
        idle_timeout: some(given.idle_timeout),
        held_threshold: some(given.held_threshold),
        max_waiters: given.max_waiters,
        create_if_missing: given.create_if_missing,
        wal: given.enable_wal,
        checkpoint_interval: some(given.checkpoint_interval),
        checkpoint_pages: given.checkpoint_pages,
        busy_timeout: given.busy_timeout,
        cache_kib: u32::try_from(given.cache_size.0 >> 10).unwrap_or(u32::MAX),
        mmap_bytes: given.mmap_size.0,
        synchronous: given.synchronous,
        group_size: given.group_size,
        async_group_size: given.async_group_size,
        group_age: given.group_age,
        encryption_key,
    }))
}

/// Where the key of a SQLite file is. A key that cannot be used is never passed over in silence.
fn key_source(
    config: &DatabaseConfig,
    url: &DatabaseUrl,
) -> Result<Option<KeySource>, ConfigError> {
    let given = &config.settings;
    let (field, source) = match (&given.encryption_key_file, &given.encryption_key_command) {
        (None, None) => return Ok(None),
        (Some(path), None) => ("encryption_key_file", KeySource::file(path)),
        (None, Some(command)) => (
            "encryption_key_command",
            KeySource::command(command.clone()),
        ),
        (Some(_), Some(_)) => {
            let reason = "encryption_key_file is set too; say where the key is in one place";
            return Err(config.wrong("encryption_key_command", reason));
        }
    };
    if let Some(reason) = encryption::unsupported() {
        return Err(config.wrong(field, reason));
    }
    match url.path() {
        Some(_) => Ok(Some(source)),
        None => Err(config.wrong(field, encryption::NOT_IN_MEMORY)),
    }
}

fn parse(config: &DatabaseConfig, field: &str, text: &UrlText) -> Result<DatabaseUrl, ConfigError> {
    DatabaseUrl::parse(&text.0)
        .map_err(|e| ConfigError::new(field, e.shown(), config.origin(field), e.reason()))
}

fn check_ranges(config: &DatabaseConfig) -> Result<(), ConfigError> {
    let given = &config.settings;
    for (field, value, least, most) in [
        (
            "max_connections",
            given.max_connections,
            1,
            MOST_CONNECTIONS,
        ),
        (
            "min_connections",
            given.min_connections,
            0,
            given.max_connections,
        ),
        ("max_waiters", given.max_waiters, 1, u32::MAX),
        ("checkpoint_pages", given.checkpoint_pages, 1, u32::MAX),
        ("group_size", given.group_size, 1, u32::MAX),
        ("async_group_size", given.async_group_size, 1, u32::MAX),
        (
            "keepalives_count",
            given.keepalives_count,
            1,
            MOST_KEEPALIVES,
        ),
    ] {
        if !(least..=most).contains(&value) {
            return Err(config.wrong(field, format!("it must be from {least} to {most}")));
        }
    }
    check_durations(config)?;
    for (field, value, most) in [
        ("cache_size", given.cache_size.0, LARGEST_CACHE),
        ("mmap_size", given.mmap_size.0, LARGEST_MAP),
    ] {
        if value > most {
            return Err(config.wrong(field, format!("it must be at most {} MiB", most >> 20)));
        }
    }
    Ok(())
}

fn check_durations(config: &DatabaseConfig) -> Result<(), ConfigError> {
    let given = &config.settings;
    let second = Duration::from_secs(1);
    let none = Duration::ZERO;
    for (field, value, least, most) in [
        (
            "connection_timeout",
            given.connection_timeout,
            Duration::from_millis(1),
            LONGEST,
        ),
        ("idle_timeout", given.idle_timeout, none, LONGEST),
        ("max_lifetime", given.max_lifetime, none, LONGEST),
        ("held_threshold", given.held_threshold, none, LONGEST),
        (
            "checkpoint_interval",
            given.checkpoint_interval,
            none,
            LONGEST,
        ),
        ("busy_timeout", given.busy_timeout, none, LONGEST),
        ("group_age", given.group_age, none, LONGEST),
        (
            "connect_timeout",
            given.connect_timeout,
            second,
            LONGEST_CONNECT,
        ),
        ("statement_timeout", given.statement_timeout, none, LONGEST),
        ("lock_timeout", given.lock_timeout, none, LONGEST),
        (
            "idle_in_transaction_timeout",
            given.idle_in_transaction_timeout,
            none,
            LONGEST,
        ),
        (
            "keepalives_idle",
            given.keepalives_idle,
            none,
            LONGEST_KEEPALIVE,
        ),
        (
            "keepalives_interval",
            given.keepalives_interval,
            second,
            LONGEST_KEEPALIVE,
        ),
        ("tcp_user_timeout", given.tcp_user_timeout, none, LONGEST),
        (
            "health_check_after",
            given.health_check_after,
            none,
            LONGEST,
        ),
        ("replica_wait", given.replica_wait, none, LONGEST),
    ] {
        if !(least..=most).contains(&value) {
            let most = match most {
                LONGEST => "24 days".to_owned(),
                most => format!("{most:?}"),
            };
            return Err(config.wrong(field, format!("it must be from {least:?} to {most}")));
        }
    }
    Ok(())
}

/// The URL with every parameter of a connection that it leaves open.
fn target(
    config: &DatabaseConfig,
    url: &DatabaseUrl,
    field: &str,
) -> Result<DatabaseUrl, ConfigError> {
    let DatabaseUrl::Postgres(text) = url else {
        let reason = "the primary is PostgreSQL, so its standbys are";
        return Err(config.wrong(field, reason));
    };
    let given = &config.settings;
    let seconds = |d: Duration| d.as_millis().div_ceil(1_000).to_string();
    let mut parameters = vec![
        ("connect_timeout", seconds(given.connect_timeout)),
        ("application_name", given.application_name.clone()),
        (
            "tcp_user_timeout",
            given.tcp_user_timeout.as_millis().to_string(),
        ),
    ];
    let asks = crate::url::parameter(text, "keepalives_idle").is_some();
    if given.keepalives_idle.is_zero() && !asks {
        parameters.push(("keepalives", "0".to_owned()));
    } else {
        parameters.extend([
            ("keepalives_idle", seconds(given.keepalives_idle)),
            ("keepalives_interval", seconds(given.keepalives_interval)),
            ("keepalives_count", given.keepalives_count.to_string()),
        ]);
    }
    if let Some(mode) = given.tls_mode {
        agree(config, text, ("sslmode", "tls_mode"), &mode.to_string())?;
        parameters.push(("sslmode", mode.to_string()));
    }
    if let Some(path) = &given.tls_root_certificate {
        let path = path.display().to_string();
        agree(config, text, ("sslrootcert", "tls_root_certificate"), &path)?;
        verifies(config, text)?;
        parameters.push(("sslrootcert", path));
    }
    Ok(DatabaseUrl::Postgres(crate::url::with_parameters(
        text,
        &parameters,
    )))
}

/// A certificate to trust is of use only where it is asked for. Without a mode libpq falls back to
/// plain text in silence, and with `require` it verifies nothing if the file is not there.
///
/// See <https://www.postgresql.org/docs/current/libpq-ssl.html>.
fn verifies(config: &DatabaseConfig, url: &str) -> Result<(), ConfigError> {
    let verifying = [TlsMode::VerifyCa, TlsMode::VerifyFull].map(|mode| mode.to_string());
    let said = config.settings.tls_mode.map(|mode| mode.to_string());
    match said.or_else(|| crate::url::parameter(url, "sslmode")) {
        Some(mode) if verifying.contains(&mode) => Ok(()),
        mode => Err(config.wrong(
            "tls_root_certificate",
            format!(
                "the server's certificate is checked for sure only if tls_mode is verify-ca or \
                 verify-full; it is {}",
                mode.as_deref().unwrap_or("unset")
            ),
        )),
    }
}

/// What was demanded of TLS must not be less because the URL happens to say so.
fn agree(
    config: &DatabaseConfig,
    url: &str,
    (parameter, field): (&str, &str),
    value: &str,
) -> Result<(), ConfigError> {
    match crate::url::parameter(url, parameter) {
        Some(said) if said != value => Err(config.wrong(
            field,
            format!("the URL says {parameter}={said}; say it in one place"),
        )),
        _ => Ok(()),
    }
}
