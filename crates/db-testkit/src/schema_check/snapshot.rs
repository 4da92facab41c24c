//! The catalog of each engine as text, and the committed copy of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use db_core::Engine;
use db_migrate::catalog::Catalog;

use super::Finding;

/// What stands before an object, and nowhere else at the start of a line.
const OBJECT: &str = "== ";

/// The catalog as text, object by object.
#[must_use]
pub fn text(catalog: &Catalog) -> String {
    let mut out = String::new();
    for object in catalog.objects() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{OBJECT}{object}\n{}\n", object.strict.trim_end());
    }
    out
}

/// The file that insta keeps for an engine.
#[must_use]
pub fn path(engine: Engine) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/snapshots")
        .join(format!("it__snapshot__{}.snap", engine.name()))
}

/// The committed text of an engine's catalog.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn committed(engine: Engine) -> String {
    let path = path(engine);
    let file = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
        .replace("\r\n", "\n");
    // insta writes what it knows about the snapshot between two lines of dashes.
    let text = file.splitn(3, "---\n").nth(2).unwrap_or_default();
    text.to_owned()
}

/// What the migrations build and the committed text does not have, and the other way round.
#[must_use]
pub fn compare(committed: &str, live: &Catalog) -> Vec<Finding> {
    let live = text(live);
    let (expected, live) = (objects(committed), objects(&live));
    let mut found = Vec::new();
    for (name, definition) in &expected {
        match live.get(name) {
            Some(other) if other == definition => {}
            Some(other) => found.push(Finding::new(
                *name,
                format!("it is no longer as in the snapshot:\n  was: {definition}\n  is:  {other}"),
            )),
            None => found.push(Finding::new(*name, "it is in the snapshot only")),
        }
    }
    for name in live.keys().filter(|name| !expected.contains_key(*name)) {
        found.push(Finding::new(*name, "it is not in the snapshot"));
    }
    found
}

fn objects(text: &str) -> BTreeMap<&str, &str> {
    let mut objects = BTreeMap::new();
    let body = text.trim().strip_prefix(OBJECT).unwrap_or_default();
    for object in body.split(&format!("\n{OBJECT}")) {
        let (name, definition) = object.split_once('\n').unwrap_or((object, ""));
        objects.insert(name, definition.trim());
    }
    objects
}
