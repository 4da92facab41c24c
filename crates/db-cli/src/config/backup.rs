//! What the configuration file says of backups, in its table `[backup]`.

use std::path::{Path, PathBuf};

use std::time::Duration;

use db_backup::retention::{DEFAULT_KEEP_DAYS, Policy};
use serde::Deserialize;

use crate::args::{CheckLevel, Compress, Keep, compress};
use crate::error::Error;

/// The folder that is used without being named.
pub(super) const DEFAULT_DIR: &str = "./backups";

/// The table `[backup]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table of settings")]
pub(crate) struct BackupSettings {
    /// Where backups are kept.
    pub(crate) dir: Option<String>,
    /// Where files for a bucket are prepared.
    pub(crate) staging: Option<PathBuf>,
    /// Where what is encrypted is prepared, and unpacked.
    pub(crate) scratch: Option<PathBuf>,
    /// A level of compression, or `none`.
    compress: Option<toml::Value>,
    /// Public keys to encrypt to.
    pub(crate) recipients: Vec<String>,
    /// A file of them.
    pub(crate) recipients_file: Option<PathBuf>,
    /// A file of identities that opens encrypted backups.
    pub(crate) identity: Option<PathBuf>,
    /// The folder of PostgreSQL's own programs.
    pub(crate) pg_bin: Option<PathBuf>,
    /// The server on which dumps are restored on trial.
    pub(crate) drill_server: Option<String>,
    /// How thoroughly copies are checked.
    pub(crate) check: Option<CheckLevel>,
    /// Which backups are kept, rule by rule.
    pub(crate) keep_days: Option<u32>,
    pub(crate) keep_last: Option<u32>,
    pub(crate) keep_hourly: Option<u32>,
    pub(crate) keep_daily: Option<u32>,
    pub(crate) keep_weekly: Option<u32>,
    pub(crate) keep_monthly: Option<u32>,
    pub(crate) keep_yearly: Option<u32>,
    /// From one scheduled backup to the next.
    every: Option<String>,
}

/// A table that cannot be used.
pub(super) fn wrong(message: String) -> Error {
    Error::Configuration {
        message,
        hint: "docs/backup.md lists the settings of [backup]".to_owned(),
    }
}

impl BackupSettings {
    /// Reads the table. Paths in it begin at the file's folder.
    ///
    /// # Errors
    /// [`Error::Configuration`].
    pub(super) fn read(file: &Path, value: toml::Value) -> Result<Self, Error> {
        let mut settings = Self::parse(value).map_err(|reason| {
            let reason = db_core::redact(&reason);
            wrong(format!("{}: backup: {reason}", file.display()))
        })?;
        let home = file.parent().unwrap_or(Path::new(""));
        for path in [
            &mut settings.recipients_file,
            &mut settings.identity,
            &mut settings.pg_bin,
            &mut settings.staging,
            &mut settings.scratch,
        ] {
            *path = path.take().map(|path| home.join(path));
        }
        settings.dir = settings.dir.map(|dir| {
            if dir.contains("://") {
                dir
            } else {
                home.join(dir).display().to_string()
            }
        });
        Ok(settings)
    }

    /// What is wrong with a table, if something is.
    pub(super) fn check(value: toml::Value) -> Result<(), String> {
        Self::parse(value).map(|_| ())
    }

    fn parse(value: toml::Value) -> Result<Self, String> {
        let settings: Self = value
            .try_into()
            .map_err(|e: toml::de::Error| e.message().to_owned())?;
        settings.compress().map_err(|e| format!("compress: {e}"))?;
        settings.every().map_err(|e| format!("every: {e}"))?;
        Ok(settings)
    }

    /// How strongly to compress, if it is said.
    pub(crate) fn compress(&self) -> Result<Option<Compress>, String> {
        match &self.compress {
            None => Ok(None),
            Some(toml::Value::String(text)) => compress(text).map(Some),
            Some(other) => compress(&other.to_string()).map(Some),
        }
    }

    /// From one scheduled backup to the next, if it is said.
    pub(crate) fn every(&self) -> Result<Option<Duration>, String> {
        let parse = |text: &String| db_core::duration::parse(text);
        self.every.as_ref().map(parse).transpose()
    }

    /// Which backups are kept: what was given, what the file says, or all of seven days.
    pub(crate) fn policy(&self, given: &Keep) -> Policy {
        let rule = |given: Option<u32>, said: Option<u32>| given.or(said).unwrap_or(0);
        Policy {
            days: given
                .keep_days
                .or(self.keep_days)
                .unwrap_or(DEFAULT_KEEP_DAYS),
            last: rule(given.keep_last, self.keep_last),
            hourly: rule(given.keep_hourly, self.keep_hourly),
            daily: rule(given.keep_daily, self.keep_daily),
            weekly: rule(given.keep_weekly, self.keep_weekly),
            monthly: rule(given.keep_monthly, self.keep_monthly),
            yearly: rule(given.keep_yearly, self.keep_yearly),
        }
    }

    /// Where backups are: what was given, what the file says, or the default.
    pub(crate) fn dir<'a>(&'a self, given: Option<&'a str>) -> &'a str {
        given.or(self.dir.as_deref()).unwrap_or(DEFAULT_DIR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BackupSettings, String> {
        let table: toml::Table = text.parse().unwrap();
        BackupSettings::read(Path::new("etc/x.toml"), toml::Value::Table(table))
            .map_err(|e| e.message())
    }

    #[test]
    fn paths_begin_at_the_file() {
        let read = read("dir = 'b'\nidentity = 'k.txt'\ncompress = 9\ncheck = 'full'").unwrap();
        assert_eq!(read.dir(None), "etc/b");
        assert_eq!(read.dir(Some("other")), "other");
        assert_eq!(read.identity.as_deref(), Some(Path::new("etc/k.txt")));
        assert_eq!(read.compress(), Ok(Some(Compress::Level(9))));
        assert_eq!(read.check, Some(CheckLevel::Full));
        assert_eq!(BackupSettings::default().dir(None), "./backups");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("compress = 20", "compress: no level"),
            ("compress = 'fast'", "compress: no level"),
            ("folder = 'x'", "unknown field `folder`"),
            ("check = 'deep'", "deep"),
            ("dir = 3", "expected a string"),
            ("drill_server = 3", "expected a string"),
            ("keep_daily = -1", "expected u32"),
            ("every = 'often'", "every: "),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(
            read("compress = 'none'").unwrap().compress(),
            Ok(Some(Compress::None))
        );
    }
}
