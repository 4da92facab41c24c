//! Constraints of PostgreSQL that are `NOT VALID`: rows from before need not hold them.

use db_core::{Access, Engine};

use super::Copy;
use super::error::{CopyError, Doing as _};
use super::names::{Name, reference};
use super::report::{CopyReport, NotTranslated};
use super::side::{Bulk, Snapshot};

/// Where each is, what it is called, what it refers to and by which columns, and how to count the rows that
/// break it. A partition has those of its root.
const NOT_VALID: &str = "\
SELECT CASE WHEN n.nspname <> 'public' THEN n.nspname END, c.relname, k.conname,
  CASE WHEN m.nspname <> 'public' THEN m.nspname END, f.relname,
  (SELECT string_agg(a.attname, ', ' ORDER BY u.at) FROM unnest(k.conkey) WITH ORDINALITY u (mine, at)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.mine),
  CASE k.contype WHEN 'c' THEN
    format('SELECT count(*) FROM %s%s WHERE NOT (%s)', w.only, c.oid::regclass, pg_get_expr(k.conbin, c.oid))
  ELSE
    format('SELECT count(*) FROM %s%s c WHERE %s AND NOT EXISTS (SELECT FROM %s%s p WHERE %s)',
      w.only, c.oid::regclass,
      (SELECT string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ') FROM unnest(k.conkey) u (mine)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.mine),
      CASE f.relkind WHEN 'r' THEN 'ONLY ' END, f.oid::regclass,
      (SELECT string_agg(format('p.%I = c.%I', b.attname, a.attname), ' AND ')
        FROM unnest(k.conkey, k.confkey) u (mine, theirs)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.mine
        JOIN pg_catalog.pg_attribute b ON b.attrelid = f.oid AND b.attnum = u.theirs))
  END
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class f ON f.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace m ON m.oid = f.relnamespace,
LATERAL (SELECT CASE c.relkind WHEN 'r' THEN 'ONLY ' END AS only) w
WHERE k.contype IN ('c', 'f') AND NOT k.convalidated AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1, 2, 3";

/// A constraint that is `NOT VALID`.
#[derive(Debug)]
pub(super) struct NotValid {
    table: Name,
    name: String,
    /// For a foreign key, where it leads to.
    parent: Option<Name>,
    /// The columns that it is about.
    columns: String,
    /// Counts the rows that break it.
    count: String,
}

impl NotValid {
    /// How it is called where it is left out, or its rows are listed.
    fn shown(&self) -> String {
        match &self.parent {
            Some(parent) => reference(&self.table.shown(), &self.columns, &parent.shown()),
            None => format!("{}.{}", self.table.shown(), self.name),
        }
    }
}

impl Copy<'_> {
    /// Those of the tables that are copied.
    pub(super) fn not_valid(&self) -> Result<Vec<NotValid>, CopyError> {
        let mut bulk = Bulk::open(&self.from, Access::ReadOnly, &self.interrupt)?;
        let rows = bulk
            .rows(NOT_VALID)
            .doing(|| "reading the catalog".to_owned())?;
        let all = rows.into_iter().map(|row| {
            let mut row = row.into_iter();
            let mut next = || row.next().flatten();
            NotValid {
                table: Name {
                    schema: next(),
                    table: next().unwrap_or_default(),
                },
                name: next().unwrap_or_default(),
                parent: {
                    let schema = next();
                    next().map(|table| Name { schema, table })
                },
                columns: next().unwrap_or_default(),
                count: next().unwrap_or_default(),
            }
        });
        let is_wanted = |name: &Name| self.tables.is_empty() || self.tables.contains(&name.shown());
        Ok(all.filter(|one| is_wanted(&one.table)).collect())
    }

    /// Tells a dry run which of them rows break; a check on the way to SQLite is tried there.
    pub(super) fn foresee_not_valid(
        &self,
        snapshot: &mut Snapshot,
        all: &[NotValid],
        report: &mut CopyReport,
    ) -> Result<(), CopyError> {
        let to = self.to.engine();
        for one in all {
            let (kind, breaks) = match (&one.parent, to) {
                (None, Engine::Sqlite) => continue,
                (None, Engine::Postgres) => ("check", "do not hold it"),
                (Some(_), Engine::Sqlite) => ("reference", "refer to what is not there"),
                (Some(_), Engine::Postgres) => ("foreign key", "refer to what is not there"),
            };
            let rows = snapshot.readers[0]
                .number(&one.count)
                .doing(|| format!("looking into {}", one.table.shown()))?;
            let shown = one.shown();
            let mut left = report.not_translated.iter();
            if rows > 0 && !left.any(|l| l.kind == kind && l.name == shown) {
                let left = NotTranslated::new(kind, shown, format!("{rows} rows {breaks}"));
                report.not_translated.push(left);
            }
        }
        Ok(())
    }
}

/// Says of those that have gone along that they hold for all rows now; the others are listed already.
pub(super) fn list(all: &[NotValid], report: &mut CopyReport) {
    for one in all {
        let shown = one.shown();
        let mut left = report.not_translated.iter();
        if left.any(|l| ["check", "foreign key", "reference"].contains(&l.kind) && l.name == shown)
        {
            continue;
        }
        let name = format!("{}.{}", one.table.shown(), one.name);
        let reason = "it is copied without NOT VALID, so it holds for all rows";
        let part = NotTranslated::new("part of a constraint", name, reason);
        report.not_translated.push(part);
    }
}
