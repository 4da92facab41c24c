//! The steps that both kinds of target share.

use std::thread;
use std::time::{Duration, Instant};

use db_core::{Access, Engine};

use super::catalog::SourceCatalog;
use super::error::{CopyError, Doing as _, Misfit, Misfits};
use super::hash::RowsHash;
use super::load::Course;
use super::names::{self, Name};
use super::plan::TablePlan;
use super::preflight::{self, How, Letters};
use super::proof::{self, Side};
use super::report::{CopyReport, NotTranslated, TableReport};
use super::side::{Bulk, Endpoint, Snapshot, share_out};
use super::trial::Broken;
use super::{Copy, Estimate, micros};
use crate::progress::Phase;

/// How much longer loading and proving take than looking at every value, as measured.
const LONGER: u32 = 6;

/// What starting takes anyhow.
const START: Duration = Duration::from_millis(500);

impl Copy<'_> {
    pub(super) fn snapshot(&self) -> Result<Snapshot, CopyError> {
        Snapshot::begin(&self.from, self.workers, (&self.interrupt, &self.on_wait))
    }

    /// Looks at names and at every value, before anything is written.
    pub(super) fn inspect(
        &self,
        snapshot: &mut Snapshot,
        (catalog, plans): (&SourceCatalog, &mut [TablePlan]),
        report: &mut CopyReport,
    ) -> Result<(), CopyError> {
        let since = Instant::now();
        let names = names::unfit(self.to.engine(), &catalog.model, plans);
        let encoding = self.strange_encoding(&mut snapshot.readers)?;
        let how = How {
            policies: self.policies,
            most: self.most_misfits,
            letters: match encoding.as_deref() {
                None => Letters::All,
                Some("UTF8") => Letters::Utf8,
                Some(name) => Letters::Ascii(name),
            },
        };
        let shares = preflight::shares(&mut snapshot.readers, plans, how)?;
        let looked_at = |at: &usize| shares.iter().any(|share| share.plan == *at);
        let expected = (0..plans.len()).filter(looked_at);
        let expected = expected.map(|at| plans[at].rows).sum();
        self.tell(Phase::Inspect, None, (0, 0), expected);
        let tick = |table: &str, rows, bytes| {
            self.tell(Phase::Inspect, Some(table), (rows, bytes), expected);
        };
        let course = Course::new(self.policies, &tick);
        let found = share_out(&mut snapshot.readers, shares.len(), |reader, at, stop| {
            let share = &shares[at];
            preflight::look(reader, (&plans[share.plan], share), how, (&course, stop))
        })?;
        self.go_on()?;
        let mut misfits = Misfits {
            count: names.len() as u64,
            first: names,
        };
        report.mapped = 0;
        for (share, found) in shares.iter().zip(found) {
            report.mapped += found.mapped;
            misfits.count += found.misfits.count;
            misfits.first.extend(found.misfits.first);
            let plan = &mut plans[share.plan];
            if self.schema.is_some() {
                misfits.count += found.broken.len() as u64;
                misfits
                    .first
                    .extend(found.broken.iter().map(|one| misfit(plan, one)));
            } else {
                leave_checks_out(plan, &found.broken, report);
            }
        }
        misfits.first.truncate(self.most_misfits);
        report.inspect_us = micros(since);
        if misfits.count == 0 || self.dry_run {
            report.misfits = misfits;
            return Ok(());
        }
        Err(CopyError::Misfits(misfits))
    }

    /// The encoding of a PostgreSQL target where it may not hold every text of the source.
    fn strange_encoding(&self, readers: &mut [Bulk]) -> Result<Option<String>, CopyError> {
        const SQL: &str = "SELECT current_setting('server_encoding')";
        let of = |bulk: &mut Bulk| -> Result<String, CopyError> {
            let rows = bulk.rows(SQL).doing(|| "reading the encoding".to_owned())?;
            Ok(rows.into_iter().flatten().flatten().collect())
        };
        if self.to.engine() == Engine::Sqlite {
            return Ok(None);
        }
        let there = of(&mut Bulk::open(
            &self.to,
            Access::ReadOnly,
            &self.interrupt,
        )?)?;
        let here = match readers.first_mut() {
            Some(reader @ Bulk::Postgres(_)) => of(reader)?,
            _ => "UTF8".to_owned(),
        };
        // SQL_ASCII holds any bytes.
        let fits =
            there == here || there == "SQL_ASCII" || (there == "UTF8" && here != "SQL_ASCII");
        Ok((!fits).then_some(there))
    }

    /// Locks the source, and begins a snapshot of what it holds then.
    pub(super) fn lock(
        &self,
        open: Snapshot,
        (catalog, plans): (&SourceCatalog, &mut Vec<TablePlan>),
        report: &mut CopyReport,
    ) -> Result<Snapshot, CopyError> {
        if !self.lock_source {
            return Ok(open);
        }
        drop(open);
        let rows = plans.iter().map(|plan| plan.rows).sum();
        let locked = START + Duration::from_micros(report.inspect_us) * LONGER;
        (self.on_estimate)(Estimate { rows, locked });
        let names: Vec<Name> = plans.iter().map(|plan| plan.source.clone()).collect();
        let told = (&self.interrupt, &self.on_wait);
        let lock = Snapshot::lock(&self.from, &names, told)?;
        let snapshot = Snapshot::begin_locked(&self.from, self.workers, told)?;
        let mut snapshot = snapshot.under(lock);
        self.refuse_change(catalog)?;
        measure(&mut snapshot, plans)?;
        self.inspect(&mut snapshot, (catalog, plans), report)?;
        Ok(snapshot)
    }

    /// Reads both sides again, side by side.
    pub(super) fn prove(
        &self,
        snapshot: &mut Snapshot,
        target: &Endpoint,
        plans: &[TablePlan],
        report: &mut CopyReport,
    ) -> Result<(), CopyError> {
        let since = Instant::now();
        let expected = plans.iter().map(|plan| plan.rows * 2).sum();
        self.tell(Phase::Prove, None, (0, 0), expected);
        let tick = |table: &str, rows, bytes| {
            self.tell(Phase::Prove, Some(table), (rows, bytes), expected);
        };
        let course = Course::new(self.policies, &tick);
        let count = snapshot.readers.len().min(plans.len()).max(1);
        let open = |_| Bulk::open(target, Access::ReadOnly, &self.interrupt);
        let mut targets = (0..count).map(open).collect::<Result<Vec<_>, _>>()?;
        let read = |readers: &mut [Bulk], side| {
            share_out(readers, plans.len(), |reader, at, stop| {
                proof::hash(reader, side, &plans[at], (&course, stop))
            })
        };
        let sources = &mut snapshot.readers;
        let (there, here) = thread::scope(|scope| {
            let there = scope.spawn(|| read(&mut targets, Side::Target));
            let here = read(sources, Side::Source);
            (there.join(), here)
        });
        let there = there.map_err(|_| CopyError::Usage("a thread has failed".to_owned()))??;
        self.go_on()?;
        compare(plans, (&here?, &there), report);
        report.proof_us = micros(since);
        Ok(())
    }

    /// Asks the caller whether the data is as it has to be, and judges the proof.
    pub(super) fn judge(
        &self,
        target: &Endpoint,
        mut report: CopyReport,
    ) -> Result<CopyReport, CopyError> {
        let since = Instant::now();
        for invariant in &self.invariants {
            match invariant(target) {
                Ok(found) => report.checked.push(found),
                Err(wrong) => report.failures.push(wrong.to_string()),
            }
            self.go_on()?;
        }
        report.proof_us += micros(since);
        let rate = u128::from(report.rows) * 1_000_000 / u128::from(report.load_us.max(1));
        report.rows_per_second = u64::try_from(rate).unwrap_or(u64::MAX);
        if report.failures.is_empty() {
            Ok(report)
        } else {
            Err(CopyError::ProofFailed(Box::new(report)))
        }
    }
}

