//! What of the source does not go along, and why; tables, columns, keys and indexes are seen to by
//! those who make them.

use db_core::{Access, Engine};
use db_migrate::Drift;
use db_migrate::catalog::{Change, Difference, Kind, Object};

use super::error::{CopyError, Doing as _};
use super::names::Name;
use super::report::NotTranslated;
use super::side::Bulk;
use super::{Copy, Schema};

/// How the catalog writes a virtual table of SQLite.
const VIRTUAL: &str = "create virtual ";

/// What a table of PostgreSQL has that the model does not say: kind, name, reason.
const DETAILS: &str = "WITH n AS (SELECT oid FROM pg_catalog.pg_namespace \
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'), \
    c AS (SELECT * FROM pg_catalog.pg_class WHERE relnamespace IN (SELECT oid FROM n)), \
    k AS (SELECT * FROM pg_catalog.pg_constraint WHERE connamespace IN (SELECT oid FROM n)), \
    a AS (SELECT a.*, c.relname, c.relispartition, t.typname, t.typcollation, b.typname AS base \
        FROM pg_catalog.pg_attribute a JOIN c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') \
        JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
        LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype \
        WHERE a.attnum > 0 AND NOT a.attisdropped) \
    SELECT 'exclusion constraint', conname::text, 'it is not copied' FROM k WHERE contype = 'x' \
    UNION ALL SELECT 'foreign key', conname::text, 'it is copied without MATCH FULL' \
        FROM k WHERE contype = 'f' AND confmatchtype = 'f' \
    UNION ALL SELECT 'foreign key', conname::text, 'it is copied as INITIALLY DEFERRED' \
        FROM k WHERE contype = 'f' AND condeferrable AND NOT condeferred \
    UNION ALL SELECT 'constraint', conname::text, 'it is copied without DEFERRABLE' \
        FROM k WHERE contype IN ('p', 'u') AND condeferrable \
    UNION ALL SELECT 'constraint', conname::text, 'it is copied without NO INHERIT' \
        FROM k WHERE contype = 'c' AND connoinherit \
    UNION ALL SELECT 'index', c.relname::text, 'it is copied without INCLUDE' \
        FROM pg_catalog.pg_index i JOIN c ON c.oid = i.indexrelid WHERE i.indnkeyatts < i.indnatts \
    UNION ALL SELECT 'index', c.relname::text, 'it is copied without NULLS NOT DISTINCT' \
        FROM pg_catalog.pg_index i JOIN c ON c.oid = i.indexrelid \
        WHERE to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' \
    UNION ALL SELECT 'collation', relname || '.' || attname, 'the column is copied without it' \
        FROM a WHERE attcollation <> typcollation \
    UNION ALL SELECT 'citext', relname || '.' || attname, \
        'a text there, in which upper and lower case differ, in its keys and indexes too' \
        FROM a WHERE 'citext' IN (typname, base) AND NOT relispartition \
    UNION ALL SELECT 'identity', relname || '.' || attname, 'GENERATED ALWAYS becomes a default' \
        FROM a WHERE attidentity = 'a' AND NOT relispartition \
    UNION ALL SELECT 'sequence', c.relname::text, 'sequences of no column are not copied' FROM c \
        WHERE c.relkind = 'S' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
        WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')) \
    UNION ALL SELECT 'inheritance', c.oid::regclass::text, \
        'a table of its own there, whose rows ' || i.inhparent::regclass::text || ' does not show' \
        FROM pg_catalog.pg_inherits i JOIN c ON c.oid = i.inhrelid \
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition \
    UNION ALL SELECT 'row security', c.oid::regclass::text, \
        'it is off there: who may read the table reads every row' FROM c WHERE c.relrowsecurity \
    UNION ALL SELECT 'foreign table', c.oid::regclass::text, 'its rows are on another server' \
        FROM c WHERE c.relkind = 'f' \
    UNION ALL SELECT 'unlogged', c.oid::regclass::text, 'it is copied without UNLOGGED' \
        FROM c WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'u' \
    ORDER BY 1, 2, 3";

