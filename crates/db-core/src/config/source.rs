//! Settings from a TOML file, from the environment and from arguments.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{env, fs};

use toml::de::DeTable;

use super::DatabaseConfig;
use super::error::{ConfigError, Origin};
use super::names::{self, PREFIX, URL_VARIABLES};
use super::value::Raw;

/// The database of a program that was told of none.
pub const DEFAULT_URL: &str = "sqlite://./data/bitcraps.db";

impl DatabaseConfig {
    /// These settings, and over them those of a TOML file: one `name = value` per setting, with the
    /// names of this builder's methods. A relative path of another file is meant beside this one; a
    /// relative path in a URL, from the working directory.
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
    pub fn with_toml(self, name: impl AsRef<Path>, text: &str) -> Result<Self, ConfigError> {
        self.with_toml_beside(name, text, &[])
    }

    /// As [`with_toml`](Self::with_toml), for a file in which a program keeps settings of its `own`
    /// beside these: they are passed over.
    ///
    /// # Errors
    /// As [`with_file`](Self::with_file).
    pub fn with_toml_beside(
        mut self,
        name: impl AsRef<Path>,
        text: &str,
        own: &[&str],
    ) -> Result<Self, ConfigError> {
        let path = name.as_ref();
        let line = |at: usize| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
        // toml's own message shows the line as it is written, with a password that may be in it.
        let table = DeTable::parse(text).map_err(|e| {
            let at = e.span().map_or(0, |span| line(span.start));
            ConfigError::new("", "", in_file(path, at), e.message())
        })?;
        let home = path.parent().unwrap_or(Path::new(""));
        for (key, value) in table.get_ref() {
            if own.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let origin = in_file(path, line(key.span().start));
            self.set(key.get_ref(), &Raw::Toml(value.get_ref()), origin, |name| {
                names::suggest(name, own).map(str::to_owned)
            })?;
            if let Some(path) = self.path_of(key.get_ref()) {
                *path = home.join(&*path);
            }
        }
        Ok(self)
    }

    /// These settings, and over them one that was said with an argument of a command line: errors
    /// call it by `argument`, as in `--database-url`.
    ///
    /// # Errors
    /// An unknown name, or a value of the wrong kind.
    pub fn with_argument(
        mut self,
        argument: &str,
        name: &str,
        value: impl AsRef<OsStr>,
    ) -> Result<Self, ConfigError> {
        let origin = Origin::Argument(argument.to_owned());
        self.set(name, &Raw::Text(value.as_ref()), origin, |_| None)?;
        Ok(self)
    }

    /// These settings, and over them those of the environment: `BITCRAPS_DB_` and a setting's name
    /// in capitals; the URL is in `BITCRAPS_DATABASE_URL`, else `DATABASE_URL`. An
    /// empty variable is an empty value, and an error for most: a database, a key or a mode of TLS
    /// must not be lost with the variable that it was to come from.
    ///
    /// # Errors
    /// An unknown name after `BITCRAPS_DB_`, one that is `BITCRAPS_DATABASE_URL` or a setting's but for
    /// a slip of the hand, or a value of the wrong kind.
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
        let url = URL_VARIABLES
            .into_iter()
            .find_map(|name| variables.iter().find(|(key, _)| key == name));
        if let Some((name, url)) = url {
            let origin = Origin::Environment(name.to_string_lossy().into_owned());
            self.set("url", &Raw::Text(url), origin, |_| None)?;
        }
        for (name, value) in &variables {
            let name = name.to_string_lossy();
            let origin = || Origin::Environment(name.clone().into_owned());
            let Some(key) = name.strip_prefix(PREFIX) else {
                names::check_stranger(&name)
                    .map_err(|(key, reason)| ConfigError::new(&key, "", origin(), reason))?;
                continue;
            };
            if key == "URL" {
                let reason = format!("the URL is read from {}", URL_VARIABLES.join(" or "));
                return Err(ConfigError::new("url", "", origin(), reason));
            }
            let key = key.to_ascii_lowercase();
            self.set(&key, &Raw::Text(value), origin(), |name| {
                names::suggest(name, &[]).map(names::variable)
            })?;
        }
        Ok(self)
    }

    /// Sets what was found; of an unknown name it says which one `suggest` takes it for.
    fn set(
        &mut self,
        key: &str,
        raw: &Raw<'_>,
        origin: Origin,
        suggest: impl FnOnce(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        match self.settings.set(key, raw) {
            Some(Ok(key)) => {
                self.said(key, origin);
                Ok(())
            }
            Some(Err((shown, reason))) => Err(ConfigError::new(key, shown, origin, reason)),
            None => {
                let reason = "there is no setting of this name";
                let reason = match suggest(key) {
                    Some(meant) => format!("{reason}; did you mean {meant}?"),
                    None => reason.to_owned(),
                };
                Err(ConfigError::new(key, "", origin, reason))
            }
        }
    }

    /// The path in a setting that is one and is set.
    fn path_of(&mut self, key: &str) -> Option<&mut PathBuf> {
        match key {
            "encryption_key_file" => self.settings.encryption_key_file.as_mut(),
            "tls_root_certificate" => self.settings.tls_root_certificate.as_mut(),
            _ => None,
        }
    }
}

fn in_file(path: &Path, line: usize) -> Origin {
    Origin::File {
        path: path.to_owned(),
        line,
    }
}