/// A check that the migrations make in the target, and that rows do not hold.
pub(super) fn misfit(plan: &TablePlan, broken: &Broken) -> Misfit {
    let check = &plan.checks[broken.check].shown;
    Misfit {
        table: plan.source.shown(),
        key: broken.first.clone(),
        column: None,
        value: String::new(),
        reason: format!("check {check}: {}", broken.reason()),
    }
}

/// All rows go along: a check that they do not hold is left out, as PostgreSQL would leave it out.
fn leave_checks_out(plan: &mut TablePlan, broken: &[Broken], report: &mut CopyReport) {
    for one in broken {
        let shown = plan.checks[one.check].shown.as_str();
        let left = NotTranslated::new("check", shown, one.reason());
        report.not_translated.push(left);
    }
    let mut at = 0..;
    plan.checks.retain(|_| {
        at.next()
            .is_none_or(|at| broken.iter().all(|one| one.check != at))
    });
}

/// Counts the rows, and puts the largest tables first, so that none is left alone at the end.
pub(super) fn measure(snapshot: &mut Snapshot, plans: &mut [TablePlan]) -> Result<u64, CopyError> {
    let counts = share_out(&mut snapshot.readers, plans.len(), |reader, at, _| {
        let plan = &plans[at];
        let sql = format!("SELECT count(*) FROM {}{}", plan.only, plan.source.sql());
        reader
            .number(&sql)
            .doing(|| format!("counting {}", plan.source.shown()))
    })?;
    for (plan, rows) in plans.iter_mut().zip(counts) {
        plan.rows = rows;
    }
    plans.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.source.cmp(&b.source)));
    Ok(plans.iter().map(|plan| plan.rows).sum())
}

fn compare(
    plans: &[TablePlan],
    (here, there): (&[RowsHash], &[RowsHash]),
    report: &mut CopyReport,
) {
    for (plan, (source, target)) in plans.iter().zip(here.iter().zip(there)) {
        let table = TableReport {
            table: plan.source.shown(),
            target: plan.target.shown(),
            rows: source.rows,
            target_rows: target.rows,
            hash: source.hex(),
            target_hash: target.hex(),
        };
        if table.rows != table.target_rows {
            report.failures.push(format!(
                "{}: {} rows were sent and {} are there",
                table.table, table.rows, table.target_rows
            ));
        } else if !table.is_equal() {
            report
                .failures
                .push(format!("{}: the rows are not the same", table.table));
        }
        report.tables.push(table);
    }
    report.tables.sort_by(|a, b| a.table.cmp(&b.table));
    report.rows = report.tables.iter().map(|table| table.target_rows).sum();
    report
        .checked
        .push("counts and hashes of all rows".to_owned());
}
