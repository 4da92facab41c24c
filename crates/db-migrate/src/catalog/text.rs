//! The two normal forms of a definition, as the catalog uses them.

use db_core::Engine;

/// The text of a statement or of a part of one, in the form that two equal definitions share.
pub(super) fn canonical(sql: &str) -> String {
    super::sqlite::tokens::join(sql)
}

/// The canonical text without what a dump and a restore may change.
pub(super) fn loose(engine: Engine, sql: &str) -> String {
    super::sqlite::tokens::join_loose(engine, sql)
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
