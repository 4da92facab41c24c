//! deadpool-postgres: an asynchronous pool with a statement cache.

use std::hint::black_box;
use std::str::FromStr as _;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bench_load::{Dialect, Figures, Job, Work, game, key_of, runtime, spread, tasks};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;

const SQL: Dialect = Dialect::POSTGRES;

/// A row of `users`, its fields in the order of the columns.
type User = (String, String, Vec<u8>, f64, i64, i64);

pub(crate) fn run(job: &Job) -> Result<Figures> {
    runtime()?.block_on(async {
        let pool = pool(job)?;
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
    })
}

fn pool(job: &Job) -> Result<Pool> {
    let manager = Manager::from_config(
        tokio_postgres::Config::from_str(job.url()?)?,
        NoTls,
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    let mut pool = Pool::builder(manager)
        .max_size(usize::try_from(job.connections)?)
        .runtime(Runtime::Tokio1);
    if let Work::Hold { patience_ms, .. } = job.work {
        pool = pool.wait_timeout(Some(Duration::from_millis(patience_ms)));
    }
    Ok(pool.build()?)
}

async fn point(pool: Pool, key: String) -> Result<()> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(SQL.point).await?;
    let row = client.query_one(&statement, &[&key]).await?;
    let user: User = (
        row.try_get(0)?,
        row.try_get(1)?,
        row.try_get(2)?,
        row.try_get(3)?,
        row.try_get(4)?,
        row.try_get(5)?,
    );
    black_box(user);
    Ok(())
}

async fn bet(pool: Pool, number: u64, key: String) -> Result<()> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let debit = transaction.prepare_cached(SQL.debit).await?;
    let changed = transaction.execute(&debit, &[&1_i64, &key]).await?;
    ensure!(changed == 1, "no balance");
    let bet = transaction.prepare_cached(SQL.bet).await?;
    let at = number.cast_signed();
    transaction
        .execute(&bet, &[&game(number), &key, &"pass", &1_i64, &at])
        .await?;
    transaction.commit().await?;
    Ok(())
}

async fn hold(pool: Pool, hold_ms: u64) -> Result<()> {
    let client = pool.get().await?;
    let statement = client.prepare_cached("SELECT 1 FROM pg_sleep($1)").await?;
    let seconds = Duration::from_millis(hold_ms).as_secs_f64();
    client.query(&statement, &[&seconds]).await?;
    Ok(())
}
