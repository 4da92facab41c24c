//! Targets: up to, or down to, which migration.

use crate::Version;
use crate::version::TIMESTAMP_DIGITS;

/// How many letters of a name may be wrong for it to be suggested: one in so many, and at most
/// [`MOST_MISTAKES`].
const LETTERS_PER_MISTAKE: usize = 3;
const MOST_MISTAKES: usize = 3;

/// Shorter words are in too many names.
const SHORTEST_WORD: usize = 3;

/// What stands between the words of a name.
const SEPARATORS: [char; 3] = ['_', '-', ' '];

/// Where a run shall end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The position in the order of versions, from 1; 0 is before the first.
    Ordinal(usize),
    /// A version, dashes left out.
    Version(String),
    /// A name, with or without its version.
    Name(String),
    /// This many steps back, in the order of application.
    Back(usize),
}

/// Why a target is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is empty or malformed.
    #[error(
        "{0:?} is no target; write a position (5, or 0 for none), a version \
         (20240126120000), a name, or -N for N steps back"
    )]
    Malformed(String),
    /// Nothing is called so.
    #[error("no migration matches {text:?}{hint}")]
    Unknown {
        /// What was asked for.
        text: String,
        /// What may have been meant.
        hint: String,
    },
    /// More than one is called so.
    #[error("{text:?} is ambiguous; it could be {}", candidates.join(" or "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Everything that it matches.
        candidates: Vec<String>,
    },
    /// The position is beyond the last.
    #[error("there is no migration at position {ordinal}; the last is {last}")]
    BeyondLast {
        /// What was asked for.
        ordinal: usize,
        /// How many there are.
        last: usize,
    },
    /// Steps back make no sense here.
    #[error("-{0} counts steps back, which only rollback takes")]
    NotBack(usize),
}

/// A migration that a target can name, in the order of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nameable {
    pub(crate) version: Version,
    pub(crate) folder_name: String,
}

impl Target {
    /// Parses a target as the command line takes it.
    ///
    /// # Errors
    /// [`TargetError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let malformed = || TargetError::Malformed(text.to_owned());
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(malformed());
        }
        if let Some(steps) = trimmed.strip_prefix('-') {
            return match steps.parse() {
                Ok(n) if n > 0 => Ok(Self::Back(n)),
                _ => Err(malformed()),
            };
        }
        let digits = trimmed.replace('-', "");
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return if digits.len() >= TIMESTAMP_DIGITS {
                Ok(Self::Version(digits))
            } else if digits.len() == trimmed.len() {
                digits.parse().map(Self::Ordinal).map_err(|_| malformed())
            } else {
                Err(malformed())
            };
        }
        Ok(Self::Name(trimmed.to_owned()))
    }

    /// The position of the migration that is meant, 0 for none; `all` is in the order of versions.
    pub(crate) fn position(&self, all: &[Nameable]) -> Result<usize, TargetError> {
        match self {
            Self::Ordinal(ordinal) if *ordinal <= all.len() => Ok(*ordinal),
            Self::Ordinal(ordinal) => Err(TargetError::BeyondLast {
                ordinal: *ordinal,
                last: all.len(),
            }),
            Self::Back(steps) => Err(TargetError::NotBack(*steps)),
            Self::Version(version) => {
                if let Some(exact) = all.iter().position(|m| m.version.as_str() == version) {
                    return Ok(exact + 1);
                }
                one_of(version, all, |m| m.version.as_str().starts_with(version))
            }
            Self::Name(name) => {
                let wanted = name.as_str();
                one_of(wanted, all, |m| {
                    m.folder_name == wanted
                        || crate::migration::short_name(&m.folder_name) == wanted
                        // A short version such as "1" would otherwise be unreachable by name.
                        || m.version.as_str() == wanted
                })
            }
        }
    }
}

