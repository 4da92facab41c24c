//! The repositories' SQL by rusqlite: one connection, statements prepared once.

use std::hint::black_box;

use anyhow::{Context as _, Result, bail, ensure};
use bench_load::repo::{
    self, ACTOR, Bet, FIND, INSERT_SETTLED, LIST, PLACE_BET, Runner, STAKE, Value, now_micros,
};
use bench_load::{Figures, Job, Key, clients, once};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Row, ToSql, TransactionBehavior, params};

use crate::rusqlite_held::open;

/// A row of `users`, its fields in the order of the columns.
type User = (String, String, Vec<u8>, f64, i64, i64);

pub(crate) fn run(job: &Job, work: repo::Work) -> Result<Figures> {
    match work {
        repo::Work::Find => clients(job, |_| {
            let connection = connect(job)?;
            let sql = FIND.sqlite.context("no SQL")?;
            let mut key = Key::default();
            Ok(move |number| {
                let mut statement = connection.prepare_cached(sql)?;
                let key = key.of(number, job.rows);
                let user: User = statement.query_row([key], user)?;
                black_box(user);
                Ok(())
            })
        }),
        repo::Work::List => clients(job, |_| {
            let connection = connect(job)?;
            let sql = LIST.sqlite.context("no SQL")?;
            let mut key = Key::default();
            Ok(move |number| {
                let mut statement = connection.prepare_cached(sql)?;
                let (at, key) = key.cursor(number, job.rows);
                // One more than the page holds tells whether there is another.
                let rows = statement.query_map(params![at, key, 101], user)?;
                let users: Vec<User> = rows.collect::<rusqlite::Result<_>>()?;
                ensure!(users.len() == 101, "{} of 101 rows", users.len());
                black_box(users);
                Ok(())
            })
        }),
        repo::Work::PlaceBet => {
            ensure!(job.clients == 1, "one writer");
            clients(job, |_| {
                let mut connection = connect(job)?;
                let (mut bet, mut documents) = (Bet::default(), String::new());
                Ok(move |number| {
                    let transaction =
                        connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    let bet = bet.of(number, job.players);
                    repo::place_bet(&mut Raw(&transaction), bet, &mut documents)?;
                    transaction.commit()?;
                    Ok(())
                })
            })
        }
        repo::Work::Bulk { bets } => bulk(job, bets),
        repo::Work::Leaderboard { .. } | repo::Work::Balance => bail!("not measured"),
    }
}

/// A prepared loop in one transaction.
fn bulk(job: &Job, bets: u64) -> Result<Figures> {
    let mut connection = connect(job)?;
    once(job, bets, || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = now_micros();
        let mut raw = Raw(&transaction);
        raw.execute(
            0,
            &[
                Value::Text("bench"),
                Value::Text(ACTOR.0),
                Value::Text(ACTOR.1),
                Value::Time(now),
            ],
        )?;
        {
            let mut insert = transaction.prepare(INSERT_SETTLED)?;
            let mut bet = Bet::default();
            for number in 0..bets {
                let bet = bet.at(number, job.players, now);
                insert.execute(params![
                    bet.id(),
                    bet.game(),
                    bet.player(),
                    "pass",
                    STAKE,
                    "lost",
                    now,
                    now
                ])?;
            }
        }
        raw.execute(12, &[])?;
        transaction.commit()?;
        Ok(())
    })
}

fn connect(job: &Job) -> Result<Connection> {
    let connection = open(job.file()?, job.durability)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Runs the statements of a bet.
struct Raw<'a>(&'a Connection);

/// A value as rusqlite binds it.
struct Bound<'a>(&'a Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Text(text) | Value::Json(Some(text)) => ValueRef::Text(text.as_bytes()),
            Value::Int(number) | Value::Time(number) => ValueRef::Integer(*number),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
            Value::Json(None) => ValueRef::Null,
        }))
    }
}

impl Raw<'_> {
    fn bound(&self, step: usize, values: &[Value<'_>]) -> Result<CachedStatement<'_>> {
        let sql = PLACE_BET[step].sqlite.context("not of SQLite")?;
        let mut statement = self.0.prepare_cached(sql)?;
        for (value, at) in values.iter().zip(1..) {
            statement.raw_bind_parameter(at, Bound(value))?;
        }
        Ok(statement)
    }
}

impl Runner for Raw<'_> {
    const POSTGRES: bool = false;

    fn execute(&mut self, step: usize, values: &[Value<'_>]) -> Result<u64> {
        Ok(self.bound(step, values)?.raw_execute()? as u64)
    }

    fn numbers<const N: usize>(&mut self, step: usize, values: &[Value<'_>]) -> Result<[i64; N]> {
        let mut statement = self.bound(step, values)?;
        let mut rows = statement.raw_query();
        let row = rows.next()?.context("no row")?;
        let mut numbers = [0; N];
        for (number, at) in numbers.iter_mut().zip(0..) {
            *number = row.get(at)?;
        }
        ensure!(rows.next()?.is_none(), "more than a row");
        Ok(numbers)
    }

    fn text(&mut self, step: usize, values: &[Value<'_>]) -> Result<String> {
        let mut statement = self.bound(step, values)?;
        let mut rows = statement.raw_query();
        Ok(rows.next()?.context("no row")?.get(0)?)
    }
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
    ))
}
