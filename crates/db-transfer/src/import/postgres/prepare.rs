//! What is done to tables before rows come, and undone before the COMMIT: all of it in the transaction.

use std::collections::HashSet;

use db_core::bulk::PostgresBulk;
use db_migrate::catalog::model::ForeignKey;

use crate::Error;
use crate::format::{Record, Value};
use crate::import::names::quote;
use crate::import::plan::Plan;
use crate::import::quiet::hinted;
use crate::import::refusal::is_refusal;
use crate::import::rows::{Part, Rows};
use crate::import::table::Tables;
use crate::import::{Import, Job, Next, OnConflict, database, next_plan};

/// Where rows go first, and how they come from there into the table.
#[derive(Debug, Clone)]
pub(super) struct Staging {
    /// The COPY; none where rows are only looked at.
    pub(super) copy: Option<String>,
    /// What stores the rows that were copied, if they were not copied into the table itself.
    store: Option<String>,
    /// How many of the rows that were copied make way for a later one with the same key.
    superseded: Option<String>,
    clear: String,
}

impl Staging {
    pub(super) const fn nowhere() -> Self {
        Self {
            copy: None,
            store: None,
            superseded: None,
            clear: String::new(),
        }
    }

    /// Stores what was copied; rows written, and rows that were there already.
    pub(super) fn store(
        &self,
        bulk: &mut PostgresBulk,
        sent: u64,
    ) -> Result<(u64, u64), db_core::Error> {
        let Some(store) = &self.store else {
            return Ok((sent, 0));
        };
        let mut written = count(bulk, store)?;
        // They are stored like any other, if not for long.
        if let Some(superseded) = self.superseded.as_ref().filter(|_| written < sent) {
            written += count(bulk, superseded)?;
        }
        bulk.execute(&self.clear)?;
        Ok((written, sent.saturating_sub(written)))
    }
}

fn count(bulk: &mut PostgresBulk, sql: &str) -> Result<u64, db_core::Error> {
    let count = bulk.rows(sql)?.concat().into_iter().next().flatten();
    Ok(count
        .and_then(|count| count.parse().ok())
        .unwrap_or_default())
}

/// What has to be put back before the COMMIT.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// Whether foreign keys are checked at the end.
    put_off: bool,
    /// Tables that were prepared.
    tables: HashSet<String>,
    /// Statements that put back what was changed.
    back: Vec<String>,
}

impl Prepared {
    pub(super) fn new(put_off: bool) -> Self {
        Self {
            put_off,
            ..Self::default()
        }
    }

    /// Prepares a table for its rows.
    pub(super) fn table(
        &mut self,
        bulk: &mut PostgresBulk,
        plan: &Plan,
        import: &Import,
    ) -> Result<Staging, Error> {
        let name = &plan.table.name;
        let doing = |source| database(format!("preparing {name}"), source);
        if self.tables.insert(name.clone()) {
            if !import.fire_triggers && !plan.table.triggers.is_empty() {
                self.stop_triggers(bulk, plan).map_err(doing)?;
            }
            if self.put_off {
                self.put_off_keys(bulk, plan).map_err(doing)?;
            }
        }
        let (table, columns) = (&plan.sql_name, plan.columns());
        // Rows without columns have no conflicts, and no list.
        if import.on_conflict == OnConflict::Error || plan.puts.is_empty() {
            let list = if plan.puts.is_empty() {
                String::new()
            } else {
                format!(" ({columns})")
            };
            return Ok(Staging {
                copy: Some(format!("COPY {table}{list} FROM STDIN")),
                store: None,
                superseded: None,
                clear: String::new(),
            });
        }
        let mut order = "import_order".to_owned();
        while plan.puts.iter().any(|put| put.column.name == order) {
            order.push('_');
        }
        let conflict = plan.on_conflict(import.on_conflict)?;
        let stage = "pg_temp.bitcraps_db_import";
        let make = format!(
            "DROP TABLE IF EXISTS {stage}; \
             CREATE TEMP TABLE bitcraps_db_import ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA; \
             ALTER TABLE {stage} ADD COLUMN {order} bigserial"
        );
        bulk.execute(&make).map_err(doing)?;
        let copy = Some(format!("COPY {stage} ({columns}) FROM STDIN"));
        let clear = format!("TRUNCATE {stage}");
        let insert = format!(
            "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM"
        );
        if import.on_conflict != OnConflict::Update {
            return Ok(Staging {
                copy,
                store: Some(format!(
                    "WITH stored AS ({insert} {stage} AS s ORDER BY {order}{conflict} RETURNING 1) \
                     SELECT count(*) FROM stored"
                )),
                superseded: None,
                clear,
            });
        }
        // Of several rows with one key the last one is stored, as if they had come one by one.
        let key = plan.update_key()?;
        let list: Vec<_> = key.iter().map(|c| quote(c)).collect();
        let absent: Vec<_> = list.iter().map(|c| format!("{c} IS NULL")).collect();
        let ranked = format!(
            "(SELECT {columns}, {order}, row_number() OVER (PARTITION BY {} ORDER BY {order} DESC) = 1 \
             OR {} AS import_last FROM {stage}) AS s",
            list.join(", "),
            absent.join(" OR ")
        );
        let last = format!("{ranked} WHERE s.import_last");
        let updated = plan.updated(key);
        let store = if plan.changes_only {
            let set = updated.iter().map(|(_, name)| format!("{name} = l.{name}"));
            let same = list.iter().map(|name| format!("t.{name} = l.{name}"));
            let (set, same) = (
                set.collect::<Vec<_>>().join(", "),
                same.collect::<Vec<_>>().join(" AND "),
            );
            // The INSERT of rows that are not there says what they lack.
            format!(
                "WITH bitcraps_db_last AS (SELECT * FROM {last}), \
                 bitcraps_db_changed AS (UPDATE {table} AS t SET {set} FROM bitcraps_db_last AS l WHERE {same} \
                 RETURNING 1), \
                 bitcraps_db_made AS ({insert} bitcraps_db_last AS l WHERE NOT EXISTS (SELECT 1 FROM {table} AS t \
                 WHERE {same}) RETURNING 1) \
                 SELECT (SELECT count(*) FROM bitcraps_db_changed) + (SELECT count(*) FROM bitcraps_db_made)"
            )
        } else {
            format!(
                "WITH stored AS ({insert} {last} ORDER BY {order}{conflict} RETURNING 1) \
                 SELECT count(*) FROM stored"
            )
        };
        Ok(Staging {
            copy,
            store: Some(store),
            superseded: (!updated.is_empty())
                .then(|| format!("SELECT count(*) FROM {ranked} WHERE NOT s.import_last")),
            clear,
        })
    }

