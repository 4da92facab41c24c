//! sqlx's SQLite pool: a thread per connection, reached through channels.

use std::hint::black_box;
use std::str::FromStr as _;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bench_load::{Dialect, Figures, Job, Work, game, key_of, pragmas, spread, tasks};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Executor as _};

const SQL: Dialect = Dialect::SQLITE;

/// A row of `users`, its fields in the order of the columns.
type User = (String, String, Vec<u8>, f64, i64, i64);

/// A row of `bets`.
type Bet = (i64, String, String, String, i64, i64);

pub(crate) fn version() -> String {
    libsqlite3_sys::SQLITE_VERSION
        .to_string_lossy()
        .into_owned()
}

pub(crate) async fn run(job: &Job) -> Result<Figures> {
    let pool = pool(job).await?;
    let (rows, players) = (job.rows.max(1), job.players.max(1));
    match job.work {
        Work::Point => {
            let client = |_| {
                let pool = pool.clone();
                move |number| point(pool.clone(), key_of(spread(number) % rows))
            };
            tasks(job, client).await
        }
        Work::List => {
            let client = |_| {
                let pool = pool.clone();
                move |number| list(pool.clone(), key_of(spread(number) % players))
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
        Work::Fresh { .. } | Work::Hold { .. } | Work::Repo(_) => bail!("not measured"),
    }
}

async fn pool(job: &Job) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", job.file()?))?;
    let script = pragmas(job.durability);
    // Every client gets its turn in the end: what is compared is how long that takes.
    let pool = SqlitePoolOptions::new()
        .max_connections(job.connections)
        .acquire_timeout(Duration::from_mins(2))
        .after_connect(move |connection, _| {
            let script = script.clone();
            Box::pin(async move { connection.execute(AssertSqlSafe(script)).await.map(|_| ()) })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

async fn point(pool: SqlitePool, key: String) -> Result<()> {
    let user: User = sqlx::query_as(SQL.point).bind(key).fetch_one(&pool).await?;
    black_box(user);
    Ok(())
}

async fn list(pool: SqlitePool, key: String) -> Result<()> {
    let bets: Vec<Bet> = sqlx::query_as(SQL.list).bind(key).fetch_all(&pool).await?;
    ensure!(bets.len() == 100, "{} of 100 rows", bets.len());
    black_box(bets);
    Ok(())
}

async fn bet(pool: SqlitePool, number: u64, key: String) -> Result<()> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
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
