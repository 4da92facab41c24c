//! Whether every package may be used under a licence that we accept.

use super::findings::Findings;
use super::metadata::Metadata;

/// Licences that ask for no more than their text. Copyleft is missing on purpose: users of
/// `MIT OR Apache-2.0` do not expect it.
const ACCEPTED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "PostgreSQL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Reads each package's licence expression.
pub(crate) fn check(metadata: &Metadata, findings: &mut Findings) {
    for package in &metadata.packages {
        let place = format!("{} {}", package.name, package.version);
        let Some(expression) = &package.license else {
            findings.fail(
                &place,
                "its manifest names no licence",
                "do without this package",
            );
            continue;
        };
        match accepts(expression) {
            Ok(true) => {}
            Ok(false) => findings.fail(
                &place,
                format!("its licence `{expression}` is not on the list"),
                "do without it, or accept the licence in xtask/src/tidy/licences.rs and say why",
            ),
            Err(problem) => findings.fail(
                &place,
                format!("its licence `{expression}` cannot be read: {problem}"),
                "read its licence files, and teach xtask/src/tidy/licences.rs to",
            ),
        }
    }
}

/// Whether an SPDX expression can be met with accepted licences; `/` is the old form of OR.
fn accepts(expression: &str) -> Result<bool, String> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = Words {
        words: spaced.split_whitespace().collect(),
        at: 0,
    };
    let accepted = words.any_of()?;
    match words.next() {
        None => Ok(accepted),
        Some(word) => Err(format!("unexpected `{word}`")),
    }
}

/// A reader by recursive descent: OR binds weaker than AND, WITH strongest.
struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn skip(&mut self, word: &str) -> bool {
        let here = self.words.get(self.at).is_some_and(|next| *next == word);
        self.at += usize::from(here);
        here
    }

    fn any_of(&mut self) -> Result<bool, String> {
        let mut accepted = self.all_of()?;
        while self.skip("OR") {
            accepted |= self.all_of()?;
        }
        Ok(accepted)
    }

    fn all_of(&mut self) -> Result<bool, String> {
        let mut accepted = self.one()?;
        while self.skip("AND") {
            accepted &= self.one()?;
        }
        Ok(accepted)
    }

    fn one(&mut self) -> Result<bool, String> {
        match self.next() {
            Some("(") => {
                let accepted = self.any_of()?;
                if self.skip(")") {
                    Ok(accepted)
                } else {
                    Err("a `)` is missing".to_owned())
                }
            }
            Some(word @ (")" | "AND" | "OR" | "WITH")) => Err(format!("unexpected `{word}`")),
            Some(licence) if self.skip("WITH") => match self.next() {
                Some(exception) => {
                    Ok(ACCEPTED.contains(&format!("{licence} WITH {exception}").as_str()))
                }
                None => Err("WITH what?".to_owned()),
            },
            Some(licence) => Ok(ACCEPTED.contains(&licence)),
            None => Err("it ends too early".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{accepts, check};
    use crate::tidy::findings::Findings;
    use crate::tidy::metadata::made::{foreign, metadata};

    #[test]
    fn accepted_expressions() {
        for expression in [
            "MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 / MIT",
            "MIT OR GPL-3.0-only",
            "LGPL-2.1-or-later OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
            "GPL-2.0 AND GPL-3.0 OR MIT",
        ] {
            assert_eq!(accepts(expression), Ok(true), "{expression}");
        }
    }

    #[test]
    fn refused_expressions() {
        for expression in [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "MIT AND (GPL-3.0-only OR AGPL-3.0-only)",
            "GPL-2.0 WITH LLVM-exception",
            "MIT WITH Some-exception",
            "mit",
        ] {
            assert_eq!(accepts(expression), Ok(false), "{expression}");
        }
    }

    #[test]
    fn unreadable_expressions() {
        for expression in [
            "",
            "MIT OR",
            "(MIT",
            "MIT)",
            "MIT Apache-2.0",
            "AND MIT",
            "MIT WITH",
        ] {
            assert!(accepts(expression).is_err(), "{expression}");
        }
    }

    #[test]
    fn the_package_is_named() {
        let mut findings = Findings::default();
        let packages = [
            foreign("good", "1.0.0", Some("MIT")),
            foreign("bad", "2.0.0", Some("AGPL-3.0-only")),
            foreign("silent", "3.0.0", None),
        ];
        check(&metadata(&packages), &mut findings);
        let lines = findings.lines();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with("error: bad 2.0.0: its licence `AGPL-3.0-only`"),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("error: silent 3.0.0: "), "{lines:?}");
    }
}
