//! The key of an encrypted SQLite file: where it comes from, and how it is kept.
//!
//! A key is 32 bytes, written as 64 hexadecimal digits. It comes from a file or from a command's
//! output, because arguments, URLs and variables are seen by others: in `ps`, in logs, in the
//! environment of every child. In memory it is wiped when its last holder goes.

mod command;
mod file;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

pub use command::KeyCommand;
pub(crate) use command::shown_text;

/// Hexadecimal digits of a key of 256 bits.
const DIGITS: usize = 64;

/// As SQLCipher takes a key that it shall use as it is: `x'…'`. Any other text it would stretch,
/// with 256,000 rounds of hashing for each connection.
const LITERAL: usize = DIGITS + 3;

/// Bytes that are read of a file or of a command's output. White space may stand around the digits.
const MOST: usize = 256;

/// Why a key has no meaning there.
pub(crate) const NOT_IN_MEMORY: &str = "a database in memory is not encrypted, so it has no key";

/// How long a command may take: somebody may have to touch a token or to unlock an agent.
const PATIENCE: Duration = Duration::from_mins(1);

/// The key of a SQLite file. `Debug` does not show it.
#[derive(Clone)]
pub struct EncryptionKey(Arc<Zeroizing<[u8; LITERAL]>>);

impl EncryptionKey {
    /// Takes 64 hexadecimal digits, with white space around them or without.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let digits = text.trim_ascii();
        if digits.len() != DIGITS || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(format!(
                "it must hold {DIGITS} hexadecimal digits and nothing else"
            ));
        }
        // Filled in its place: what is moved leaves a copy behind.
        let mut literal = Arc::new(Zeroizing::new([b'\''; LITERAL]));
        if let Some([x, _, place @ .., _]) =
            Arc::get_mut(&mut literal).map(|literal| &mut **literal)
        {
            *x = b'x';
            place.copy_from_slice(digits);
        }
        Ok(Self(literal))
    }

    /// The key as SQLCipher takes it.
    #[cfg_attr(
        not(feature = "sqlcipher"),
        expect(dead_code, reason = "nobody takes it")
    )]
    pub(crate) fn literal(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(***)")
    }
}

/// Where the key of a SQLite file comes from.
///
/// It is read once; clones share what was read.
#[derive(Clone)]
pub struct KeySource {
    place: Place,
    read: Arc<OnceLock<EncryptionKey>>,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Command(KeyCommand),
}

impl KeySource {
    /// A regular file that nobody but its owner can read or write.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Place::File(path.into()))
    }

    /// What a command prints.
    #[must_use]
    pub fn command(command: KeyCommand) -> Self {
        Self::new(Place::Command(command))
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            read: Arc::default(),
        }
    }

    /// The key, read from its place the first time.
    ///
    /// # Errors
    /// `Configuration` in a program without the feature `sqlcipher`, for a file that is missing or
    /// that others can read, for a command that cannot be run, and for what is no key; `KeyMissing`
    /// if a command fails or prints nothing within a minute; `PermissionDenied`; `Io`. None shows
    /// anything of the key.
    pub fn read(&self) -> Result<EncryptionKey, Error> {
        if let Some(reason) = unsupported() {
            return Err(Error::new(ErrorKind::Configuration, reason));
        }
        if let Some(key) = self.read.get() {
            return Ok(key.clone());
        }
        let key = match &self.place {
            Place::File(path) => file::read(path),
            Place::Command(command) => command::read(command, PATIENCE),
        }?;
        Ok(self.read.get_or_init(|| key).clone())
    }
}

/// Shows the place, not what was read.
impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, shown) = match &self.place {
            Place::File(path) => ("file", mask(&path.display().to_string()).into_owned()),
            Place::Command(command) => ("command", command.shown()),
        };
        write!(f, "KeySource({kind} {shown})")
    }
}

/// Two are equal that name the same place.
impl PartialEq for KeySource {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for KeySource {}

/// Why this program cannot open encrypted files, if it cannot.
pub(crate) const fn unsupported() -> Option<&'static str> {
    if cfg!(feature = "sqlcipher") {
        None
    } else {
        Some("a key is set, but this program is built without the feature `sqlcipher`")
    }
}

/// A text without what may be a key in it: somebody may have written one where a file's name or a
/// command belongs.
pub(crate) fn mask(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(start);
        let length = from
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(from.len());
        let (digits, after) = from.split_at(length);
        masked.push_str(before);
        masked.push_str(if length < DIGITS { digits } else { "***" });
        rest = after;
    }
    masked.push_str(rest);
    if masked == text {
        return Cow::Borrowed(text);
    }
    Cow::Owned(masked)
}

/// Reads a key and what follows it, up to a bound.
///
/// # Errors
/// What reading fails with; `InvalidData` for what is no key, `FileTooLarge` for far too much.
fn read_key(source: &mut impl Read) -> io::Result<EncryptionKey> {
    let mut text = Zeroizing::new([0; MOST + 1]);
    let mut filled = 0;
    while let Some(space) = text.get_mut(filled..).filter(|space| !space.is_empty()) {
        match source.read(space) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if filled > MOST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it holds more than {MOST} bytes"),
        ));
    }
    EncryptionKey::parse(text.get(..filled).unwrap_or_default())
        .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// What to do about something that is no key.
const HOW_TO_MAKE_ONE: &str = "`openssl rand -hex 32` makes a key";

/// A key with which the tests of the pool and the writer encrypt their files, where they can.
#[cfg(test)]
pub(crate) fn test_key() -> Option<EncryptionKey> {
    let digits = "3b".repeat(DIGITS / 2);
    match (unsupported(), EncryptionKey::parse(digits.as_bytes())) {
        (None, Ok(key)) => Some(key),
        _ => None,
    }
}

#[cfg(test)]
impl KeySource {
    /// A source of this key.
    pub(crate) fn of_test(key: EncryptionKey) -> Self {
        Self {
            place: Place::File("a key of the tests".into()),
            read: Arc::new(OnceLock::from(key)),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sqlcipher")]
mod tests;
