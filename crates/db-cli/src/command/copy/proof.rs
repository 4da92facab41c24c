//! What of a database of ours has to be true where its copy arrives.

use db_core::{Access, Clock as _, Connection, Engine, SystemClock, with_conn};
use db_repo::{AuditRepository, Reconciliation, SEAL_LINES};
use db_schema::types::UtcTime;
use db_transfer::copy::{BoxError, Copy, Endpoint};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use super::super::reconcile;
use super::open;
use crate::error::Error;

/// The lines of accounts.
const ACCOUNTS: &str = "account_entries";

/// The lines of the audit trail.
const LINES: &str = "audit_logs";

/// The seals of the audit trail.
const SEALS: &str = "audit_seals";

/// How many tables of a name there are.
#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Asks of a copy that the money adds up and the audit trail is whole, as far as the tables that were
/// chosen let that be told; what they do not is said.
pub(super) fn demand<'a>(
    mut wanted: Copy<'a>,
    tables: &[String],
    (from, to): (&Endpoint, &Endpoint),
) -> Result<Copy<'a>, Error> {
    // What the source has, the target has to have too: nothing is passed over in silence.
    let [accounts, seals] = [ACCOUNTS, SEALS].map(|table| {
        let mut connection = open(from, Access::ReadOnly)?;
        has(&mut connection, table)
    });
    let (accounts, seals) = (accounts?, seals?);
    wanted = match not_chosen(tables, &Reconciliation::TABLES).filter(|_| accounts) {
        None => wanted.invariant(move |place: &Endpoint| money(place, accounts)),
        Some(missing) => wanted.not_checked(format!("money, which takes {missing} as well")),
    };
    let is_same_engine = from.engine() == to.engine();
    let of_trail: &[&str] = if is_same_engine {
        &[LINES, SEALS]
    } else {
        // A seal is over the bytes that the engine holds, and JSON has other bytes on the other.
        wanted = wanted.leave_out([SEALS]);
        &[LINES]
    };
    if let Some(missing) = not_chosen(tables, of_trail).filter(|_| seals) {
        let left = format!("the audit trail, which takes {missing} as well");
        return Ok(wanted.not_checked(left));
    }
    if is_same_engine {
        return Ok(wanted.invariant(move |place: &Endpoint| trail(place, seals)));
    }
    trail(from, seals).map_err(|wrong| Error::Unhealthy {
        message: wrong.to_string(),
        hint: "`bitcraps-db audit verify` with your anchors says what is wrong".to_owned(),
    })?;
    Ok(wanted.invariant(move |place: &Endpoint| sealed_anew(place, seals)))
}

/// Which of these tables a copy of some tables leaves behind.
fn not_chosen(tables: &[String], needed: &[&str]) -> Option<String> {
    let is_chosen = |table: &str| tables.iter().any(|chosen| chosen == table);
    let missing: Vec<&str> = needed.iter().copied().filter(|t| !is_chosen(t)).collect();
    (!tables.is_empty() && !missing.is_empty()).then(|| missing.join(", "))
}

/// Whether balances are the sums of their lines.
fn money(place: &Endpoint, wanted: bool) -> Result<String, BoxError> {
    let mut connection = open(place, Access::ReadOnly)?;
    if !expect(&mut connection, ACCOUNTS, wanted)? {
        return Ok("no accounts".to_owned());
    }
    let found = reconcile::in_one_snapshot(&mut connection.conn(), Reconciliation::new())?;
    if found.is_sound() {
        return Ok(format!(
            "money, which adds up to {} in all",
            found.total_supply
        ));
    }
    let named: Vec<String> = found
        .differences
        .iter()
        .take(5)
        .map(ToString::to_string)
        .collect();
    let count = found.difference_count;
    Err(format!(
        "money does not add up in {count} places: {}",
        named.join("; ")
    )
    .into())
}

/// Whether the audit trail is as it was sealed.
fn trail(place: &Endpoint, wanted: bool) -> Result<String, BoxError> {
    let mut connection = open(place, Access::ReadOnly)?;
    if !expect(&mut connection, SEALS, wanted)? {
        return Ok("no audit trail".to_owned());
    }
    let found = AuditRepository::verify(&mut connection.conn(), &[])?;
    match found.fault {
        None => Ok(format!(
            "the audit trail, {} lines under {} seals",
            found.lines, found.seals
        )),
        Some(fault) => Err(format!("the audit trail: {fault}").into()),
    }
}

/// Seals the trail that has arrived; it was whole where it came from, and its lines are the same.
fn sealed_anew(place: &Endpoint, wanted: bool) -> Result<String, BoxError> {
    let mut connection = open(place, Access::ReadWrite)?;
    if !expect(&mut connection, SEALS, wanted)? {
        return Ok("no audit trail".to_owned());
    }
    let mut lines = 0;
    if let Some(boundary) = AuditRepository::boundary(&mut connection.conn())? {
        let mut seal = || {
            let now = UtcTime::from(SystemClock.now());
            let mut conn = connection.conn();
            conn.savepoint(|conn| AuditRepository::seal(conn, boundary, SEAL_LINES, now))
        };
        while let Some(seal) = seal()? {
            lines += seal.row_count;
        }
    }
    Ok(format!(
        "the audit trail, whose {lines} lines were sealed anew"
    ))
}

/// Whether there is a table, where the connection looks for it.
fn has(connection: &mut Connection, table: &str) -> Result<bool, db_core::Error> {
    let mut conn = connection.conn();
    let engine = conn.engine();
    let sql = match engine {
        Engine::Sqlite => format!(
            "SELECT count(*) AS count FROM sqlite_schema WHERE type = 'table' AND name = '{table}'"
        ),
        Engine::Postgres => format!("SELECT count(to_regclass('{table}')) AS count"),
    };
    let found: diesel::QueryResult<Count> = with_conn!(conn, |c| sql_query(&sql).get_result(c));
    let found = found.map_err(|e| db_core::Error::classify(engine, &e))?;
    Ok(found.count > 0)
}

/// The same, where a table that the source has must not be missing.
fn expect(connection: &mut Connection, table: &str, wanted: bool) -> Result<bool, BoxError> {
    let has = has(connection, table)?;
    if wanted && !has {
        return Err(format!("the table {table} is not where the connection looks for it").into());
    }
    Ok(has)
}
