//! Values as people write them, in a variable or in TOML, and as errors show them.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::{DatabaseUrl, IsolationLevel, KeyCommand};

/// A value that was found, before anyone knows what it should be.
pub(super) enum Raw<'v> {
    /// From a variable or an argument: everything is text, mostly UTF-8.
    Text(&'v OsStr),
    /// From a file.
    Toml(&'v DeValue<'v>),
}

impl Raw<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.to_str(),
            Self::Toml(DeValue::String(text)) => Some(text),
            Self::Toml(_) => None,
        }
    }

    /// The value in words for an error; `secret` says how texts are shown that may hold a secret.
    pub(super) fn shown(&self, secret: Option<fn(&str) -> String>) -> String {
        let shown = |text: &str| secret.map_or_else(|| format!("{text:?}"), |show| show(text));
        match self {
            Self::Text(text) => shown(&text.to_string_lossy()),
            Self::Toml(DeValue::String(text)) => shown(text),
            Self::Toml(DeValue::Integer(number)) => number.to_string(),
            Self::Toml(DeValue::Float(number)) => number.to_string(),
            Self::Toml(DeValue::Boolean(truth)) => truth.to_string(),
            Self::Toml(DeValue::Datetime(time)) => time.to_string(),
            Self::Toml(DeValue::Array(_)) => "[…]".to_owned(),
            Self::Toml(DeValue::Table(_)) => "{…}".to_owned(),
        }
    }
}

/// A URL without its password, or what may be shown of a text that is none.
pub(super) fn shown_url(text: &str) -> String {
    match DatabaseUrl::parse(text) {
        Ok(url) => url.to_string(),
        Err(error) => error.shown().to_owned(),
    }
}

/// What a setting can hold.
pub(super) trait Value: Sized {
    /// How errors show a text that cannot be, if a secret may be in it.
    const SECRET: Option<fn(&str) -> String> = None;

    /// Reads it, or says what it should be.
    fn read(raw: &Raw<'_>) -> Result<Self, String>;

    /// In words, without passwords.
    fn show(&self) -> String;
}

impl Value for u32 {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let number = match raw {
            Raw::Text(text) => text.to_str().and_then(|text| text.trim().parse().ok()),
            Raw::Toml(DeValue::Integer(number)) => {
                Self::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Raw::Toml(_) => None,
        };
        number.ok_or_else(|| format!("it must be a whole number from 0 to {}", Self::MAX))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let truth = match raw {
            Raw::Toml(DeValue::Boolean(truth)) => Some(*truth),
            Raw::Text(text) => text.to_str().and_then(|text| text.parse().ok()),
            Raw::Toml(_) => None,
        };
        truth.ok_or_else(|| "it must be true or false".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Duration {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let words = "it must be a duration, as in \"30s\", \"5m\", \"250ms\" or \"0\"";
        raw.text()
            .and_then(|text| crate::duration::parse(text).ok())
            .ok_or_else(|| words.to_owned())
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// Units of a size; as elsewhere, `k` is 1,000 and `Ki` is 1,024.
const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

impl Value for Bytes {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let words = "it must be a size, as in \"64MiB\", \"256MB\" or \"0\"";
        let parse = |text: &str| {
            if text == "0" {
                return Some(Self(0));
            }
            let digits = text.find(|c: char| !c.is_ascii_digit())?;
            let number: u64 = text.get(..digits)?.parse().ok()?;
            let unit = text.get(digits..)?.trim();
            let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
            number.checked_mul(*bytes).map(Self)
        };
        raw.text()
            .and_then(|text| parse(text.trim()))
            .ok_or_else(|| words.to_owned())
    }

    fn show(&self) -> String {
        let largest = UNITS
            .iter()
            .rev()
            .find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        match largest {
            Some((name, unit)) => format!("{}{name}", self.0 / unit),
            None => "0".to_owned(),
        }
    }
}

/// A database URL as it was written; it is parsed when all is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UrlText(pub(super) String);

impl From<String> for UrlText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Value for UrlText {
    const SECRET: Option<fn(&str) -> String> = Some(shown_url);

    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        raw.text()
            .map(|text| Self(text.to_owned()))
            .ok_or_else(|| "it must be a text".to_owned())
    }

    fn show(&self) -> String {
        shown_url(&self.0)
    }
}

/// A list of URLs; in a variable they stand apart by white space, which no URL can hold, whereas
/// commas stand between the hosts of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UrlTexts(pub(super) Vec<UrlText>);

impl From<Vec<String>> for UrlTexts {
    fn from(texts: Vec<String>) -> Self {
        Self(texts.into_iter().map(UrlText).collect())
    }
}

impl Value for UrlTexts {
    const SECRET: Option<fn(&str) -> String> = Some(shown_url);

    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let words = || "it must be a list of texts".to_owned();
        match raw {
            Raw::Text(text) => {
                let urls = text.to_str().ok_or_else(words)?.split_whitespace();
                Ok(Self(urls.map(|url| UrlText(url.to_owned())).collect()))
            }
            Raw::Toml(DeValue::Array(list)) => list
                .iter()
                .map(|item| UrlText::read(&Raw::Toml(item.get_ref())).map_err(|_| words()))
                .collect::<Result<_, _>>()
                .map(Self),
            Raw::Toml(_) => Err(words()),
        }
    }

