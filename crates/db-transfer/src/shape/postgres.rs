//! Tables of a PostgreSQL database, from its catalog.

use std::collections::HashMap;

use db_core::bulk::PostgresBulk;

use super::{Column, Table, TableKind, TableName};

/// Tables of everybody but the system and extensions. A partition is a part of its root.
const TABLES: &str = "\
SELECT c.oid::text, NULLIF(n.nspname, current_schema()), c.relname, c.relkind::text,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname";

/// A domain may be over a domain.
const COLUMNS: &str = "\
WITH RECURSIVE base (oid, type, modifier) AS (
  SELECT t.oid, t.oid, -1 FROM pg_catalog.pg_type t WHERE t.typtype <> 'd'
  UNION ALL
  SELECT t.oid, b.type, t.typtypmod FROM pg_catalog.pg_type t JOIN base b ON b.oid = t.typbasetype
  WHERE t.typtype = 'd')
SELECT a.attrelid::text, a.attname, format_type(a.atttypid, a.atttypmod),
       format_type(b.type, NULL), a.attnotnull::text, (a.attgenerated <> '')::text
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN base b ON b.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY a.attrelid, a.attnum";

const KEYS: &str = "\
SELECT k.conrelid::text, a.attname
FROM pg_catalog.pg_constraint k, unnest(k.conkey) WITH ORDINALITY u (num, n),
     pg_catalog.pg_attribute a
WHERE k.contype = 'p' AND a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY k.conrelid, u.n";

const PARENTS: &str = "\
SELECT DISTINCT k.conrelid::text, k.confrelid::text FROM pg_catalog.pg_constraint k
WHERE k.contype = 'f' ORDER BY 1, 2";

pub(super) fn read(bulk: &mut PostgresBulk) -> Result<(Vec<Table>, Vec<String>), db_core::Error> {
    let (mut tables, mut left_out) = (Vec::new(), Vec::new());
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in bulk.rows(TABLES)? {
        let [oid, schema, name, kind, rows] = cells(row);
        let name = TableName {
            schema,
            name: name.unwrap_or_default(),
        };
        let kind = match kind.as_deref() {
            Some("p") => TableKind::Partitioned,
            Some("r") => TableKind::Plain,
            Some("f") => {
                left_out.push(format!(
                    "the rows of {name} are left out: it is a foreign table"
                ));
                continue;
            }
            _ => {
                left_out.push(format!(
                    "the rows of {name} are left out: it is a materialized view"
                ));
                continue;
            }
        };
        places.insert(oid.unwrap_or_default(), tables.len());
        tables.push(Table {
            name,
            kind,
            columns: Vec::new(),
            primary_key: Vec::new(),
            parents: Vec::new(),
            without_rowid: false,
            rows_estimate: rows.and_then(|rows| rows.parse().ok()),
        });
    }
    for row in bulk.rows(COLUMNS)? {
        let [oid, name, declared, base, not_null, generated] = cells(row);
        if let Some(table) = place(&places, oid.as_ref()).and_then(|at| tables.get_mut(at)) {
            table.columns.push(Column {
                name: name.unwrap_or_default(),
                declared_type: declared.unwrap_or_default(),
                base_type: base.unwrap_or_default(),
                nullable: not_null.as_deref() != Some("true"),
                generated: generated.as_deref() == Some("true"),
            });
        }
    }
    for row in bulk.rows(KEYS)? {
        let [oid, column] = cells(row);
        if let Some(table) = place(&places, oid.as_ref()).and_then(|at| tables.get_mut(at)) {
            table.primary_key.extend(column);
        }
    }
    for row in bulk.rows(PARENTS)? {
        let [child, parent] = cells(row);
        let parent = place(&places, parent.as_ref()).and_then(|at| tables.get(at));
        let parent = parent.map(|table| table.name.clone());
        if let Some(table) = place(&places, child.as_ref()).and_then(|at| tables.get_mut(at)) {
            table.parents.extend(parent);
        }
    }
    Ok((tables, left_out))
}

fn place(places: &HashMap<String, usize>, oid: Option<&String>) -> Option<usize> {
    places.get(oid?).copied()
}

/// The cells of a row with so many columns.
fn cells<const N: usize>(row: Vec<Option<String>>) -> [Option<String>; N] {
    let mut row = row.into_iter();
    std::array::from_fn(|_| row.next().flatten())
}
