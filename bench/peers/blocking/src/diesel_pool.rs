//! Diesel with its r2d2 pool on SQLite: what an application has before it takes `db-core`.

use std::hint::black_box;

use anyhow::{Result, bail, ensure};
use bench_load::{Figures, Job, Key, Work, clients, game, pragmas};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Error, Pool};

use crate::tables::{Bet, NewBet, User, balances, bets, users};

#[derive(Debug)]
struct Pragmas(String);

impl CustomizeConnection<SqliteConnection, Error> for Pragmas {
    fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        connection.batch_execute(&self.0).map_err(Error::QueryError)
    }
}

pub(crate) fn run(job: &Job) -> Result<Figures> {
    let pool = Pool::builder()
        .max_size(job.connections)
        .connection_customizer(Box::new(Pragmas(pragmas(job.durability))))
        .build(ConnectionManager::<SqliteConnection>::new(job.file()?))?;
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
                connection.immediate_transaction(|connection| place_bet(connection, number, key))
            })
        }),
        Work::Fresh { .. } | Work::Hold { .. } | Work::Repo(_) => bail!("not measured"),
    }
}

fn place_bet(connection: &mut SqliteConnection, number: u64, player: &str) -> Result<()> {
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
