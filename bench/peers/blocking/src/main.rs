//! The peers of `cargo xtask bench data` and `repo` that link the SQLite we link, or none.
//!
//! `peers-blocking JOB` does one job (see `bench-load`) and prints its figures as a line of JSON.
//! Every contender is written as its users would write it by hand for speed: statements prepared
//! once, keys written in place, no allocation that its API does not ask for.

mod deadpool;
mod diesel_pool;
mod diesel_postgres;
mod postgres_client;
mod repo_postgres;
mod repo_rusqlite;
mod rusqlite_held;
mod tables;

use anyhow::{Result, bail};
use bench_load::{Figures, Job, Library, Work, print};

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
        "postgres-copy-text" => (copied_as_text(&job)?, "postgres 0.19".to_owned()),
        "postgres-transaction" => (
            postgres_client::run(&job, true)?,
            "postgres 0.19".to_owned(),
        ),
        "deadpool-postgres" => (deadpool::run(&job)?, "deadpool-postgres 0.14".to_owned()),
        other => bail!("there is no contender {other}"),
    };
    print(figures, &Library { name })
}

fn copied_as_text(job: &Job) -> Result<Figures> {
    match job.work {
        Work::Repo(work) => repo_postgres::run(job, work, repo_postgres::Copy::Text),
        _ => bail!("not measured"),
    }
}

fn sqlite() -> String {
    format!("SQLite {}", rusqlite::version())
}
