//! The files of the repository, and what every Rust file must look like.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::findings::Findings;

/// Lines at which a file should be thought about, and must be split.
const THINK_AT: usize = 400;
const SPLIT_AT: usize = 600;

/// Rust files that a program writes; their length is not ours to choose.
const GENERATED: [&str; 2] = [
    "crates/db-schema/src/constraints.rs",
    "crates/db-schema/src/schema.rs",
];

/// How a query id is written by hand.
const QUERY_ID: &str = concat!("HAS_STATIC_QUERY", "_ID: bool = true");

/// Where it may be: the macro for all, and catalog queries, whose text is a constant of their type.
const STATEMENTS: [&str; 2] = [
    "crates/db-core/src/statement.rs",
    "crates/db-migrate/src/catalog/postgres/query.rs",
];

/// Folders without files of ours, at any depth; in a linked worktree `.git` is a file.
const SKIPPED: [&str; 4] = ["target", ".git", "data", "node_modules"];

/// One text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// Empty for a file that is no text.
    pub(crate) text: String,
}

impl File {
    /// Whether this is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }
}

/// All files below `root`, in the order of their paths.
pub(crate) fn read(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<()> {
    let entries = folder
        .read_dir()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry
            .file_type()
            .with_context(|| format!("cannot look at {path}"))?;
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() && !SKIPPED.contains(&name.as_str()) {
            let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
            files.push(File {
                path,
                text: String::from_utf8(bytes).unwrap_or_default(),
            });
        }
    }
    Ok(())
}

/// Checks one file, if it is Rust.
pub(crate) fn check(file: &File, findings: &mut Findings) {
    if file.is_rust() {
        says_what_it_is(file, findings);
        is_one_thought(file, findings);
        keeps_statements_in_one_way(file, findings);
    }
}

/// A key whose text varies runs the wrong SQL; the macro's cannot vary (docs/adr/0018).
fn keeps_statements_in_one_way(file: &File, findings: &mut Findings) {
    let is_test = file.path.contains("/tests/");
    if !STATEMENTS.contains(&file.path.as_str()) && !is_test && file.text.contains(QUERY_ID) {
        findings.fail(
            &file.path,
            "a query id is written by hand",
            "use `db_core::statement!`",
        );
    }
}

fn says_what_it_is(file: &File, findings: &mut Findings) {
    let first = file
        .text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let speaks = first
        .strip_prefix("//!")
        .is_some_and(|rest| !rest.trim().is_empty());
    if !speaks && !first.starts_with("#![doc") {
        findings.fail(
            &file.path,
            "the file does not say what it is for",
            "begin it with a `//!` line",
        );
    }
}

fn is_one_thought(file: &File, findings: &mut Findings) {
    let lines = file.text.lines().count();
    if GENERATED.contains(&file.path.as_str()) || lines <= THINK_AT {
        return;
    }
    let problem = format!("the file has {lines} lines");
    if lines > SPLIT_AT {
        findings.fail(
            &file.path,
            problem,
            format!("split it: {SPLIT_AT} is the limit"),
        );
    } else {
        findings.warn(&file.path, problem, "is it still one thought?");
    }
}

#[cfg(test)]
mod tests {
    use super::{File, GENERATED, check, read};
    use crate::tidy::findings::Findings;

    fn found(path: &str, text: &str) -> Vec<String> {
        let mut findings = Findings::default();
        check(
            &File {
                path: path.to_owned(),
                text: text.to_owned(),
            },
            &mut findings,
        );
        findings.lines()
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert!(found("a.rs", "//! What it is.\n").is_empty());
        assert!(found("a.rs", "\n#![doc = include_str!(\"../README.md\")]\n").is_empty());
        assert!(found("a.md", "no Rust").is_empty());
        for bad in [
            "",
            "use std::fs;\n//! Too late.\n",
            "//!\n",
            "// What it is.\n",
        ] {
            let lines = found("crates/x/src/a.rs", bad);
            assert_eq!(lines.len(), 1, "{bad:?}");
            assert!(
                lines[0].starts_with("error: crates/x/src/a.rs: "),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_query_id_by_hand_is_refused() {
        let text = format!("//! Hot.\nconst {};\n", super::QUERY_ID);
        let lines = found("crates/x/src/a.rs", &text);
        assert!(
            lines.len() == 1 && lines[0].contains("statement!"),
            "{lines:?}"
        );
        for allowed in super::STATEMENTS.iter().chain(&["crates/x/tests/it/a.rs"]) {
            assert!(found(allowed, &text).is_empty());
        }
        // Without a key a statement is kept by its text, which is always right.
        let keyless = text.replace("true", "false");
        assert!(found("crates/x/src/a.rs", &keyless).is_empty());
    }

    #[test]
    fn long_files_warn_and_then_fail() {
        let text = |lines: usize| format!("//! Long.\n{}", "\n".repeat(lines - 1));
        assert!(found("a.rs", &text(400)).is_empty());
        assert!(found("a.rs", &text(401))[0].starts_with("warning: a.rs: "));
        assert!(found("a.rs", &text(600))[0].starts_with("warning: a.rs: "));
        assert!(found("a.rs", &text(601))[0].starts_with("error: a.rs: "));
        assert!(found(GENERATED[0], &text(5000)).is_empty());
    }

    #[test]
    fn the_walk_leaves_out_what_is_built() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["target/x.rs", "src/a.rs", ".ci/run", "crates/b/target/y.rs"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let paths: Vec<_> = read(folder.path())
            .unwrap()
            .into_iter()
            .map(|f| f.path)
            .collect();
        assert_eq!(paths, [".ci/run", "src/a.rs"]);
    }
}
