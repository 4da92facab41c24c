//! The settings, in one table: name, type, default and what it means. The builder's methods, the
//! keys of a TOML file and the variables are all made from it.

use std::path::PathBuf;
use std::time::Duration;

use super::source::DEFAULT_URL;
use super::value::{Bytes, Raw, Synchronous, TlsMode, UrlText, UrlTexts, Value};
use super::{DatabaseConfig, Origin};
use crate::{IsolationLevel, KeyCommand};

/// `name(what the builder takes): what is stored = the default;`
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $key:ident($given:ty): $stored:ty = $default:expr;)+) => {
        /// One value for every setting.
        #[derive(Clone, PartialEq)]
        pub(super) struct Settings {
            $(pub(super) $key: $stored,)+
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl Settings {
            /// The names, in the order of the documentation.
            pub(super) const KEYS: &[&str] = &[$(stringify!($key)),+];

            /// Sets what was found in a file or a variable: none for an unknown name, and for a
            /// value that cannot be, how it may be shown and why.
            pub(super) fn set(
                &mut self,
                key: &str,
                raw: &Raw<'_>,
            ) -> Option<Result<&'static str, (String, String)>> {
                Some(match key {
                    $(stringify!($key) => match <$stored as Value>::read(raw) {
                        Ok(value) => {
                            self.$key = value;
                            Ok(stringify!($key))
                        }
                        Err(reason) => Err((raw.shown(<$stored as Value>::SECRET), reason)),
                    },)+
                    _ => return None,
                })
            }

            /// The value of a setting in words, without passwords.
            pub(super) fn show(&self, key: &str) -> String {
                match key {
                    $(stringify!($key) => self.$key.show(),)+
                    _ => String::new(),
                }
            }
        }

        impl DatabaseConfig {
            $($(#[doc = $doc])+
            #[must_use]
            pub fn $key(mut self, $key: $given) -> Self {
                self.settings.$key = From::from($key);
                self.said(stringify!($key), Origin::Builder);
                self
            })+
        }
    };
}

