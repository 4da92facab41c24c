//! Words that must not be committed.
//!
//! The words are put together by `concat!`, so that this file does not find itself.

use super::findings::Findings;
use super::sources::File;

/// Unfinished work, in Rust files.
const UNFINISHED: [&str; 5] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
];

/// A test that does not run is no test.
const IGNORED: &str = concat!("#[", "ignore");

/// Waiting by the clock, in tests.
const SLEEPS: [&str; 2] = [concat!("thread", "::sleep"), concat!("time", "::sleep")];

/// Where people keep their files: a path that begins so exists on one machine only.
const HOMES: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("C:\\Us", "ers\\"),
];

/// Checks one file.
pub(crate) fn check(file: &File, findings: &mut Findings) {
    let mut in_tests = file.path.contains("/tests/");
    for (index, line) in file.text.lines().enumerate() {
        let place = format!("{}:{}", file.path, index + 1);
        if let Some(home) = HOMES.iter().find(|home| begins_path(line, home)) {
            findings.fail(
                &place,
                format!("a path of one machine, {home}…"),
                "make it relative",
            );
        }
        if !file.is_rust() {
            continue;
        }
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        if let Some(word) = UNFINISHED.iter().find(|word| line.contains(*word)) {
            findings.fail(
                &place,
                format!("unfinished: {word}"),
                "finish it, or open an issue",
            );
        }
        if line.contains(IGNORED) {
            findings.fail(
                &place,
                "a test that is left out",
                "make it fast, or remove it",
            );
        }
        if in_tests && SLEEPS.iter().any(|sleep| line.contains(sleep)) {
            findings.fail(&place, "a test that sleeps", "wait for the thing itself");
        }
    }
}

/// Whether a path in `line` begins with `home`, as opposed to holding it further on.
fn begins_path(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line.get(..at).and_then(|start| start.chars().next_back());
        before.is_none_or(|c| c.is_whitespace() || "\"'`(<=:,[".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::{HOMES, IGNORED, SLEEPS, UNFINISHED, check};
    use crate::tidy::findings::Findings;
    use crate::tidy::sources::File;

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
    fn unfinished_work_is_found_with_its_line() {
        for word in UNFINISHED {
            let lines = found("src/a.rs", &format!("//! A.\nfn a() {{ {word} }}\n"));
            assert_eq!(lines.len(), 1, "{word}");
            assert!(lines[0].starts_with("error: src/a.rs:2: "), "{lines:?}");
        }
        assert!(found("notes.md", UNFINISHED[2]).is_empty());
    }

    #[test]
    fn tests_run_and_do_not_sleep() {
        assert_eq!(
            found("tests/it/a.rs", &format!("{IGNORED}]\nfn a() {{}}")).len(),
            1
        );
        assert_eq!(
            found("tests/it/a.rs", &format!("{IGNORED} = \"slow\"]")).len(),
            1
        );
        let sleep = format!("std::{}(second);", SLEEPS[0]);
        assert_eq!(found("crates/a/tests/it/a.rs", &sleep).len(), 1);
        assert_eq!(
            found("src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{sleep}")).len(),
            1
        );
        // Elsewhere clippy asks for a reason.
        assert!(found("src/a.rs", &sleep).is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let unix = HOMES[0];
        for text in [
            format!("see {unix}ann/notes"),
            format!("dir = \"{unix}ann\""),
            format!("{unix}ann"),
            format!("file:{unix}ann"),
            format!("`{}ann`", HOMES[4]),
        ] {
            assert_eq!(found("docs/a.md", &text).len(), 1, "{text}");
        }
        for text in [
            format!("https://example.org{unix}page"),
            format!("~{unix}"),
            "/tmp/x".into(),
        ] {
            assert!(found("docs/a.md", &text).is_empty(), "{text}");
        }
    }
}
