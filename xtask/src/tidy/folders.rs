//! Files that belong together: both engines' migrations, numbered decisions, crate READMEs.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use super::sources::File;
use crate::migration::ENGINES;

/// Digits of a version: year to second.
const VERSION_DIGITS: usize = 14;

/// Where the decisions are, and their list.
const DECISIONS: &str = "docs/adr/";
const DECISION_LIST: &str = "docs/adr/README.md";

/// Checks all folders.
pub(crate) fn check(files: &[File], findings: &mut Findings) {
    migrations(files, findings);
    decisions(files, findings);
    readmes(files, findings);
}

/// Every migration exists for both engines, with up and down.
fn migrations(files: &[File], findings: &mut Findings) {
    let mut folders: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let Some(inside) = file.path.strip_prefix("migrations/") else {
            continue;
        };
        let parts: Vec<&str> = inside.split('/').collect();
        if let [engine, folder, name] = parts[..] {
            folders
                .entry(folder)
                .or_default()
                .insert(format!("{engine}/{name}"));
            let sql = name == "up.sql" || name == "down.sql";
            if sql && !has_statement(&file.text) {
                findings.fail(
                    &file.path,
                    "the script does nothing",
                    "write it; a step that cannot be undone must say so in SQL that fails",
                );
            }
        }
    }
    for (folder, have) in folders {
        if !is_well_named(folder) {
            findings.fail(
                &format!("migrations/*/{folder}"),
                "the name is not <YYYYMMDDHHMMSS>_<snake_case_name>",
                "make it with `cargo xtask migration new NAME`",
            );
        }
        for (engine, _) in ENGINES {
            for file in ["up.sql", "down.sql"] {
                if !have.contains(&format!("{engine}/{file}")) {
                    findings.fail(
                        &format!("migrations/{engine}/{folder}/{file}"),
                        "the file is missing",
                        "every migration goes up and down on both engines",
                    );
                }
            }
        }
    }
}

/// Whether a script holds more than comments and white space.
fn has_statement(sql: &str) -> bool {
    sql.lines().any(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("--")
    })
}

fn is_well_named(folder: &str) -> bool {
    folder.split_once('_').is_some_and(|(version, name)| {
        version.len() == VERSION_DIGITS
            && version.bytes().all(|b| b.is_ascii_digit())
            && !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    })
}

/// Decisions are numbered from 0001 without gaps, titled by number, listed, and referred to
/// only where they exist.
fn decisions(files: &[File], findings: &mut Findings) {
    let list = files.iter().find(|file| file.path == DECISION_LIST);
    let mut numbers = BTreeSet::new();
    let mut expected = 1;
    // Files come in the order of their paths.
    for file in files {
        let Some(name) = file.path.strip_prefix(DECISIONS) else {
            continue;
        };
        if file.path == DECISION_LIST {
            continue;
        }
        let number = name.get(..4).unwrap_or_default();
        if number.parse() != Ok(expected) || name.get(4..5) != Some("-") {
            findings.fail(
                &file.path,
                format!("the decision that comes here is {expected:04}"),
                "number decisions without gaps: NNNN-title.md",
            );
        }
        expected = number.parse().map_or(expected, |n: u32| n) + 1;
        numbers.insert(number);
        if !file.text.starts_with(&format!("# {number}. ")) {
            findings.fail(
                &file.path,
                "the title does not begin with the number",
                format!("begin with `# {number}. Title`"),
            );
        }
        if !list.is_some_and(|list| list.text.contains(name)) {
            findings.fail(
                &file.path,
                "the decision is not listed",
                format!("add it to {DECISION_LIST}"),
            );
        }
    }
    for file in files {
        for (at, _) in file.text.match_indices(DECISIONS) {
            let number = file
                .text
                .get(at + DECISIONS.len()..)
                .and_then(|rest| rest.get(..4));
            let Some(number) = number.filter(|n| n.bytes().all(|b| b.is_ascii_digit())) else {
                continue;
            };
            if !numbers.contains(number) {
                findings.fail(
                    &file.path,
                    format!("it refers to {DECISIONS}{number}, which does not exist"),
                    "refer to one that does",
                );
            }
        }
    }
}

