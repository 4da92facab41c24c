//! The types that a database of PostgreSQL has made itself.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::{CopyError, Doing as _};
use super::super::side::Bulk;

/// A type, and what makes it.
#[derive(Debug, Clone)]
pub(in super::super) struct UserType {
    /// As SQL takes it.
    pub(super) name: String,
    pub(super) schema: String,
    pub(super) sql: String,
    /// Checks that hold for new values only.
    pub(super) later: Option<String>,
}

/// A type as the catalog has it; one without a text comes with another: an array, a multirange.
#[derive(Debug)]
struct Found {
    made: Option<UserType>,
    is_enum: bool,
    /// Whether a column of a table has it.
    is_used: bool,
    /// The types that have to be there before.
    needs: Vec<u64>,
}

/// The types of everything but the catalog, apart from what extensions and tables bring.
const TYPES: &str = "SELECT t.oid, t.typtype, format_type(t.oid, NULL), n.nspname, \
    CASE t.typtype \
    WHEN 'e' THEN (SELECT 'CREATE TYPE ' || format_type(t.oid, NULL) || ' AS ENUM (' \
        || coalesce(string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder), '') || ')' \
        FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) \
    WHEN 'd' THEN concat_ws(' ', 'CREATE DOMAIN', format_type(t.oid, NULL), 'AS', \
        format_type(t.typbasetype, t.typtypmod), \
        (SELECT 'COLLATE ' || quote_ident(cn.nspname) || '.' || quote_ident(c.collname) \
         FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace cn ON cn.oid = c.collnamespace \
         JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype \
         WHERE c.oid = t.typcollation AND c.oid <> b.typcollation), \
        'DEFAULT ' || t.typdefault, CASE WHEN t.typnotnull THEN 'NOT NULL' END, \
        (SELECT string_agg('CONSTRAINT ' || quote_ident(k.conname) || ' ' \
            || pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname) \
         FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c' AND k.convalidated)) \
    WHEN 'c' THEN (SELECT 'CREATE TYPE ' || format_type(t.oid, NULL) || ' AS (' \
        || coalesce(string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) \
            || coalesce((SELECT ' COLLATE ' || quote_ident(cn.nspname) || '.' || quote_ident(c.collname) \
                FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace cn ON cn.oid = c.collnamespace \
                JOIN pg_catalog.pg_type b ON b.oid = a.atttypid \
                WHERE c.oid = a.attcollation AND c.oid <> b.typcollation), ''), \
            ', ' ORDER BY a.attnum), '') || ')' \
        FROM pg_catalog.pg_attribute a \
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) \
    WHEN 'r' THEN (SELECT 'CREATE TYPE ' || format_type(t.oid, NULL) || ' AS RANGE (' || concat_ws(', ', \
        'SUBTYPE = ' || format_type(r.rngsubtype, NULL), \
        (SELECT 'SUBTYPE_OPCLASS = ' || quote_ident(opn.nspname) || '.' || quote_ident(op.opcname) \
         FROM pg_catalog.pg_opclass op JOIN pg_catalog.pg_namespace opn ON opn.oid = op.opcnamespace \
         WHERE op.oid = r.rngsubopc), \
        (SELECT 'COLLATION = ' || quote_ident(cn.nspname) || '.' || quote_ident(c.collname) \
         FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace cn ON cn.oid = c.collnamespace \
         WHERE c.oid = r.rngcollation), \
        'SUBTYPE_DIFF = ' || nullif(r.rngsubdiff::oid, 0)::regproc::text, \
        'MULTIRANGE_TYPE_NAME = ' || format_type((to_jsonb(r) ->> 'rngmultitypid')::oid, NULL)) || ')' \
        FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid) \
    END, \
    (SELECT string_agg('ALTER DOMAIN ' || format_type(t.oid, NULL) || ' ADD CONSTRAINT ' \
        || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), '; ' ORDER BY k.conname) \
     FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c' AND NOT k.convalidated), \
    array_to_string(array_remove(CASE t.typtype \
        WHEN 'd' THEN ARRAY[t.typbasetype] \
        WHEN 'c' THEN ARRAY(SELECT a.atttypid FROM pg_catalog.pg_attribute a \
            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) \
        WHEN 'r' THEN ARRAY(SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid) \
        WHEN 'm' THEN ARRAY(SELECT r.rngtypid FROM pg_catalog.pg_range r \
            WHERE (to_jsonb(r) ->> 'rngmultitypid')::oid = t.oid) \
        ELSE ARRAY[t.typelem] END, 0::oid), ' '), \
    EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
        WHERE a.atttypid = t.oid AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped) \
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
    LEFT JOIN pg_catalog.pg_class o ON o.oid = t.typrelid \
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
    AND t.typtype IN ('b', 'c', 'd', 'e', 'm', 'r') AND coalesce(o.relkind, 'c') = 'c' \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = t.oid \
        AND d.classid = 'pg_catalog.pg_type'::regclass AND d.deptype = 'e') \
    ORDER BY 3";

