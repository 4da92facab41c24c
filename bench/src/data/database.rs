//! The databases that are measured on: filled once, copied or shared, counted afterwards.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use bench_load::{Figures, Place, Rows, Work};
use db_core::{Access, Connection, DatabaseUrl};

use crate::paths::make;
use crate::server::{Server, lines};
use crate::tools;

/// A database to measure on.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// Where it is.
    pub(crate) place: Place,
    /// What it was filled with.
    pub(crate) rows: Rows,
    /// Whether each run gets a copy of its own.
    pub(crate) copied: bool,
}

/// What the transactions of [`Work::Bet`] leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    bets: i64,
    balance: i64,
}

impl Database {
    /// Fills a new SQLite file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn sqlite(folder: &Path, name: &str, rows: Rows, copied: bool) -> Result<Self> {
        make(folder)?;
        let file = folder.join(format!("{name}.db"));
        let url = DatabaseUrl::SqliteFile(file.clone());
        let mut connection = Connection::open(&url, Access::Create)?;
        // What is lost with a crash is made again.
        connection
            .conn()
            .batch_execute(&format!(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
                 PRAGMA temp_store = FILE; PRAGMA cache_size = -262144; {} \
                 PRAGMA journal_mode = WAL;",
                rows.sqlite()
            ))
            .with_context(|| format!("cannot fill {}", file.display()))?;
        drop(connection);
        // The pages go to the disk now, not while something is measured.
        std::fs::File::open(&file)?.sync_all()?;
        Ok(Self {
            place: Place::Sqlite(file),
            rows,
            copied,
        })
    }

    /// Fills a new database on the server.
    ///
    /// # Errors
    /// If the server refuses.
    pub(crate) fn postgres(server: &Server, name: &str, rows: Rows) -> Result<Self> {
        let tools::Place::Postgres(url) = server.create(name)? else {
            anyhow::bail!("the server made no database");
        };
        let mut connection = Connection::open(&DatabaseUrl::parse(&url)?, Access::ReadWrite)?;
        connection
            .conn()
            .batch_execute(&rows.postgres())
            .with_context(|| format!("cannot fill {name}"))?;
        // Hint bits and visibility are written now, not by whoever reads first.
        connection.conn().batch_execute("VACUUM")?;
        connection.conn().batch_execute("CHECKPOINT")?;
        Ok(Self {
            place: Place::Postgres(url),
            rows,
            copied: false,
        })
    }

    /// The place for one run: a copy of the file in `folder`, or the database itself.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub(crate) fn for_a_run(&self, folder: &Path) -> Result<Place> {
        match &self.place {
            Place::Sqlite(file) if self.copied => Ok(Place::Sqlite(copy(file, folder)?)),
            place => Ok(place.clone()),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "nobody has the file open, and its log was emptied when the last connection closed"
)]
/// Copies a file into an emptied folder, and waits until it is on the disk.
fn copy(file: &Path, folder: &Path) -> Result<PathBuf> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    make(folder)?;
    let copy = folder.join("bench.db");
    std::fs::copy(file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
    std::fs::File::open(&copy)?.sync_all()?;
    Ok(copy)
}

impl Books {
    /// Reads them.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(crate) fn read(place: &Place) -> Result<Self> {
        let place = match place {
            Place::Sqlite(file) => tools::Place::Sqlite(file.clone()),
            Place::Postgres(url) => tools::Place::Postgres(url.clone()),
        };
        let ask = |sql: &str| -> Result<i64> {
            let answer = lines(&place, sql)?.concat();
            answer.parse().with_context(|| format!("{sql}: {answer}"))
        };
        Ok(Self {
            bets: ask("SELECT CAST(count(*) AS TEXT) AS line FROM bets")?,
            balance: ask("SELECT CAST(sum(balance) AS TEXT) AS line FROM balances")?,
        })
    }

    /// Makes sure that what was acknowledged is there, whole, and nothing else is.
    ///
    /// # Errors
    /// If the books do not agree with what the contender said.
    pub(crate) fn agree(self, place: &Place, work: Work, all: &[Figures]) -> Result<()> {
        let after = Self::read(place)?;
        let placed = after.bets - self.bets;
        let spent = self.balance - after.balance;
        if work != Work::Bet {
            ensure!(placed == 0, "a reader placed {placed} bets");
            return Ok(());
        }
        let done: u64 = all.iter().map(|figures| figures.done).sum();
        let failed: u64 = all.iter().map(|figures| figures.failed).sum();
        let (done, failed) = (i64::try_from(done)?, i64::try_from(failed)?);
        ensure!(
            placed == spent,
            "{placed} bets were placed and {spent} paid"
        );
        // Of an operation that failed nobody knows whether it was committed.
        ensure!(
            placed >= done && placed <= done + failed,
            "{done} bets were acknowledged ({failed} failed), {placed} are there"
        );
        Ok(())
    }
}
