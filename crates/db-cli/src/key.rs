//! The key of an encrypted SQLite database: read once, and kept out of core dumps.

use db_core::{EncryptionKey, KeySource};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::args::Global;
use crate::error::Error;

/// Reads the key from where it is.
///
/// # Errors
/// What reading it says.
pub(crate) fn read(source: &KeySource) -> Result<EncryptionKey, Error> {
    // A crash must not leave the key in a file.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "a crash may leave a core dump that holds the key");
    }
    Ok(source.read()?)
}

/// A file and an environment serve both engines; a key that is named for this very call does not.
///
/// # Errors
/// [`Error::Usage`] if there is one.
pub(crate) fn refuse_on_postgres(global: &Global) -> Result<(), Error> {
    if global.key_file.is_none() && global.key_command.is_none() {
        return Ok(());
    }
    Err(Error::usage(
        "a key is for an encrypted SQLite database",
        "leave out --key-file and --key-command; for PostgreSQL see sslmode in its URL",
    ))
}
