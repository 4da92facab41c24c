//! A copy into a SQLite file, which appears under its name when it is proven.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use db_core::{Access, DatabaseUrl, Engine, ErrorKind};
use db_migrate::catalog::model::Model;

use super::catalog::SourceCatalog;
use super::ddl::{self, Build};
use super::error::{CopyError, Doing as _, is_refusal};
use super::load::{self, Course};
use super::names::{Name, literal, quoted};
use super::plan::{self, TablePlan};
use super::report::{CopyReport, NotTranslated};
use super::side::{Bulk, Endpoint, Snapshot};
use super::workshop::{Workshop, at};
use super::{Copy, micros, references, stage, unvalidated};
use crate::progress::Phase;
use crate::waiting;

/// While it is filled nobody else sees the file, and if it is lost the copy begins anew. A statement
/// that fails still has to be rolled back, so there is a journal.
const PRAGMAS: &str = "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; \
    PRAGMA foreign_keys = OFF; PRAGMA cache_size = -65536; PRAGMA locking_mode = EXCLUSIVE";

/// Broken references of a table that are named.
const MOST_BROKEN: usize = 20;

/// What a file holds already, the tables of its users first.
const FOUND: &str = "SELECT name FROM sqlite_schema ORDER BY name LIKE '\\_\\_%' ESCAPE '\\', \
    name LIKE 'sqlite\\_%' ESCAPE '\\', type <> 'table', name LIMIT 4";

