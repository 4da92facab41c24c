//! The model of a SQLite database, from its pragmas and its texts.

use std::collections::BTreeMap;

use diesel::sql_types::{Bool, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query};

use super::{Column, Index, LogicalType, Table, Trigger, clauses};
use crate::catalog::sqlite::{self, table};
use crate::catalog::{Scope, text};

/// Generated columns only show in the extended pragma. What SQLite takes for a shadow may be somebody's: the
/// entries tell.
const COLUMNS: &str = "\
SELECT l.name AS owner, l.strict, l.wr AS without_rowid, c.name, c.type AS declared, \
       c.\"notnull\" AS not_null, c.dflt_value AS preset, c.pk \
FROM pragma_table_list l JOIN pragma_table_xinfo(l.name, 'main') c \
WHERE l.schema = 'main' AND l.type IN ('table', 'shadow') ORDER BY l.name, c.cid";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Bool)]
    strict: bool,
    #[diesel(sql_type = Bool)]
    without_rowid: bool,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    declared: String,
    #[diesel(sql_type = Bool)]
    not_null: bool,
    #[diesel(sql_type = Nullable<Text>)]
    preset: Option<String>,
    #[diesel(sql_type = Integer)]
    pk: i32,
}

pub(super) fn read(conn: &mut SqliteConnection, scope: &Scope) -> QueryResult<Vec<Table>> {
    let (entries, _) = sqlite::entries(conn, scope)?;
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in sql_query(COLUMNS).load::<Row>(conn)? {
        rows.entry(row.owner.clone()).or_default().push(row);
    }
    let mut tables = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.kind == "table") {
        let parts = entry.sql.as_deref().and_then(table::split);
        if let (Some(parts), Some(rows)) = (parts, rows.remove(&entry.name)) {
            tables.insert(entry.name.clone(), read_table(&entry.name, rows, &parts));
        }
    }
    for entry in &entries {
        let (Some(table), Some(sql)) = (tables.get_mut(&entry.owner), entry.sql.as_deref()) else {
            continue;
        };
        match entry.kind.as_str() {
            "index" => {
                let (keys, predicate) = clauses::index(sql);
                let unique = sql.split_ascii_whitespace().nth(1).is_some_and(|word| {
                    // SQLite writes the first words itself.
                    word.eq_ignore_ascii_case("UNIQUE")
                });
                let (name, method) = (text::name(&entry.name), "btree".to_owned());
                table.indexes.push(Index {
                    name,
                    keys,
                    unique,
                    predicate,
                    method,
                });
            }
            "trigger" => table.triggers.push(Trigger {
                name: text::name(&entry.name),
                definition: text::canonical(sql),
            }),
            _ => {}
        }
    }
    let mut tables: Vec<Table> = tables.into_values().collect();
    tables.iter_mut().for_each(Table::sort);
    Ok(tables)
}

fn read_table(name: &str, rows: Vec<Row>, parts: &table::TableText<'_>) -> Table {
    let mut table = Table {
        name: text::name(name),
        ..Table::default()
    };
    let keys = rows.iter().filter(|row| row.pk > 0).count();
    for (row, position) in rows.into_iter().zip(1..) {
        table.strict = row.strict;
        table.without_rowid = row.without_rowid;
        // The one column that is the row number itself; it is never NULL.
        let rowid = keys == 1
            && row.pk == 1
            && !row.without_rowid
            && row.declared.eq_ignore_ascii_case("INTEGER");
        let sql = parts.columns.iter().find(|(name, _)| *name == row.name);
        let generated = sql.and_then(|(_, sql)| clauses::read(sql, Some(&row.name), &mut table));
        table.columns.push(Column {
            position,
            logical_type: LogicalType::of_sqlite(&row.declared),
            nullable: !(row.not_null || rowid || (row.without_rowid && row.pk > 0)),
            default: row.preset.as_deref().map(text::canonical),
            numbered: rowid,
            generated,
            comment: None,
            name: row.name,
            declared_type: row.declared,
        });
    }
    for (_, sql) in &parts.constraints {
        clauses::read(sql, None, &mut table);
    }
    table
}
