//! Which database and which migrations: arguments, environment, configuration file, defaults.
//!
//! The settings of the database are `db_core`'s, in the file and in the environment; the file holds
//! one more, which says where the migrations are.

mod backup;
mod tables;
mod unsaid;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use db_backup::health::HealthLimits;
use db_core::{ConfigEntry, DatabaseConfig, Origin};
use db_migrate::{Migrator, Source};
use toml::de::DeTable;

use crate::args::Global;
use crate::error::Error;

pub(crate) use backup::BackupSettings;

/// The configuration file that is read without being named.
const FILE_NAME: &str = "bitcraps-db.toml";

/// What the configuration file says beside the database's settings.
const MIGRATIONS: &str = "migrations";
const BACKUP: &str = "backup";

/// The table of the limits that `health` holds a database against.
const HEALTH: &str = "health";

/// The setting of the database whose value is a command line.
const KEY_COMMAND: &str = "encryption_key_command";

/// The set of this project's own migrations, compiled in or read from one folder.
const OWN_SET: &str = "bitcraps";

/// What the configuration file says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct File {
    path: PathBuf,
    migrations: Vec<String>,
    settings: DatabaseConfig,
    /// The table of backups.
    pub(crate) backup: BackupSettings,
    /// The table of the limits of `health`.
    health: toml::Table,
    /// What the tables say, word by word.
    said: Vec<Said>,
    /// The line of `migrations`.
    migrations_line: usize,
}

/// A setting of one of the tables.
#[derive(Debug, PartialEq)]
struct Said {
    /// With its table: `backup.dir`.
    name: String,
    value: String,
    line: usize,
}

/// A setting as it counts.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: String,
    /// In words, passwords masked.
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

impl Setting {
    fn new(name: &str, value: &str, origin: Origin) -> Self {
        Self {
            name: name.to_owned(),
            value: db_core::redact(value),
            origin,
        }
    }
}

impl From<ConfigEntry> for Setting {
    fn from(entry: ConfigEntry) -> Self {
        Self {
            name: entry.name.to_owned(),
            value: entry.value,
            origin: entry.origin,
        }
    }
}

/// A folder of migrations, and the name of its set if one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) set: Option<String>,
    pub(crate) path: PathBuf,
}

