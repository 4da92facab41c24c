//! How a [`Database`](crate) is opened: settings by builder, from a TOML file and from the
//! environment, checked in one place.
//!
//! Later words count: a file read with [`DatabaseConfig::with_file`] replaces what was set before
//! it, the environment replaces the file, and a builder call after them replaces both.
//!
//! Before all of them counts what a PostgreSQL URL says itself about its connection:
//! `connect_timeout`, `application_name`, `tcp_user_timeout`, `keepalives` and its kin. For TLS,
//! where that could demand less, a URL that says otherwise than the settings is an error.
//!
//! ```
//! use std::time::Duration;
//! use db_core::{DatabaseConfig, Options};
//!
//! # fn main() -> Result<(), db_core::ConfigError> {
//! let config = DatabaseConfig::new("sqlite://./data/game.db")
//!     .with_toml("game.toml", "max_connections = 4\nidle_timeout = '10m'")?
//!     .connection_timeout(Duration::from_secs(5));
//! let Options::Sqlite(options) = config.options()? else { unreachable!() };
//! assert_eq!(options.max_readers, 4);
//! # Ok(())
//! # }
//! ```

mod error;
mod names;
mod options;
mod settings;
mod source;
mod value;

use std::collections::BTreeMap;
use std::fmt;

pub use error::{ConfigError, Origin};
pub use options::{Options, PostgresOptions, SqliteOptions};
pub use source::DEFAULT_URL;
pub use value::{Synchronous, TlsMode};

use settings::Settings;

/// The settings of a database, each with a default, and where each was said.
///
/// Those of the other engine than the URL's are checked, each by itself, and otherwise ignored, so that one file
/// serves a laptop on SQLite and a server on PostgreSQL. `Debug` masks passwords.
#[derive(Clone, Default, PartialEq)]
pub struct DatabaseConfig {
    settings: Settings,
    origins: BTreeMap<&'static str, Origin>,
}

impl DatabaseConfig {
    /// The defaults, for the database at `url`: what [`DatabaseUrl::parse`] takes.
    ///
    /// [`DatabaseUrl::parse`]: crate::DatabaseUrl::parse
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self::default().url(url.into())
    }

    /// Checks every setting, and gives those of the engine that the URL chooses.
    ///
    /// # Errors
    /// The first setting that is wrong, with its value and where that was said.
    pub fn options(&self) -> Result<Options, ConfigError> {
        options::resolve(self)
    }

    /// All settings in the order of the documentation, without passwords, and where each was said:
    /// what an operator asks who has to know why a program does what it does.
    pub fn entries(&self) -> impl Iterator<Item = ConfigEntry> {
        Settings::KEYS.iter().map(|name| ConfigEntry {
            name,
            value: crate::encryption::mask(&crate::redact(&self.settings.show(name))).into_owned(),
            origin: self.origin(name),
        })
    }

    fn origin(&self, field: &str) -> Origin {
        self.origins.get(field).cloned().unwrap_or(Origin::Default)
    }

    /// Notes where a setting was said. The key has two settings, of which one can be: what a later
    /// place says of it replaces what an earlier one said with the other.
    fn said(&mut self, field: &'static str, origin: Origin) {
        let other = match field {
            "encryption_key_file" => "encryption_key_command",
            "encryption_key_command" => "encryption_key_file",
            _ => "",
        };
        if self
            .origins
            .get(other)
            .is_some_and(|said| !said.is_beside(&origin))
        {
            self.origins.remove(other);
            match field {
                "encryption_key_file" => self.settings.encryption_key_command = None,
                _ => self.settings.encryption_key_file = None,
            }
        }
        self.origins.insert(field, origin);
    }

    /// That what stands in `field` cannot be.
    fn wrong(&self, field: &str, reason: impl Into<String>) -> ConfigError {
        ConfigError::new(field, self.settings.show(field), self.origin(field), reason)
    }
}

/// One setting as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name, as in a TOML file.
    pub name: &'static str,
    /// Its value in words, with passwords masked; empty where it is unset.
    pub value: String,
    /// Where it was said.
    pub origin: Origin,
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("DatabaseConfig");
        for key in Settings::KEYS {
            shown.field(key, &format_args!("{}", self.settings.show(key)));
        }
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
