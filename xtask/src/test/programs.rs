//! Compiles the test programs and says which there are.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{process, workspace};

/// A compiled test program: those of a library or a binary, or a file of `tests/`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Such as `db-cli, tests/it/main.rs`.
    pub(super) name: String,
    pub(super) executable: PathBuf,
    /// The package's folder, where Cargo starts its tests.
    pub(super) folder: PathBuf,
    /// Whether its package is a library, whose documentation may hold tests.
    pub(super) documents: bool,
    /// The lower, the earlier it should begin.
    order: u8,
}

/// Compiles what `words` of `cargo test` choose, and lists it, the longest first.
pub(super) fn compile(words: &[String]) -> Result<Vec<Program>> {
    let mut command = workspace::cargo();
    command
        .args([
            "test",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .args(words);
    let mut programs = Vec::new();
    let status = process::stream(&mut command, &mut std::io::sink(), |line| {
        programs.extend(program(line));
    })?;
    if !status.success() {
        bail!("the tests do not compile");
    }
    programs.sort_by_key(|program| program.order);
    Ok(programs)
}

/// What Cargo tells of one thing that it compiled.
#[derive(Deserialize)]
struct Artifact {
    package_id: String,
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
    src_path: PathBuf,
    #[serde(default)]
    doctest: bool,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The test program that a line of Cargo's tells of, if it tells of one.
fn program(line: &str) -> Option<Program> {
    let artifact: Artifact = serde_json::from_str(line).ok()?;
    let executable = artifact.executable.filter(|_| artifact.profile.test)?;
    let folder = artifact.manifest_path.parent()?.to_owned();
    let target = artifact.target;
    let file = target.src_path.strip_prefix(&folder).ok()?;
    Some(Program {
        name: format!("{}, {}", package(&artifact.package_id), file.display()),
        executable,
        documents: target.doctest,
        order: order(&target.kind, &target.name),
        folder,
    })
}

/// `path+file:///…/crates/db-cli#0.1.0` or `…#db-cli@0.1.0`.
fn package(id: &str) -> &str {
    let (path, fragment) = id.rsplit_once('#').unwrap_or(("", id));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next().unwrap_or(fragment),
    }
}

/// What takes minutes begins first, so that at the end no core waits for it alone.
fn order(kind: &[String], name: &str) -> u8 {
    match name {
        "oracle" => 0,
        "it" => 1,
        _ if kind.iter().any(|kind| kind == "test") => 2,
        _ => 3,
    }
}

/// The words of `cargo test` apart: those for Cargo, and the parts of names that choose tests.
pub(super) fn apart(words: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let (mut flags, mut names) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            names.push(word.clone());
            continue;
        }
        flags.push(word.clone());
        if TAKING_A_VALUE.contains(&word.as_str()) {
            let value = words
                .next()
                .with_context(|| format!("`{word}` needs a value"))?;
            flags.push(value.clone());
        }
    }
    Ok((flags, names))
}

/// The options of `cargo test` whose value is a word of its own.
const TAKING_A_VALUE: [&str; 17] = [
    "-p",
    "--package",
    "--exclude",
    "-F",
    "--features",
    "--bin",
    "--example",
    "--test",
    "--bench",
    "-j",
    "--jobs",
    "--profile",
    "--target",
    "--target-dir",
    "--color",
    "--config",
    "-Z",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{apart, package, program};

    const LINE: &str = r#"{"reason":"compiler-artifact",
        "package_id":"path+file:///w/crates/db-cli#0.1.0","manifest_path":"/w/crates/db-cli/Cargo.toml",
        "target":{"kind":["test"],"crate_types":["bin"],"name":"it","src_path":"/w/crates/db-cli/tests/it/main.rs","doctest":false},
        "profile":{"opt_level":"0","test":TEST},"features":[],"filenames":[],
        "executable":EXECUTABLE,"fresh":true}"#;

    fn line(test: &str, executable: &str) -> String {
        LINE.replace("TEST", test).replace("EXECUTABLE", executable)
    }

    #[test]
    fn only_test_programs_are_run() {
        let it = program(&line("true", "\"/w/target/debug/deps/it-1\"")).unwrap();
        assert_eq!(it.name, "db-cli, tests/it/main.rs");
        assert_eq!(it.folder, Path::new("/w/crates/db-cli"));
        assert!(!it.documents);
        // An example is compiled, and is no test.
        assert_eq!(program(&line("false", "\"/w/target/debug/it\"")), None);
        assert_eq!(program(&line("true", "null")), None);
        assert_eq!(
            program(r#"{"reason":"build-finished","success":true}"#),
            None
        );
        assert_eq!(program("warning: text"), None);
    }

    #[test]
    fn a_package_is_named_by_both_forms_of_its_id() {
        assert_eq!(package("path+file:///w/crates/db-cli#0.1.0"), "db-cli");
        assert_eq!(
            package("path+file:///w/bench#bench-load@0.1.0"),
            "bench-load"
        );
    }

    #[test]
    fn names_of_tests_are_told_from_values_of_options() {
        let words = [
            "-p",
            "db-core",
            "name",
            "--test=it",
            "--test",
            "crash",
            "--lib",
            "other",
        ];
        let words: Vec<String> = words.map(str::to_owned).to_vec();
        let (flags, names) = apart(&words).unwrap();
        assert_eq!(flags.join(" "), "-p db-core --test=it --test crash --lib");
        assert_eq!(names.join(" "), "name other");
        let error = apart(&words[..1]).unwrap_err().to_string();
        assert_eq!(error, "`-p` needs a value");
    }
}
