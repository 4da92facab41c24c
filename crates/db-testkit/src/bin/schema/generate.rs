//! `schema generate`: writes the `table!` declarations.

use std::fs;

use db_core::Engine;
use db_testkit::schema_check::{Live, declared, tables};

pub(crate) fn run() -> Result<(), String> {
    let live = Live::migrated(Engine::Postgres);
    let text = declared::write(&live.model).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })?;
    let path = tables::path();
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
