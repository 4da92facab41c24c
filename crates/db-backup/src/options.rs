//! Setting what backups, their trials and restores are made with, one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use db_core::{Clock, DatabaseUrl, EncryptionKey, Interrupt};

use crate::backup::{BackupOptions, Method};
use crate::codec::{Codec, Identities};
use crate::invariant::Invariant;
use crate::manifest::{Level, MadeBy};
use crate::postgres::PostgresOptions;
use crate::restore::RestoreOptions;
use crate::verify::VerifyOptions;

/// A method for each field: its documentation, its name, and the field.
macro_rules! setters {
    ($($(#[doc = $doc:literal])+ $name:ident: $field:ident = $value:ident: $given:ty => $set:expr;)+) => {
        $($(#[doc = $doc])+
        #[must_use]
        pub fn $name(mut self, $value: $given) -> Self {
            self.$field = $set;
            self
        })+
    };
}

impl BackupOptions {
    /// The usual ones; see [`Default`](Self::default).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// The same with this compression and encryption.
        with_codec: codec = codec: Codec => codec;
        /// The same, copied in this way.
        with_method: method = method: Method => method;
        /// The same, with a copy that is checked so thoroughly.
        with_check: check = check: Level => check;
        /// The same, where a database whose foreign keys or invariants are broken is backed up or not;
        /// see [`accept_unsound`](Self::accept_unsound).
        with_accept_unsound: accept_unsound = is_accepted: bool => is_accepted;
        /// The same with another place for what is plain for a while.
        with_scratch: scratch = folder: impl Into<PathBuf> => Some(folder.into());
        /// The same with other ways to use PostgreSQL's programs.
        with_postgres: postgres = postgres: PostgresOptions => postgres;
        /// The same, made by somebody else.
        with_made_by: made_by = made_by: MadeBy => made_by;
        /// The same with another clock.
        with_clock: clock = clock: impl Clock + 'static => Arc::new(clock);
        /// The same, stopped by this.
        with_interrupt: interrupt = interrupt: Interrupt => interrupt;
    }

    /// The same with something more that has to be true of the copy.
    #[must_use]
    pub fn with_invariant(mut self, invariant: Invariant) -> Self {
        self.invariants.push(invariant);
        self
    }
}

impl VerifyOptions {
    /// The usual ones: a quick check, no identities, nothing that has to be true besides.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// The same, so thorough.
        with_level: level = level: Level => level;
        /// The same with what opens an encrypted backup.
        with_identities: identities = identities: Identities => identities;
        /// The same with the key of a SQLite file that is encrypted itself.
        with_key: key = key: EncryptionKey => Some(key);
        /// The same with another place to unpack in.
        with_scratch: scratch = folder: impl Into<PathBuf> => Some(folder.into());
        /// The same with other ways to use PostgreSQL's programs.
        with_postgres: postgres = postgres: PostgresOptions => postgres;
        /// The same with another clock.
        with_clock: clock = clock: impl Clock + 'static => Arc::new(clock);
        /// The same, stopped by this.
        with_interrupt: interrupt = interrupt: Interrupt => interrupt;
    }

    /// The same with the PostgreSQL server on which a trial makes its scratch database, that of the
    /// source as a rule. SQLite has no need of one.
    #[must_use]
    pub fn with_server(mut self, server: DatabaseUrl) -> Self {
        self.postgres.server = Some(server);
        self
    }

    /// The same with something more that has to be true of the data.
    #[must_use]
    pub fn with_invariant(mut self, invariant: Invariant) -> Self {
        self.invariants.push(invariant);
        self
    }
}

impl RestoreOptions {
    /// The usual ones: a quick check, and nothing is replaced.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// The same with what opens an encrypted backup.
        with_identities: identities = identities: Identities => identities;
        /// The same with the key of a SQLite file that is encrypted itself.
        with_key: key = key: EncryptionKey => Some(key);
        /// The same, so thorough.
        with_level: level = level: Level => level;
        /// The same, where a backup of a later schema than this is refused.
        with_newest_schema: newest_schema = version: impl Into<String> => Some(version.into());
        /// The same, where a database that is there may be replaced or not.
        with_replace: replace = is_replaced: bool => is_replaced;
        /// The same, where a backup may be restored or not that was not sound when it was made.
        with_accept_unsound: accept_unsound = is_accepted: bool => is_accepted;
        /// The same with other ways to use PostgreSQL's programs.
        with_postgres: postgres = postgres: PostgresOptions => postgres;
        /// The same with another clock.
        with_clock: clock = clock: impl Clock + 'static => Arc::new(clock);
        /// The same, stopped by this.
        with_interrupt: interrupt = interrupt: Interrupt => interrupt;
    }

    /// The same with something more that has to be true of the data.
    #[must_use]
    pub fn with_invariant(mut self, invariant: Invariant) -> Self {
        self.invariants.push(invariant);
        self
    }
}