    fn show(&self) -> String {
        let shown: Vec<String> = self.0.iter().map(Value::show).collect();
        format!("[{}]", shown.join(", "))
    }
}

impl Value for String {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        raw.text()
            .map(ToOwned::to_owned)
            .ok_or_else(|| "it must be a text".to_owned())
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Value for PathBuf {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        match raw {
            Raw::Text(path) => Ok(Self::from(path)),
            Raw::Toml(_) => String::read(raw).map(Self::from),
        }
    }

    fn show(&self) -> String {
        crate::encryption::mask(&self.display().to_string()).into_owned()
    }
}

impl Value for KeyCommand {
    const SECRET: Option<fn(&str) -> String> = Some(crate::encryption::shown_text);

    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        let words = || "it must be a text, or a list of a program and its arguments".to_owned();
        if let Raw::Toml(DeValue::Array(list)) = raw {
            let mut items = list.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.clone().into_owned()),
                _ => Err(words()),
            });
            let program = items.next().ok_or_else(words)??;
            return Ok(Self::new(program, items.collect::<Result<_, _>>()?));
        }
        let text = raw.text().ok_or_else(words)?;
        Self::parse(text).map_err(|error| error.message().to_owned())
    }

    fn show(&self) -> String {
        self.shown()
    }
}

impl<T: Value> Value for Option<T> {
    const SECRET: Option<fn(&str) -> String> = T::SECRET;

    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        T::read(raw).map(Some)
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "unset".to_owned(), T::show)
    }
}

/// Reads one of a few words.
fn word<T: Copy>(raw: &Raw<'_>, words: &[(&str, T)]) -> Result<T, String> {
    let found = raw
        .text()
        .and_then(|text| words.iter().find(|(word, _)| *word == text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("it must be one of {}", all.join(", "))
    })
}

/// What an acknowledged write of SQLite has survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// A crash of the process. A power cut may take the last commits with it, never a part of one
    /// and never one before one that stays.
    #[default]
    Normal,
    /// A power cut too: each COMMIT waits for the disk. Where money lives.
    Full,
}

impl Value for Synchronous {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        word(raw, &[("normal", Self::Normal), ("full", Self::Full)])
    }

    fn show(&self) -> String {
        match self {
            Self::Normal => "normal".to_owned(),
            Self::Full => "full".to_owned(),
        }
    }
}

/// How much a PostgreSQL connection demands of TLS: libpq's `sslmode`.
///
/// Only the two that verify protect from someone who sits between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text.
    Disable,
    /// TLS if the server has it. What libpq does when nothing is said.
    Prefer,
    /// TLS, with whoever answers.
    Require,
    /// TLS, with a certificate that a known authority signed.
    VerifyCa,
    /// TLS, with such a certificate, made out for the host that was asked for.
    VerifyFull,
}

impl TlsMode {
    const WORDS: [(&'static str, Self); 5] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::WORDS.iter().find(|(_, mode)| mode == self);
        f.write_str(found.map_or("", |(word, _)| word))
    }
}

impl Value for TlsMode {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        word(raw, &Self::WORDS)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for IsolationLevel {
    fn read(raw: &Raw<'_>) -> Result<Self, String> {
        word(raw, &Self::ALL.map(|level| (level.name(), level)))
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}
