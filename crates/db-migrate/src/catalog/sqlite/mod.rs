//! The catalog of a SQLite database, from the text that SQLite keeps of each definition.

pub(super) mod table;
pub(super) mod tokens;

use std::collections::BTreeSet;

use db_core::Engine;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection, sql_query};

use super::{Kind, Object, Scope, text};

/// `GLOB`, because `_` is a wildcard for `LIKE`: a table `sqlitex` is the user's own.
const ENTRIES: &str = "SELECT rowid AS id, type AS kind, name, tbl_name AS owner, sql \
                       FROM main.sqlite_schema WHERE name NOT GLOB 'sqlite_*'";
const SHADOWS: &str =
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'";
/// The tables that the usual modules make for themselves, for a build without the module, in
/// which SQLite cannot tell that they are shadows.
const SHADOW_SUFFIXES: [(&str, &[&str]); 4] = [
    ("fts5", &["data", "idx", "content", "docsize", "config"]),
    ("fts4", &["content", "segments", "segdir", "docsize", "stat"]),
    ("fts3", &["content", "segments", "segdir"]),
    ("rtree", &["node", "rowid", "parent"]),
];

/// One row of `sqlite_schema`.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub(super) struct Entry {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub owner: String,
    /// Absent for an index that serves a constraint.
    #[diesel(sql_type = Nullable<Text>)]
    pub sql: Option<String>,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Reads the whole catalog.
pub(super) fn read(conn: &mut SqliteConnection, scope: &Scope) -> QueryResult<Vec<Object>> {
    Ok(entries(conn, scope)?.iter().flat_map(objects).collect())
}

/// All rows of `sqlite_schema` that are in scope.
pub(super) fn entries(conn: &mut SqliteConnection, scope: &Scope) -> QueryResult<Vec<Entry>> {
    let mut found: Vec<Entry> = sql_query(ENTRIES).load(conn)?;
    found.retain(|e| !scope.leaves_out(&e.owner) && e.sql.is_some());
    let virtuals: Vec<_> = found.iter().filter_map(virtual_table).collect();
    if !virtuals.is_empty() {
        let mut shadows: BTreeSet<String> =
            sql_query(SHADOWS).load::<Name>(conn)?.into_iter().map(|n| n.name).collect();
        for (table, module) in &virtuals {
            let known = SHADOW_SUFFIXES.iter().filter(|(name, _)| name == module);
            for suffix in known.flat_map(|(_, suffixes)| *suffixes) {
                shadows.insert(format!("{table}_{suffix}"));
            }
        }
        found.retain(|e| !shadows.contains(&e.owner));
    }
    Ok(found)
}

/// Name and module of a virtual table.
fn virtual_table(entry: &Entry) -> Option<(String, String)> {
    let sql = entry.sql.as_deref()?;
    // Cheap for the many tables that are not virtual.
    let second = sql.split_ascii_whitespace().nth(1)?;
    if entry.kind != "table" || !second.eq_ignore_ascii_case("virtual") {
        return None;
    }
    let all = tokens::tokens(sql);
    let using = all.iter().position(|t| t.is("USING"))?;
    let module = all.get(using + 1)?.name().to_ascii_lowercase();
    Some((entry.name.clone(), module))
}

/// The objects that one row stands for: a table comes apart into its columns and constraints.
pub(super) fn objects(entry: &Entry) -> Vec<Object> {
    let sql = entry.sql.as_deref().unwrap_or_default();
    let owner = text::name(&entry.owner);
    let kind = match entry.kind.as_str() {
        "table" => match table::split(sql) {
            Some(parts) => return table_objects(&owner, &parts),
            None => Kind::Table,
        },
        "index" => Kind::Index,
        "view" => Kind::View,
        "trigger" => Kind::Trigger,
        _ => Kind::Other,
    };
    let table = matches!(kind, Kind::Index | Kind::Trigger).then_some(owner);
    vec![object(kind, text::name(&entry.name), table, text::canonical(sql))]
}

fn table_objects(table: &str, parts: &table::TableText<'_>) -> Vec<Object> {
    let names: Vec<_> = parts.columns.iter().map(|(name, _)| text::name(name)).collect();
    let mut definition = format!("columns ({})", names.join(", "));
    if !parts.options.is_empty() {
        definition.push('\n');
        definition.push_str(&text::canonical(parts.options));
    }
    let mut found = Vec::with_capacity(1 + names.len() + parts.constraints.len());
    found.push(object(Kind::Table, table.to_owned(), None, definition));
    for (name, sql) in &parts.columns {
        let name = text::member(table, name);
        let sql = text::canonical(sql);
        found.push(object(Kind::Column, name, Some(table.to_owned()), sql));
    }
    for (name, sql) in &parts.constraints {
        let sql = text::canonical(sql);
        // Without a name it is known by what it says, so that no neighbour renumbers it.
        let name = name.as_ref().map_or_else(|| format!("{table}.{sql}"), |n| text::member(table, n));
        found.push(object(Kind::Constraint, name, Some(table.to_owned()), sql));
    }
    found
}

fn object(kind: Kind, name: String, table: Option<String>, strict: String) -> Object {
    let loose = match kind {
        Kind::Table => strict.clone(),
        _ => text::loose(Engine::Sqlite, &strict),
    };
    Object { kind, name, table, strict, loose }
}
