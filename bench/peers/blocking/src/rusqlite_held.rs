//! rusqlite: connections that their threads hold, statements from its cache.
//!
//! The limit for reads and for one writer. Several writers share one connection behind a mutex,
//! which is what one writes by hand once `busy_timeout` has disappointed.

use std::hint::black_box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail, ensure};
use bench_load::{
    Dialect, Durability, Figures, Freshness, Job, Key, Work, clients, game, key_of, pragmas,
    with_writer,
};
use rusqlite::{Connection, Row, TransactionBehavior, params};

use crate::repo_rusqlite;

const SQL: Dialect = Dialect::SQLITE;

/// A row of `users`, its fields in the order of the columns.
type User = (String, String, Vec<u8>, f64, i64, i64);

/// A row of `bets`.
type Bet = (i64, String, String, String, i64, i64);

pub(crate) fn run(job: &Job) -> Result<Figures> {
    let file = job.file()?;
    match job.work {
        Work::Point => clients(job, |_| {
            let connection = open(file, job.durability)?;
            let mut key = Key::default();
            Ok(move |number| {
                let mut statement = connection.prepare_cached(SQL.point)?;
                let key = key.of(number, job.rows);
                let user: User = statement.query_row([key], user)?;
                black_box(user);
                Ok(())
            })
        }),
        Work::List => clients(job, |_| {
            let connection = open(file, job.durability)?;
            let mut key = Key::default();
            Ok(move |number| {
                let mut statement = connection.prepare_cached(SQL.list)?;
                let key = key.of(number, job.players);
                let rows = statement.query_map([key], bet)?;
                let bets: Vec<Bet> = rows.collect::<rusqlite::Result<_>>()?;
                ensure!(bets.len() == 100, "{} of 100 rows", bets.len());
                black_box(bets);
                Ok(())
            })
        }),
        Work::Bet => {
            let shared = Arc::new(Mutex::new(open(file, job.durability)?));
            clients(job, |_| {
                let shared = Arc::clone(&shared);
                let mut key = Key::default();
                Ok(move |number| {
                    let key = key.of(number, job.players);
                    place_bet(&mut lock(&shared), number, key)
                })
            })
        }
        Work::Fresh { commits_per_s } => fresh(job, file, commits_per_s),
        Work::Repo(work) => repo_rusqlite::run(job, work),
        Work::Hold { .. } => bail!("rusqlite has no pool"),
    }
}

fn fresh(job: &Job, file: &str, commits_per_s: u64) -> Result<Figures> {
    let freshness = Freshness::default();
    let writer = open(file, job.durability)?;
    let player = key_of(0);
    let player = player.as_str();
    with_writer(
        job,
        &freshness,
        commits_per_s,
        |_| {
            let connection = open(file, job.durability)?;
            let freshness = &freshness;
            Ok(move |_| {
                let acknowledged = freshness.acknowledged();
                let mut statement = connection.prepare_cached(SQL.balance)?;
                let balance: i64 = statement.query_row([player], |row| row.get(0))?;
                freshness.check(acknowledged, balance);
                Ok(())
            })
        },
        move || {
            let changed = writer
                .prepare_cached(SQL.debit)?
                .execute(params![1, player])?;
            ensure!(changed == 1, "no balance");
            Ok(())
        },
    )
}

pub(crate) fn open(file: &str, durability: Durability) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.execute_batch(&pragmas(durability))?;
    Ok(connection)
}

fn lock(shared: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place_bet(connection: &mut Connection, number: u64, player: &str) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let changed = transaction
        .prepare_cached(SQL.debit)?
        .execute(params![1, player])?;
    ensure!(changed == 1, "no balance");
    transaction.prepare_cached(SQL.bet)?.execute(params![
        game(number),
        player,
        "pass",
        1,
        number.cast_signed()
    ])?;
    transaction.commit()?;
    Ok(())
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

fn bet(row: &Row<'_>) -> rusqlite::Result<Bet> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
    ))
}
