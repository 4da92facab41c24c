//! Public keys of those who may open a backup, and secret keys that open one.

use std::fmt;
use std::str::FromStr;

use age::x25519;

use crate::error::Error;
use crate::manifest::{AGE, Encryption};

/// Who can open a backup: age's X25519 public keys, `age1…`.
#[derive(Clone, Default)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads public keys, one each.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is none; a secret key is not repeated.
    pub fn parse<T: AsRef<str>>(keys: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let mut parsed = Vec::new();
        for key in keys {
            let key = key.as_ref().trim();
            let recipient = x25519::Recipient::from_str(key).map_err(|why| {
                let shown = if key.starts_with("age1") {
                    format!("{key:?}: {why}")
                } else {
                    "what was given".to_owned()
                };
                Error::usage(
                    format!("{shown} is no public key of age"),
                    "write age1…, as `age-keygen -y FILE` prints it",
                )
            })?;
            parsed.push(recipient);
        }
        Ok(Self(parsed))
    }

    /// Reads the text of a file of public keys: one a line, `#` begins a comment.
    ///
    /// # Errors
    /// As [`Recipients::parse`].
    pub fn parse_file(text: &str) -> Result<Self, Error> {
        Self::parse(lines(text))
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Whether there are none, so that nothing is encrypted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|key| -> &dyn age::Recipient { key })
    }

    pub(super) fn manifest(&self) -> Option<Encryption> {
        (!self.is_empty()).then(|| Encryption {
            method: AGE.to_owned(),
            recipients: self.0.iter().map(ToString::to_string).collect(),
        })
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(ToString::to_string))
            .finish()
    }
}

/// Secret keys of age, `AGE-SECRET-KEY-1…`. They are never shown.
#[derive(Clone, Default)]
pub struct Identities(Vec<x25519::Identity>);

impl Identities {
    /// Reads the text of a file of identities, as `age-keygen` writes it: one a line, `#` begins a
    /// comment. `file` is its name in errors.
    ///
    /// # Errors
    /// [`Error::Identity`], which repeats nothing of the text.
    pub fn parse_file(file: &str, text: &str) -> Result<Self, Error> {
        let mut parsed = Vec::new();
        for line in lines(text) {
            let identity = x25519::Identity::from_str(line).map_err(|_| Error::Identity {
                name: file.to_owned(),
                reason: "it holds a line that is no identity of age".to_owned(),
            })?;
            parsed.push(identity);
        }
        if parsed.is_empty() {
            return Err(Error::Identity {
                name: file.to_owned(),
                reason: "it holds no identity".to_owned(),
            });
        }
        Ok(Self(parsed))
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them belongs to one of these public keys.
    pub(crate) fn fit_any(&self, recipients: &[String]) -> bool {
        let own = |identity: &x25519::Identity| identity.to_public().to_string();
        self.0
            .iter()
            .any(|identity| recipients.contains(&own(identity)))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|key| -> &dyn age::Identity { key })
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} identities", self.0.len())
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}
