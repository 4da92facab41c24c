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

/// A method for each field: its documentation, its name, and the field. Where `None` means something, it can
/// be given as well.
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
pub(crate) use setters;

/// What all three have.
macro_rules! common {
    () => {
        /// The usual ones; see [`Default`](Self::default).
        #[must_use]
        pub fn new() -> Self {
            Self::default()
        }

        setters! {
            /// The same with other ways to use PostgreSQL's programs.
            with_postgres: postgres = postgres: PostgresOptions => postgres;
            /// The same with another clock.
            with_clock: clock = clock: impl Clock + 'static => Arc::new(clock);
            /// The same, stopped by this.
            with_interrupt: interrupt = interrupt: Interrupt => interrupt;
        }

        /// The same with something more that has to be true of the data.
        #[must_use]
        pub fn with_invariant(self, invariant: Invariant) -> Self {
            self.with_invariants([invariant])
        }

        /// The same with more that has to be true of the data.
        #[must_use]
        pub fn with_invariants(mut self, invariants: impl IntoIterator<Item = Invariant>) -> Self {
            self.invariants.extend(invariants);
            self
        }
    };
}

impl BackupOptions {
    common!();

    setters! {
        /// The same with this compression and encryption.
        with_codec: codec = codec: Codec => codec;
        /// The same, copied in this way.
        with_method: method = method: Method => method;
        /// The same, with a copy that is checked so thoroughly before it is published.
        with_check: check = check: Level => check;
        /// The same, where a database whose foreign keys or invariants are broken is backed up all the same,
        /// or not. The manifest says what was found, of what is encrypted by which check and how much only; such a
        /// backup never counts as verified, and a restore
        /// asks for [`RestoreOptions::with_accept_unsound`]. A file whose pages are damaged is refused all
        /// the same: salvage it.
        with_accept_unsound: accept_unsound = is_accepted: bool => is_accepted;
        /// The same with another place for a plain copy that is then compressed or encrypted. By default
        /// that is where the backup is prepared; the folder of a SQLite database if the backup is encrypted,
        /// because what is plain should not be where only what is encrypted may be.
        with_scratch: scratch = folder: impl Into<Option<PathBuf>> => folder.into();
        /// The same, made by somebody else.
        with_made_by: made_by = made_by: MadeBy => made_by;
    }
}

impl VerifyOptions {
    common!();

    setters! {
        /// The same, so thorough. A drill is always full, and without one there is only one check of PostgreSQL's.
        with_level: level = level: Level => level;
        /// The same with what opens an encrypted backup.
        with_identities: identities = identities: Identities => identities;
        /// The same with the key of a SQLite file that is encrypted itself.
        with_key: key = key: impl Into<Option<EncryptionKey>> => key.into();
        /// The same with another place to unpack in. By default that is where backups are prepared; a
        /// private folder below the system's for temporary files if that cannot be written, or if the backup
        /// is encrypted: what is plain should not be where only what is encrypted may be.
        with_scratch: scratch = folder: impl Into<Option<PathBuf>> => folder.into();
        /// The same with the PostgreSQL server on which a trial makes its scratch database, that of the
        /// source as a rule. SQLite has no need of one.
        with_server: server = server: impl Into<Option<DatabaseUrl>> => server.into();
    }
}

impl RestoreOptions {
    common!();

    setters! {
        /// The same with what opens an encrypted backup.
        with_identities: identities = identities: Identities => identities;
        /// The same with the key of a SQLite file that is encrypted itself.
        with_key: key = key: impl Into<Option<EncryptionKey>> => key.into();
        /// The same, with a restored database that is checked so thoroughly before it gets its place.
        with_level: level = level: Level => level;
        /// The same, where a backup of a later schema than this is refused: the newest that the program
        /// knows.
        with_newest_schema: newest_schema = version: impl Into<Option<String>> => version.into();
        /// The same, where a database that is there may be replaced or not. It is kept aside.
        with_replace: replace = is_replaced: bool => is_replaced;
        /// The same, where a backup may be restored or not that was not sound when it was made, see
        /// [`BackupOptions::with_accept_unsound`], or whose data break an invariant now.
        with_accept_unsound: accept_unsound = is_accepted: bool => is_accepted;
    }
}