impl Copy<'_> {
    pub(super) fn run_into_sqlite(&self, mut report: CopyReport) -> Result<CopyReport, CopyError> {
        let Some(path) = self.to.url.path() else {
            return Err(CopyError::Usage("the target has no file".to_owned()));
        };
        let replaces = if self.replaces && self.dry_run {
            true
        } else {
            self.refuse_what_is_there(path)?
        };
        let workshop = if self.dry_run {
            report.would_undo.extend(Workshop::remains(path)?);
            Workshop::elsewhere()?
        } else {
            Workshop::open(path)?
        };
        report.undone_before = workshop.found_remains;
        let place = Endpoint {
            url: DatabaseUrl::SqliteFile(workshop.database()),
            key: self.to.key.clone(),
        };
        let catalog = self.source()?;
        let mut snapshot = self.snapshot()?;
        self.refuse_change(&catalog)?;
        let mut plans = self.plan_for_sqlite(&catalog, &mut snapshot, &place, &mut report)?;
        report.not_translated.extend(catalog.others.iter().cloned());
        stage::measure(&mut snapshot, &mut plans)?;
        self.inspect(&mut snapshot, (&catalog, &mut plans), &mut report)?;
        if self.dry_run {
            let build = self.build_for_sqlite(&catalog, &mut snapshot, &plans, &mut report)?;
            self.foresee_references(&mut snapshot, &plans, &mut report)?;
            if report.misfits.count == 0 {
                self.rehearse_sqlite(&place, &build, &mut report)?;
            }
            self.try_own_checks(&snapshot, &plans, &mut report)?;
            self.foresee_not_valid(&mut snapshot, &catalog.not_valid, &mut report)?;
            unvalidated::list(&catalog.not_valid, &mut report);
            return Ok(report);
        }
        let mut snapshot = self.lock(snapshot, (&catalog, &mut plans), &mut report)?;
        let build = self.build_for_sqlite(&catalog, &mut snapshot, &plans, &mut report)?;
        if self.is_verbatim() {
            self.try_own_checks(&snapshot, &plans, &mut report)?;
        }
        self.fill(
            &mut snapshot,
            (&place, &catalog.model, &plans, &build),
            &mut report,
        )?;
        unvalidated::list(&catalog.not_valid, &mut report);
        self.prove(&mut snapshot, &place, &plans, &mut report)?;
        let report = self.judge(&place, report)?;
        snapshot.held()?;
        drop(snapshot);
        self.go_on()?;
        let held = replaces.then(|| self.hold_target()).transpose()?;
        self.refuse_logs(path)?;
        workshop.publish(path, replaces)?;
        drop(held);
        Ok(report)
    }

    /// Whether the tables are made as they are written in another file of SQLite.
    fn is_verbatim(&self) -> bool {
        self.schema.is_none() && self.from.engine() == Engine::Sqlite
    }

    /// Whether there is a file that holds nothing yet.
    fn refuse_what_is_there(&self, path: &Path) -> Result<bool, CopyError> {
        self.refuse_logs(path)?;
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(at(path)(source)),
            Ok(_) => {}
        }
        let mut bulk = match Bulk::open(&self.to, Access::ReadOnly, &self.interrupt) {
            Ok(bulk) => bulk,
            Err(CopyError::Database { source, .. })
                if source.kind() == ErrorKind::DatabaseMissing =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.refuse_objects(&mut bulk)?;
        Ok(true)
    }

    fn refuse_objects(&self, bulk: &mut Bulk) -> Result<(), CopyError> {
        let rows = bulk
            .rows(FOUND)
            .doing(|| format!("looking into {}", self.to.shown()))?;
        if rows.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = rows.into_iter().flatten().flatten().collect();
        Err(CopyError::NotEmpty {
            target: self.to.shown(),
            tables: format!("there is {}", names.join(", ")),
        })
    }

    /// A log or journal that another file has left beside the name would be replayed onto the new one.
    fn refuse_logs(&self, path: &Path) -> Result<(), CopyError> {
        for suffix in ["-wal", "-journal"] {
            let mut log = path.as_os_str().to_owned();
            log.push(suffix);
            let log = PathBuf::from(log);
            match fs::symlink_metadata(&log) {
                Ok(meta) if meta.len() > 0 => {
                    return Err(CopyError::NotEmpty {
                        target: self.to.shown(),
                        tables: format!(
                            "there is {}, which belongs to another file of that name",
                            log.display()
                        ),
                    });
                }
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&log)(source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks once more, hours later, at the empty file that is about to be replaced, and keeps
    /// everybody else out of it. Leaving WAL works only for who is alone, and takes the log away.
    fn hold_target(&self) -> Result<Bulk, CopyError> {
        let doing = || format!("locking {}", self.to.shown());
        let mut bulk = Bulk::open(&self.to, Access::ReadWrite, &self.interrupt)?;
        if let Bulk::Sqlite(bulk) = &mut bulk {
            let sql = "PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE";
            waiting::exclude(bulk, sql, &self.on_wait).doing(doing)?;
        }
        self.refuse_objects(&mut bulk)?;
        Ok(bulk)
    }

    fn plan_for_sqlite(
        &self,
        catalog: &SourceCatalog,
        snapshot: &mut Snapshot,
        place: &Endpoint,
        report: &mut CopyReport,
    ) -> Result<Vec<TablePlan>, CopyError> {
        let engines = self.engines();
        let mut plans = if let Some(schema) = self.schema {
            schema.apply(place).map_err(CopyError::Schema)?;
            let target = self.model_of(place)?;
            plan::pair(engines, &catalog.model, &target, !self.tables.is_empty())?
        } else {
            plan::derive(engines, &catalog.model, &mut snapshot.readers[0])?
        };
        if self.schema.is_none() && self.from.engine() == Engine::Postgres {
            report.not_translated = ddl::checks_in_sqlite(&catalog.model, &mut plans)?;
        }
        catalog.complete(&mut plans);
        Ok(plans)
    }

    /// What makes the tables, with the checks that their rows hold.
    fn build_for_sqlite(
        &self,
        catalog: &SourceCatalog,
        snapshot: &mut Snapshot,
        plans: &[TablePlan],
        report: &mut CopyReport,
    ) -> Result<Build, CopyError> {
        let reader = &mut snapshot.readers[0];
        let build = match self.from.engine() {
            _ if self.schema.is_some() => Build::default(),
            Engine::Sqlite => ddl::verbatim(reader, plans, self.tables.is_empty())?,
            Engine::Postgres => ddl::in_sqlite(&catalog.model, plans),
        };
        report
            .not_translated
            .extend(build.not_translated.iter().cloned());
        Ok(build)
    }

    /// Makes the tables of a dry run, in its own folder, and finds out what cannot be made.
    fn rehearse_sqlite(
        &self,
        place: &Endpoint,
        build: &Build,
        report: &mut CopyReport,
    ) -> Result<(), CopyError> {
        let mut writer = self.make_tables(place, build)?;
        make_parts(&mut writer, build, report)
    }

    fn make_tables(&self, place: &Endpoint, build: &Build) -> Result<Bulk, CopyError> {
        let making = || "making the tables".to_owned();
        let mut writer = Bulk::open(place, Access::Create, &self.interrupt)?;
        writer.execute(PRAGMAS).doing(making)?;
        if let Bulk::Sqlite(writer) = &mut writer {
            writer.triggers(false).doing(making)?;
        }
        for sql in &build.before {
            writer.execute(sql).doing(making)?;
        }
        Ok(writer)
    }

    fn fill(
        &self,
        snapshot: &mut Snapshot,
        (place, source, plans, build): (&Endpoint, &Model, &[TablePlan], &Build),
        report: &mut CopyReport,
    ) -> Result<(), CopyError> {
        let since = Instant::now();
        let mut writer = self.make_tables(place, build)?;
        if self.is_verbatim() {
            // Rows that do not hold a check came in without it, and go along so.
            writer
                .execute("PRAGMA ignore_check_constraints = ON")
                .doing(|| "preparing the new file".to_owned())?;
        }
        let expected = plans.iter().map(|plan| plan.rows).sum();
        let tick = |table: &str, rows, bytes| {
            self.tell(Phase::Copy, Some(table), (rows, bytes), expected);
        };
        let course = Course::new(self.policies, &tick);
        let never = AtomicBool::new(false);
        for plan in plans {
            load::table(
                (&mut snapshot.readers[0], &mut writer),
                plan,
                &course,
                &never,
            )?;
        }
        make_parts(&mut writer, build, report)?;
        if self.from.engine() == Engine::Sqlite {
            carry_over(&mut snapshot.readers[0], &mut writer, self.schema.is_none())?;
        } else {
            let reader = &mut snapshot.readers[0];
            carry_numbering((reader, &mut writer), (source, plans), report)?;
        }
        // What an application at work would have; the planner knows nothing otherwise.
        writer
            .execute("PRAGMA analysis_limit = 1000; ANALYZE")
            .doing(|| "looking at the distribution of values".to_owned())?;
        report.load_us = micros(since);
        check_references(&mut writer, self.schema.is_none(), report)?;
        check_file(&mut writer, report)
    }
}

/// Makes keys, indexes and what else is made behind the rows; what the target refuses is listed.
fn make_parts(writer: &mut Bulk, build: &Build, report: &mut CopyReport) -> Result<(), CopyError> {
    for part in &build.after {
        if let Err(error) = writer.execute(&part.sql) {
            if !is_refusal(&error) {
                return Err(error).doing(|| format!("making {} {}", part.kind, part.name));
            }
            let missing = NotTranslated::new(part.kind, &part.name, error.message());
            report.not_translated.push(missing);
        }
    }
    Ok(())
}

/// The file is sound.
fn check_file(writer: &mut Bulk, report: &mut CopyReport) -> Result<(), CopyError> {
    let since = Instant::now();
    let rows = writer
        .rows("PRAGMA quick_check(5)")
        .doing(|| "checking the new file".to_owned())?;
    let found = rows.into_iter().flatten().flatten();
    report.failures.extend(found.filter(|line| line != "ok"));
    report.proof_us += micros(since);
    Ok(())
}

/// Every reference has its row. Without migrations a reference that is broken in the source goes
/// along, as all rows do, and is listed.
fn check_references(
    writer: &mut Bulk,
    as_it_is: bool,
    report: &mut CopyReport,
) -> Result<(), CopyError> {
    let since = Instant::now();
    let tables = references::tables(writer)?;
    let broken = references::broken(writer, &tables, MOST_BROKEN)?;
    if broken.is_empty() {
        report.checked.push("foreign keys".to_owned());
    }
    if as_it_is {
        report.not_translated.extend(references::listed(broken));
        report.proof_us += micros(since);
        return Ok(());
    }
    for table in broken {
        let name = &table.table;
        report
            .failures
            .extend(table.unusable.map(|why| format!("{name}: {why}")));
        report
            .failures
            .extend(table.first.iter().map(|(row, parent)| {
                format!("{name}: the row {row} refers to {parent}, which is not there")
            }));
    }
    report.proof_us += micros(since);
    Ok(())
}

/// What a SQLite file keeps beside its tables: how far it has numbered, and whose it is.
fn carry_over(reader: &mut Bulk, writer: &mut Bulk, with_header: bool) -> Result<(), CopyError> {
    let doing = || "copying what is beside the tables".to_owned();
    let has = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'";
    if reader.number(has).doing(doing)? > 0 && writer.number(has).doing(doing)? > 0 {
        let rows = reader
            .rows("SELECT name, seq FROM sqlite_sequence")
            .doing(doing)?;
        for row in rows {
            let mut row = row.into_iter().flatten();
            let (Some(name), Some(seq)) = (row.next(), row.next()) else {
                continue;
            };
            let (name, seq) = (literal(&name), literal(&seq));
            let sql = format!(
                "UPDATE sqlite_sequence SET seq = CAST({seq} AS INTEGER) WHERE name = {name}; \
                 INSERT INTO sqlite_sequence (name, seq) SELECT {name}, CAST({seq} AS INTEGER) \
                 WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE name = {name}) \
                 AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = {name})"
            );
            writer.execute(&sql).doing(doing)?;
        }
    }
    if with_header {
        for pragma in ["user_version", "application_id"] {
            let rows = reader.rows(&format!("PRAGMA {pragma}")).doing(doing)?;
            let value = rows
                .into_iter()
                .flatten()
                .flatten()
                .next()
                .unwrap_or_default();
            writer
                .execute(&format!("PRAGMA {pragma} = {value}"))
                .doing(doing)?;
        }
    }
    Ok(())
}

/// How far PostgreSQL has numbered, where SQLite can keep it: in tables with AUTOINCREMENT.
fn carry_numbering(
    (reader, writer): (&mut Bulk, &mut Bulk),
    (source, plans): (&Model, &[TablePlan]),
    report: &mut CopyReport,
) -> Result<(), CopyError> {
    let doing = || "copying the numbering".to_owned();
    for table in &source.tables {
        let name = Name::parse(&table.name);
        let Some(plan) = plans.iter().find(|plan| plan.source == name) else {
            continue;
        };
        for column in &table.columns {
            let planned = plan.columns.iter().find(|c| c.source == column.name);
            let (true, Some(planned)) = (column.numbered, planned) else {
                continue;
            };
            let last = reader
                .number(&format!(
                    "SELECT pg_sequence_last_value(pg_get_serial_sequence({}, {})::regclass)",
                    literal(&name.sql()),
                    literal(&column.name)
                ))
                .doing(doing)?;
            let most = format!(
                "SELECT max({}) FROM {}",
                quoted(&planned.target),
                plan.target.sql()
            );
            if last <= writer.number(&most).doing(doing)? {
                continue;
            }
            let target = literal(&plan.target.table);
            let keeps = format!(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = {target} \
                 AND upper(sql) LIKE '%AUTOINCREMENT%'"
            );
            if writer.number(&keeps).doing(doing)? == 0 {
                let shown = format!("{}.{}", plan.source.shown(), column.name);
                let reason =
                    format!("the next number is the largest in the table and 1, not {last} and 1");
                report
                    .not_translated
                    .push(NotTranslated::new("numbering", shown, reason));
                continue;
            }
            let sql = format!(
                "DELETE FROM sqlite_sequence WHERE name = {target}; \
                 INSERT INTO sqlite_sequence (name, seq) VALUES ({target}, {last})"
            );
            writer.execute(&sql).doing(doing)?;
        }
    }
    Ok(())
}