impl Copy<'_> {
    /// What was added to or changed in the source beside its migrations, which alone make the target.
    pub(super) fn beside_migrations(
        &self,
        schema: &dyn Schema,
    ) -> Result<Vec<NotTranslated>, CopyError> {
        let drift = schema.drift(&self.from).map_err(CopyError::Schema)?;
        if let Drift::Unknown { .. } = drift {
            let reason = "it cannot be told from what the migrations make, and is not copied";
            let left = NotTranslated::new("other", "what was added by hand", reason);
            return Ok(vec![left]);
        }
        let found = drift.differences().iter();
        Ok(found.filter_map(|one| self.beside(one)).collect())
    }

    fn beside(&self, one: &Difference) -> Option<NotTranslated> {
        let table = match one.kind {
            Kind::Table => Some(one.name.as_str()),
            _ => one.table.as_deref(),
        };
        if !self.is_wanted(table) {
            return None;
        }
        let (reason, text) = match &one.change {
            Change::Added { live } => (
                "the migrations, which make the target, do not make it",
                live,
            ),
            Change::Changed { live, .. } => ("the target has it as the migrations make it", live),
            // The target has what the source has lost.
            Change::Gone { .. } => return None,
        };
        let kind = match one.kind {
            Kind::Table if text.starts_with(VIRTUAL) => "virtual table",
            Kind::Comment => "comment",
            Kind::Other => "other",
            kind => kind.name(),
        };
        Some(NotTranslated::new(kind, &one.name, reason))
    }

    /// What is lost of the objects of a catalog.
    pub(super) fn of_objects<'o>(
        &self,
        objects: impl Iterator<Item = &'o Object>,
    ) -> Vec<NotTranslated> {
        let engines = self.engines();
        let mut lost = Vec::new();
        for object in objects {
            lost.extend(left(object.kind, &object.name, engines));
            if engines == (Engine::Sqlite, Engine::Postgres)
                && self.is_wanted(object.table.as_deref())
            {
                lost.extend(words_of_sqlite(object));
            }
        }
        lost
    }

    /// Whether what belongs to a table is to be copied, or what belongs to none.
    fn is_wanted(&self, table: Option<&str>) -> bool {
        let is_chosen = |table| self.tables.contains(&Name::parse(table).shown());
        self.tables.is_empty() || table.is_none_or(is_chosen)
    }

    /// What a table of PostgreSQL has that the model does not say.
    pub(super) fn details(&self) -> Result<Vec<NotTranslated>, CopyError> {
        let mut bulk = Bulk::open(&self.from, Access::ReadOnly, &self.interrupt)?;
        let rows = bulk
            .rows(DETAILS)
            .doing(|| "reading the catalog".to_owned())?;
        let to = self.to.engine();
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                let mut row = row.into_iter().flatten();
                let kind = match row.next()?.as_str() {
                    "exclusion constraint" => "exclusion constraint",
                    "foreign key" => "part of a foreign key",
                    "constraint" => "part of a constraint",
                    "index" => "part of an index",
                    "collation" => "collation",
                    "citext" if to == Engine::Sqlite => "collation",
                    "identity" => "identity",
                    "inheritance" => "inheritance",
                    "row security" => "row security",
                    "foreign table" => "foreign table",
                    "unlogged" if to == Engine::Postgres => "part of a table",
                    "sequence" => "sequence",
                    // The target knows it as it is, or has nothing of the kind to lose.
                    _ => return None,
                };
                Some(NotTranslated::new(kind, row.next()?, row.next()?))
            })
            .collect())
    }
}

/// What does not go along as a whole.
fn left(kind: Kind, name: &str, (from, to): (Engine, Engine)) -> Option<NotTranslated> {
    let same = from == to;
    let (kind, reason) = match kind {
        Kind::Trigger | Kind::View if same && from == Engine::Sqlite => return None,
        Kind::Trigger => (
            "trigger",
            "triggers are written in the engine's own language",
        ),
        Kind::View => ("view", "views are written in the engine's own language"),
        Kind::MaterializedView => ("materialized view", "it can be built anew from its query"),
        Kind::Function => (
            "function",
            "functions are written in the engine's own language",
        ),
        Kind::Rule => ("rule", "rules are not copied"),
        Kind::Policy => ("policy", "row security is not copied"),
        Kind::EventTrigger => ("event trigger", "event triggers are not copied"),
        // Every database of PostgreSQL has it from the start.
        Kind::Extension if name == "plpgsql" => return None,
        Kind::Extension => ("extension", "extensions are installed by the administrator"),
        Kind::Type if same => return None,
        Kind::Type => ("type", "its values are texts in the target"),
        Kind::Comment if same => ("comment", "comments are not copied"),
        Kind::Comment => ("comment", "SQLite has no comments"),
        Kind::Other => ("other", "it is not copied"),
        Kind::Schema
        | Kind::Sequence
        | Kind::Table
        | Kind::Column
        | Kind::Constraint
        | Kind::Index => return None,
    };
    Some(NotTranslated::new(kind, name, reason))
}

