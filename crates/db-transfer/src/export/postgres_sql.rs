//! SQL that `psql` loads into an empty database: the schema by `pg_dump`, the rows by COPY.

use std::path::Path;

use db_core::DatabaseUrl;
use db_core::bulk::PostgresBulk;

use super::Plan;
use super::postgres_few::Few;
use super::sink::Sink;
use super::stream::Stream;
use super::tools::PgDump;
use crate::error::{Doing as _, Error};
use crate::shape::{Table, TableName, literal};
use crate::source::columns;

/// The sequences that belong to a column, and those that belong to nobody.
const SEQUENCES: &str = "\
SELECT NULLIF(n.nspname, current_schema()), c.relname, d.refobjid::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
  AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
WHERE c.relkind = 'S' AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
    WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY n.nspname, c.relname";

/// How the schema is to be had.
pub(super) struct Dump<'a> {
    pub(super) url: &'a DatabaseUrl,
    pub(super) snapshot: &'a str,
    pub(super) pg_bin: Option<&'a Path>,
    /// Under which name `pg_dump` connects.
    pub(super) name: &'a str,
}

pub(super) fn export(
    bulk: &mut PostgresBulk,
    dump: &Dump<'_>,
    plan: &Plan<'_>,
    sink: &mut Sink,
    stream: &mut Stream<'_>,
) -> Result<(), Error> {
    let catalog = || "reading the catalog".to_owned();
    // `pg_dump` takes names without a schema apart by its own rules.
    let home = bulk.rows("SELECT current_schema()").doing(catalog)?;
    let home = home
        .concat()
        .into_iter()
        .next()
        .flatten()
        .unwrap_or_default();
    let full = |name: &TableName| {
        let schema = name.schema.clone().or_else(|| Some(home.clone()));
        let name = name.name.clone();
        TableName { schema, name }.quoted()
    };
    let tool = if plan.has_schema() {
        let version = bulk
            .rows("SELECT current_setting('server_version_num')")
            .doing(catalog)?;
        let version = version.concat().into_iter().next().flatten();
        let version = version
            .and_then(|version| version.parse::<u32>().ok())
            .unwrap_or_default();
        let mut tool = PgDump::find(dump.pg_bin, version / 10_000)?;
        tool.called(dump.name);
        tool.snapshot(dump.snapshot);
        if !plan.is_whole {
            let names: Vec<_> = plan.tables.iter().map(|t| full(&t.name)).collect();
            let few = Few::read(bulk, &names).doing(catalog)?;
            few.tables
                .iter()
                .for_each(|name| tool.table(&name.quoted()));
            stream.buffer.extend_from_slice(few.schemas().as_bytes());
            stream.flush(sink)?;
            if !few.needed.is_empty() {
                stream.report.warnings.push(format!(
                    "the script needs what is not in it, and can be loaded only where that is: {}",
                    few.needed.join(", ")
                ));
            }
        }
        Some(tool)
    } else {
        // As `pg_dump` does, so that nothing of the target's settings changes what a name means.
        stream.buffer.extend_from_slice(
            b"SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\
              SET DateStyle = 'ISO, YMD';\n",
        );
        None
    };
    if let Some(tool) = &tool {
        tool.run(dump.url, "pre-data", sink)?;
    }
    if plan.has_data() {
        // One transaction holds the rows, so that a script that fails leaves no half of them.
        stream.buffer.extend_from_slice(b"BEGIN;\n");
        let mut after = String::new();
        // With the schema, the keys are made when the rows are there.
        for circle in circles(plan, &full).iter().filter(|_| tool.is_none()) {
            let (before, its_after) = Few::deferred(bulk, circle).doing(catalog)?;
            stream.buffer.extend_from_slice(before.as_bytes());
            after += &its_after;
            if !before.is_empty() {
                stream.report.warnings.push(format!(
                    "{} refer to each other: the script defers these foreign keys until all rows are there, \
                     which only the owner of the tables may do",
                    circle.join(", ")
                ));
            }
        }
        for table in &plan.tables {
            let rows = copy(bulk, &full(&table.name), table, sink, stream)?;
            stream.report.tables.push((table.name.to_string(), rows));
        }
        sequences(bulk, plan, &full, stream)?;
        stream.buffer.extend_from_slice(after.as_bytes());
        stream.buffer.extend_from_slice(b"COMMIT;\n\n");
    }
    stream.flush(sink)?;
    if let Some(tool) = &tool {
        tool.run(dump.url, "post-data", sink)?;
    }
    Ok(())
}