    /// Switches off the triggers that are on, each of which is switched on again as it was.
    fn stop_triggers(
        &mut self,
        bulk: &mut PostgresBulk,
        plan: &Plan,
    ) -> Result<(), db_core::Error> {
        let triggers = bulk.rows(&format!(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = {}::regclass AND NOT tgisinternal \
             AND tgenabled IN ('O', 'A')",
            literal(&plan.sql_name)
        ))?;
        for row in triggers {
            if let [Some(name), Some(state)] = row.as_slice() {
                let (table, name) = (&plan.sql_name, quote(name));
                bulk.execute(&format!("ALTER TABLE {table} DISABLE TRIGGER {name}"))
                    .map_err(hinted)?;
                let always = if state == "A" { "ALWAYS " } else { "" };
                self.back
                    .push(format!("ALTER TABLE {table} ENABLE {always}TRIGGER {name}"));
            }
        }
        Ok(())
    }

    /// Lets the foreign keys of a table be checked at the end of the transaction.
    fn put_off_keys(&mut self, bulk: &mut PostgresBulk, plan: &Plan) -> Result<(), db_core::Error> {
        let keys = bulk.rows(&format!(
            "SELECT conname, condeferrable, condeferred FROM pg_constraint \
             WHERE conrelid = {}::regclass AND contype = 'f' AND conparentid = 0",
            literal(&plan.sql_name)
        ))?;
        for row in keys {
            if let [Some(name), Some(deferrable), _] = row.as_slice() {
                let (table, name) = (&plan.sql_name, quote(name));
                if deferrable == "f" {
                    bulk.execute(&format!(
                        "ALTER TABLE {table} ALTER CONSTRAINT {name} DEFERRABLE"
                    ))?;
                    self.back.push(format!(
                        "ALTER TABLE {table} ALTER CONSTRAINT {name} NOT DEFERRABLE"
                    ));
                }
            }
        }
        bulk.execute("SET CONSTRAINTS ALL DEFERRED")
    }

    /// Checks what was put off, puts back what was changed, and moves the sequences on.
    pub(super) fn finish(
        &self,
        bulk: &mut PostgresBulk,
        tables: &Tables,
        loaded: &[(Part, Plan)],
        job: &mut Job<'_>,
    ) -> Result<(), Error> {
        let doing = |source| database("ending the import", source);
        bulk.execute("SAVEPOINT import_keys").map_err(doing)?;
        // It looks at the rows that came. Rows that referred to nothing before are not this file's.
        if let Err(error) = bulk.execute("SET CONSTRAINTS ALL IMMEDIATE") {
            if !is_refusal(&error) {
                return Err(doing(error));
            }
            if self.put_off {
                bulk.execute("ROLLBACK TO SAVEPOINT import_keys")
                    .map_err(doing)?;
                find_orphans(bulk, tables, loaded, job)?;
            }
            if job.faults.is_empty() {
                job.faults.add(None, error.told());
            }
            return Ok(());
        }
        for statement in &self.back {
            bulk.execute(statement).map_err(doing)?;
        }
        for (_, plan) in loaded {
            move_sequences(bulk, plan)
                .map_err(|source| database(format!("numbering {}", plan.table.name), source))?;
        }
        Ok(())
    }
}

