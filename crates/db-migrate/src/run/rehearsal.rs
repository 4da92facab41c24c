//! A rehearsal on PostgreSQL: everything really runs, in one transaction that is rolled back.
//!
//! On SQLite the rehearsal is an ordinary run on a copy of the file ([`crate::rehearse`]).

use std::collections::BTreeSet;
use std::time::Instant;

use db_core::{Conn, Engine};
use diesel::sql_types::{Array, BigInt, Nullable, Oid, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

use super::dropped;
use super::script::Prepared;
use super::statement::execute;
use super::transaction::{begin, rollback};
use super::{Runner, Work};
use crate::error::{Error, in_database};
use crate::plan::{Action, PlannedStep};
use crate::report::{StatementLocks, Step};

#[derive(QueryableByName, PartialEq, Eq, PartialOrd, Ord)]
struct Sequence {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_value: Option<i64>,
}

#[derive(QueryableByName)]
struct Lock {
    #[diesel(sql_type = Text)]
    lock: String,
}

#[derive(QueryableByName)]
struct Relation {
    #[diesel(sql_type = Oid)]
    oid: u32,
}

impl Runner<'_, '_> {
    pub(super) fn rehearse(&mut self, conn: &mut Conn<'_>, work: &[Work<'_>]) -> Result<(), Error> {
        let before = sequences(conn)?;
        begin(conn)?;
        let done = self.rehearse_all(conn, work);
        rollback(conn);
        done?;
        let after = sequences(conn)?;
        let moved: Vec<&str> = after.difference(&before).map(|s| s.name.as_str()).collect();
        if !moved.is_empty() {
            let text = format!(
                "sequences are not rolled back by PostgreSQL, and have moved on: {}",
                moved.join(", ")
            );
            self.context.notice(&mut self.report, text);
        }
        Ok(())
    }

    fn rehearse_all(&mut self, conn: &mut Conn<'_>, work: &[Work<'_>]) -> Result<(), Error> {
        if !self.context.ledger.history(conn)?.has_ledger {
            self.context.ledger.create(conn)?;
        }
        let there_before = relations(conn)?;
        for (number, (step, prepared)) in (1..).zip(work) {
            self.announce(step, number);
            let started = Instant::now();
            let result = if step.options.run_in_transaction {
                self.rehearse_one(conn, step, (prepared, started), &there_before)?
            } else {
                left_out(step)
            };
            self.report.steps.push(result);
        }
        Ok(())
    }

    fn rehearse_one(
        &mut self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
        (prepared, started): (&[Prepared<'_>], Instant),
        there_before: &[u32],
    ) -> Result<Step, Error> {
        let mut locks = Vec::new();
        let mut held = held_locks(conn, there_before)?;
        let tables_before = dropped::before(conn, self.direction, &mut self.origins)?;
        let mut rows = 0;
        match &step.action {
            Action::Rust(function) => super::step::run_rust(conn, function, step, self.direction)?,
            Action::Sql(_) => {
                for p in prepared {
                    self.context.check_interrupt()?;
                    rows += execute(conn, p, true)
                        .map_err(|e| self.failed(step, p, conn, &e))?
                        .unwrap_or(0);
                    let now = held_locks(conn, there_before)?;
                    let new: Vec<String> = now.difference(&held).cloned().collect();
                    if !new.is_empty() {
                        locks.push(StatementLocks {
                            statement: p.statement.number as u64,
                            line: p.statement.line,
                            locks: new,
                        });
                    }
                    held = now;
                }
            }
        }
        self.session.restore_search_path(conn, step)?;
        let dropped = dropped::since(conn, tables_before, &mut self.origins)?;
        self.record(conn, step, (prepared.len() as u64, started), None)?;
        Ok(Step {
            version: step.version.clone(),
            name: step.name().to_owned(),
            set: step.set.clone(),
            duration: started.elapsed(),
            statements: prepared.len() as u64,
            rows_changed: Some(rows),
            dropped,
            locks,
            not_rehearsed: None,
        })
    }
}

fn left_out(step: &PlannedStep<'_>) -> Step {
    Step {
        version: step.version.clone(),
        name: step.name().to_owned(),
        set: step.set.clone(),
        duration: std::time::Duration::ZERO,
        statements: 0,
        rows_changed: None,
        dropped: None,
        locks: Vec::new(),
        not_rehearsed: Some("it runs outside a transaction".to_owned()),
    }
}

/// Everything that other sessions could be using.
fn relations(conn: &mut Conn<'_>) -> Result<Vec<u32>, Error> {
    let Conn::Postgres(c) = conn.reborrow() else {
        return Ok(Vec::new());
    };
    let found: Vec<Relation> = sql_query("SELECT oid FROM pg_catalog.pg_class")
        .load(c)
        .map_err(in_database(Engine::Postgres, "reading the locks"))?;
    Ok(found.into_iter().map(|r| r.oid).collect())
}

/// The locks that this session holds on what was there before the run, in words; nobody waits for
/// what the run itself has made. Catalogs and our own ledger are left out.
fn held_locks(conn: &mut Conn<'_>, there_before: &[u32]) -> Result<BTreeSet<String>, Error> {
    let Conn::Postgres(c) = conn.reborrow() else {
        return Ok(BTreeSet::new());
    };
    relation_locks(c, there_before).map_err(in_database(Engine::Postgres, "reading the locks"))
}

fn relation_locks(
    conn: &mut PgConnection,
    there_before: &[u32],
) -> diesel::QueryResult<BTreeSet<String>> {
    let locks: Vec<Lock> = sql_query(
        "SELECT (l.mode || ' on ' || l.relation::regclass::text)::text AS lock
         FROM pg_catalog.pg_locks l
         JOIN pg_catalog.pg_class c ON c.oid = l.relation
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted AND l.locktype = 'relation'
           AND l.relation = ANY($1)
           AND n.nspname NOT LIKE 'pg\\_%' AND c.relname NOT LIKE '\\_\\_db\\_migrate%'
           AND c.relname NOT LIKE '\\_\\_diesel\\_schema\\_migrations%'",
    )
    .bind::<Array<Oid>, _>(there_before)
    .load(conn)?;
    Ok(locks.into_iter().map(|l| l.lock).collect())
}

/// Every sequence and where it stands. Gaps in the numbers of our own log are nobody's concern.
fn sequences(conn: &mut Conn<'_>) -> Result<BTreeSet<Sequence>, Error> {
    let Conn::Postgres(c) = conn.reborrow() else {
        return Ok(BTreeSet::new());
    };
    let rows: Vec<Sequence> = sql_query(
        "SELECT (schemaname || '.' || sequencename)::text AS name, last_value
         FROM pg_catalog.pg_sequences WHERE sequencename NOT LIKE '\\_\\_db\\_migrate%'",
    )
    .load(c)
    .map_err(in_database(Engine::Postgres, "reading the sequences"))?;
    Ok(rows.into_iter().collect())
}
