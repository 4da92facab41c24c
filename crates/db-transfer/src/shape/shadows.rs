//! Which tables of SQLite look like a module's own, and are somebody's.

use db_core::bulk::SqliteBulk;
use db_migrate::catalog::not_a_shadow;

use super::sqlite::text;

/// The names of tables that SQLite takes for shadows, and that no module has made.
pub(crate) fn not_shadows(bulk: &SqliteBulk) -> Result<Vec<String>, db_core::Error> {
    let mut rows = bulk.prepare(
        "SELECT name, sql FROM main.sqlite_schema \
         WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE %' ORDER BY name",
    )?;
    let mut names = Vec::new();
    while rows.step()? {
        names.extend(not_a_shadow(&text(rows.cell(0)?), &text(rows.cell(1)?)));
    }
    Ok(names)
}

/// Whether a name is among them. SQLite's names have no case.
pub(crate) fn is_among(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}