/// A crate's README is its documentation, so that there is one text and its examples run.
fn readmes(files: &[File], findings: &mut Findings) {
    for file in files {
        let Some(folder) = file.path.strip_suffix("/README.md") else {
            continue;
        };
        if folder
            .strip_prefix("crates/")
            .is_none_or(|name| name.contains('/'))
        {
            continue;
        }
        let included = ["lib.rs", "main.rs"].iter().any(|root| {
            let root = format!("{folder}/src/{root}");
            let text = files
                .iter()
                .find(|other| other.path == root)
                .map(|root| &root.text);
            text.is_some_and(|text| text.contains("include_str!(\"../README.md\")"))
        });
        if !included {
            findings.fail(
                &file.path,
                "the README is not the crate's documentation",
                "begin src/lib.rs with `#![doc = include_str!(\"../README.md\")]`",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::findings::Findings;
    use crate::tidy::sources::File;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let mut files: Vec<File> = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut findings = Findings::default();
        check(&files, &mut findings);
        findings.lines()
    }

    const MIGRATION: [(&str, &str); 4] = [
        (
            "migrations/sqlite/20250101000000_a/up.sql",
            "CREATE TABLE t (id INTEGER);",
        ),
        (
            "migrations/sqlite/20250101000000_a/down.sql",
            "DROP TABLE t;",
        ),
        (
            "migrations/postgres/20250101000000_a/up.sql",
            "CREATE TABLE t (id BIGINT);",
        ),
        (
            "migrations/postgres/20250101000000_a/down.sql",
            "-- back\nDROP TABLE t;",
        ),
    ];

    #[test]
    fn a_whole_migration_is_fine() {
        assert!(found(&MIGRATION).is_empty());
    }

    #[test]
    fn a_missing_half_is_named() {
        let lines = found(&MIGRATION[..3]);
        let missing = "error: migrations/postgres/20250101000000_a/down.sql: the file is missing";
        assert!(
            lines.len() == 1 && lines[0].starts_with(missing),
            "{lines:?}"
        );
        assert_eq!(found(&MIGRATION[..2]).len(), 2);
    }

    #[test]
    fn an_empty_script_is_named() {
        let mut files = MIGRATION;
        files[1].1 = "-- later\n\n";
        let lines = found(&files);
        assert!(
            lines.len() == 1 && lines[0].contains("sqlite/20250101000000_a/down.sql"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_migration_has_a_full_version() {
        for name in [
            "2025_a",
            "20250101000000-a",
            "20250101000000_A",
            "20250101000000_",
        ] {
            let path = format!("migrations/sqlite/{name}/up.sql");
            let lines = found(&[(&path, "SELECT 1;")]);
            assert!(lines[0].contains("the name is not"), "{lines:?}");
        }
    }

    #[test]
    fn decisions_are_numbered_titled_and_listed() {
        let list = ("docs/adr/README.md", "0001-a.md 0002-b.md 0003-c.md");
        let first = ("docs/adr/0001-a.md", "# 0001. A\n");
        assert!(found(&[list, first, ("docs/adr/0002-b.md", "# 0002. B\n")]).is_empty());

        let gap = found(&[list, first, ("docs/adr/0003-c.md", "# 0003. C\n")]);
        assert!(
            gap.len() == 1 && gap[0].contains("comes here is 0002"),
            "{gap:?}"
        );
        let title = found(&[list, ("docs/adr/0001-a.md", "# A\n")]);
        assert!(
            title.len() == 1 && title[0].contains("`# 0001. Title`"),
            "{title:?}"
        );
        let unlisted = found(&[list, ("docs/adr/0001-z.md", "# 0001. Z\n")]);
        assert!(
            unlisted.len() == 1 && unlisted[0].contains("not listed"),
            "{unlisted:?}"
        );
    }

    #[test]
    fn two_decisions_cannot_share_a_number() {
        let lines = found(&[
            ("docs/adr/README.md", "0001-a.md 0001-b.md"),
            ("docs/adr/0001-a.md", "# 0001. A\n"),
            ("docs/adr/0001-b.md", "# 0001. B\n"),
        ]);
        assert!(
            lines.len() == 1 && lines[0].contains("comes here is 0002"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_reference_to_no_decision_is_named() {
        let lines = found(&[("src/a.rs", concat!("//! See docs/adr", "/0042."))]);
        assert!(
            lines.len() == 1 && lines[0].starts_with("error: src/a.rs: "),
            "{lines:?}"
        );
    }

    #[test]
    fn a_readme_is_the_documentation() {
        let readme = ("crates/a/README.md", "# a");
        assert_eq!(
            found(&[readme, ("crates/a/src/lib.rs", "//! Other words.")]).len(),
            1
        );
        let included = "#![doc = include_str!(\"../README.md\")]";
        assert!(found(&[readme, ("crates/a/src/lib.rs", included)]).is_empty());
        assert!(
            found(&[
                ("README.md", "# all"),
                ("crates/a/tests/data/README.md", "x")
            ])
            .is_empty()
        );
    }
}
