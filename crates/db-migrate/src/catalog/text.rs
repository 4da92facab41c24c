//! The two normal forms of a definition, as the catalog uses them.

use db_core::Engine;

use crate::sql;

/// The text of a SQLite definition or of a part of one, in the form that equal ones share.
pub(super) fn canonical(text: &str) -> String {
    sql::canonical(Engine::Sqlite, text)
}

/// The canonical text without what a dump and a restore may change.
///
/// SQLite keeps the text as it was given, so there is nothing to be loose about.
pub(super) fn loose(engine: Engine, text: &str) -> String {
    match engine {
        Engine::Sqlite => text.to_owned(),
        Engine::Postgres => sql::loose(Engine::Postgres, text),
    }
}

/// An identifier, in quotes if it would otherwise read as two or be ambiguous in a list.
pub(super) fn name(raw: &str) -> String {
    let plain = !raw.is_empty() && !raw.contains(['.', '"', ',', '(', ')', ' ', '\n']);
    if plain {
        raw.to_owned()
    } else {
        format!("\"{}\"", raw.replace('"', "\"\""))
    }
}

/// `table.member`, each in quotes where needed.
pub(super) fn member(table: &str, member: &str) -> String {
    format!("{table}.{}", name(member))
}