/// What a column, constraint or index of SQLite says that PostgreSQL does not, or takes otherwise.
fn words_of_sqlite(object: &Object) -> Vec<NotTranslated> {
    let part = match object.kind {
        Kind::Column | Kind::Constraint => "part of a constraint",
        Kind::Index => "part of an index",
        _ => return Vec::new(),
    };
    let text = outside_of_quotes(&object.strict);
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut found: Vec<NotTranslated> = Vec::new();
    // A check may say the same of a column several times.
    let mut lose = |kind, reason: String| {
        if !found.iter().any(|one| one.reason == reason) {
            found.push(NotTranslated::new(kind, &object.name, reason));
        }
    };
    for at in 0..words.len() {
        match words[at..] {
            ["collate", name, ..] if name != "binary" => lose(
                "collation",
                format!(
                    "it is copied without COLLATE {}: values that it takes for equal differ there, in keys \
                     and indexes too",
                    name.to_uppercase()
                ),
            ),
            ["on", "conflict", what, ..] if what != "abort" => lose(
                part,
                format!(
                    "it is copied without ON CONFLICT {}: such a row is refused there",
                    what.to_uppercase()
                ),
            ),
            ["like", ..] => lose(part, "LIKE minds upper and lower case there".to_owned()),
            ["not", "deferrable", ..] | ["deferrable", "initially", "deferred", ..] => {}
            ["deferrable", ..] if at == 0 || words[at - 1] != "not" => {
                lose(part, "it is copied as INITIALLY DEFERRED".to_owned());
            }
            _ => {}
        }
    }
    found
}

/// A text without what stands in quotes, where words mean nothing.
fn outside_of_quotes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut open = None;
    for c in text.chars() {
        match open {
            Some(end) if c == end => open = None,
            Some(_) => {}
            None => match c {
                '\'' | '"' | '`' => open = Some(c),
                '[' => open = Some(']'),
                _ => plain.push(c),
            },
        }
        if open.is_none() && "'\"`]".contains(c) {
            plain.push('?');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_where_they_are_no_text() {
        for (kind, strict, expected) in [
            (Kind::Column, "a text collate nocase unique", "collation"),
            (Kind::Column, "a text collate binary", ""),
            (Kind::Column, "a text default 'x collate nocase'", ""),
            (Kind::Column, "\"collate me\" text", ""),
            (
                Kind::Index,
                "create index i on t ( a collate rtrim )",
                "collation",
            ),
            (
                Kind::Index,
                "create index i on t ( a ) where a like 'x%'",
                "part of an index",
            ),
            (
                Kind::Constraint,
                "check ( a like 'x%' or a like 'y%' )",
                "part of a constraint",
            ),
            (
                Kind::Constraint,
                "unique ( a ) on conflict replace",
                "part of a constraint",
            ),
            (Kind::Constraint, "unique ( a ) on conflict abort", ""),
            (
                Kind::Column,
                "a references b deferrable initially immediate",
                "part of a constraint",
            ),
            (
                Kind::Column,
                "a references b not deferrable initially immediate",
                "",
            ),
            (
                Kind::Column,
                "a references b deferrable initially deferred",
                "",
            ),
            (Kind::Trigger, "update t set a = 1 where a like 'x'", ""),
        ] {
            let object = Object {
                kind,
                name: "x".to_owned(),
                table: None,
                strict: strict.to_owned(),
                loose: String::new(),
            };
            let found: Vec<_> = words_of_sqlite(&object).iter().map(|l| l.kind).collect();
            assert_eq!(found.join(" "), expected, "{strict}");
        }
    }
}
