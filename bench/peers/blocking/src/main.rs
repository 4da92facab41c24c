//! The peers of `cargo xtask bench data` that link the SQLite we link, or none.
//!
//! `peers-blocking JOB` does one job (see `bench-load`) and prints its figures as a line of JSON.
//! Every contender is written as its users would write it by hand for speed: statements prepared
//! once, keys written in place, no allocation that its API does not ask for.

mod deadpool;
mod diesel_pool;
mod diesel_postgres;
mod postgres_client;
mod rusqlite_held;
mod tables;

use anyhow::{Result, bail};
use bench_load::{Job, Library, print};

fn main() -> Result<()> {
    let job = Job::from_args()?;
    let (figures, name) = match job.contender.as_str() {
        "rusqlite" => (
            rusqlite_held::run(&job)?,
            format!("rusqlite 0.40, {}", sqlite()),
        ),
        "diesel-r2d2" => (
            diesel_pool::run(&job)?,
            format!("diesel 2.3 with r2d2, {}", sqlite()),
        ),
        "diesel-r2d2-postgres" => (
            diesel_postgres::run(&job)?,
            "diesel 2.3 with r2d2".to_owned(),
        ),
        "postgres" => (
            postgres_client::run(&job, false)?,
            "postgres 0.19".to_owned(),
        ),
        "postgres-transaction" => (
            postgres_client::run(&job, true)?,
            "postgres 0.19".to_owned(),
        ),
        "deadpool-postgres" => (deadpool::run(&job)?, "deadpool-postgres 0.14".to_owned()),
        other => bail!("there is no contender {other}"),
    };
    print(figures, &Library { name })
}

fn sqlite() -> String {
    format!("SQLite {}", rusqlite::version())
}
