//! The licences of what is compiled into the program, which those who pass it on have to pass on too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{process, workspace};

/// How the names of files with licences begin.
const LICENCES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// How deep they are looked for: the C libraries lie in a folder of the crate that compiles them.
const DEPTH: usize = 2;

/// The one licence of a library in C that its crate does not bring. Those of crates that bring none are
/// made of these texts of ours, with the names of their authors.
const POSTGRESQL: &str = include_str!("postgresql.txt");
const MIT: &str = include_str!("../../../LICENSE-MIT");
const APACHE: &str = include_str!("../../../LICENSE-APACHE");

/// A package and the texts that come with it.
struct Part {
    title: String,
    licence: String,
    texts: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    authors: Vec<String>,
    manifest_path: PathBuf,
    /// None if it is a package of ours.
    source: Option<String>,
}

/// All of them in one text: each package, then each licence once, with the packages that have it.
pub(super) fn collect(sqlcipher: bool) -> Result<String> {
    let linked = linked(sqlcipher)?;
    let mut command = workspace::cargo();
    command.args(["metadata", "--format-version", "1", "--locked"]);
    let metadata: Metadata = serde_json::from_str(&process::output(&mut command)?)?;
    let mut parts = Vec::new();
    for package in metadata.packages {
        let title = format!("{} {}", package.name, package.version);
        if package.source.is_none() || !linked.contains(&title) {
            continue;
        }
        let licence = package.license.unwrap_or_default();
        let folder = package
            .manifest_path
            .parent()
            .context("a manifest lies in a folder")?;
        let mut files = Vec::new();
        find(folder, DEPTH, &mut files)?;
        let mut texts = Vec::new();
        for path in chosen(&licence, files) {
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        if texts.is_empty() {
            let text = standard(&licence, &package.authors)
                .with_context(|| format!("{title} brings no text of its licence, {licence}"))?;
            texts.push(text);
        }
        parts.push(Part {
            title,
            licence,
            texts,
        });
    }
    if parts.is_empty() {
        bail!("cargo tree and cargo metadata have no package in common");
    }
    Ok(text(&parts))
}

/// The text of a licence for a package that brings none.
fn standard(licence: &str, authors: &[String]) -> Option<String> {
    let allows = |name| licence.split([' ', '/']).any(|word| word == name);
    if licence == "PostgreSQL" {
        Some(POSTGRESQL.to_owned())
    } else if licence.contains("AND") {
        None
    } else if allows("MIT") {
        let (_, permission) = MIT.split_once("\n\nPermission")?;
        let authors = match authors {
            [] => "its authors".to_owned(),
            some => some.join(", "),
        };
        Some(format!(
            "MIT License\n\nCopyright (c) {authors}\n\nPermission{permission}"
        ))
    } else if allows("Apache-2.0") {
        Some(APACHE.to_owned())
    } else {
        None
    }
}

/// Names and versions of what is linked: the crates, and the sources of C that some of them compile.
fn linked(sqlcipher: bool) -> Result<BTreeSet<String>> {
    let tree = |edges: &str| -> Result<String> {
        let mut command = workspace::cargo();
        command.args(["tree", "--locked", "--package", "db-cli", "--edges", edges]);
        command.args(["--prefix", "none", "--format", "{p}"]);
        if sqlcipher {
            command.args(["--features", "sqlcipher"]);
        }
        process::output(&mut command)
    };
    let mut titles: BTreeSet<_> = titles(&tree("normal,no-proc-macro")?).collect();
    let built = tree("normal,build,no-proc-macro")?;
    titles.extend(self::titles(&built).filter(|title| {
        title
            .split(' ')
            .next()
            .is_some_and(|name| name.ends_with("-src"))
    }));
    Ok(titles)
}

/// `serde 1.0.229` of `serde v1.0.229 (*)`.
fn titles(tree: &str) -> impl Iterator<Item = String> {
    tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        Some(format!("{name} {}", version.strip_prefix('v')?))
    })
}

fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let mut entries: Vec<_> = entries.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let code = [".RS", ".C", ".H", ".PY"];
        if kind.is_dir() && depth > 1 {
            find(&path, depth - 1, found)?;
        } else if kind.is_file()
            && LICENCES.iter().any(|start| name.starts_with(start))
            && !code.iter().any(|ending| name.ends_with(ending))
        {
            found.push(path);
        }
    }
    Ok(())
}

