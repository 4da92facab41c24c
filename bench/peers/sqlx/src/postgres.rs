//! sqlx's PostgreSQL pool.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bench_load::{Dialect, Figures, Job, Work, game, key_of, spread, tasks};
use sqlx::postgres::{PgPool, PgPoolOptions};

const SQL: Dialect = Dialect::POSTGRES;

/// A row of `users`, its fields in the order of the columns.
type User = (String, String, Vec<u8>, f64, i64, i64);

pub(crate) async fn run(job: &Job) -> Result<Figures> {
    let patience = match job.work {
        Work::Hold { patience_ms, .. } => Duration::from_millis(patience_ms),
        _ => Duration::from_mins(2),
    };
    let pool = PgPoolOptions::new()
        .max_connections(job.connections)
        .acquire_timeout(patience)
        .connect(job.url()?)
        .await?;
    let (rows, players) = (job.rows.max(1), job.players.max(1));
    match job.work {
        Work::Point => {
            let client = |_| {
                let pool = pool.clone();
                move |number| point(pool.clone(), key_of(spread(number) % rows))
            };
            tasks(job, client).await
        }
        Work::Bet => {
            let client = |_| {
                let pool = pool.clone();
                move |number| bet(pool.clone(), number, key_of(spread(number) % players))
            };
            tasks(job, client).await
        }
        Work::Hold { hold_ms, .. } => {
            let client = |_| {
                let pool = pool.clone();
                move |_| hold(pool.clone(), hold_ms)
            };
            tasks(job, client).await
        }
        Work::List | Work::Fresh { .. } | Work::Repo(_) => bail!("not measured"),
    }
}

async fn point(pool: PgPool, key: String) -> Result<()> {
    let user: User = sqlx::query_as(SQL.point).bind(key).fetch_one(&pool).await?;
    black_box(user);
    Ok(())
}

async fn bet(pool: PgPool, number: u64, key: String) -> Result<()> {
    let mut transaction = pool.begin().await?;
    let changed = sqlx::query(SQL.debit)
        .bind(1_i64)
        .bind(&key)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    ensure!(changed == 1, "no balance");
    sqlx::query(SQL.bet)
        .bind(game(number))
        .bind(&key)
        .bind("pass")
        .bind(1_i64)
        .bind(number.cast_signed())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

async fn hold(pool: PgPool, hold_ms: u64) -> Result<()> {
    sqlx::query("SELECT 1 FROM pg_sleep($1)")
        .bind(Duration::from_millis(hold_ms).as_secs_f64())
        .execute(&pool)
        .await?;
    Ok(())
}
