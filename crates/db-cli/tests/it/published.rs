//! Every JSON that a test reads is held against the published schemas, `docs/json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Deserializer, Value};

use crate::support::{BINARY, Done, bare, finish};

/// Options that stand before a command and have a value.
const WITH_VALUE: [&str; 5] = [
    "--database-url",
    "--migrations",
    "--config",
    "--key-file",
    "--key-command",
];

/// What is asked for in words for people, with `--json` or without.
const FOR_PEOPLE: [&str; 4] = ["--help", "-h", "--version", "-V"];

static SCHEMAS: LazyLock<BTreeMap<String, (Value, Validator)>> = LazyLock::new(|| {
    let mut schemas = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some(name) = name.strip_suffix(".schema.json") {
            let schema: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let options = jsonschema::options().should_validate_formats(true);
            let validator = options
                .build(&schema)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            schemas.insert(name.to_owned(), (schema, validator));
        }
    }
    schemas
});

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/json")
}

/// Whether the value is as the schema of this name says.
pub(crate) fn holds(name: &str, value: &Value) -> Result<(), String> {
    let Some((_, validator)) = SCHEMAS.get(name) else {
        return Err(format!("there is no schema {name}"));
    };
    let wrong: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{name}: {}\n{value:#}", wrong.join("\n")))
    }
}

/// Looks at what a run of the binary printed, if it was asked for JSON.
#[track_caller]
pub(crate) fn check(command: &Command, done: &Done) {
    let words: Vec<&str> = command
        .get_args()
        .filter_map(|word| word.to_str())
        .collect();
    let is_ours = command.get_program() == BINARY;
    if !is_ours || !words.contains(&"--json") || words.iter().any(|word| FOR_PEOPLE.contains(word))
    {
        return;
    }
    let name = command_of(&words);
    let documents: Vec<Value> = Deserializer::from_str(&done.out)
        .into_iter::<Value>()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|e| panic!("{words:?}: standard output is not JSON: {e}\n{done:#?}"));
    for document in &documents {
        let schema = match document.get("error") {
            Some(Value::Object(_)) => "error",
            _ => name.as_deref().unwrap_or("error"),
        };
        holds(schema, document).unwrap_or_else(|wrong| panic!("{words:?}: {wrong}"));
    }
    if done.code != -1 {
        assert!(
            !documents.is_empty(),
            "{words:?}: there is no document: {done:#?}"
        );
    }
    for line in done.err.lines() {
        let line: Value = serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("{words:?}: {line:?} is no line of JSON: {e}"));
        holds("progress", &line).unwrap_or_else(|wrong| panic!("{words:?}: {wrong}"));
    }
}

/// The name of the schema of the command that these are the words of.
fn command_of(words: &[&str]) -> Option<String> {
    let mut words = words.iter().copied();
    let mut first = None;
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            first = Some(word);
            break;
        }
    }
    let first = first?;
    let is_known = |name: &String| SCHEMAS.contains_key(name);
    // Options may stand between the two words of a command.
    words
        .map(|second| format!("{first}-{second}"))
        .find(is_known)
        .or_else(|| Some(first.to_owned()).filter(is_known))
        .or_else(|| Some(format!("{first}-create")).filter(is_known))
}

#[test]
fn the_published_schemas_are_those_of_the_program() {
    let root = tempfile::tempdir().unwrap();
    let done = finish(bare(root.path()).args(["json-schema", "--dir", "now", "--json"]));
    assert_eq!(done.code, 0, "{done:?}");
    let now: Vec<_> = fs::read_dir(root.path().join("now"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    for name in &now {
        let made = fs::read_to_string(root.path().join("now").join(name)).unwrap();
        let kept = fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(
            made == kept,
            "{name:?} differs; `cargo run -p db-cli -- json-schema --dir docs/json` writes it anew"
        );
    }
    let kept = fs::read_dir(folder()).unwrap().count();
    assert_eq!(
        kept,
        now.len(),
        "docs/json holds what the program does not know"
    );
}

#[test]
fn one_schema_is_printed_by_name() {
    let root = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| finish(bare(root.path()).args(arguments));
    for more in [&[][..], &["--json"]] {
        let arguments = [&["json-schema", "backup-create"][..], more].concat();
        let printed = run(&arguments).document();
        assert_eq!(printed, SCHEMAS["backup-create"].0);
        jsonschema::meta::validate(&printed).unwrap();
    }
    let wrong = run(&["json-schema", "backup-creat"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("'backup-create'"), "{wrong:?}");
    assert_eq!(run(&["json-schema"]).code, 2);
}

/// A schema that lets anything pass would make every test above pass as well.
#[test]
fn what_is_not_as_the_schema_says_is_found() {
    let place = crate::support::Place::new(db_testkit::TestDb::sqlite());
    let sound = place.json(0, &["status"]);
    let spoiled = |spoil: &dyn Fn(&mut Value)| {
        let mut value = sound.clone();
        spoil(&mut value);
        holds("status", &value)
    };
    assert_eq!(spoiled(&|_| {}), Ok(()));
    assert!(
        spoiled(&|v| v["more"] = 1.into()).is_err(),
        "a member that is not there"
    );
    assert!(spoiled(&|v| v["engine"] = "mysql".into()).is_err());
    assert!(spoiled(&|v| v["pending"][0]["surplus"] = 1.into()).is_err());
    assert!(spoiled(&|v| drop(v.as_object_mut().unwrap().remove("source"))).is_err());
    assert!(spoiled(&|v| v["drift"]["state"] = "perhaps".into()).is_err());
    // Every object says which members it has, and takes no other.
    for (name, (schema, _)) in &*SCHEMAS {
        open_objects(name, schema, true);
    }
}

fn open_objects(place: &str, schema: &Value, is_whole: bool) {
    let Value::Object(parts) = schema else { return };
    let is_object = parts.contains_key("properties");
    let is_closed = parts
        .get("additionalProperties")
        .or_else(|| parts.get("unevaluatedProperties"));
    assert!(
        !is_object || !is_whole || is_closed.is_some(),
        "{place} takes members that it does not name: {schema:#}"
    );
    for (key, part) in parts {
        let whole = is_whole && !is_object || !["oneOf", "anyOf", "allOf"].contains(&key.as_str());
        match part {
            Value::Array(items) => {
                for item in items {
                    open_objects(place, item, whole);
                }
            }
            Value::Object(members) if ["properties", "$defs"].contains(&key.as_str()) => {
                for (name, member) in members {
                    open_objects(&format!("{place}.{name}"), member, true);
                }
            }
            part => open_objects(place, part, whole),
        }
    }
}

/// The words of every command that does something.
pub(crate) fn commands() -> Vec<Vec<String>> {
    const GROUPS: [&str; 4] = ["audit", "backup", "config", "schema"];
    let names = SCHEMAS
        .keys()
        .filter(|name| !["error", "progress"].contains(&name.as_str()));
    names
        .map(|name| match name.split_once('-') {
            Some((group, rest)) if GROUPS.contains(&group) => {
                vec![group.to_owned(), rest.to_owned()]
            }
            _ => vec![name.clone()],
        })
        .collect()
}
