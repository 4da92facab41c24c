//! sqlx as a peer of `cargo xtask bench data`, on both engines.
//!
//! `peers-sqlx JOB` does one job (see `bench-load`) and prints its figures as a line of JSON.
//! The pool's own statement cache is on, as it is by default.

mod postgres;
mod sqlite;

use anyhow::{Result, bail};
use bench_load::{Job, Library, print, runtime};

fn main() -> Result<()> {
    let job = Job::from_args()?;
    let runtime = runtime()?;
    let (figures, name) = match job.contender.as_str() {
        "sqlx" => (
            runtime.block_on(sqlite::run(&job))?,
            format!("sqlx 0.9, SQLite {}", sqlite::version()),
        ),
        "sqlx-postgres" => (
            runtime.block_on(postgres::run(&job))?,
            "sqlx 0.9".to_owned(),
        ),
        other => bail!("there is no contender {other}"),
    };
    print(figures, &Library { name })
}
