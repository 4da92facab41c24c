//! What a script with some tables of PostgreSQL needs beyond them: `pg_dump` writes a table that is
//! named, and neither its partitions, its schema, nor what it is made of.

use db_core::bulk::PostgresBulk;

use crate::shape::{TableName, literal, quoted};

/// The schema that every database has.
const PUBLIC: &str = "public";

/// The tables and their partitions: schema and name.
const TABLES: &str = "\
SELECT n.nspname, c.relname FROM chosen
JOIN pg_catalog.pg_class c ON c.oid = chosen.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY c.oid";

/// What they, their columns, defaults, constraints, indexes, triggers, policies and rules depend on, and
/// is none of these. What an extension has made is had by making the extension. Indexes are those of
/// the tables that foreign keys lead to.
const NEEDED: &str = "\
SELECT DISTINCT pg_catalog.pg_describe_object(
  COALESCE(e.refclassid, d.refclassid), COALESCE(e.refobjid, d.refobjid), 0)
FROM parts p
JOIN pg_catalog.pg_depend d ON d.classid = p.classid AND d.objid = p.objid AND d.deptype = 'n'
LEFT JOIN pg_catalog.pg_depend e
  ON e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e'
WHERE d.refclassid <> 'pg_namespace'::regclass
  AND (d.refclassid, d.refobjid) NOT IN (SELECT classid, objid FROM parts)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_class i
    WHERE d.refclassid = 'pg_class'::regclass AND i.oid = d.refobjid AND i.relkind IN ('i', 'I'))
ORDER BY 1";

/// Foreign keys between two of the tables that are checked at once.
const KEYS: &str = "\
SELECT n.nspname, c.relname, k.conname, k.condeferrable::text
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND NOT k.condeferred
  AND k.conrelid <> k.confrelid
  AND k.conrelid IN (SELECT oid FROM named) AND k.confrelid IN (SELECT oid FROM named)
ORDER BY k.conrelid, k.conname";

/// Some tables of a database.
pub(super) struct Few {
    /// Them and their partitions.
    pub(super) tables: Vec<TableName>,
    /// What their script needs to be loaded, as a person reads it.
    pub(super) needed: Vec<String>,
}

impl Few {
    /// Of tables by their names in quotes.
    pub(super) fn read(bulk: &mut PostgresBulk, names: &[String]) -> Result<Self, db_core::Error> {
        let of = |what: &str| {
            let parts = format!(
                "chosen (oid) AS (SELECT oid FROM named UNION
                   SELECT t.relid FROM named, pg_catalog.pg_partition_tree(named.oid) t),
                 parts (classid, objid) AS (SELECT 'pg_class'::regclass::oid, oid FROM chosen UNION
                   SELECT d.classid, d.objid FROM parts p JOIN pg_catalog.pg_depend d
                   ON d.refclassid = p.classid AND d.refobjid = p.objid
                   WHERE d.deptype IN ('a', 'i', 'P', 'S')) {what}"
            );
            with_named(names, &format!(", {parts}"))
        };
        let tables = bulk.rows(&of(TABLES))?.into_iter().map(|row| {
            let mut row = row.into_iter();
            let (schema, name) = (row.next().flatten(), row.next().flatten());
            let name = name.unwrap_or_default();
            TableName { schema, name }
        });
        let tables = tables.collect();
        let needed = bulk.rows(&of(NEEDED))?.concat().into_iter().flatten();
        let needed = needed.collect();
        Ok(Self { tables, needed })
    }

    /// Statements for before and after the rows of tables that refer to each other in a circle, which
    /// have no order in which every row finds the one that it refers to.
    pub(super) fn deferred(
        bulk: &mut PostgresBulk,
        names: &[String],
    ) -> Result<(String, String), db_core::Error> {
        let mut before = String::new();
        let mut after = String::new();
        for row in bulk.rows(&with_named(names, KEYS))? {
            let [Some(schema), Some(name), Some(key), deferrable] = row.as_slice() else {
                continue;
            };
            let (schema, name) = (Some(schema.clone()), name.clone());
            let table = TableName { schema, name }.quoted();
            let start = format!("ALTER TABLE {table} ALTER CONSTRAINT {}", quoted(key));
            let was = if deferrable.as_deref() == Some("true") {
                "DEFERRABLE INITIALLY IMMEDIATE"
            } else {
                "NOT DEFERRABLE"
            };
            before.extend([&start, " DEFERRABLE INITIALLY DEFERRED;\n"]);
            after.extend([&start, " ", was, ";\n"]);
        }
        if !after.is_empty() {
            // A table with checks that are still to be made cannot be altered.
            after.insert_str(0, "SET CONSTRAINTS ALL IMMEDIATE;\n");
        }
        Ok((before, after))
    }

    /// Statements that make the schemas which may not be there.
    pub(super) fn schemas(&self) -> String {
        let schemas = self.tables.iter().filter_map(|t| t.schema.as_deref());
        let mut schemas: Vec<_> = schemas.filter(|schema| *schema != PUBLIC).collect();
        schemas.sort_unstable();
        schemas.dedup();
        let made = schemas
            .iter()
            .map(|schema| format!("CREATE SCHEMA IF NOT EXISTS {};\n", quoted(schema)));
        made.collect()
    }
}

/// A query over the tables of these names, which are in quotes.
fn with_named(names: &[String], query: &str) -> String {
    let oids = names.iter().map(|name| literal(name) + "::regclass::oid");
    let oids = oids.collect::<Vec<_>>().join(", ");
    format!("WITH RECURSIVE named (oid) AS (SELECT unnest(ARRAY[{oids}])) {query}")
}