impl File {
    /// Reads the file that is named, or the one in the working directory if there is one.
    ///
    /// # Errors
    /// [`Error::Configuration`] or [`Error::Io`].
    pub(crate) fn read(global: &Global) -> Result<Self, Error> {
        let path = global
            .config
            .clone()
            .unwrap_or_else(|| PathBuf::from(FILE_NAME));
        match fs::read_to_string(&path) {
            Ok(text) => parse(&path, &text),
            Err(e) if e.kind() == io::ErrorKind::NotFound && global.config.is_none() => {
                Ok(Self::default())
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(Error::io(&path, e)),
            Err(e) => Err(Error::Configuration {
                message: format!("cannot read the configuration file {}: {e}", path.display()),
                hint: "name an existing file with --config, or leave it out".to_owned(),
            }),
        }
    }

    /// The database that is meant, and how it is worked with.
    ///
    /// # Errors
    /// [`Error::Configuration`], which says where what is wrong was written.
    pub(crate) fn database(&self, global: &Global) -> Result<DatabaseConfig, Error> {
        let mut config = self.settings.clone().with_env().map_err(Error::setting)?;
        if let Some(url) = &global.database_url {
            config = argument(config, "--database-url", "url", url)?;
        }
        if let Some(path) = &global.key_file {
            config = argument(config, "--key-file", "encryption_key_file", path)?;
        }
        if let Some(command) = &global.key_command {
            config = argument(config, "--key-command", KEY_COMMAND, command)?;
        }
        Ok(config)
    }

    /// The file that was read, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        Some(self.path.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// Every setting as it counts, and where it was said: those of the database, the folders of
    /// migrations, and what the file says in its tables.
    ///
    /// # Errors
    /// As [`File::database`].
    pub(crate) fn settings(&self, global: &Global) -> Result<Vec<Setting>, Error> {
        let database = self.database(global)?;
        // What cannot be is said here as it is by every other command.
        database.options().map_err(Error::setting)?;
        let mut settings: Vec<Setting> = database.entries().map(Setting::from).collect();
        let of_file = |line| Origin::File {
            path: self.path.clone(),
            line,
        };
        let (folders, origin) = if global.migrations.is_empty() {
            (&self.migrations, of_file(self.migrations_line))
        } else {
            let argument = Origin::Argument("--migrations".to_owned());
            (&global.migrations, argument)
        };
        settings.push(if folders.is_empty() {
            Setting::new(MIGRATIONS, "compiled in", Origin::Default)
        } else {
            Setting::new(MIGRATIONS, &folders.join(", "), origin)
        });
        let backup = unsaid::BACKUP.map(|(name, value)| (BACKUP, name, value.to_owned()));
        let health = unsaid::health()
            .into_iter()
            .map(|(name, value)| (HEALTH, name, value));
        for (table, name, value) in backup.into_iter().chain(health) {
            let name = format!("{table}.{name}");
            let said = self.said.iter().find(|said| said.name == name);
            settings.push(match said {
                Some(said) => Setting::new(&name, &said.value, of_file(said.line)),
                None => Setting::new(&name, &value, Origin::Default),
            });
        }
        Ok(settings)
    }

    /// What `health` holds a database against: the lines that were given, what the file says, or the usual limits.
    ///
    /// # Errors
    /// [`Error::Configuration`], which names the limit that cannot be.
    pub(crate) fn limits(&self, given: &[String]) -> Result<HealthLimits, Error> {
        let mut table = self.health.clone();
        for line in given {
            let wrong = |reason: &str| of_limits(format!("--limit {line:?}: {reason}"));
            let said: toml::Table = line
                .parse()
                .map_err(|e: toml::de::Error| wrong(e.message()))?;
            if said.is_empty() {
                return Err(wrong("it names no limit"));
            }
            tables::each(|_| "--limit".to_owned(), (HEALTH, &said), is_limit).map_err(of_limits)?;
            table.extend(said);
        }
        limits(table.into()).map_err(of_limits)
    }

    /// The folders of migrations; none means those that are compiled in.
    pub(crate) fn folders(&self, global: &Global) -> Vec<Folder> {
        if global.migrations.is_empty() {
            let home = self.path.parent().unwrap_or(Path::new(""));
            self.migrations
                .iter()
                .map(|text| folder(text, home))
                .collect()
        } else {
            global
                .migrations
                .iter()
                .map(|text| folder(text, Path::new("")))
                .collect()
        }
    }

    /// A migrator over the folders, or over what is compiled in.
    pub(crate) fn migrator(&self, global: &Global) -> Migrator {
        let folders = self.folders(global);
        let alone = folders.len() == 1;
        let mut sources = folders.into_iter().map(|folder| {
            let source = Source::folder(folder.path);
            match folder.set {
                Some(set) => source.named(set),
                // One folder and what is compiled in are the same set at different times.
                None if alone => source.named(OWN_SET),
                None => source,
            }
        });
        match sources.next() {
            Some(first) => sources.fold(Migrator::new(first), Migrator::and),
            None => Migrator::new(
                Source::embedded(
                    db_schema::migrations::SQLITE,
                    db_schema::migrations::POSTGRES,
                )
                .named(OWN_SET),
            ),
        }
    }
}

fn argument(
    config: DatabaseConfig,
    argument: &str,
    setting: &str,
    value: impl AsRef<std::ffi::OsStr>,
) -> Result<DatabaseConfig, Error> {
    config
        .with_argument(argument, setting, value)
        .map_err(Error::setting)
}

fn parse(path: &Path, text: &str) -> Result<File, Error> {
    let settings = DatabaseConfig::default()
        .with_toml_beside(path, text, &[MIGRATIONS, BACKUP, HEALTH])
        .map_err(Error::setting)?;
    let wrong = |message: String| Error::Configuration {
        message: format!("{}: {message}", path.display()),
        hint: "name a folder of migrations, or a list of them".to_owned(),
    };
    let mut table: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| wrong(db_core::redact(e.message())))?;
    let (said, migrations_line) = said(text, &table);
    let of_backup = (BACKUP, table.get(BACKUP));
    tables::check((path, text), of_backup, BackupSettings::check).map_err(backup::wrong)?;
    let of_health = (HEALTH, table.get(HEALTH));
    tables::check((path, text), of_health, is_limit).map_err(of_limits)?;
    let health = match table.remove(HEALTH) {
        None => toml::Table::new(),
        Some(value) => {
            limits(value.clone()).map_err(of_limits)?;
            value
                .try_into()
                .map_err(|e: toml::de::Error| of_limits(e.message().to_owned()))?
        }
    };
    let texts = || wrong(format!("{MIGRATIONS} is a text or a list of texts"));
    let migrations = match table.remove(MIGRATIONS) {
        None => Vec::new(),
        Some(toml::Value::String(folder)) => vec![folder],
        Some(toml::Value::Array(list)) => list
            .into_iter()
            .map(|item| match item {
                toml::Value::String(folder) => Ok(folder),
                _ => Err(texts()),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(texts()),
    };
    let backup = match table.remove(BACKUP) {
        None => BackupSettings::default(),
        Some(value) => BackupSettings::read(path, value)?,
    };
    Ok(File {
        path: path.to_owned(),
        migrations,
        settings,
        backup,
        health,
        said,
        migrations_line,
    })
}

/// What the tables say, and the line of `migrations`.
fn said(text: &str, table: &toml::Table) -> (Vec<Said>, usize) {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|b| *b == b'\n').count();
    // What is no TOML was said before.
    let Ok(spans) = DeTable::parse(text) else {
        return (Vec::new(), 0);
    };
    let (mut all, mut migrations_line) = (Vec::new(), 0);
    for (key, of) in spans.get_ref() {
        let name = key.get_ref().as_ref();
        if name == MIGRATIONS {
            migrations_line = line(key.span().start);
        }
        if ![BACKUP, HEALTH].contains(&name) {
            continue;
        }
        let values = table.get(name).and_then(toml::Value::as_table);
        let (Some(keys), Some(values)) = (of.get_ref().as_table(), values) else {
            continue;
        };
        all.extend(keys.keys().map(|key| {
            Said {
                name: format!("{name}.{}", key.get_ref()),
                value: values
                    .get(key.get_ref().as_ref())
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                line: line(key.span().start),
            }
        }));
    }
    (all, migrations_line)
}

/// Limits that cannot be.
fn of_limits(message: String) -> Error {
    Error::Configuration {
        message,
        hint: "a limit is written as wal_size = { warn = \"256MiB\", fail = \"1GiB\" }; docs/health.md lists \
               them"
            .to_owned(),
    }
}

fn is_limit(table: toml::Value) -> Result<(), String> {
    limits(table).map(|_| ())
}

/// The limits that the table names, and the usual ones for all others.
fn limits(table: toml::Value) -> Result<HealthLimits, String> {
    let limits: HealthLimits = table
        .try_into()
        .map_err(|e: toml::de::Error| db_core::redact(e.message()))?;
    limits.check().map_err(|e| e.to_string())?;
    Ok(limits)
}

/// `NAME=DIR` or `DIR`; a folder of that very name comes first.
fn folder(text: &str, home: &Path) -> Folder {
    let is_name = |name: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !name.is_empty() && name.chars().all(allowed)
    };
    match text.split_once('=') {
        Some((name, path)) if is_name(name) && !home.join(text).is_dir() => Folder {
            set: Some(name.to_owned()),
            path: home.join(path),
        },
        _ => Folder {
            set: None,
            path: home.join(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<File, String> {
        parse(Path::new("etc/bitcraps-db.toml"), text).map_err(|e| e.message())
    }

    #[test]
    fn one_folder_or_several() {
        assert_eq!(parsed("migrations = 'm'").unwrap().migrations, ["m"]);
        assert_eq!(
            parsed("migrations = ['a', 'x=b']").unwrap().migrations,
            ["a", "x=b"]
        );
        assert_eq!(
            folder("x=b", Path::new("etc")),
            Folder {
                set: Some("x".to_owned()),
                path: PathBuf::from("etc/b")
            }
        );
        assert_eq!(folder("./a=b", Path::new("")).path, Path::new("./a=b"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            (
                "migration = 'm'",
                "migration (etc/bitcraps-db.toml:1): there is no setting of this name; did you mean \
                 migrations?",
            ),
            ("database_url = 'a.db'", "did you mean url?"),
            ("migrations = 3", "a text or a list of texts"),
            ("migrations = [3]", "a text or a list of texts"),
            (
                "url = true",
                "url = true (etc/bitcraps-db.toml:1): it must be a text",
            ),
            ("url = ", "(etc/bitcraps-db.toml:1): "),
            (
                "[health]\nwall_size = { warn = 1, fail = 2 }",
                "health.wall_size (etc/bitcraps-db.toml:2): there is no setting of this name; did you mean \
                 wal_size? expected one of `response`",
            ),
            (
                "[health]\ndisk_free = { warn = 0.1, fail = 0.2 }",
                "health.disk_free (etc/bitcraps-db.toml:2): disk_free: must be shares",
            ),
            (
                "[health]\n\nbackup_age = { warn = '2x' }",
                "health.backup_age (etc/bitcraps-db.toml:3): missing field `fail`",
            ),
            (
                "[backup]\ncompress = 3\ndri = 'x'",
                "backup.dri (etc/bitcraps-db.toml:3): there is no setting of this name; did you mean dir?",
            ),
            (
                "[backup]\nkeep_days = 'x'",
                "backup.keep_days (etc/bitcraps-db.toml:2): invalid type",
            ),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        // One file may serve the application, too.
        parsed("migrations = 'm'\nmax_connections = 3\nidle_timeout = '1m'").unwrap();
    }
}
