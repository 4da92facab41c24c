//! Which crate of the workspace may use which.

use super::findings::Findings;
use super::metadata::{Kind, Metadata};

/// One crate and the crates of the workspace that it may use.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    uses: &'static [&'static str],
    builds_with: &'static [&'static str],
    /// In tests, besides `uses`.
    tests_with: &'static [&'static str],
}

/// The doors; ARCHITECTURE.md says why each is there, and why others are not.
///
/// Everyone may test with db-testkit, the leaves too: from `tests/`, where Cargo links one copy
/// of the crate under test, not from inline tests, where there would be two.
pub(crate) const ROOMS: [Room; 13] = [
    Room {
        name: "db-schema",
        uses: &[],
        builds_with: &["db-migrate-build"],
        tests_with: &["db-testkit"],
    },
    Room {
        name: "db-core",
        uses: &[],
        builds_with: &[],
        tests_with: &["db-testkit"],
    },
    Room {
        name: "db-migrate",
        uses: &["db-core"],
        builds_with: &[],
        tests_with: &["db-testkit", "db-migrate-build"],
    },
    Room {
        name: "db-repo",
        uses: &["db-core", "db-schema"],
        builds_with: &[],
        // Its examples bring the schema up to date, as an application does.
        tests_with: &["db-testkit", "db-migrate"],
    },
    Room {
        name: "db-backup",
        uses: &["db-core", "db-migrate"],
        builds_with: &[],
        // Clusters and buckets of their own, and tables that are migrated and watched.
        tests_with: &["db-testkit", "db-testserver", "db-schema"],
    },
    Room {
        name: "db-transfer",
        uses: &["db-core", "db-migrate"],
        builds_with: &[],
        tests_with: &["db-testkit", "db-schema"],
    },
    Room {
        name: "db-cli",
        uses: &[
            "db-schema",
            "db-core",
            "db-migrate",
            "db-repo",
            "db-backup",
            "db-transfer",
        ],
        builds_with: &[],
        tests_with: &["db-testkit"],
    },
    Room {
        name: "db-testkit",
        uses: &["db-core", "db-schema", "db-migrate", "db-testserver"],
        builds_with: &[],
        // For what the guides show.
        tests_with: &["db-repo", "db-backup"],
    },
    Room {
        name: "db-testserver",
        uses: &[],
        builds_with: &[],
        tests_with: &[],
    },
    Room {
        name: "db-migrate-build",
        uses: &[],
        builds_with: &[],
        tests_with: &[],
    },
    Room {
        name: "bench",
        uses: &["bench-load", "db-core", "db-repo", "db-schema"],
        builds_with: &[],
        tests_with: &[],
    },
    Room {
        name: "bench-load",
        uses: &[],
        builds_with: &[],
        tests_with: &[],
    },
    Room {
        name: "xtask",
        uses: &["db-testserver"],
        builds_with: &[],
        tests_with: &[],
    },
];

/// Compares every edge with the table.
pub(crate) fn check(metadata: &Metadata, findings: &mut Findings) {
    let is_member = |name: &str| metadata.members().any(|package| package.name == name);
    for package in metadata.members() {
        let place = format!("{}/Cargo.toml", package.name);
        let Some(room) = ROOMS.iter().find(|room| room.name == package.name) else {
            findings.fail(
                &place,
                "the crate is not in the table of edges",
                "add it to xtask/src/tidy/edges.rs and to ARCHITECTURE.md",
            );
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| is_member(&d.name)) {
            let name = dependency.name.as_str();
            let (allowed, how) = match dependency.kind() {
                Kind::Normal => (room.uses.contains(&name), "use"),
                Kind::Build => (room.builds_with.contains(&name), "build with"),
                // With itself: that is how a crate's tests get its optional features.
                Kind::Dev => (
                    name == room.name
                        || room.uses.contains(&name)
                        || room.tests_with.contains(&name),
                    "test with",
                ),
            };
            if !allowed {
                findings.fail(
                    &place,
                    format!("{} may not {how} {name}", package.name),
                    "move the code to the crate that may know both (ARCHITECTURE.md)",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::findings::Findings;
    use crate::tidy::metadata::made::{foreign, member, metadata};

    fn found(packages: &[serde_json::Value]) -> Vec<String> {
        let mut findings = Findings::default();
        check(&metadata(packages), &mut findings);
        findings.lines()
    }

    #[test]
    fn the_doors_are_open() {
        let lines = found(&[
            member("db-core", &["serde", "dev:db-testkit"]),
            member("db-schema", &["build:db-migrate-build"]),
            member("db-migrate-build", &[]),
            member("db-migrate", &["db-core", "dev:db-testkit", "dev:db-core"]),
            member("db-testkit", &["db-core", "db-schema", "db-migrate"]),
            member(
                "db-cli",
                &["db-core", "db-migrate", "db-schema", "dev:db-testkit"],
            ),
            foreign("serde", "1.0.0", None),
        ]);
        assert_eq!(lines, Vec::<String>::new());
    }

    #[test]
    fn the_walls_hold() {
        for (name, dependency) in [
            ("db-core", "db-schema"),
            ("db-schema", "db-core"),
            ("db-migrate", "db-schema"),
            ("db-migrate", "db-testkit"),
            ("db-migrate", "build:db-migrate-build"),
            ("db-schema", "db-migrate-build"),
            ("db-cli", "db-testkit"),
            ("xtask", "dev:db-core"),
        ] {
            let other = dependency.rsplit(':').next().unwrap();
            let lines = found(&[member(name, &[dependency]), member(other, &[])]);
            assert_eq!(lines.len(), 1, "{name} -> {dependency}: {lines:?}");
            assert!(
                lines[0].starts_with(&format!("error: {name}/Cargo.toml: ")),
                "{}",
                lines[0]
            );
        }
    }

    #[test]
    fn an_unknown_crate_is_named() {
        let lines = found(&[member("db-new", &[])]);
        assert!(lines[0].contains("db-new/Cargo.toml"), "{lines:?}");
    }
}
