//! Who is measured: our `Database`, and the peers.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};
use bench_load::{Figures, Job};

use crate::process::tail;

/// One library, used in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    /// The name that metrics and bars use.
    pub(crate) key: &'static str,
    /// The name that people use.
    pub(crate) label: &'static str,
    /// The name that its program uses.
    name: &'static str,
    program: Program,
    /// Connections of its pool; nothing where the case decides.
    connections: Option<u32>,
}

/// A program that does jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Program {
    /// This one, started anew.
    Ours,
    /// `bench/peers/blocking`.
    Blocking,
    /// `bench/peers/sqlx`.
    Sqlx,
}

/// Where the programs are; one that could not be built is not in it.
pub(crate) type Programs = BTreeMap<Program, PathBuf>;

/// What r2d2 and sqlx take where nothing is said.
const TEN: Option<u32> = Some(10);
const ONE: Option<u32> = Some(1);

/// Our `Database`.
pub(crate) const OURS: Contender = ours("ours", "bitcraps-db", "ours");
/// Our `Database` by `read_one`: a statement that is its own snapshot.
pub(crate) const OURS_ONE: Contender = ours("ours", "bitcraps-db, read_one", "ours-one");
/// Our `AsyncDatabase`.
pub(crate) const OURS_ASYNC: Contender = ours("ours", "bitcraps-db, async", "ours-async");
/// rusqlite: a held connection per reader; writers share one behind a mutex.
pub(crate) const RUSQLITE: Contender = blocking("rusqlite", "rusqlite", "rusqlite", None);
/// Diesel with r2d2, immediate transactions.
pub(crate) const DIESEL: Contender = blocking(
    "diesel",
    "diesel + r2d2, 10 connections",
    "diesel-r2d2",
    TEN,
);
/// The same with one connection, so that writers queue at the pool.
pub(crate) const DIESEL_ONE: Contender = blocking(
    "diesel_one",
    "diesel + r2d2, 1 connection",
    "diesel-r2d2",
    ONE,
);
/// sqlx's SQLite pool.
pub(crate) const SQLX: Contender = sqlx("sqlx", "sqlx, 10 connections", "sqlx", TEN);
/// The same with one connection, so that writers queue at the pool.
pub(crate) const SQLX_ONE: Contender = sqlx("sqlx_one", "sqlx, 1 connection", "sqlx", ONE);
/// The `postgres` crate, a held connection per client, reads as they are.
pub(crate) const POSTGRES: Contender = blocking("postgres", "postgres, held", "postgres", None);
/// The same, reads inside the transaction that a snapshot needs.
pub(crate) const POSTGRES_TRANSACTION: Contender = blocking(
    "postgres_transaction",
    "postgres, held, in a transaction",
    "postgres-transaction",
    None,
);
/// The same, COPY as text instead of binary.
pub(crate) const POSTGRES_COPY_TEXT: Contender = blocking(
    "postgres_text",
    "postgres, as text",
    "postgres-copy-text",
    None,
);
/// Diesel with r2d2 on PostgreSQL.
pub(crate) const DIESEL_POSTGRES: Contender =
    blocking("diesel", "diesel + r2d2", "diesel-r2d2-postgres", None);
/// sqlx's PostgreSQL pool.
pub(crate) const SQLX_POSTGRES: Contender = sqlx("sqlx", "sqlx", "sqlx-postgres", None);
/// deadpool-postgres.
pub(crate) const DEADPOOL: Contender =
    blocking("deadpool", "deadpool-postgres", "deadpool-postgres", None);

const fn ours(key: &'static str, label: &'static str, name: &'static str) -> Contender {
    Contender {
        key,
        label,
        name,
        program: Program::Ours,
        connections: None,
    }
}

const fn blocking(
    key: &'static str,
    label: &'static str,
    name: &'static str,
    connections: Option<u32>,
) -> Contender {
    Contender {
        key,
        label,
        name,
        program: Program::Blocking,
        connections,
    }
}

const fn sqlx(
    key: &'static str,
    label: &'static str,
    name: &'static str,
    connections: Option<u32>,
) -> Contender {
    Contender {
        key,
        label,
        name,
        program: Program::Sqlx,
        connections,
    }
}

/// A contender that is at work.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<String>,
    label: &'static str,
}

impl Contender {
    /// Whether its program could be built.
    pub(crate) fn is_there(self, programs: &Programs) -> bool {
        programs.contains_key(&self.program)
    }

    /// Starts it on a job.
    ///
    /// # Errors
    /// If its program is not there.
    pub(crate) fn start(self, programs: &Programs, job: &Job) -> Result<Running> {
        let program = programs.get(&self.program).context("it was not built")?;
        let mut job = job.clone();
        self.name.clone_into(&mut job.contender);
        job.connections = self.connections.unwrap_or(job.connections);
        let mut command = Command::new(program);
        if self.program == Program::Ours {
            command.args(["work", "--"]);
        }
        let mut child = command
            .arg(job.line()?)
            .env_remove("RUST_LOG")
            .env_remove("PGOPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut stderr = child.stderr.take().context("no stderr")?;
        Ok(Running {
            child,
            stdout: BufReader::new(stdout),
            // Read beside it: a program that says much must not wait for us.
            stderr: std::thread::spawn(move || {
                let mut text = String::new();
                match stderr.read_to_string(&mut text) {
                    Ok(_) => text,
                    Err(error) => error.to_string(),
                }
            }),
            label: self.label,
        })
    }
}

impl Running {
    /// Waits until it is connected.
    ///
    /// # Errors
    /// If it ends instead.
    pub(crate) fn ready(&mut self) -> Result<()> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("{} did not get ready", self.label);
        }
        Ok(())
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn go(&mut self) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("no stdin")?;
        writeln!(stdin, "go")?;
        Ok(())
    }

    /// Waits for its end and its figures.
    ///
    /// # Errors
    /// If it fails, or an operation of it did and none went well.
    pub(crate) fn finish(mut self) -> Result<Figures> {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        let errors = self.stderr.join().unwrap_or_default();
        if !status.success() {
            bail!("{} ended with {status}\n{}", self.label, tail(&errors));
        }
        let line = said.lines().next_back().unwrap_or_default();
        let figures: Figures = serde_json::from_str(line)
            .with_context(|| format!("{} wrote no figures\n{}", self.label, tail(&errors)))?;
        if let Some(error) = &figures.error {
            if figures.done == 0 {
                bail!("{}: nothing went well: {error}", self.label);
            }
            eprintln!("  {}: {} failed: {error}", self.label, figures.failed);
        }
        Ok(figures)
    }
}
