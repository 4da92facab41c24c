//! The schema that a tool left behind, as sorted lines that can be compared.
//!
//! Read from the engine's own catalog and not with our own introspection, which would judge
//! itself. The tables that the tools keep their books in are left out.

use std::collections::BTreeSet;

use anyhow::Result;

use super::server::lines;
use super::tools::Place;

/// SQLite keeps the text of every object; automatic indexes have none.
const SQLITE: &str = "
    SELECT type || ' ' || name || ' on ' || tbl_name || ': ' || coalesce(sql, '') AS line
    FROM sqlite_master
    WHERE substr(tbl_name, 1, 2) <> '__' AND substr(name, 1, 7) <> 'sqlite_'";

/// Columns in their order, constraints, indexes, triggers, views, functions, types, sequences
/// and comments of everything that is neither the system's nor a ledger's.
const POSTGRES: &str = "
    WITH relation AS (
        SELECT c.oid, c.relkind, n.nspname || '.' || c.relname AS name
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
          AND c.relname !~ '^__'
    )
    SELECT 'column ' || r.name || ' ' || a.attnum || ' ' || a.attname || ' '
           || format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
           || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') AS line
    FROM relation r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
    WHERE r.relkind IN ('r', 'p', 'v', 'm') AND NOT a.attisdropped
    UNION ALL
    SELECT 'constraint ' || r.name || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
    FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid
    UNION ALL
    SELECT 'index ' || pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END
    FROM relation r JOIN pg_index i ON i.indrelid = r.oid
    UNION ALL
    SELECT 'trigger ' || pg_get_triggerdef(t.oid)
    FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT 'view ' || r.name || ' ' || pg_get_viewdef(r.oid)
    FROM relation r WHERE r.relkind IN ('v', 'm')
    UNION ALL
    SELECT 'sequence ' || r.name FROM relation r WHERE r.relkind = 'S'
    UNION ALL
    SELECT 'function ' || pg_get_functiondef(p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND p.prokind IN ('f', 'p')
      AND p.proname !~ '^__'
    UNION ALL
    SELECT 'enum ' || n.nspname || '.' || t.typname || ' ' || string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
    FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace
    GROUP BY n.nspname, t.typname
    UNION ALL
    SELECT 'comment ' || r.name || ' ' || d.objsubid || ' ' || d.description
    FROM relation r JOIN pg_description d ON d.objoid = r.oid AND d.classoid = 'pg_class'::regclass";

/// Reads the schema.
///
/// # Errors
/// If the database cannot be read.
pub(crate) fn read(place: &Place) -> Result<BTreeSet<String>> {
    let sql = match place {
        Place::Sqlite(_) => SQLITE,
        Place::Postgres(_) => POSTGRES,
    };
    Ok(lines(place, sql)?.into_iter().collect())
}

/// The first difference in words, or nothing.
pub(crate) fn difference(ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> Option<String> {
    let missing = theirs
        .difference(ours)
        .next()
        .map(|line| format!("missing {line}"));
    let surplus = ours
        .difference(theirs)
        .next()
        .map(|line| format!("surplus {line}"));
    if theirs.is_empty() {
        return Some("both are empty: nothing was compared".to_owned());
    }
    match (missing, surplus) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one),
        (Some(missing), Some(surplus)) => Some(format!("{missing}; {surplus}")),
    }
}

#[cfg(test)]
mod tests {
    use db_core::{Access, Connection, DatabaseUrl};

    use super::*;

    fn built(sql: &str) -> BTreeSet<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.db");
        Connection::open(&DatabaseUrl::SqliteFile(file.clone()), Access::Create)
            .unwrap()
            .conn()
            .batch_execute(sql)
            .unwrap();
        read(&Place::Sqlite(file)).unwrap()
    }

    const BASE: &str = "CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT NOT NULL);
        CREATE INDEX i ON a (b); CREATE TABLE __ledger (x TEXT UNIQUE);";

    #[test]
    fn the_same_statements_give_the_same_schema() {
        assert_eq!(difference(&built(BASE), &built(BASE)), None);
    }

    #[test]
    fn ledgers_do_not_count() {
        let without = BASE.replace("CREATE TABLE __ledger (x TEXT UNIQUE);", "");
        assert_eq!(difference(&built(BASE), &built(&without)), None);
    }

    #[test]
    fn every_kind_of_change_is_found() {
        for (from, to) in [
            ("TEXT NOT NULL", "TEXT"),
            (
                "INTEGER PRIMARY KEY, b TEXT NOT NULL",
                "TEXT NOT NULL, b INTEGER PRIMARY KEY",
            ),
            ("CREATE INDEX i ON a (b);", ""),
            ("INDEX i ON a (b)", "INDEX i ON a (id)"),
            (
                "CREATE INDEX i",
                "CREATE TABLE extra (c TEXT); CREATE INDEX i",
            ),
            (
                "CREATE INDEX i",
                "CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1; END; CREATE INDEX i",
            ),
        ] {
            let changed = built(&BASE.replace(from, to));
            assert!(
                difference(&built(BASE), &changed).is_some(),
                "{from} -> {to}"
            );
            assert!(
                difference(&changed, &built(BASE)).is_some(),
                "{to} -> {from}"
            );
        }
    }

    #[test]
    fn two_empty_databases_prove_nothing() {
        assert!(difference(&BTreeSet::new(), &BTreeSet::new()).is_some());
    }
}
