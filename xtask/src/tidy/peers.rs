//! The peers of the benchmarks: packages outside the workspace, each with its own lock file.
//!
//! Only their files are read. Asking Cargo would download a hundred packages that nothing but
//! `cargo xtask bench data` needs.

use std::collections::BTreeSet;

use super::edges::ROOMS;
use super::findings::Findings;
use super::sources::File;

/// Where the peers are; the main manifest excludes the folder.
const FOLDER: &str = "bench/peers/";

/// The one package of ours that a peer may use: the load that is put on all contenders.
const SHARED: &str = "bench-load";

/// Checks every peer.
pub(crate) fn check(files: &[File], findings: &mut Findings) {
    let text = |path: &str| {
        files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    };
    let peers: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(FOLDER)?.split('/').next())
        .collect();
    for peer in &peers {
        let manifest = format!("{FOLDER}{peer}/Cargo.toml");
        if !text(&manifest).is_some_and(|text| text.lines().any(|line| line == "[workspace]")) {
            findings.fail(
                &manifest,
                "a peer is no workspace of its own",
                "give it a Cargo.toml with an empty [workspace] table",
            );
        }
        let lock = format!("{FOLDER}{peer}/Cargo.lock");
        let Some(locked) = text(&lock) else {
            findings.fail(
                &lock,
                "the lock file is missing",
                "run `cargo generate-lockfile` beside it, so that figures can be repeated",
            );
            continue;
        };
        for name in packages(locked) {
            if name != SHARED && ROOMS.iter().any(|room| room.name == name) {
                findings.fail(
                    &manifest,
                    format!("a peer uses {name}"),
                    format!("of our packages only {SHARED} may be in it: it is measured beside us"),
                );
            }
        }
    }
    let root = text("Cargo.toml").unwrap_or_default();
    if !peers.is_empty() && !root.contains("\"bench/peers\"") {
        findings.fail(
            "Cargo.toml",
            "the peers are not excluded from the workspace",
            "exclude = [\"bench/peers\"]",
        );
    }
}

/// The names in a lock file.
fn packages(lock: &str) -> impl Iterator<Item = &str> {
    lock.lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::findings::Findings;
    use crate::tidy::sources::File;

    const ROOT: (&str, &str) = ("Cargo.toml", "exclude = [\"bench/peers\"]\n");
    const MANIFEST: (&str, &str) = ("bench/peers/a/Cargo.toml", "[package]\n\n[workspace]\n");
    const LOCK: (&str, &str) = (
        "bench/peers/a/Cargo.lock",
        "[[package]]\nname = \"bench-load\"\n\n[[package]]\nname = \"rusqlite\"\n",
    );

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        let mut findings = Findings::default();
        check(&files, &mut findings);
        findings.lines()
    }

    #[test]
    fn a_peer_apart_is_fine() {
        assert_eq!(found(&[ROOT, MANIFEST, LOCK]), Vec::<String>::new());
        assert_eq!(found(&[("Cargo.toml", "")]), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_apart_is_named() {
        let ours = ("bench/peers/a/Cargo.lock", "name = \"db-core\"\n");
        let joined = ("bench/peers/a/Cargo.toml", "[package]\n");
        for (files, begin) in [
            (vec![ROOT, MANIFEST], "error: bench/peers/a/Cargo.lock: "),
            (vec![ROOT, LOCK], "error: bench/peers/a/Cargo.toml: "),
            (
                vec![ROOT, joined, LOCK],
                "error: bench/peers/a/Cargo.toml: ",
            ),
            (
                vec![ROOT, MANIFEST, ours],
                "error: bench/peers/a/Cargo.toml: a peer uses db-core",
            ),
            (
                vec![("Cargo.toml", ""), MANIFEST, LOCK],
                "error: Cargo.toml: ",
            ),
        ] {
            let lines = found(&files);
            assert!(lines.len() == 1 && lines[0].starts_with(begin), "{lines:?}");
        }
    }
}