/// Lets the sequences of a table go on behind its numbers. RESTART is undone by a rollback, which
/// `setval` is not.
fn move_sequences(bulk: &mut PostgresBulk, plan: &Plan) -> Result<(), db_core::Error> {
    for put in plan.puts.iter().filter(|put| put.column.numbered) {
        let column = &put.column.name;
        let sequence = bulk.rows(&format!(
            "SELECT pg_get_serial_sequence({}, {})",
            literal(&plan.sql_name),
            literal(column),
        ))?;
        let Some(sequence) = sequence.concat().into_iter().next().flatten() else {
            continue;
        };
        // Only forwards: a sequence that has not begun stands at its START.
        let next = bulk.rows(&format!(
            "SELECT m.most + 1 FROM (SELECT max({})::numeric AS most FROM {}) AS m, {sequence} AS s, \
             pg_sequence AS q WHERE q.seqrelid = {}::regclass AND q.seqincrement > 0 AND m.most < q.seqmax \
             AND m.most >= CASE WHEN s.is_called THEN s.last_value::numeric + q.seqincrement \
             ELSE s.last_value END",
            quote(column),
            plan.sql_name,
            literal(&sequence),
        ))?;
        if let Some(next) = next.concat().into_iter().next().flatten() {
            bulk.execute(&format!("ALTER SEQUENCE {sequence} RESTART WITH {next}"))?;
        }
    }
    Ok(())
}

/// Finds rows of the files that refer to nothing.
fn find_orphans(
    bulk: &mut PostgresBulk,
    tables: &Tables,
    loaded: &[(Part, Plan)],
    job: &mut Job<'_>,
) -> Result<(), Error> {
    for (part, plan) in loaded {
        for key in &plan.table.foreign_keys {
            let Some(sql) = plan.orphans(tables, key, job.import.most_faults.max(1)) else {
                continue;
            };
            if job.faults.are_enough() {
                return Ok(());
            }
            let lost = bulk
                .rows(&sql)
                .map_err(|source| database(format!("checking {}", plan.table.name), source))?;
            let lost: HashSet<Vec<Option<String>>> = lost.into_iter().collect();
            if lost.is_empty() {
                continue;
            }
            job.faults.of_file(&part.input.name());
            job.faults.of_table(&plan.table.name);
            let problem = format!("refers to no row of {}", key.references);
            let before = job.faults.count();
            if let (true, Some(_)) = (part.input.is_rereadable(), plan.of_key(key)) {
                let mut rows = Rows::open(part, job.import.limits)?;
                loop {
                    match next_plan(tables, part, &mut rows, job)? {
                        Next::Plan(found) if found.table.name == plan.table.name => {
                            locate(&found, key, &lost, &mut rows, job)?;
                        }
                        Next::Plan(_) | Next::PassOver => {}
                        Next::End => break,
                    }
                }
            }
            if job.faults.count() == before {
                for values in &lost {
                    let values: Vec<_> = values.iter().flatten().map(String::as_str).collect();
                    let columns = key.columns.join(", ");
                    job.faults.add(
                        None,
                        format!("{columns} = {}: {problem}", values.join(", ")),
                    );
                }
            }
        }
    }
    Ok(())
}

fn locate(
    plan: &Plan,
    key: &ForeignKey,
    lost: &HashSet<Vec<Option<String>>>,
    rows: &mut Rows,
    job: &mut Job<'_>,
) -> Result<(), Error> {
    let problem = format!("refers to no row of {}", key.references);
    let puts: Vec<_> = key
        .columns
        .iter()
        .filter_map(|name| plan.puts.iter().find(|put| put.column.name == *name))
        .collect();
    let mut record = Record::new();
    while !job.faults.are_enough() {
        match rows.read(&mut record) {
            Ok(true) => {}
            Ok(false) | Err(_) => break,
        }
        if job.interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        let values: Vec<Option<String>> = puts
            .iter()
            .map(|put| match record.value(put.index) {
                Value::Null => None,
                Value::Bare(text)
                | Value::Quoted(text)
                | Value::Number(text)
                | Value::Text(text) => {
                    let text = String::from_utf8_lossy(text);
                    // A number as the server writes it.
                    let whole = crate::import::number::integer(text.trim().as_bytes());
                    Some(whole.map_or_else(|| text.into_owned(), |whole| whole.to_string()))
                }
                other => Some(other.shown()),
            })
            .collect();
        if lost.contains(&values)
            && let Some(put) = puts.first()
        {
            job.faults
                .add_value(&record, put.index, &put.column.name, problem.as_str());
        }
    }
    Ok(())
}

/// A text in quotes, as either engine has it.
pub(in crate::import) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
