//! Which database and which migrations: arguments, environment, configuration file, defaults.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use db_core::{DatabaseUrl, EncryptionKey};
use db_migrate::{Migrator, Source};

use crate::args::Global;
use crate::error::Error;
use crate::key;

/// The configuration file that is read without being named.
const FILE_NAME: &str = "bitcraps-db.toml";

/// The set of this project's own migrations, compiled in or read from one folder.
const OWN_SET: &str = "bitcraps";

/// What the configuration file says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct File {
    path: PathBuf,
    database_url: Option<String>,
    migrations: Vec<String>,
    key: Vec<(key::Setting, toml::Value)>,
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

    /// The database that is meant.
    ///
    /// # Errors
    /// [`Error::Configuration`], which says where the URL was written.
    pub(crate) fn database_url(&self, global: &Global) -> Result<DatabaseUrl, Error> {
        let (origin, text) = if let Some(text) = &global.database_url {
            ("--database-url".to_owned(), text.clone())
        } else if let Some((name, text)) = db_core::url_variable() {
            (name.to_owned(), text)
        } else if let Some(text) = &self.database_url {
            (self.path.display().to_string(), text.clone())
        } else {
            ("default".to_owned(), db_core::DEFAULT_URL.to_owned())
        };
        DatabaseUrl::parse(&text).map_err(|error| Error::url(&origin, &error))
    }

    /// The key of the database, if it has one.
    ///
    /// # Errors
    /// [`Error::Usage`], [`Error::Configuration`], or what reading the key says.
    pub(crate) fn key(
        &self,
        global: &Global,
        url: &DatabaseUrl,
    ) -> Result<Option<EncryptionKey>, Error> {
        key::find(global, (&self.path, &self.key), url)
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

fn parse(path: &Path, text: &str) -> Result<File, Error> {
    let wrong = |message: String| Error::Configuration {
        message: format!("{}: {message}", path.display()),
        hint: "known keys are database_url (a URL), migrations (a folder, or a list of them), \
               encryption_key_file and encryption_key_command"
            .to_owned(),
    };
    let table: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| wrong(db_core::redact(e.message())))?;
    let mut file = File {
        path: path.to_owned(),
        ..File::default()
    };
    for (key, value) in table {
        match (key.as_str(), value) {
            ("database_url", toml::Value::String(url)) => file.database_url = Some(url),
            ("migrations", toml::Value::String(folder)) => file.migrations = vec![folder],
            ("migrations", toml::Value::Array(list)) => {
                for item in list {
                    let toml::Value::String(folder) = item else {
                        return Err(wrong("migrations is a text or a list of texts".to_owned()));
                    };
                    file.migrations.push(folder);
                }
            }
            ("migrations", _) => {
                return Err(wrong("migrations is a text or a list of texts".to_owned()));
            }
            ("database_url", _) => return Err(wrong("database_url is a text".to_owned())),
            (other, value) => match key::Setting::named(other) {
                Some(setting) => file.key.push((setting, value)),
                None => return Err(wrong(format!("unknown key {other:?}"))),
            },
        }
    }
    Ok(file)
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
            ("migration = 'm'", "unknown key \"migration\""),
            ("migrations = 3", "a text or a list of texts"),
            ("migrations = [3]", "a text or a list of texts"),
            ("database_url = true", "database_url is a text"),
            ("database_url = ", "etc/bitcraps-db.toml: "),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