/// Of a package under a licence of our choice we take MIT, where it has it.
fn chosen(licence: &str, files: Vec<PathBuf>) -> Vec<PathBuf> {
    let is_mit = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.to_uppercase().contains("MIT")
    };
    let is_choice = !licence.contains("AND") && licence.split([' ', '/']).any(|word| word == "MIT");
    if is_choice && files.iter().any(is_mit) {
        // What lies deeper is of a library in C, which has its own.
        let shallow = files.iter().map(|path| path.components().count()).min();
        return files
            .into_iter()
            .filter(|path| is_mit(path) || Some(path.components().count()) > shallow)
            .collect();
    }
    files
}

fn text(parts: &[Part]) -> String {
    let mut text = String::from(
        "What is compiled into this program, and under which licences. SQLite, in libsqlite3-sys, is in\n\
         the public domain; Rust's standard library is under MIT or Apache-2.0, Copyright (c) The Rust\n\
         Project Developers. Where a package offers a choice that has MIT in it, we take that.\n\n",
    );
    let mut licences: BTreeMap<String, (&str, Vec<&str>)> = BTreeMap::new();
    for part in parts {
        writeln!(text, "{}: {}", part.title, part.licence).unwrap_or_default();
        for licence in &part.texts {
            // The same but for where its lines end.
            let words = licence.split_whitespace().collect::<Vec<_>>().join(" ");
            let (_, titles) = licences.entry(words).or_insert((licence, Vec::new()));
            titles.push(&part.title);
        }
    }
    for (licence, titles) in licences.values() {
        let line = "=".repeat(80);
        let titles = titles.join(", ");
        write!(text, "\n{line}\n{titles}\n{line}\n\n{}\n", licence.trim()).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_that_several_have_stands_there_once() {
        let part = |title: &str, text: &str| Part {
            title: title.to_owned(),
            licence: "MIT".to_owned(),
            texts: vec![text.to_owned()],
        };
        let text = text(&[
            part("a 1.0.0", "Copyright X\nPermission"),
            part("b 2.0.0", "Copyright X Permission\n"),
            part("c 3.0.0", "Copyright Y\nPermission"),
        ]);
        assert!(text.contains("a 1.0.0: MIT\n"));
        assert!(text.contains("\na 1.0.0, b 2.0.0\n"), "{text}");
        assert_eq!(text.matches("Copyright X").count(), 1);
        assert_eq!(text.matches("Copyright Y").count(), 1);
    }

    #[test]
    fn who_brings_no_text_gets_that_of_the_licence() {
        let text = standard("MIT OR Apache-2.0", &["A. Uthor".to_owned()]).unwrap();
        assert!(text.contains("Copyright (c) A. Uthor\n\nPermission is hereby granted"));
        assert!(text.contains("WITHOUT WARRANTY OF"));
        assert!(
            standard("Apache-2.0", &[])
                .unwrap()
                .contains("Apache License")
        );
        assert_eq!(standard("BSD-3-Clause", &[]), None);
        assert_eq!(standard("MIT AND BSD-3-Clause", &[]), None);
    }

    #[test]
    fn of_a_choice_mit_is_taken() {
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let all = files(&["p/LICENSE-APACHE", "p/LICENSE-MIT", "p/openssl/LICENSE.txt"]);
        let taken = files(&["p/LICENSE-MIT", "p/openssl/LICENSE.txt"]);
        assert_eq!(chosen("MIT/Apache-2.0", all.clone()), taken);
        assert_eq!(chosen("MIT AND BSD-3-Clause", all.clone()), all);
        assert_eq!(chosen("Apache-2.0", all.clone()), all);
    }

    #[test]
    fn what_is_linked_brings_its_licences() {
        let notices = collect(false).unwrap();
        for part in ["\ndiesel ", "\nopenssl-src ", "\npq-src ", "\nzstd-sys "] {
            assert!(notices.contains(part), "{part}");
        }
        for owner in [
            "Apache License",
            "PostgreSQL Global Development Group",
            "Meta Platforms",
            "Rust\nProject Developers",
        ] {
            assert!(notices.contains(owner), "{owner}");
        }
        assert!(!notices.contains("\nproptest "), "what is in tests only");
        assert!(!notices.contains("\ndb-core "), "what is ours");
    }
}
