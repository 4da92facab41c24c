//! No method of a repository without a test, and none whose statements nobody has looked at.

use std::fs;
use std::path::Path;

/// Rust files below a folder, as one text per file.
fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
    texts
}

/// The name at the start of a text.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// One public method that works on a connection.
#[derive(Debug)]
struct Method {
    owner: String,
    name: String,
    has_self: bool,
}

impl Method {
    fn is_called_in(&self, text: &str) -> bool {
        let call = if self.has_self {
            format!(".{}", self.name)
        } else {
            format!("{}::{}", self.owner, self.name)
        };
        let calls = |(at, _): (usize, &str)| {
            let after = &text[at + call.len()..];
            name(after).is_empty() && (!self.has_self || after.starts_with('('))
        };
        text.match_indices(&call).any(calls)
    }
}

fn methods(text: &str) -> Vec<Method> {
    let mut found = Vec::new();
    let mut owner = String::new();
    for (at, line) in text
        .match_indices('\n')
        .map(|(at, _)| (at + 1, &text[at + 1..]))
    {
        if let Some(rest) = line.strip_prefix("impl ") {
            name(rest).clone_into(&mut owner);
        }
        let Some(rest) = line.strip_prefix("    pub fn ") else {
            continue;
        };
        let head = &text[at..at + line.find(") ").unwrap_or(line.len())];
        if head.contains("Conn<") {
            found.push(Method {
                owner: owner.clone(),
                name: name(rest).to_owned(),
                has_self: head.contains("(&self") || head.contains("\n        &self"),
            });
        }
    }
    found
}

#[test]
fn every_method_has_a_test_and_a_plan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repositories: Vec<Method> = sources(&root.join("src"))
        .iter()
        .flat_map(|text| methods(text))
        .collect();
    assert!(repositories.len() > 150, "{}", repositories.len());
    let tests = root.join("tests/it");
    let plans = sources(&tests.join("plans")).concat();
    let tests: String = fs::read_dir(&tests)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("plans"))
        .map(|path| {
            if path.is_dir() {
                sources(&path).concat()
            } else {
                fs::read_to_string(path).unwrap()
            }
        })
        .collect();
    let mut missing = Vec::new();
    for method in &repositories {
        let Method { owner, name, .. } = method;
        if !method.is_called_in(&tests) {
            missing.push(format!("{owner}::{name} has no test"));
        }
        // `get` is `find` with an error.
        if !name.starts_with("get") && !method.is_called_in(&plans) {
            missing.push(format!("{owner}::{name} is not in the tour of the plans"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_is_missing_is_found() {
    let text = "//\nimpl DiceRepository {\n    pub fn roll(\n        conn: &mut Conn<'_>,\n    ) -> R {\n    \
                }\n    pub fn faces() -> R {\n}\nimpl Cup {\n    pub fn shake(&self, conn: &mut Conn<'_>) -> R {\n}\n";
    let found = methods(text);
    let [roll, shake] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(roll.is_called_in("DiceRepository::roll(conn)"));
    assert!(!roll.is_called_in("DiceRepository::roll_twice(conn) OtherRepository::roll"));
    assert!(shake.is_called_in("cup.shake(conn)"));
    assert!(!shake.is_called_in("cup.shake_well(conn)"));
}
