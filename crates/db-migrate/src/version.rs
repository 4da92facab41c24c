//! Versions, in the order in which Diesel puts them.
//!
//! Diesel compares versions as text, and real folders rely on it: 18-digit versions
//! (`2021-01-01-000000-0000_…`) are followed by later 14-digit ones, which a numeric order would
//! run in the wrong sequence (docs/adr/0011). The price is that short numbers ("2", "10") sort in
//! an order that nobody means, so a set in which both orders disagree on a short version is
//! refused.

use std::fmt;

/// Digits from which a version is taken for a timestamp: `YYYYMMDD`.
pub(crate) const TIMESTAMP_DIGITS: usize = 8;

/// `__diesel_schema_migrations.version` is a VARCHAR(50).
const MAX_LENGTH: usize = 50;

/// A migration's version: the folder name up to the first `_`, without dashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(String);

impl Version {
    /// The version that Diesel reads from a folder name.
    ///
    /// # Errors
    /// A sentence on what is wrong with it: empty, too long, or with characters that a target on
    /// the command line could not name.
    pub fn from_folder_name(name: &str) -> Result<Self, String> {
        let version = name.split('_').next().unwrap_or_default().replace('-', "");
        if version.is_empty() {
            return Err(format!(
                "{name:?} has no version; name the folder <version>_<name>"
            ));
        }
        if version.len() > MAX_LENGTH {
            return Err(format!(
                "the version of {name:?} is longer than the {MAX_LENGTH} characters that Diesel's table holds"
            ));
        }
        Ok(Self(version))
    }

    /// A version as a ledger holds it.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The version as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }

    fn is_number(&self) -> bool {
        self.0.bytes().all(|b| b.is_ascii_digit())
    }

    fn is_short_number(&self) -> bool {
        self.0.len() < TIMESTAMP_DIGITS && self.is_number()
    }

    /// Whether reading both as numbers would put them the other way round, where at least one is
    /// too short to be a timestamp.
    fn is_ambiguous_with(&self, later: &Self) -> bool {
        let numeric = |v: &Self| {
            let digits = v.0.trim_start_matches('0').to_owned();
            (digits.len(), digits)
        };
        (self.is_short_number() || later.is_short_number())
            && self.is_number()
            && later.is_number()
            && numeric(self) > numeric(later)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first pair of an ascending list whose order is not what their numbers say.
pub(crate) fn ambiguous_pair<'v>(
    ascending: impl Iterator<Item = &'v Version>,
) -> Option<(&'v Version, &'v Version)> {
    let all: Vec<_> = ascending.collect();
    let numbers: Vec<_> = all.iter().filter(|v| v.is_number()).collect();
    numbers
        .windows(2)
        .find(|pair| pair[0].is_ambiguous_with(pair[1]))
        .map(|pair| (*pair[0], *pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(names: &[&str]) -> Vec<Version> {
        let mut all: Vec<_> = names
            .iter()
            .map(|n| Version::from_folder_name(n).unwrap())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_folder_name_gives_the_version_that_diesel_reads() {
        for (name, version) in [
            ("20240126120000_initial_schema", "20240126120000"),
            ("2024-01-26-120000_initial", "20240126120000"),
            ("2021-01-01-000000-0000_x", "202101010000000000"),
            ("00000000000000_diesel_initial_setup", "00000000000000"),
            ("2024", "2024"),
        ] {
            assert_eq!(Version::from_folder_name(name).unwrap().as_str(), version);
        }
        assert!(Version::from_folder_name("_name").is_err());
        assert!(Version::from_folder_name(&"1".repeat(51)).is_err());
    }

    #[test]
    fn long_and_short_timestamps_sort_as_text() {
        let all = versions(&["20220101000000_b", "2021-01-01-000000-0000_a"]);
        assert_eq!(all[0].as_str(), "202101010000000000");
        assert_eq!(ambiguous_pair(all.iter()), None);
    }

    #[test]
    fn short_numbers_out_of_numeric_order_are_ambiguous() {
        for (names, ambiguous) in [
            (&["1_a", "2_b", "9_c"][..], false),
            (&["1_a", "2_b", "10_c"], true),
            (&["001_a", "002_b", "010_c"], false),
            (&["3_a", "20240101000000_b"], true),
            (&["1_a", "20240101000000_b"], false),
            (&["00000000000000_a", "1_b", "20240101000000_c"], false),
            (&["a_x", "b_x", "10_x"], false),
        ] {
            let all = versions(names);
            assert_eq!(ambiguous_pair(all.iter()).is_some(), ambiguous, "{names:?}");
        }
    }
}
