//! Which crates from elsewhere may be used, by whom, and how new they must be.

use std::collections::{BTreeMap, BTreeSet};

use super::findings::Findings;
use super::metadata::Metadata;

/// Libraries have typed errors; only programs may use `anyhow`, and what they are split into.
const PROGRAMS: [&str; 4] = ["bench", "bench-load", "db-cli", "xtask"];

/// xtask must build in seconds on a bare machine, so it links no database.
const NOT_IN_XTASK: [&str; 4] = ["diesel", "libsqlite3-sys", "pq-sys", "openssl-sys"];

/// The oldest versions that may be in the lock file, and why.
const OLDEST: [(&str, [u64; 3], &str); 2] = [
    ("diesel", [2, 3, 10], "older ones have a RUSTSEC advisory"),
    (
        "libsqlite3-sys",
        [0, 38, 0],
        "older ones bundle an SQLite that can corrupt a WAL database",
    ),
];

/// Crates that carry or bind the C of a library: two of one row would be two copies.
const C_LIBRARIES: [(&str, &[&str]); 3] = [
    (
        "SQLite",
        &["libsqlite3-sys", "sqlite3-sys", "sqlite3-src", "libsql-ffi"],
    ),
    ("libpq", &["pq-sys", "libpq-sys"]),
    ("OpenSSL", &["openssl-sys", "boring-sys", "aws-lc-sys"]),
];

/// Runs all checks.
pub(crate) fn check(metadata: &Metadata, findings: &mut Findings) {
    programs_only(metadata, findings);
    xtask_stays_small(metadata, findings);
    one_copy(metadata, findings);
    new_enough(metadata, findings);
}

fn programs_only(metadata: &Metadata, findings: &mut Findings) {
    for package in metadata
        .members()
        .filter(|p| !PROGRAMS.contains(&p.name.as_str()))
    {
        if package
            .dependencies
            .iter()
            .any(|dependency| dependency.name == "anyhow")
        {
            findings.fail(
                &format!("{}/Cargo.toml", package.name),
                "a library uses anyhow",
                "give it an error enum with thiserror",
            );
        }
    }
}

fn xtask_stays_small(metadata: &Metadata, findings: &mut Findings) {
    let linked = metadata.linked_by("xtask");
    for name in NOT_IN_XTASK.iter().filter(|name| linked.contains(*name)) {
        findings.fail(
            "xtask/Cargo.toml",
            format!("xtask links {name}"),
            "run a binary or a test of another crate instead",
        );
    }
}

fn one_copy(metadata: &Metadata, findings: &mut Findings) {
    let mut by_library: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in &metadata.packages {
        let known = C_LIBRARIES
            .iter()
            .find(|(_, crates)| crates.contains(&package.name.as_str()));
        let library = known
            .map(|(library, _)| *library)
            .or(package.links.as_deref());
        if let Some(library) = library {
            let crates = by_library.entry(library).or_default();
            crates.insert(format!("{} {}", package.name, package.version));
        }
    }
    for (library, crates) in by_library {
        if crates.len() > 1 {
            let crates = crates.into_iter().collect::<Vec<_>>().join(", ");
            findings.fail(
                "Cargo.lock",
                format!("{library} would be linked more than once: {crates}"),
                "choose versions that share one (`cargo tree --invert <crate>`)",
            );
        }
    }
}

fn new_enough(metadata: &Metadata, findings: &mut Findings) {
    for (name, oldest, why) in OLDEST {
        for package in metadata
            .packages
            .iter()
            .filter(|package| package.name == name)
        {
            if numbers(&package.version) < oldest {
                let [major, minor, patch] = oldest;
                findings.fail(
                    "Cargo.lock",
                    format!("{name} {} is too old: {why}", package.version),
                    format!("`cargo update -p {name}` to {major}.{minor}.{patch} or newer"),
                );
            }
        }
    }
}

/// `2.3.10-rc.1+build` → [2, 3, 10].
fn numbers(version: &str) -> [u64; 3] {
    let mut parts = version
        .split(['.', '-', '+'])
        .map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{check, numbers};
    use crate::tidy::findings::Findings;
    use crate::tidy::metadata::made::{foreign, member, metadata};

    fn found(packages: &[Value]) -> Vec<String> {
        let mut findings = Findings::default();
        check(&metadata(packages), &mut findings);
        findings.lines()
    }

    #[test]
    fn programs_may_use_anyhow_and_libraries_may_not() {
        assert!(found(&[member("db-cli", &["anyhow"])]).is_empty());
        for dependency in ["anyhow", "dev:anyhow"] {
            let lines = found(&[member("db-core", &[dependency])]);
            assert!(
                lines[0].starts_with("error: db-core/Cargo.toml: "),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn xtask_links_no_diesel_by_any_way() {
        let mut helper = foreign("helper", "1.0.0", None);
        helper["dependencies"] = json!([{ "name": "diesel", "kind": null }]);
        let lines = found(&[
            member("xtask", &["helper"]),
            helper,
            foreign("diesel", "2.3.10", None),
        ]);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("xtask links diesel"), "{lines:?}");
    }

    #[test]
    fn a_c_library_is_linked_once() {
        let two = [
            foreign("libsqlite3-sys", "0.38.2", None),
            foreign("libsqlite3-sys", "0.39.0", None),
        ];
        assert!(found(&two)[0].contains("SQLite would be linked more than once"));
        let other = [
            foreign("libsqlite3-sys", "0.38.2", None),
            foreign("libsql-ffi", "0.5.0", None),
        ];
        assert!(found(&other)[0].contains("libsql-ffi 0.5.0, libsqlite3-sys 0.38.2"));
        let mut zs = [
            foreign("z-sys", "1.0.0", None),
            foreign("other-z-sys", "1.0.0", None),
        ];
        for z in &mut zs {
            z["links"] = json!("z");
        }
        assert_eq!(found(&zs).len(), 1);
        assert!(found(&[foreign("libsqlite3-sys", "0.38.2", None)]).is_empty());
    }

    #[test]
    fn known_bad_versions_are_refused() {
        assert!(found(&[foreign("diesel", "2.3.9", None)])[0].contains("RUSTSEC"));
        assert!(found(&[foreign("diesel", "2.3.10", None)]).is_empty());
        assert!(found(&[foreign("libsqlite3-sys", "0.35.0", None)])[0].contains("too old"));
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("2.3.9") < numbers("2.3.10"));
        assert_eq!(numbers("0.3.14+libpq-18.6"), [0, 3, 14]);
        assert_eq!(numbers("1"), [1, 0, 0]);
    }
}
