//! The model of a PostgreSQL database, which the server itself puts together.

use diesel::sql_types::Text;
use diesel::{PgConnection, QueryResult, RunQueryDsl as _};

use super::{LogicalType, Table};
use crate::catalog::Scope;
use crate::catalog::postgres::Names;
use crate::catalog::postgres::pin::pinned;
use crate::catalog::postgres::query::{Prepared, PreparedText};

/// One JSON document per table, in the shape of [`Table`].
struct Tables;

impl PreparedText for Tables {
    type Row = Text;
    const TEXT: &'static str = "\
WITH input AS (SELECT $?::oid[] AS oids),
actions (letter, name) AS (VALUES ('a'::\"char\", 'no_action'), ('r', 'restrict'), ('c', 'cascade'),
  ('n', 'set_null'), ('d', 'set_default')),
keys AS (SELECT k.*, (SELECT json_agg(a.attname ORDER BY n)
    FROM unnest(k.conkey) WITH ORDINALITY u (num, n)
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num) AS columns
  FROM pg_constraint k WHERE k.conrelid = ANY((SELECT oids FROM input)::oid[]))
SELECT json_build_object(
  'name', c.oid::text,
  'comment', obj_description(c.oid, 'pg_class'),
  'columns', (SELECT coalesce(json_agg(json_build_object(
      'name', a.attname, 'position', a.place, 'declared_type', format_type(a.atttypid, a.atttypmod),
      'logical_type', 'text', 'nullable', NOT a.attnotnull,
      'default', CASE WHEN a.attgenerated = '' THEN a.expression END,
      'numbered', a.attidentity <> '' OR coalesce(a.expression LIKE 'nextval(%', false),
      'generated', CASE WHEN a.attgenerated <> '' THEN json_build_object(
        'expression', a.expression, 'stored', a.attgenerated = 's') END,
      'comment', col_description(c.oid, a.attnum)) ORDER BY a.attnum), '[]')
    FROM (SELECT a.*, row_number() OVER (ORDER BY a.attnum) AS place,
            pg_get_expr(d.adbin, d.adrelid) AS expression
          FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) a),
  'primary_key', (SELECT json_build_object('name', k.conname, 'columns', k.columns)
    FROM keys k WHERE k.conrelid = c.oid AND k.contype = 'p'),
  'uniques', (SELECT coalesce(json_agg(json_build_object('name', k.conname, 'columns', k.columns)), '[]')
    FROM keys k WHERE k.conrelid = c.oid AND k.contype = 'u'),
  'checks', (SELECT coalesce(json_agg(json_build_object('name', k.conname,
      'expression', pg_get_expr(k.conbin, k.conrelid))), '[]')
    FROM keys k WHERE k.conrelid = c.oid AND k.contype = 'c'),
  'foreign_keys', (SELECT coalesce(json_agg(json_build_object(
      'name', k.conname, 'columns', k.columns, 'references', k.confrelid::text || '|' || k.confrelid::regclass::text,
      'referenced_columns', (SELECT json_agg(a.attname ORDER BY n)
        FROM unnest(k.confkey) WITH ORDINALITY u (num, n)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num),
      'on_delete', (SELECT name FROM actions WHERE letter = k.confdeltype),
      'on_update', (SELECT name FROM actions WHERE letter = k.confupdtype),
      'deferrable', k.condeferrable)), '[]')
    FROM keys k WHERE k.conrelid = c.oid AND k.contype = 'f'),
  'indexes', (SELECT coalesce(json_agg(json_build_object(
      'name', ic.relname, 'unique', i.indisunique, 'predicate', pg_get_expr(i.indpred, i.indrelid),
      'method', am.amname,
      'keys', (SELECT json_agg(json_build_object(
          'column', (SELECT attname FROM pg_attribute WHERE attrelid = i.indrelid
            AND attnum = i.indkey[n - 1] AND i.indkey[n - 1] <> 0),
          'expression', CASE WHEN i.indkey[n - 1] = 0 THEN pg_get_indexdef(i.indexrelid, n, true) END,
          'descending', coalesce((i.indoption[n - 1] & 1) = 1, false)) ORDER BY n)
        FROM generate_series(1, i.indnkeyatts) n))), '[]')
    FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am am ON am.oid = ic.relam
    WHERE i.indrelid = c.oid AND NOT EXISTS (SELECT FROM pg_constraint k
      WHERE k.conrelid = c.oid AND k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))),
  'triggers', (SELECT coalesce(json_agg(json_build_object('name', t.tgname,
      'definition', pg_get_triggerdef(t.oid, true))), '[]')
    FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
)::text
FROM pg_class c WHERE c.oid = ANY((SELECT oids FROM input)::oid[]) AND c.relkind IN ('r', 'p')";
}

pub(super) fn read(conn: &mut PgConnection, scope: &Scope) -> QueryResult<Vec<Table>> {
    pinned(conn, scope.home(), |conn| {
        let names = Names::read(conn, scope)?;
        let oids: Vec<u32> = names.relations.keys().copied().collect();
        let documents: Vec<String> = Prepared::<Tables>::new().oids(&oids).load(conn)?;
        documents
            .iter()
            .map(|document| table(&names, document))
            .collect()
    })
}

/// Fills in what the server does not know: names as this crate writes them, and meanings.
fn table(names: &Names, document: &str) -> QueryResult<Table> {
    let mut table: Table = serde_json::from_str(document)
        .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
    table.name = names.of_relation(&table.name);
    for key in &mut table.foreign_keys {
        key.references = names.of_relation(&key.references);
    }
    for column in &mut table.columns {
        column.logical_type = LogicalType::of_postgres(&column.declared_type);
    }
    for check in &mut table.checks {
        check.expression = without_parentheses(&check.expression).to_owned();
    }
    table.sort();
    Ok(table)
}

/// The expression without the one pair of parentheses that the server puts around it.
fn without_parentheses(expression: &str) -> &str {
    expression
        .strip_prefix('(')
        .and_then(|e| e.strip_suffix(')'))
        .unwrap_or(expression)
}
