//! Diesel with its r2d2 pool on PostgreSQL, over libpq as ours.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bench_load::{Figures, Job, Key, Work, clients, game};
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};

use crate::tables::{Bet, NewBet, User, balances, bets, users};

pub(crate) fn run(job: &Job) -> Result<Figures> {
    let pool = Pool::builder()
        .max_size(job.connections)
        .connection_timeout(patience(job))
        .build(ConnectionManager::<PgConnection>::new(job.url()?))?;
    match job.work {
        Work::Point => clients(job, |_| {
            let pool = pool.clone();
            let mut key = Key::default();
            Ok(move |number| {
                let mut connection = pool.get()?;
                let key = key.of(number, job.rows);
                let user = users::table.find(key).select(User::as_select());
                black_box(user.get_result(&mut connection)?);
                Ok(())
            })
        }),
        Work::List => clients(job, |_| {
            let pool = pool.clone();
            let mut key = Key::default();
            Ok(move |number| {
                let mut connection = pool.get()?;
                let key = key.of(number, job.players);
                let rows: Vec<Bet> = bets::table
                    .filter(bets::player_id.eq(key))
                    .order(bets::id.desc())
                    .limit(100)
                    .select(Bet::as_select())
                    .load(&mut connection)?;
                ensure!(rows.len() == 100, "{} of 100 rows", rows.len());
                black_box(rows);
                Ok(())
            })
        }),
        Work::Bet => clients(job, |_| {
            let pool = pool.clone();
            let mut key = Key::default();
            Ok(move |number| {
                let key = key.of(number, job.players);
                let mut connection = pool.get()?;
                connection.transaction(|connection| place_bet(connection, number, key))
            })
        }),
        Work::Hold { hold_ms, .. } => clients(job, |_| {
            let pool = pool.clone();
            let sleep = format!("SELECT pg_sleep({hold_ms} / 1000.0)");
            Ok(move |_| {
                diesel::sql_query(&sleep).execute(&mut pool.get()?)?;
                Ok(())
            })
        }),
        Work::Fresh { .. } | Work::Repo(_) => bail!("not measured"),
    }
}

fn place_bet(connection: &mut PgConnection, number: u64, player: &str) -> Result<()> {
    let balance = balances::table.filter(balances::user_id.eq(player));
    let changed = diesel::update(balance.filter(balances::balance.ge(1)))
        .set(balances::balance.eq(balances::balance - 1))
        .execute(connection)?;
    ensure!(changed == 1, "no balance");
    diesel::insert_into(bets::table)
        .values(NewBet {
            game_id: game(number),
            player_id: player,
            bet_type: "pass",
            amount: 1,
            created_at: number.cast_signed(),
        })
        .execute(connection)?;
    Ok(())
}

/// How long a client waits for a connection; r2d2's own 30 s where the job does not say.
fn patience(job: &Job) -> Duration {
    match job.work {
        Work::Hold { patience_ms, .. } => Duration::from_millis(patience_ms),
        _ => Duration::from_secs(30),
    }
}