/// What of the tables refer to each other, by their names in quotes.
fn circles(plan: &Plan<'_>, full: &impl Fn(&TableName) -> String) -> Vec<Vec<String>> {
    let is_there = |name: &&TableName| plan.tables.iter().any(|table| table.name == **name);
    let circles = plan
        .cycles
        .iter()
        .map(|circle| circle.iter().filter(is_there).map(full).collect());
    circles.filter(|circle: &Vec<_>| circle.len() > 1).collect()
}

fn copy(
    bulk: &mut PostgresBulk,
    name: &str,
    table: &Table,
    sink: &mut Sink,
    stream: &mut Stream<'_>,
) -> Result<u64, Error> {
    let names = columns(table.stored_columns().map(|column| &column.name));
    let names = if names.is_empty() {
        names
    } else {
        format!(" ({names})")
    };
    let start = format!("COPY {name}{names} FROM stdin;\n");
    stream.buffer.extend_from_slice(start.as_bytes());
    let rows = stream.postgres(bulk, (table, "text"), sink, |row, out| {
        out.extend_from_slice(row);
    })?;
    stream.buffer.extend_from_slice(b"\\.\n\n");
    Ok(rows)
}

/// Sets the sequences of the tables, or all.
fn sequences(
    bulk: &mut PostgresBulk,
    plan: &Plan<'_>,
    full: &impl Fn(&TableName) -> String,
    stream: &mut Stream<'_>,
) -> Result<(), Error> {
    let catalog = || "reading the sequences".to_owned();
    let mut owners = Vec::new();
    for table in &plan.tables {
        let oid = format!(
            "SELECT {}::regclass::oid::text",
            literal(&full(&table.name))
        );
        owners.extend(
            bulk.rows(&oid)
                .doing(catalog)?
                .concat()
                .into_iter()
                .flatten(),
        );
    }
    for row in bulk.rows(SEQUENCES).doing(catalog)? {
        let mut row = row.into_iter();
        let (schema, name, owner) = (
            row.next().flatten(),
            row.next().flatten(),
            row.next().flatten(),
        );
        let name = full(&TableName {
            schema,
            name: name.unwrap_or_default(),
        });
        let is_wanted = match owner {
            Some(owner) => owners.contains(&owner),
            None => plan.is_whole,
        };
        if !is_wanted {
            continue;
        }
        let now = bulk
            .rows(&format!(
                "SELECT last_value, is_called, CASE WHEN is_called THEN last_value::numeric + seqincrement \
                 ELSE last_value END AS next, seqmin, seqmax FROM {name}, pg_catalog.pg_sequence \
                 WHERE seqrelid = {}::regclass",
                literal(&name)
            ))
            .doing(catalog)?;
        if let [
            Some(last),
            Some(called),
            Some(next),
            Some(least),
            Some(most),
        ] = now.concat().as_slice()
        {
            let number = |text: &str| text.parse::<i128>().unwrap_or_default();
            let line = if (number(least)..=number(most)).contains(&number(next)) {
                // A rollback undoes it, which it does not do with `setval`.
                format!("ALTER SEQUENCE {name} RESTART WITH {next};\n")
            } else {
                let called = called == "t";
                format!(
                    "SELECT pg_catalog.setval({}, {last}, {called});\n",
                    literal(&name)
                )
            };
            stream.buffer.extend_from_slice(line.as_bytes());
        }
    }
    Ok(())
}
