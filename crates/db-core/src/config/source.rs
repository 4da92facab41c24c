//! Settings from a TOML file and from the environment.

use std::ffi::OsString;
use std::path::Path;
use std::{env, fs};

use toml::de::DeTable;

use super::DatabaseConfig;
use super::error::{ConfigError, Origin};
use super::value::Raw;

/// The database of a program that was told of none.
pub const DEFAULT_URL: &str = "sqlite://./data/bitcraps.db";

/// How the variables begin that hold settings: `BITCRAPS_DB_MAX_CONNECTIONS`.
pub const VARIABLE_PREFIX: &str = "BITCRAPS_DB_";

/// Where the URL may stand in the environment, the first one found counts.
const URL_VARIABLES: [&str; 2] = ["BITCRAPS_DATABASE_URL", "DATABASE_URL"];

/// The URL that the environment names, and the variable that does. An empty variable counts: it is
/// a mistake, which must be told and not end in a new database at the default place.
#[must_use]
pub fn url_variable() -> Option<(&'static str, String)> {
    named_url(|name| env::var_os(name))
}

fn named_url(value_of: impl Fn(&str) -> Option<OsString>) -> Option<(&'static str, String)> {
    URL_VARIABLES
        .into_iter()
        .find_map(|name| value_of(name).map(|value| (name, value.to_string_lossy().into_owned())))
}

impl DatabaseConfig {
    /// These settings, and over them those of a TOML file: one `name = value` per setting, with the
    /// names of this builder's methods.
    ///
    /// # Errors
    /// A file that cannot be read or is no TOML, an unknown name, or a value of the wrong kind.
    pub fn with_file(self, path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|e| ConfigError::new("", "", in_file(path, 0), e.to_string()))?;
        self.with_toml(path, &text)
    }

    /// As [`with_file`](Self::with_file), from a text; errors call it by `name`.
    ///
    /// # Errors
    /// As [`with_file`](Self::with_file).
    pub fn with_toml(mut self, name: impl AsRef<Path>, text: &str) -> Result<Self, ConfigError> {
        let path = name.as_ref();
        let line = |at: usize| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
        // toml's own message shows the line as it is written, with a password that may be in it.
        let table = DeTable::parse(text).map_err(|e| {
            let at = e.span().map_or(0, |span| line(span.start));
            ConfigError::new("", "", in_file(path, at), e.message())
        })?;
        for (key, value) in table.get_ref() {
            let origin = in_file(path, line(key.span().start));
            self.set(key.get_ref(), &Raw::Toml(value.get_ref()), origin)?;
        }
        Ok(self)
    }

    /// These settings, and over them those of the environment: `BITCRAPS_DB_` and a setting's name
    /// in capitals; the URL is in `BITCRAPS_DATABASE_URL`, else `DATABASE_URL`. An
    /// empty variable is an empty value, and an error for most: a database, a key or a mode of TLS
    /// must not be lost with the variable that it was to come from.
    ///
    /// # Errors
    /// An unknown name after `BITCRAPS_DB_`, or a value of the wrong kind.
    pub fn with_env(self) -> Result<Self, ConfigError> {
        self.with_variables(env::vars_os())
    }

    /// As [`with_env`](Self::with_env), from a list of variables.
    ///
    /// # Errors
    /// As [`with_env`](Self::with_env).
    pub fn with_variables<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        let variables: Vec<(OsString, OsString)> = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let value_of = |name: &str| {
            let found = variables.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        };
        if let Some((name, url)) = named_url(value_of) {
            let origin = Origin::Environment(name.to_owned());
            self.set("url", &Raw::Text(&url), origin)?;
        }
        for (name, value) in &variables {
            let name = name.to_string_lossy();
            let Some(key) = name.strip_prefix(VARIABLE_PREFIX) else {
                continue;
            };
            let origin = Origin::Environment(name.clone().into_owned());
            if key == "URL" {
                let reason = format!("the URL is read from {}", URL_VARIABLES.join(" or "));
                return Err(ConfigError::new("url", "", origin, reason));
            }
            let value = value.to_string_lossy();
            self.set(&key.to_ascii_lowercase(), &Raw::Text(&value), origin)?;
        }
        Ok(self)
    }

    fn set(&mut self, key: &str, raw: &Raw<'_>, origin: Origin) -> Result<(), ConfigError> {
        match self.settings.set(key, raw) {
            Some(Ok(key)) => {
                self.origins.insert(key, origin);
                Ok(())
            }
            Some(Err((shown, reason))) => Err(ConfigError::new(key, shown, origin, reason)),
            None => Err(ConfigError::new(
                key,
                "",
                origin,
                "there is no setting of this name",
            )),
        }
    }
}

fn in_file(path: &Path, line: usize) -> Origin {
    Origin::File {
        path: path.to_owned(),
        line,
    }
}