/// The enums of a PostgreSQL database and the types that its tables use, each after those that it is
/// made of.
///
/// # Errors
/// What reading them says.
pub(in super::super) fn types_of(reader: &mut Bulk) -> Result<Vec<UserType>, CopyError> {
    let rows = reader
        .rows(TYPES)
        .doing(|| "reading the types".to_owned())?;
    let mut found = BTreeMap::new();
    for row in rows {
        let mut row = row.into_iter();
        let mut next = || row.next().flatten();
        let Some(oid) = next().and_then(|oid| oid.parse::<u64>().ok()) else {
            continue;
        };
        let is_enum = next().as_deref() == Some("e");
        let (name, schema) = (next().unwrap_or_default(), next().unwrap_or_default());
        let (sql, later) = (next(), next());
        let made = sql.map(|sql| UserType {
            name,
            schema,
            sql,
            later,
        });
        let needs = next().unwrap_or_default();
        let needs = needs.split(' ').filter_map(|oid| oid.parse().ok());
        let one = Found {
            made,
            is_enum,
            needs: needs.collect(),
            is_used: next().as_deref() == Some("t"),
        };
        found.insert(oid, one);
    }
    Ok(in_order(&found))
}

fn in_order(found: &BTreeMap<u64, Found>) -> Vec<UserType> {
    let mut types = Vec::new();
    let mut seen = BTreeSet::new();
    for (oid, one) in found {
        if one.is_enum || one.is_used {
            add(*oid, found, &mut seen, &mut types);
        }
    }
    types
}

fn add(
    oid: u64,
    found: &BTreeMap<u64, Found>,
    seen: &mut BTreeSet<u64>,
    types: &mut Vec<UserType>,
) {
    let Some(one) = found.get(&oid) else {
        return;
    };
    if !seen.insert(oid) {
        return;
    }
    for needed in &one.needs {
        add(*needed, found, seen, types);
    }
    types.extend(one.made.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_type_is_made_of_comes_first_and_what_nobody_uses_not_at_all() {
        let one = |name: Option<&str>, is_enum, is_used, needs: &[u64]| Found {
            made: name.map(|name| UserType {
                name: name.to_owned(),
                schema: "public".to_owned(),
                sql: String::new(),
                later: None,
            }),
            is_enum,
            is_used,
            needs: needs.to_vec(),
        };
        let found = BTreeMap::from([
            (1, one(Some("outer"), false, true, &[5, 23])),
            (2, one(Some("unused"), false, false, &[])),
            (3, one(Some("mood"), true, false, &[])),
            (4, one(Some("inner"), false, false, &[3])),
            (5, one(None, false, false, &[4])),
        ]);
        let names: Vec<String> = in_order(&found).into_iter().map(|t| t.name).collect();
        assert_eq!(names, ["mood", "inner", "outer"]);
    }
}