settings! {
    /// The database: what [`DatabaseUrl::parse`](crate::DatabaseUrl::parse) takes.
    /// Default `sqlite://./data/bitcraps.db`.
    url(String): UrlText = UrlText(DEFAULT_URL.to_owned());
    /// How many connections there may be: on SQLite to read with (the writer has one of its own),
    /// on PostgreSQL in all, and as many again to each replica. 1 to 10,000, default 10.
    max_connections(u32): u32 = 10;
    /// The longest wait for a connection, or for a turn to write. Default 30 s.
    connection_timeout(Duration): Duration = Duration::from_secs(30);
    /// PostgreSQL: connections that are kept open although nobody uses them. Default 0.
    min_connections(u32): u32 = 0;
    /// A connection that was not used for this long is closed; 0 keeps it. Default 5 min.
    idle_timeout(Duration): Duration = Duration::from_mins(5);
    /// A call that holds a connection for longer is reported while it runs, with its place in the
    /// code; 0 reports none. Of writes on SQLite each closure is timed by itself. Default 30 s.
    held_threshold(Duration): Duration = Duration::from_secs(30);
    /// How many callers may wait for a connection to PostgreSQL, or for a turn to write on SQLite;
    /// those beyond are refused at once with [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded).
    /// At least 1, default 20,000.
    max_waiters(u32): u32 = 20_000;

    /// SQLite: whether a database that is not there is made. Without, that is
    /// [`ErrorKind::DatabaseMissing`](crate::ErrorKind::DatabaseMissing), so that a mistyped path is
    /// found out. In memory there is always a new one. Default true.
    create_if_missing(bool): bool = true;
    /// SQLite: whether to keep a write-ahead log, so that reading and writing do not wait for each
    /// other. Without it a database stays in the journal mode it has, and in any other than WAL a
    /// read beside a long write may be [`ErrorKind::Busy`](crate::ErrorKind::Busy). Default true.
    enable_wal(bool): bool = true;
    /// SQLite: the longest time after which the log is copied into the database file.
    /// 0 leaves it to `checkpoint_pages`. Default 60 s.
    checkpoint_interval(Duration): Duration = Duration::from_mins(1);
    /// SQLite: the pages in the log (4 KiB each, mostly) after which it is copied into the database
    /// file. At least 1, default 4,000: pages that change again meanwhile are copied once.
    checkpoint_pages(u32): u32 = 4_000;
    /// SQLite: how long it waits for a lock that another program holds, or for another process's
    /// turn to write. Up to 24 days, default 30 s.
    busy_timeout(Duration): Duration = Duration::from_secs(30);
    /// SQLite: page cache of each connection, in bytes; filled as pages are read. Default 64 MiB.
    cache_size(u64): Bytes = Bytes(64 << 20);
    /// SQLite: how much of the file is read through memory mapping, in bytes. Default 256 MiB.
    ///
    /// 0 switches it off, which costs a copy per page read. Reasons to: a disk error while reading a
    /// mapped page kills the process with SIGBUS where `read` would return an error; so does
    /// another program that truncates the file; and on 32 bits address space is scarce.
    mmap_size(u64): Bytes = Bytes(256 << 20);
    /// SQLite: what an acknowledged write survives. Default [`Synchronous::Normal`]; where money
    /// lives, [`Synchronous::Full`].
    synchronous(Synchronous): Synchronous = Synchronous::Normal;
    /// SQLite: a file that holds the key of the encrypted database, 64 hexadecimal digits, and that
    /// nobody but its owner can read. Needs the feature `sqlcipher`. Default unset: not encrypted.
    encryption_key_file(PathBuf): Option<PathBuf> = None;
    /// SQLite: a command that prints the key instead. No shell runs it: a text is split at white
    /// space, a list in a file is taken word by word. Default unset.
    encryption_key_command(KeyCommand): Option<KeyCommand> = None;
    /// SQLite: how many writes of waiting threads share one COMMIT. At least 1, default 256.
    group_size(u32): u32 = 256;
    /// SQLite: how many writes of waiting tasks share one COMMIT; larger, because a queue of
    /// thousands of them is normal. At least 1, default 1,024.
    async_group_size(u32): u32 = 1_024;
    /// SQLite: how long writes may join one COMMIT after its first. Default 20 ms: 64 waiting
    /// writes of a dozen statements each take that long, and share their sync and most pages.
    group_age(Duration): Duration = Duration::from_millis(20);

    /// PostgreSQL: the longest time to connect, in whole seconds rounded up; 1 s to 1 h, default
    /// 3 s: the packets of an attempt are repeated after 1 and 3 s, so one that takes longer would
    /// sleep through the return of the server.
    connect_timeout(Duration): Duration = Duration::from_secs(3);
    /// PostgreSQL: the longest time for one statement, measured by the server; 0 for no limit.
    /// Default 30 s.
    statement_timeout(Duration): Duration = Duration::from_secs(30);
    /// PostgreSQL: the longest wait for the lock of a row or table; 0 for no limit. Default 10 s.
    lock_timeout(Duration): Duration = Duration::from_secs(10);
    /// PostgreSQL: a transaction in which nothing happens for this long is ended by the server, so
    /// that one stuck client does not hold up vacuum and locks; 0 for no limit. Default 60 s.
    idle_in_transaction_timeout(Duration): Duration = Duration::from_mins(1);
    /// PostgreSQL: silence after which the system asks whether the server still lives; 0 never
    /// asks. In whole seconds rounded up, up to 32,767 s (9 h), default 30 s.
    keepalives_idle(Duration): Duration = Duration::from_secs(30);
    /// PostgreSQL: between two such questions, 1 s to 32,767 s. Default 5 s.
    keepalives_interval(Duration): Duration = Duration::from_secs(5);
    /// PostgreSQL: so many without an answer mean that the connection is lost. 1 to 127, default 3.
    keepalives_count(u32): u32 = 3;
    /// PostgreSQL: how long sent data may stay unacknowledged before the connection is lost; 0
    /// leaves it to the system, which takes a quarter of an hour. Default 15 s.
    tcp_user_timeout(Duration): Duration = Duration::from_secs(15);
    /// PostgreSQL: what is demanded of TLS. Unset: what the URL says in `sslmode`, else
    /// [`TlsMode::Prefer`].
    tls_mode(TlsMode): Option<TlsMode> = None;
    /// PostgreSQL: the certificates of the authorities that are trusted, a PEM file. Unset: what the
    /// URL says in `sslrootcert`, else `~/.postgresql/root.crt`. Set, it needs a mode that verifies:
    /// [`TlsMode::VerifyCa`] or [`TlsMode::VerifyFull`].
    tls_root_certificate(PathBuf): Option<PathBuf> = None;
    /// PostgreSQL: what `pg_stat_activity` calls this program. Default `bitcraps-db`.
    application_name(String): String = "bitcraps-db".to_owned();
    /// PostgreSQL: isolation of a write that asks for none. Default
    /// [`IsolationLevel::ReadCommitted`].
    isolation(IsolationLevel): IsolationLevel = IsolationLevel::ReadCommitted;
    /// PostgreSQL: whether a pooler that hands out servers per transaction stands between. Then
    /// nothing may stay in the session: no prepared statement, no setting. Default false.
    transaction_pooler(bool): bool = false;
    /// PostgreSQL: a connection is closed at this age, when it is idle, so that the server's memory
    /// for it is given back and a moved server is found; 0 keeps it. Default 30 min.
    max_lifetime(Duration): Duration = Duration::from_mins(30);
    /// PostgreSQL: a connection that was used within this time is given out without asking the
    /// server whether it still lives. Default 5 s.
    health_check_after(Duration): Duration = Duration::from_secs(5);
    /// PostgreSQL: standbys to read from. In a variable they stand apart by spaces. Default none.
    replicas(Vec<String>): UrlTexts = UrlTexts(Vec::new());
    /// PostgreSQL: how long a read waits for a replica to reach the last write of this program
    /// before it goes to the primary. Default 250 ms.
    replica_wait(Duration): Duration = Duration::from_millis(250);
}

impl From<u64> for Bytes {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}
