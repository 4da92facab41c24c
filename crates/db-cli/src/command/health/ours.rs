//! The checks that know what BitCraps stores.

use db_backup::health::{BoxError, Cost, Examiner, HealthLimits, State, Verdict};
use db_core::{Clock, Conn, Engine, Error as CoreError, SystemClock, duration, with_conn};
use db_repo::{AuditRepository, OutboxRepository, Reconciliation};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use crate::command::{backup, reconcile};

/// Differences that are named.
const MOST_NAMES: usize = 20;

/// Adds them.
pub(super) fn with_checks(examiner: Examiner) -> Examiner {
    let examiner = if examiner.target().engine() == Engine::Postgres {
        examiner.with_check("half_copy", Cost::Cheap, |conn, _| half_copy(conn))
    } else {
        examiner
    };
    examiner
        .with_check("outbox", Cost::Cheap, |conn, limits| {
            where_there(conn, "outbox", |conn| outbox(conn, limits))
        })
        .with_check("money", Cost::Expensive, |conn, _| {
            where_there(conn, "transactions", money)
        })
        .with_check("audit_chain", Cost::Expensive, |conn, _| {
            where_there(conn, "audit_seals", audit)
        })
}

/// No copy into the database was killed.
fn half_copy(conn: &mut Conn<'_>) -> Result<Verdict, BoxError> {
    Ok(if backup::half_copy(conn)?.is_some() {
        Verdict::fail(backup::HALF_COPY)
    } else {
        Verdict::ok("no copy into it has stopped half way")
    })
}

/// Events leave, and none was given up.
fn outbox(conn: &mut Conn<'_>, limits: &HealthLimits) -> Result<Verdict, BoxError> {
    let limit = &limits.outbox_age;
    let oldest = OutboxRepository::oldest_waiting(conn)?;
    let counts = OutboxRepository::counts(conn)?;
    let now = SystemClock.now();
    let age = oldest.and_then(|at| now.signed_duration_since(*at).to_std().ok());
    let age = age.unwrap_or_default();
    let waiting = counts.pending + counts.processing + counts.failed;
    let given_up = if counts.dead > 0 {
        State::Warn
    } else {
        State::Ok
    };
    let observed = format!(
        "{waiting} waiting, the oldest for {}, {} given up",
        duration::show(age),
        counts.dead
    );
    let (warn, fail) = (duration::show(limit.warn), duration::show(limit.fail));
    Ok(Verdict::new(limit.judge(&age).max(given_up), observed)
        .limit(format!("warn {warn}, fail {fail}"))
        .hint("is the relay running? What was given up is requeued when its receiver is well"))
}

/// Balances are the sums of their lines.
fn money(conn: &mut Conn<'_>) -> Result<Verdict, BoxError> {
    let reconciliation = Reconciliation::new().with_most_differences(MOST_NAMES);
    let found = reconcile::in_one_snapshot(conn, reconciliation)?;
    Ok(if found.is_sound() {
        Verdict::ok(format!(
            "everything adds up, to {} in all",
            found.total_supply
        ))
    } else {
        let names = found.differences.iter().map(ToString::to_string);
        Verdict::fail(format!("{} things do not add up", found.difference_count))
            .names(names.collect())
            .hint("`bitcraps-db reconcile` names all; stop what pays out until it is explained")
    })
}

/// The audit trail is as it was sealed.
fn audit(conn: &mut Conn<'_>) -> Result<Verdict, BoxError> {
    let found = AuditRepository::verify(conn, &[])?;
    Ok(match &found.fault {
        None => Verdict::ok(format!(
            "{} lines under {} seals are as they were, {} are not sealed yet",
            found.lines, found.seals, found.unsealed
        )),
        Some(fault) => Verdict::fail(fault.to_string())
            .hint("`bitcraps-db audit verify` with its anchors says what is left to trust"),
    })
}

/// A database of other migrations has other tables; that ours are missing is said elsewhere.
fn where_there(
    conn: &mut Conn<'_>,
    table: &str,
    check: impl FnOnce(&mut Conn<'_>) -> Result<Verdict, BoxError>,
) -> Result<Verdict, BoxError> {
    if is_there(conn, table)? {
        check(conn).map_err(of_database)
    } else {
        Ok(Verdict::unknown(format!("there is no table {table}")))
    }
}

/// The database's own error where there is one, so that damage and a disk that fails are known.
fn of_database(error: BoxError) -> BoxError {
    match error.downcast::<db_repo::Error>() {
        Ok(error) => match *error {
            db_repo::Error::Database(error) => error.into(),
            error => error.into(),
        },
        Err(error) => error,
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn is_there(conn: &mut Conn<'_>, table: &str) -> Result<bool, CoreError> {
    let engine = conn.engine();
    let sql = match engine {
        Engine::Sqlite => format!(
            "SELECT count(*) AS count FROM sqlite_schema WHERE type = 'table' AND name = '{table}'"
        ),
        Engine::Postgres => {
            format!("SELECT count(to_regclass('{table}')) AS count")
        }
    };
    let found: diesel::QueryResult<Count> = with_conn!(conn, |c| sql_query(sql).get_result(c));
    let found = found.map_err(|e| CoreError::classify(engine, &e))?;
    Ok(found.count > 0)
}
