//! The key of an encrypted SQLite database: flags, environment, configuration file.
//!
//! Each names a place where the key is, a file or a command; none holds it.

use std::env;
use std::path::Path;

use db_core::{DatabaseUrl, EncryptionKey, Engine, KeyCommand, KeySource};
use rustix::process::{Resource, Rlimit, setrlimit};
use toml::Value;

use crate::args::Global;
use crate::error::Error;

/// What names a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// A file.
    File,
    /// A command.
    Command,
}

impl Setting {
    const ALL: [Self; 2] = [Self::File, Self::Command];

    /// As in a configuration file, and in capitals behind a prefix in the environment.
    const fn name(self) -> &'static str {
        match self {
            Self::File => "encryption_key_file",
            Self::Command => "encryption_key_command",
        }
    }

    /// The setting of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// Its variable.
    fn variable(self) -> String {
        format!(
            "{}{}",
            db_core::VARIABLE_PREFIX,
            self.name().to_ascii_uppercase()
        )
    }
}

/// A place that was named, and where that was said.
struct Named {
    origin: String,
    source: KeySource,
}

/// Reads the key of the database at `url`, if one is named.
///
/// # Errors
/// [`Error::Usage`] for a flag on PostgreSQL, [`Error::Configuration`] for what is no file or
/// command, or for both at once; what reading the key says.
pub(crate) fn find(
    global: &Global,
    (path, settings): (&Path, &[(Setting, Value)]),
    url: &DatabaseUrl,
) -> Result<Option<EncryptionKey>, Error> {
    let is_postgres = url.engine() == Engine::Postgres;
    let named = match of_flags(global)? {
        Some(_) if is_postgres => {
            return Err(Error::usage(
                "a key is for an encrypted SQLite database",
                "leave out --key-file and --key-command; for PostgreSQL see sslmode in its URL",
            ));
        }
        // A file and an environment serve both engines.
        None if is_postgres => None,
        Some(source) => Some(source),
        None => match of_environment()? {
            Some(source) => Some(source),
            None => of_file(path, settings)?,
        },
    };
    let Some(source) = named else {
        return Ok(None);
    };
    // A crash must not leave the key in a file.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "a crash may leave a core dump that holds the key");
    }
    Ok(Some(source.read()?))
}

fn of_flags(global: &Global) -> Result<Option<KeySource>, Error> {
    if let Some(path) = &global.key_file {
        return Ok(Some(KeySource::file(path)));
    }
    let command = global.key_command.as_deref();
    command.map(|text| parse("--key-command", text)).transpose()
}

fn of_environment() -> Result<Option<KeySource>, Error> {
    let mut found = Vec::new();
    for setting in Setting::ALL {
        let name = setting.variable();
        let Some(value) = env::var_os(&name) else {
            continue;
        };
        let source = match setting {
            Setting::File => KeySource::file(value),
            Setting::Command => parse(&name, &value.to_string_lossy())?,
        };
        found.push(Named {
            origin: name,
            source,
        });
    }
    only(found)
}

fn of_file(path: &Path, settings: &[(Setting, Value)]) -> Result<Option<KeySource>, Error> {
    let home = path.parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    for (setting, value) in settings {
        let origin = format!("{} in {}", setting.name(), path.display());
        let source = match (setting, value) {
            (Setting::File, Value::String(text)) => KeySource::file(home.join(text)),
            (Setting::Command, Value::String(text)) => parse(&origin, text)?,
            (Setting::Command, Value::Array(words)) => words_of(words)
                .map(KeySource::command)
                .ok_or_else(|| wrong(format!("{origin} is not a list of texts")))?,
            (Setting::File, _) => return Err(wrong(format!("{origin} is not a text"))),
            (Setting::Command, _) => {
                return Err(wrong(format!("{origin} is not a text or a list of texts")));
            }
        };
        found.push(Named { origin, source });
    }
    only(found)
}

fn parse(origin: &str, text: &str) -> Result<KeySource, Error> {
    KeyCommand::parse(text)
        .map(KeySource::command)
        .map_err(|error| wrong(format!("{origin}: {}", error.message())))
}

fn words_of(words: &[Value]) -> Option<KeyCommand> {
    let mut texts = words
        .iter()
        .map(|word| word.as_str().map(ToOwned::to_owned));
    let program = texts.next()??;
    Some(KeyCommand::new(program, texts.collect::<Option<_>>()?))
}

/// The one that was named.
fn only(found: Vec<Named>) -> Result<Option<KeySource>, Error> {
    if let [one, other, ..] = found.as_slice() {
        return Err(wrong(format!(
            "both {} and {} are set",
            one.origin, other.origin
        )));
    }
    Ok(found.into_iter().next().map(|named| named.source))
}

fn wrong(message: String) -> Error {
    Error::Configuration {
        message,
        hint: "name one place where the key is: a file, or a command that prints it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(text: &str) -> Result<Option<KeySource>, String> {
        let table: toml::Table = text.parse().unwrap();
        let settings: Vec<_> = table
            .into_iter()
            .map(|(name, value)| (Setting::named(&name).unwrap(), value))
            .collect();
        of_file(Path::new("etc/app.toml"), &settings).map_err(|error| error.message())
    }

    #[test]
    fn a_file_names_one_place() {
        let file = in_file("encryption_key_file = 'a.key'").unwrap();
        assert_eq!(file, Some(KeySource::file("etc/a.key")));
        let words = in_file("encryption_key_command = ['cat', 'a b']").unwrap();
        let command = KeyCommand::new("cat", vec!["a b".to_owned()]);
        assert_eq!(words, Some(KeySource::command(command)));
        let text = in_file("encryption_key_command = 'cat a'").unwrap();
        let command = KeyCommand::parse("cat a").unwrap();
        assert_eq!(text, Some(KeySource::command(command)));
        assert_eq!(in_file("").unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            (
                "encryption_key_file = 3",
                "encryption_key_file in etc/app.toml is not a text",
            ),
            (
                "encryption_key_command = 3",
                "is not a text or a list of texts",
            ),
            ("encryption_key_command = []", "is not a list of texts"),
            (
                "encryption_key_command = ['cat', 3]",
                "is not a list of texts",
            ),
            (
                "encryption_key_command = 'cat $A'",
                "no shell runs the key command",
            ),
            (
                "encryption_key_file = 'a'\nencryption_key_command = 'b'",
                "both encryption_key_command in etc/app.toml and encryption_key_file in \
                 etc/app.toml are set",
            ),
        ] {
            let error = in_file(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
