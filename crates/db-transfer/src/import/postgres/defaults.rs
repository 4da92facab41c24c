//! Values of which rows do not speak: the database gives its defaults, for many rows at a time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use db_core::bulk::PostgresBulk;

use super::line::Line;
use super::literal;
use crate::import::plan::Plan;

/// The defaults of a table's columns.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    /// What SQL says for them, by the place of the column in the plan.
    known: BTreeMap<usize, String>,
}

impl Defaults {
    /// Fills the gaps of lines. Each default is asked for as often as it is needed, so that every row
    /// has its own number or moment, as if the server had stored it without the column.
    pub(super) fn fill<'l>(
        &mut self,
        bulk: &mut PostgresBulk,
        plan: &Plan,
        lines: impl Iterator<Item = &'l mut Line>,
    ) -> Result<(), db_core::Error> {
        let lines: Vec<_> = lines.filter(|line| !line.gaps.is_empty()).collect();
        let mut needed: BTreeMap<usize, usize> = BTreeMap::new();
        for gap in lines.iter().flat_map(|line| &line.gaps) {
            *needed.entry(gap.put).or_default() += 1;
        }
        let mut values = BTreeMap::new();
        for (put, count) in needed {
            let sql = match self.known.entry(put) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(default_of(bulk, plan, put)?),
            };
            let sql = format!("SELECT {sql} FROM pg_catalog.generate_series(1, {count})");
            values.insert(put, bulk.rows(&sql)?.into_iter());
        }
        for line in lines {
            line.fill(|put| values.get_mut(&put)?.next()?.into_iter().next().flatten());
        }
        Ok(())
    }
}

/// The default of a column, or of its domain, in SQL, of the column's type: how long it may be is for COPY to say.
fn default_of(bulk: &mut PostgresBulk, plan: &Plan, put: usize) -> Result<String, db_core::Error> {
    let table = literal(&plan.sql_name);
    let column = plan
        .puts
        .get(put)
        .map_or("", |put| put.column.name.as_str());
    let found = bulk.rows(&format!(
        "SELECT CASE WHEN a.attidentity <> '' THEN 'pg_catalog.nextval(' || \
             quote_literal(pg_get_serial_sequence({table}, a.attname)) || ')' \
         ELSE 'CAST((' || coalesce(pg_get_expr(d.adbin, d.adrelid), pg_get_expr(t.typdefaultbin, 0), 'NULL') \
             || ') AS ' || format_type(a.atttypid, -1) || ')' END \
         FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid \
         LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = {table}::regclass AND a.attname = {}",
        literal(column)
    ))?;
    let found = found.concat().into_iter().next().flatten();
    Ok(found.unwrap_or_else(|| "NULL".to_owned()))
}
