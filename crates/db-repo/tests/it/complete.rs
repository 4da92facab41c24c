//! No method of a repository without a test on both engines, none that takes what it has not looked at, and
//! none whose statements nobody has looked at.

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

/// A file without the tests of one engine: what `both_engines!` runs, and what its tests share.
fn of_both_engines(text: &str) -> String {
    let mut kept = String::new();
    let mut left = text;
    while let Some(at) = left.find("\n#[test]\n") {
        kept.push_str(&left[..at]);
        let test = &left[at + 1..];
        left = test.find("\n}\n").map_or("", |end| &test[end + 2..]);
    }
    kept + left
}

/// What is given to a method in these may be what cannot be.
const INPUT: [&str; 10] = [
    "&str",
    "&New",
    "[New",
    "Changes",
    "[Bet]",
    "&ConsensusVote",
    "&PeerSighting",
    ": f64",
    "limit: i64",
    "request: &",
];

/// One public method that works on a connection.
#[derive(Debug)]
struct Method {
    owner: String,
    name: String,
    has_self: bool,
    takes_input: bool,
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

/// Methods of repositories, and functions by the name of their module.
fn methods(text: &str, free: &str) -> Vec<Method> {
    let mut found = Vec::new();
    let mut owner = String::new();
    for (at, line) in text
        .match_indices('\n')
        .map(|(at, _)| (at + 1, &text[at + 1..]))
    {
        if let Some(rest) = line.strip_prefix("impl ") {
            name(rest).clone_into(&mut owner);
        }
        let (owner, rest) = if let Some(rest) = line.strip_prefix("    pub fn ") {
            (owner.as_str(), rest)
        } else if let Some(rest) = line.strip_prefix("pub fn ") {
            (free, rest)
        } else {
            continue;
        };
        let head = &text[at..at + line.find(") ").unwrap_or(line.len())];
        if head.contains("Conn<") {
            found.push(Method {
                owner: owner.to_owned(),
                name: name(rest).to_owned(),
                has_self: head.contains("(&self") || head.contains("\n        &self"),
                takes_input: INPUT.iter().any(|input| head.contains(input)),
            });
        }
    }
    found
}

#[test]
fn every_method_has_a_test_a_plan_and_a_door() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut repositories: Vec<Method> = sources(&root.join("src"))
        .iter()
        .flat_map(|text| methods(text, "no module"))
        .filter(|method| method.owner != "no module")
        .collect();
    let money = sources(&root.join("src/money"));
    repositories.extend(money.iter().flat_map(|text| methods(text, "money")));
    assert!(repositories.len() > 170, "{}", repositories.len());
    let tests = root.join("tests/it");
    let plans = sources(&tests.join("plans")).concat();
    let doors = sources(&tests.join("doors")).concat();
    // What only refuses says nothing of what is done.
    let others = ["plans", "doors", "constraints"];
    let tests: String = fs::read_dir(&tests)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !others.iter().any(|other| path.ends_with(other)))
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![fs::read_to_string(path).unwrap()]
            }
        })
        .map(|text| of_both_engines(&text))
        .collect();
    let mut missing = Vec::new();
    for method in &repositories {
        let Method { owner, name, .. } = method;
        if !method.is_called_in(&tests) {
            missing.push(format!("{owner}::{name} has no test on both engines"));
        }
        // `get` is `find` with an error.
        if name.starts_with("get") {
            continue;
        }
        if !method.is_called_in(&plans) {
            missing.push(format!("{owner}::{name} is not in the tour of the plans"));
        }
        if method.takes_input && !method.is_called_in(&doors) {
            missing.push(format!(
                "{owner}::{name} has no test of input that cannot be"
            ));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_is_missing_is_found() {
    let text = "//\nimpl DiceRepository {\n    pub fn roll(\n        conn: &mut Conn<'_>,\n    ) -> R {\n    \
                }\n    pub fn faces() -> R {\n}\nimpl Cup {\n    pub fn shake(&self, conn: &mut Conn<'_>) -> R {\n}\n";
    let text =
        format!("{text}pub fn bet(\n    conn: &mut Conn<'_>,\n    request: &Bet,\n) -> R {{\n}}\n");
    let found = methods(&text, "money");
    let [roll, shake, bet] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(bet.takes_input && !roll.takes_input);
    assert!(bet.is_called_in("money::bet(conn, request)"));
    let tests = "//\n#[test]\nfn one() {\n    DiceRepository::roll(conn);\n}\n\nboth_engines! {\n    cup.shake(conn);\n}\n";
    let tests = of_both_engines(tests);
    assert!(!roll.is_called_in(&tests) && shake.is_called_in(&tests));
    assert!(roll.is_called_in("DiceRepository::roll(conn)"));
    assert!(!roll.is_called_in("DiceRepository::roll_twice(conn) OtherRepository::roll"));
    assert!(shake.is_called_in("cup.shake(conn)"));
    assert!(!shake.is_called_in("cup.shake_well(conn)"));
}