fn one_of(
    text: &str,
    all: &[Nameable],
    matches: impl Fn(&Nameable) -> bool,
) -> Result<usize, TargetError> {
    let found: Vec<usize> = (0..all.len()).filter(|at| matches(&all[*at])).collect();
    match found.as_slice() {
        [at] => Ok(at + 1),
        [] => Err(TargetError::Unknown {
            text: text.to_owned(),
            hint: nearest(text, all),
        }),
        _ => Err(TargetError::Ambiguous {
            text: text.to_owned(),
            candidates: found
                .into_iter()
                .map(|at| all[at].folder_name.clone())
                .collect(),
        }),
    }
}

/// A sentence that names what may have been meant.
fn nearest(text: &str, all: &[Nameable]) -> String {
    let alike: Vec<&str> = all
        .iter()
        .map(|m| m.folder_name.as_str())
        .filter(|name| is_alike(text, name))
        .take(3)
        .collect();
    if alike.is_empty() {
        "; `status` lists them".to_owned()
    } else {
        format!("; did you mean {}?", alike.join(" or "))
    }
}

/// Whether a person could have meant this migration: one letter in three may be wrong, or whole
/// words may be missing. Of digits, only those of a whole version are compared.
fn is_alike(text: &str, folder_name: &str) -> bool {
    let (version, short) = folder_name.split_once('_').unwrap_or(("", folder_name));
    let near = |a: &str, b: &str, most: usize| {
        let length = a.chars().count().min(b.chars().count());
        distance(a, b) <= (length / LETTERS_PER_MISTAKE).min(most)
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.len() >= TIMESTAMP_DIGITS && near(text, &version.replace('-', ""), 1);
    }
    let (text, short) = (text.to_lowercase(), short.to_lowercase());
    let words =
        |name: &str| -> Vec<String> { name.split(SEPARATORS).map(ToOwned::to_owned).collect() };
    let (wanted, known) = (words(&text), words(&short));
    let has_all = |these: &[String], those: &[String]| {
        these.iter().all(|word| {
            word.len() >= SHORTEST_WORD && those.iter().any(|w| w.starts_with(word.as_str()))
        })
    };
    near(&text, &short, MOST_MISTAKES) || has_all(&wanted, &known) || has_all(&known, &wanted)
}

/// How many letters to insert, delete, replace or swap with the next one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for (i, x) in a.iter().enumerate() {
        let before = &rows[i];
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (before[j] + usize::from(x != y))
                .min(before[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Nameable> {
        [
            "20240101000000_users",
            "20240102000000_games",
            "20240102000001_bets",
            "20240103000000_games",
        ]
        .map(|name| Nameable {
            version: Version::from_folder_name(name).unwrap(),
            folder_name: name.to_owned(),
        })
        .to_vec()
    }

    fn position(text: &str) -> Result<usize, String> {
        Target::parse(text)
            .and_then(|t| t.position(&all()))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn positions_versions_and_names_are_told_apart() {
        for (text, at) in [
            ("0", 0),
            ("3", 3),
            ("20240101000000", 1),
            ("2024-01-01", 1),
            ("20240103", 4),
            ("users", 1),
            ("20240102000001_bets", 3),
        ] {
            assert_eq!(position(text), Ok(at), "{text}");
        }
        assert_eq!(Target::parse("-2"), Ok(Target::Back(2)));
    }

    #[test]
    fn a_wrong_target_says_what_may_be_meant() {
        for (text, part) in [
            ("5", "the last is 4"),
            ("20240102", "20240102000000_games or 20240102000001_bets"),
            ("games", "20240102000000_games or 20240103000000_games"),
            ("user", "did you mean 20240101000000_users?"),
            ("usres", "did you mean 20240101000000_users?"),
            ("Bets_table", "did you mean 20240102000001_bets?"),
            ("20240101000001", "did you mean 20240101000000_users"),
            ("nothing like it", "`status` lists them"),
            ("s", "`status` lists them"),
            ("es", "`status` lists them"),
            ("dice", "`status` lists them"),
            ("20990101", "`status` lists them"),
            ("", "is no target"),
            ("-0", "is no target"),
            ("-x", "is no target"),
            ("-1", "only rollback"),
        ] {
            let error = position(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
