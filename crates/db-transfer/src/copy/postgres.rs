//! A copy into a PostgreSQL database: several tables at a time, and undone if it does not arrive.

use std::sync::Mutex;
use std::time::Instant;

use db_core::{Access, Engine};
use db_migrate::catalog::model::Model;

use super::catalog::SourceCatalog;
use super::ddl::{self, Build, Part};
use super::error::{CopyError, Doing as _, is_refusal};
use super::load::{self, Course};
use super::names::{Name, literal, quoted};
use super::plan::{self, TablePlan};
use super::report::{CopyReport, NotTranslated};
use super::side::{Bulk, Snapshot, share_out};
use super::undo::{self, Marker};
use super::{Copy, micros, stage, unvalidated};
use crate::progress::Phase;

/// For building keys and indexes.
const MEMORY: &str = "SET maintenance_work_mem = '256MB'; SET client_min_messages = warning";

impl Copy<'_> {
    pub(super) fn run_into_postgres(
        &self,
        mut report: CopyReport,
    ) -> Result<CopyReport, CopyError> {
        if self.dry_run {
            self.look_at_target(&mut report)?;
            let (catalog, mut snapshot) = (self.source()?, self.snapshot()?);
            let target = match self.schema {
                Some(schema) => Some(schema.preview(&self.to).map_err(CopyError::Schema)?),
                None => None,
            };
            let (mut plans, build) =
                self.plan_for_postgres(&catalog, &mut snapshot, target.as_ref())?;
            say_what_stays(&catalog, &build, &mut report);
            stage::measure(&mut snapshot, &mut plans)?;
            self.inspect(&mut snapshot, (&catalog, &mut plans), &mut report)?;
            self.foresee_references(&mut snapshot, &plans, &mut report)?;
            let is_free = !self.replaces && report.would_undo.is_empty();
            if is_free && report.misfits.count == 0 {
                undo::rehearse(&self.to, &build, &mut report)?;
            }
            self.try_own_checks(&snapshot, &plans, &mut report)?;
            self.foresee_not_valid(&mut snapshot, &catalog.not_valid, &mut report)?;
            unvalidated::list(&catalog.not_valid, &mut report);
            return Ok(report);
        }
        let mut marker = Marker::take(&self.to, &self.on_wait)?;
        if marker.is_there()? {
            self.refuse_leftovers(&marker)?;
            report.undone_before = true;
            self.undo(&marker)?;
        }
        self.refuse_tables()?;
        let arrived = self.arrive(&marker, report);
        let arrived = match arrived {
            Ok(report) => marker.held().map(|()| report),
            Err(error) => Err(error),
        };
        match arrived {
            Ok(report) => {
                marker.remove()?;
                Ok(report)
            }
            Err(error) => {
                tracing::debug!(%error, "undoing the copy");
                let undone = match marker.is_there() {
                    Ok(true) => self.undo(&marker),
                    Ok(false) => Ok(()),
                    Err(error) => Err(error),
                };
                match undone {
                    Ok(()) => Err(error),
                    Err(undoing) => Err(CopyError::NotUndone {
                        error: Box::new(error),
                        undoing: Box::new(undoing),
                    }),
                }
            }
        }
    }

    /// Refuses what a run would refuse, and says what it would take away first.
    fn look_at_target(&self, report: &mut CopyReport) -> Result<(), CopyError> {
        if self.replaces {
            return Ok(());
        }
        let marker = Marker::take(&self.to, &self.on_wait)?;
        if !marker.is_there()? {
            return self.refuse_tables();
        }
        self.refuse_leftovers(&marker)?;
        report.would_undo = marker.would_undo()?;
        if marker.left()?.migrated {
            let mut bulk = Bulk::open(&self.to, Access::ReadOnly, &self.interrupt)?;
            for table in self.model_of(&self.to)?.tables {
                let name = Name::parse(&table.name);
                let rows = bulk
                    .number(&format!("SELECT count(*) FROM {}", name.sql()))
                    .doing(|| format!("counting {}", name.shown()))?;
                let drops = format!("roll back the table {} ({rows} rows)", name.shown());
                report.would_undo.push(drops);
            }
        }
        Ok(())
    }

    /// What a copy has left is taken away only for who says so, and only while it is that: somebody
    /// may have gone on with the database since.
    fn refuse_leftovers(&self, marker: &Marker) -> Result<(), CopyError> {
        let left = marker.left()?;
        let refuse = |why: &str| {
            Err(CopyError::Leftovers(format!(
                "a copy into {} stopped before its end: {why}",
                self.to.shown()
            )))
        };
        if left.migrated && self.schema.is_none() {
            return refuse(
                "it was of a database with a history of migrations, and only the same copy undoes it",
            );
        }
        if !self.undo_leftovers {
            return refuse("what it has left is there, and is undone only on request");
        }
        let model = self.model_of(&self.to)?;
        let mut bulk = Bulk::open(&self.to, Access::ReadOnly, &self.interrupt)?;
        for table in &model.tables {
            let name = Name::parse(&table.name);
            let sql = format!("SELECT count(*) FROM {}", name.sql());
            let rows = bulk
                .number(&sql)
                .doing(|| format!("counting {}", name.shown()))?;
            let mut noted = left.rows.iter().filter(|(sql, _)| *sql == name.sql());
            if rows > 0 && !noted.any(|(_, counts)| counts.contains(&rows)) {
                return refuse(&format!(
                    "the {rows} rows of {} are not what it has left",
                    name.shown()
                ));
            }
        }
        Ok(())
    }

    /// Notes how many rows a copy may leave in each table: those from before, none, or all.
    fn note_rows(&self, marker: &Marker, plans: &[TablePlan]) -> Result<(), CopyError> {
        let mut bulk = Bulk::open(&self.to, Access::ReadOnly, &self.interrupt)?;
        let mut notes = Vec::new();
        for table in &self.model_of(&self.to)?.tables {
            let name = Name::parse(&table.name);
            let sql = format!("SELECT count(*) FROM {}", name.sql());
            let before = bulk
                .number(&sql)
                .doing(|| format!("counting {}", name.shown()))?;
            let plan = plans.iter().find(|plan| plan.target == name);
            notes.push((name.sql(), before, plan.map_or(before, |plan| plan.rows)));
        }
        marker.note(&notes)
    }

    /// Takes away what a copy has made.
    fn undo(&self, marker: &Marker) -> Result<(), CopyError> {
        if marker.undo()?
            && let Some(schema) = self.schema
        {
            schema.remove(&self.to).map_err(CopyError::Schema)?;
            return marker.remove_with_ledgers();
        }
        marker.remove()
    }

    fn refuse_tables(&self) -> Result<(), CopyError> {
        let model = self.model_of(&self.to)?;
        let mut names: Vec<&str> = model.tables.iter().map(|t| t.name.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        // What keeps house for migrations comes last.
        names.sort_by_key(|name| name.starts_with("__"));
        let more = if names.len() > 4 { ", …" } else { "" };
        Err(CopyError::NotEmpty {
            target: self.to.shown(),
            tables: format!("there is {}{more}", names[..names.len().min(4)].join(", ")),
        })
    }

    fn arrive(&self, marker: &Marker, mut report: CopyReport) -> Result<CopyReport, CopyError> {
        let catalog = self.source()?;
        let mut snapshot = self.snapshot()?;
        self.refuse_change(&catalog)?;
        let target = match self.schema {
            Some(schema) => {
                marker.set(true)?;
                schema.apply(&self.to).map_err(CopyError::Schema)?;
                self.note_rows(marker, &[])?;
                Some(self.model_of(&self.to)?)
            }
            None => None,
        };
        let (mut plans, build) =
            self.plan_for_postgres(&catalog, &mut snapshot, target.as_ref())?;
        say_what_stays(&catalog, &build, &mut report);
        stage::measure(&mut snapshot, &mut plans)?;
        self.inspect(&mut snapshot, (&catalog, &mut plans), &mut report)?;
        let mut snapshot = self.lock(snapshot, (&catalog, &mut plans), &mut report)?;
        let since = Instant::now();
        let keys = if self.schema.is_some() {
            self.set_keys_aside(marker, &plans)?
        } else {
            marker.set(false)?;
            marker.run(&build.before, &build.undo)?;
            Vec::new()
        };
        self.note_rows(marker, &plans)?;
        self.load(&mut snapshot, &plans)?;
        self.finish(&build.after, &keys, &mut report)?;
        unvalidated::list(&catalog.not_valid, &mut report);
        self.number(&mut snapshot, (&catalog.model, &plans))?;
        report.load_us = micros(since);
        if !report
            .not_translated
            .iter()
            .any(|l| l.kind == "foreign key")
        {
            report.checked.push("foreign keys".to_owned());
        }
        self.prove(&mut snapshot, &self.to, &plans, &mut report)?;
        let report = self.judge(&self.to, report)?;
        let mut bulk = Bulk::open(&self.to, Access::ReadWrite, &self.interrupt)?;
        for plan in &plans {
            let sql = format!("ANALYZE {}", plan.target.sql());
            bulk.execute(&sql)
                .doing(|| "looking at the distribution of values".to_owned())?;
        }
        snapshot.held()?;
        self.go_on()?;
        Ok(report)
    }

    fn plan_for_postgres(
        &self,
        catalog: &SourceCatalog,
        snapshot: &mut Snapshot,
        target: Option<&Model>,
    ) -> Result<(Vec<TablePlan>, Build), CopyError> {
        let engines = self.engines();
        let (mut plans, build) = if let Some(target) = target {
            (
                plan::pair(engines, &catalog.model, target, !self.tables.is_empty())?,
                Build::default(),
            )
        } else {
            let reader = &mut snapshot.readers[0];
            let plans = plan::derive(engines, &catalog.model, reader)?;
            let types = match self.from.engine() {
                Engine::Postgres => ddl::types_of(reader)?,
                Engine::Sqlite => Vec::new(),
            };
            let build = ddl::in_postgres(self.from.engine(), &catalog.model, &plans, &types);
            (plans, build)
        };
        catalog.complete(&mut plans);
        Ok((plans, build))
    }

    /// Takes foreign keys away while rows come in, since they come in any order. Returns what makes
    /// them again, which checks all rows at once.
    fn set_keys_aside(
        &self,
        marker: &Marker,
        plans: &[TablePlan],
    ) -> Result<Vec<String>, CopyError> {
        const KEYS: &str = "SELECT conrelid::regclass::text, quote_ident(conname), \
            pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint \
            WHERE contype = 'f' AND conparentid = 0 AND connamespace = \
            (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())";
        let mut bulk = Bulk::open(&self.to, Access::ReadWrite, &self.interrupt)?;
        let rows = bulk
            .rows(KEYS)
            .doing(|| "reading foreign keys".to_owned())?;
        drop(bulk);
        let (mut drops, mut adds) = (Vec::new(), Vec::new());
        for row in rows {
            let mut row = row.into_iter().flatten();
            if let (Some(table), Some(name), Some(text)) = (row.next(), row.next(), row.next()) {
                drops.push(format!("ALTER TABLE {table} DROP CONSTRAINT {name}"));
                adds.push(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {text}"));
            }
        }
        // One step: where the copy has stopped, some of the keys may be there again.
        let mut undo = String::new();
        for drop in &drops {
            undo.push_str(&drop.replacen("DROP CONSTRAINT", "DROP CONSTRAINT IF EXISTS", 1));
            undo.push_str("; ");
        }
        let tables: Vec<String> = plans.iter().map(|plan| plan.target.sql()).collect();
        let triggers = |word: &str| -> String {
            let alter = |table| format!("ALTER TABLE {table} {word} TRIGGER USER; ");
            tables.iter().map(alter).collect()
        };
        undo.push_str(&triggers("DISABLE"));
        if !tables.is_empty() {
            undo.push_str("TRUNCATE ");
            undo.push_str(&tables.join(", "));
            undo.push_str("; ");
        }
        undo.push_str(&triggers("ENABLE"));
        undo.push_str(&adds.join("; "));
        let undo = [undo];
        marker.run(&drops, &undo)?;
        Ok(adds)
    }

    fn load(&self, snapshot: &mut Snapshot, plans: &[TablePlan]) -> Result<(), CopyError> {
        let expected = plans.iter().map(|plan| plan.rows).sum();
        let tick = |table: &str, rows, bytes| {
            self.tell(Phase::Copy, Some(table), (rows, bytes), expected);
        };
        let course = Course::new(self.policies, &tick);
        let count = snapshot.readers.len().min(plans.len()).max(1);
        let mut pairs = Vec::new();
        for reader in snapshot.readers.iter_mut().take(count) {
            pairs.push((
                reader,
                Bulk::open(&self.to, Access::ReadWrite, &self.interrupt)?,
            ));
        }
        share_out(&mut pairs, plans.len(), |(reader, writer), at, stop| {
            load::table((reader, writer), &plans[at], &course, stop)
        })?;
        self.go_on()
    }

    /// Makes keys, indexes and checks. Foreign keys need the keys that they refer to.
    fn finish(
        &self,
        parts: &[Part],
        keys: &[String],
        report: &mut CopyReport,
    ) -> Result<(), CopyError> {
        let mut workers = Vec::new();
        for _ in 0..self.workers {
            let mut bulk = Bulk::open(&self.to, Access::ReadWrite, &self.interrupt)?;
            bulk.execute(MEMORY).doing(|| "making keys".to_owned())?;
            workers.push(bulk);
        }
        let missing = Mutex::new(Vec::new());
        for last in [false, true] {
            let now: Vec<&Part> = parts
                .iter()
                .filter(|p| (p.kind == "foreign key") == last)
                .collect();
            // Two changes of one table, or of two that refer to each other, would wait for each other.
            let count = if last { 1 } else { workers.len() };
            share_out(&mut workers[..count], now.len(), |worker, at, _| {
                let part = now[at];
                match worker.execute(&part.sql) {
                    Ok(()) => Ok(()),
                    Err(error) if !is_refusal(&error) => {
                        Err(error).doing(|| format!("making {} {}", part.kind, part.name))
                    }
                    Err(error) => {
                        let left = NotTranslated::new(part.kind, &part.name, error.told());
                        missing
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .push(left);
                        Ok(())
                    }
                }
            })?;
        }
        for key in keys {
            workers[0]
                .execute(key)
                .doing(|| format!("checking foreign keys: {key}"))?;
        }
        let missing = missing
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        report.not_translated.extend(missing);
        Ok(())
    }

    /// Sets the numbering of columns behind what they hold, or where the source had come to.
    fn number(
        &self,
        snapshot: &mut Snapshot,
        (source, plans): (&Model, &[TablePlan]),
    ) -> Result<(), CopyError> {
        let doing = || "setting sequences".to_owned();
        let reader = &mut snapshot.readers[0];
        let mut writer = Bulk::open(&self.to, Access::ReadWrite, &self.interrupt)?;
        for table in &source.tables {
            let name = Name::parse(&table.name);
            let Some(plan) = plans.iter().find(|plan| plan.source == name) else {
                continue;
            };
            for column in table.columns.iter().filter(|c| c.numbered) {
                let sql = match reader {
                    Bulk::Sqlite(_) => {
                        let has =
                            "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'";
                        if reader.number(has).doing(doing)? == 0 {
                            "SELECT 0".to_owned()
                        } else {
                            let name = literal(&name.table);
                            format!("SELECT max(seq) FROM sqlite_sequence WHERE name = {name}")
                        }
                    }
                    Bulk::Postgres(_) => format!(
                        "SELECT pg_sequence_last_value(pg_get_serial_sequence({}, {})::regclass)",
                        literal(&name.sql()),
                        literal(&column.name)
                    ),
                };
                let least = reader.number(&sql).doing(doing)?;
                let least = i64::try_from(least).unwrap_or(i64::MAX);
                let sql = ddl::sequence(plan, &column.name, least);
                writer
                    .rows(&sql)
                    .doing(|| format!("numbering {}", quoted(&column.name)))?;
            }
        }
        Ok(())
    }
}

fn say_what_stays(catalog: &SourceCatalog, build: &Build, report: &mut CopyReport) {
    report.not_translated.clone_from(&build.not_translated);
    report.not_translated.extend(catalog.others.iter().cloned());
}
