//! `schema generate`: writes the `table!` declarations and the map of constraints.

use std::fs;
use std::path::Path;

use db_core::Engine;
use db_testkit::schema_check::{Live, constraints, declared, tables};

pub(crate) fn run() -> Result<(), String> {
    let live = Live::migrated(Engine::Postgres);
    let text = declared::write(&live.model).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    let sqlite = Live::migrated(Engine::Sqlite);
    save(&tables::path(), &text)?;
    let map = constraints::write(&sqlite.model, &live.model);
    save(&constraints::path(), &map)
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
