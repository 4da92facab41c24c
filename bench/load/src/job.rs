//! What a contender is asked to do.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::repo;

/// One measurement by one contender, handed over as JSON in its only argument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Which of the program's contenders.
    pub contender: String,
    /// The database, with its tables and rows in it.
    pub place: Place,
    /// What every client repeats.
    pub work: Work,
    /// How many clients there are at once: threads, or tasks where the library is asynchronous.
    pub clients: usize,
    /// Connections of a pool, where the contender has one.
    pub connections: u32,
    /// What a commit on SQLite waits for.
    pub durability: Durability,
    /// Rows in `users` and, where there are any, in `bets`.
    pub rows: u64,
    /// Rows in `balances`.
    pub players: u64,
    /// Where this process begins in the order of keys, so that several differ.
    pub first: u64,
    /// How long it runs before anything counts, ms.
    pub warm_ms: u64,
    /// How long it is measured, ms.
    pub run_ms: u64,
    /// Say `ready` when connected, and begin when a line comes in: for several processes that
    /// have to begin together.
    pub gated: bool,
}

/// Where the database is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Place {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL URL.
    Postgres(String),
}

/// What every client repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// One user by primary key.
    Point,
    /// The newest 100 bets of a player.
    List,
    /// One transaction: take 1 from a balance that suffices, insert the bet.
    Bet,
    /// One balance, and whether it is older than what the writer beside us was told.
    Fresh {
        /// Commits per second of that writer.
        commits_per_s: u64,
    },
    /// Hold a pooled connection for a while.
    Hold {
        /// How long, ms.
        hold_ms: u64,
        /// How long a client waits for its turn before it gives up, ms.
        patience_ms: u64,
    },
    /// What the repositories do.
    Repo(repo::Work),
}

/// What a commit on SQLite waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// `synchronous = NORMAL`: an acknowledged commit can be lost with the power.
    Normal,
    /// `synchronous = FULL`: the log is on the disk before a commit is answered.
    Full,
}

impl Job {
    /// Reads the job from this process's last argument.
    ///
    /// # Errors
    /// If there is none, or it is not what [`Job::line`] wrote.
    pub fn from_args() -> Result<Self> {
        let text = std::env::args().next_back().unwrap_or_default();
        Self::parse(&text)
    }

    /// Reads what [`Job::line`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).context("the argument is no job")
    }

    /// The job as an argument.
    ///
    /// # Errors
    /// If the file's path is no text.
    pub fn line(&self) -> Result<String> {
        serde_json::to_string(self).context("the job cannot be written as JSON")
    }

    /// The SQLite file.
    ///
    /// # Errors
    /// If the job is for PostgreSQL.
    pub fn file(&self) -> Result<&str> {
        match &self.place {
            Place::Sqlite(file) => file.to_str().context("the file's path is no text"),
            Place::Postgres(_) => bail!("{} does not do PostgreSQL", self.contender),
        }
    }

    /// The PostgreSQL URL.
    ///
    /// # Errors
    /// If the job is for SQLite.
    pub fn url(&self) -> Result<&str> {
        match &self.place {
            Place::Postgres(url) => Ok(url),
            Place::Sqlite(_) => bail!("{} does not do SQLite", self.contender),
        }
    }

    /// How long it runs before anything counts.
    pub const fn warm(&self) -> Duration {
        Duration::from_millis(self.warm_ms)
    }

    /// How long it is measured.
    pub const fn run(&self) -> Duration {
        Duration::from_millis(self.run_ms)
    }

    /// Waits for the others, if there are any.
    ///
    /// # Errors
    /// If whoever started us has gone.
    pub fn pass_gate(&self) -> Result<()> {
        if !self.gated {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "ready")?;
        out.flush()?;
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line)? == 0 {
            bail!("nobody said when to begin");
        }
        Ok(())
    }
}
