//! The `postgres` crate: a connection per client, statements prepared once.
//!
//! Reads either as they are, or inside the transaction that a snapshot needs.

use std::hint::black_box;

use crate::repo_postgres;
use anyhow::{Result, bail, ensure};
use bench_load::{Dialect, Figures, Job, Key, Work, clients, game};
use postgres::{Client, IsolationLevel, NoTls, Row, Statement};

const SQL: Dialect = Dialect::POSTGRES;

/// A row of `users`, its fields in the order of the columns.
type User = (String, String, Vec<u8>, f64, i64, i64);

/// A row of `bets`.
type Bet = (i64, String, String, String, i64, i64);

pub(crate) fn run(job: &Job, transaction: bool) -> Result<Figures> {
    let url = job.url()?;
    match job.work {
        Work::Point => clients(job, |_| {
            let mut client = Client::connect(url, NoTls)?;
            let statement = client.prepare(SQL.point)?;
            let mut key = Key::default();
            Ok(move |number| {
                let key = key.of(number, job.rows);
                let rows = select(&mut client, transaction, &statement, key)?;
                ensure!(rows.len() == 1, "no user");
                black_box(user(&rows[0])?);
                Ok(())
            })
        }),
        Work::List => clients(job, |_| {
            let mut client = Client::connect(url, NoTls)?;
            let statement = client.prepare(SQL.list)?;
            let mut key = Key::default();
            Ok(move |number| {
                let key = key.of(number, job.players);
                let rows = select(&mut client, transaction, &statement, key)?;
                let bets = rows.iter().map(bet).collect::<Result<Vec<_>>>()?;
                ensure!(bets.len() == 100, "{} of 100 rows", bets.len());
                black_box(bets);
                Ok(())
            })
        }),
        Work::Bet => clients(job, |_| {
            let mut client = Client::connect(url, NoTls)?;
            let debit = client.prepare(SQL.debit)?;
            let bet = client.prepare(SQL.bet)?;
            let mut key = Key::default();
            Ok(move |number: u64| {
                let key = key.of(number, job.players);
                let mut transaction = client.transaction()?;
                let changed = transaction.execute(&debit, &[&1_i64, &key])?;
                ensure!(changed == 1, "no balance");
                let at = number.cast_signed();
                transaction.execute(&bet, &[&game(number), &key, &"pass", &1_i64, &at])?;
                transaction.commit()?;
                Ok(())
            })
        }),
        Work::Repo(work) => repo_postgres::run(job, work, repo_postgres::Copy::Binary),
        Work::Fresh { .. } | Work::Hold { .. } => bail!("not measured"),
    }
}

fn select(
    client: &mut Client,
    transaction: bool,
    statement: &Statement,
    key: &str,
) -> Result<Vec<Row>> {
    if !transaction {
        return Ok(client.query(statement, &[&key])?);
    }
    let mut transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()?;
    let rows = transaction.query(statement, &[&key])?;
    transaction.commit()?;
    Ok(rows)
}

fn user(row: &Row) -> Result<User> {
    Ok((
        row.try_get(0)?,
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
        row.try_get(4)?,
        row.try_get(5)?,
    ))
}

fn bet(row: &Row) -> Result<Bet> {
    Ok((
        row.try_get(0)?,
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
        row.try_get(4)?,
        row.try_get(5)?,
    ))
}
