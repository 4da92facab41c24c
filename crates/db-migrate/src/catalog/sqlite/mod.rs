//! The catalog of a SQLite database, from the text that SQLite keeps of each definition.

pub(super) mod shadows;
pub(super) mod table;
pub(super) mod tokens;

use db_core::Engine;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection, sql_query};

use super::{Kind, Object, Scope, text};

const ENTRIES: &str = "SELECT rowid AS id, type AS kind, name, tbl_name AS owner, sql \
                       FROM main.sqlite_schema WHERE rowid > ?";
/// What the names of SQLite's own tables and indexes start with; nobody else may use it.
const INTERNAL_PREFIX: &str = "sqlite_";

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

impl Entry {
    /// Whether SQLite made it for itself.
    pub(super) fn is_internal(&self) -> bool {
        self.name.starts_with(INTERNAL_PREFIX)
    }

    /// Whether it belongs to the catalog, as far as one can tell without the other entries.
    pub(super) fn is_in(&self, scope: &Scope) -> bool {
        self.sql.is_some() && !self.is_internal() && !scope.leaves_out(&self.owner)
    }

    /// Whether it is a virtual table, whose shadow tables are no objects of their own.
    pub(super) fn is_virtual(&self) -> bool {
        // SQLite writes the first words of each text itself.
        const START: &str = "CREATE VIRTUAL ";
        let start = self.sql.as_ref().and_then(|sql| sql.get(..START.len()));
        self.kind == "table" && start.is_some_and(|start| start.eq_ignore_ascii_case(START))
    }
}

/// Reads the whole catalog.
pub(super) fn read(conn: &mut SqliteConnection, scope: &Scope) -> QueryResult<Vec<Object>> {
    Ok(entries(conn, scope)?.0.iter().flat_map(objects).collect())
}

/// All rows of `sqlite_schema` that are in scope, and the highest row number of all.
pub(super) fn entries(
    conn: &mut SqliteConnection,
    scope: &Scope,
) -> QueryResult<(Vec<Entry>, i64)> {
    let mut found = entries_after(conn, 0)?;
    let last = found.iter().map(|entry| entry.id).max().unwrap_or_default();
    found.retain(|entry| entry.is_in(scope));
    if found.iter().any(Entry::is_virtual) {
        let shadows = shadows::shadows(conn, &found)?;
        found.retain(|entry| !shadows.contains(&entry.owner));
    }
    Ok((found, last))
}

/// The rows of `sqlite_schema` from a row number on, whether in scope or not.
pub(super) fn entries_after(conn: &mut SqliteConnection, last: i64) -> QueryResult<Vec<Entry>> {
    sql_query(ENTRIES).bind::<BigInt, _>(last).load(conn)
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
    vec![object(
        kind,
        text::name(&entry.name),
        table,
        text::canonical(sql),
    )]
}

fn table_objects(table: &str, parts: &table::TableText<'_>) -> Vec<Object> {
    let names: Vec<_> = parts
        .columns
        .iter()
        .map(|(name, _)| text::name(name))
        .collect();
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
        let mut name = name
            .as_ref()
            .map_or_else(|| format!("{table}.{sql}"), |n| text::member(table, n));
        while found
            .iter()
            .any(|o| o.kind == Kind::Constraint && o.name == name)
        {
            name.push_str(" again");
        }
        found.push(object(Kind::Constraint, name, Some(table.to_owned()), sql));
    }
    found
}

fn object(kind: Kind, name: String, table: Option<String>, strict: String) -> Object {
    let loose = text::loose(Engine::Sqlite, &strict);
    Object {
        kind,
        name,
        table,
        strict,
        loose,
    }
}
