//! Our own side.
//!
//! One body for both engines, as an application would write it: typed queries for reads, hot
//! statements (`db_core::statement!`) for what is written, everything through [`Database`].

mod tables;

use std::hint::black_box;

use anyhow::{Result, bail, ensure};
use bench_load::{
    Figures, Freshness, Job, Key, Work, clients, game, key_of, runtime, spread, tasks, with_writer,
};
use db_core::{AsyncDatabase, Conn, Database, with_conn};
use diesel::prelude::*;
use diesel::sql_query;

use self::tables::{Bet, Debit, Newest, PlaceBet, User, balances, users};

/// Does a job of the area; failed operations are counted.
///
/// # Errors
/// If the contender is unknown, or its job cannot be begun.
pub(crate) fn run(job: &Job, database: &Database) -> Result<Figures> {
    match job.contender.as_str() {
        "ours" => blocking(job, database, Door::Read),
        "ours-one" => blocking(job, database, Door::ReadOne),
        "ours-async" => asynchronous(job, database),
        other => bail!("there is no contender {other}"),
    }
}

/// How reads go in.
#[derive(Clone, Copy)]
enum Door {
    /// A transaction of its own.
    Read,
    /// One statement.
    ReadOne,
}

impl Door {
    fn read<T>(self, database: &Database, f: impl FnOnce(&mut Conn<'_>) -> Result<T>) -> Result<T> {
        match self {
            Self::Read => database.read(f),
            Self::ReadOne => database.read_one(f),
        }
    }
}

fn blocking(job: &Job, database: &Database, door: Door) -> Result<Figures> {
    match job.work {
        Work::Point => clients(job, |_| {
            let mut key = Key::default();
            Ok(move |number| point(database, door, key.of(number, job.rows)))
        }),
        Work::List => clients(job, |_| {
            let mut key = Key::default();
            Ok(move |number| list(database, door, key.of(number, job.players)))
        }),
        Work::Bet => clients(job, |_| {
            let mut key = Key::default();
            Ok(move |number| {
                let player = key.of(number, job.players);
                database.write(|conn| place_bet(conn, number, player))
            })
        }),
        Work::Fresh { commits_per_s } => fresh(job, database, door, commits_per_s),
        Work::Hold { hold_ms, .. } => {
            let sleep = format!("SELECT pg_sleep({hold_ms} / 1000.0)");
            let sleep = sleep.as_str();
            clients(job, |_| {
                Ok(move |_| {
                    door.read(database, |conn| {
                        with_conn!(conn, |c| sql_query(sleep).execute(c))?;
                        Ok(())
                    })
                })
            })
        }
        Work::Repo(_) => bail!("another area's"),
    }
}

fn asynchronous(job: &Job, database: &Database) -> Result<Figures> {
    ensure!(job.work == Work::Bet, "not measured");
    runtime()?.block_on(async {
        let database = AsyncDatabase::new(database.clone());
        let players = job.players.max(1);
        let client = |_| {
            let database = database.clone();
            move |number| {
                let database = database.clone();
                let player = key_of(spread(number) % players);
                async move {
                    database
                        .write(move |conn| place_bet(conn, number, &player))
                        .await
                }
            }
        };
        tasks(job, client).await
    })
}

fn point(database: &Database, door: Door, key: &str) -> Result<()> {
    let user = door.read(database, |conn| {
        let user = with_conn!(conn, |c| users::table
            .find(key)
            .select(User::as_select())
            .get_result(c))?;
        Ok(user)
    })?;
    black_box(user);
    Ok(())
}

fn list(database: &Database, door: Door, player: &str) -> Result<()> {
    let rows = door.read(database, |conn| {
        let newest = Newest { player };
        let rows: Vec<Bet> = with_conn!(conn, |c| newest.load(c))?;
        Ok(rows)
    })?;
    ensure!(rows.len() == 100, "{} of 100 rows", rows.len());
    black_box(rows);
    Ok(())
}

fn place_bet(conn: &mut Conn<'_>, number: u64, player: &str) -> Result<()> {
    debit(conn, player)?;
    let bet = PlaceBet {
        game: game(number),
        player,
        kind: "pass",
        amount: 1,
        at: number.cast_signed(),
    };
    with_conn!(conn, |c| bet.execute(c))?;
    Ok(())
}

fn debit(conn: &mut Conn<'_>, player: &str) -> Result<()> {
    let debit = Debit { player, amount: 1 };
    let changed = with_conn!(conn, |c| debit.execute(c))?;
    ensure!(changed == 1, "no balance");
    Ok(())
}

fn fresh(job: &Job, database: &Database, door: Door, commits_per_s: u64) -> Result<Figures> {
    let freshness = Freshness::default();
    let player = key_of(0);
    let player = player.as_str();
    with_writer(
        job,
        &freshness,
        commits_per_s,
        |_| {
            let freshness = &freshness;
            Ok(move |_| {
                let acknowledged = freshness.acknowledged();
                let balance = door.read(database, |conn| {
                    let balance = with_conn!(conn, |c| balances::table
                        .find(player)
                        .select(balances::balance)
                        .get_result(c))?;
                    Ok(balance)
                })?;
                freshness.check(acknowledged, balance);
                Ok(())
            })
        },
        || database.write(|conn| debit(conn, player)),
    )
}
