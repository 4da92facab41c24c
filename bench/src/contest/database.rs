//! The databases that are measured on: filled once, copied or shared, counted afterwards.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use bench_load::{Figures, Place, Rows, Work};
use db_core::{Access, Conn, Connection, DatabaseUrl};

use crate::paths::make;
use crate::server::{Server, lines};
use crate::tools;

/// A schema, the rows it begins with, and what its writers leave behind.
pub(crate) struct Shape {
    /// Fills an empty database.
    pub(crate) fill: fn(&mut Conn<'_>, Rows) -> Result<()>,
    /// Counts and sums, one query each; its one column is a text named `line`.
    pub(crate) questions: &'static [&'static str],
    /// Fails unless the answers changed as they have to after so many operations.
    pub(crate) agree: fn(Work, &[i64], Done) -> Result<()>,
}

/// How many operations there were, of all processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// Acknowledged.
    pub(crate) done: i64,
    /// Failed: of these nobody knows whether they were committed.
    pub(crate) failed: i64,
}

/// A database to measure on.
#[derive(Clone)]
pub(crate) struct Database {
    /// Where it is.
    pub(crate) place: Place,
    /// What it was filled with.
    pub(crate) rows: Rows,
    /// What it is.
    shape: &'static Shape,
    /// Whether each run gets a copy of its own.
    copied: bool,
}

/// The answers to the questions of a shape at one moment.
pub(crate) struct Books {
    shape: &'static Shape,
    answers: Vec<i64>,
}

/// The database that copies are made to on a server.
const COPY: &str = "bench_run";

impl Database {
    /// Fills a new SQLite file of this name in the folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn sqlite(
        (folder, name): (&Path, &str),
        shape: &'static Shape,
        rows: Rows,
        copied: bool,
    ) -> Result<Self> {
        make(folder)?;
        let file = folder.join(format!("{name}.db"));
        let url = DatabaseUrl::SqliteFile(file.clone());
        let mut connection = Connection::open(&url, Access::Create)?;
        // What is lost with a crash is made again.
        connection.conn().batch_execute(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE; \
             PRAGMA cache_size = -262144",
        )?;
        (shape.fill)(&mut connection.conn(), rows)
            .with_context(|| format!("cannot fill {}", file.display()))?;
        connection
            .conn()
            .batch_execute("PRAGMA journal_mode = WAL")?;
        drop(connection);
        // The pages go to the disk now, not while something is measured.
        std::fs::File::open(&file)?.sync_all()?;
        Ok(Self {
            place: Place::Sqlite(file),
            rows,
            shape,
            copied,
        })
    }

    /// Fills a new database on the server.
    ///
    /// # Errors
    /// If the server refuses.
    pub(crate) fn postgres(
        server: &Server,
        name: &str,
        shape: &'static Shape,
        rows: Rows,
        copied: bool,
    ) -> Result<Self> {
        let tools::Place::Postgres(url) = server.create(name)? else {
            anyhow::bail!("the server made no database");
        };
        let mut connection = Connection::open(&DatabaseUrl::parse(&url)?, Access::ReadWrite)?;
        (shape.fill)(&mut connection.conn(), rows)
            .with_context(|| format!("cannot fill {name}"))?;
        // Hint bits and visibility are written now, not by whoever reads first.
        connection.conn().batch_execute("VACUUM ANALYZE")?;
        connection.conn().batch_execute("CHECKPOINT")?;
        Ok(Self {
            place: Place::Postgres(url),
            rows,
            shape,
            copied,
        })
    }

    /// The place for one run: a copy, of the file in `folder`, or the database itself.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub(crate) fn for_a_run(&self, folder: &Path) -> Result<Place> {
        match &self.place {
            place if !self.copied => Ok(place.clone()),
            Place::Sqlite(file) => Ok(Place::Sqlite(copy(file, folder)?)),
            Place::Postgres(url) => match Server::new(url).copy(url, COPY)? {
                tools::Place::Postgres(url) => Ok(Place::Postgres(url)),
                tools::Place::Sqlite(_) => anyhow::bail!("the server made no copy"),
            },
        }
    }

    /// The books as they are at this place, which is of this database's shape.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(crate) fn books(&self, place: &Place) -> Result<Books> {
        Books::read(self.shape, place)
    }

    /// Removes it.
    ///
    /// # Errors
    /// If the file cannot be removed, or the server refuses.
    pub(crate) fn remove(self) -> Result<()> {
        match &self.place {
            Place::Sqlite(file) => {
                let folder = file.parent().context("the file is in no folder")?;
                std::fs::remove_dir_all(folder)?;
            }
            Place::Postgres(url) => {
                let server = Server::new(url);
                if self.copied {
                    server.drop(COPY)?;
                }
                server.drop_url(url)?;
            }
        }
        Ok(())
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
    fn read(shape: &'static Shape, place: &Place) -> Result<Self> {
        let place = match place {
            Place::Sqlite(file) => tools::Place::Sqlite(file.clone()),
            Place::Postgres(url) => tools::Place::Postgres(url.clone()),
        };
        let ask = |sql: &&str| -> Result<i64> {
            let answer = lines(&place, sql)?.concat();
            answer.parse().with_context(|| format!("{sql}: {answer}"))
        };
        let answers = shape.questions.iter().map(ask).collect::<Result<_>>()?;
        Ok(Self { shape, answers })
    }

    /// Makes sure that what was acknowledged is there, whole, and nothing else is.
    ///
    /// # Errors
    /// If the books do not agree with what the contender said.
    pub(crate) fn agree(self, place: &Place, work: Work, all: &[Figures]) -> Result<()> {
        let after = Self::read(self.shape, place)?.answers;
        let before = self.answers.iter();
        let changes: Vec<i64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        let sum = |count: fn(&Figures) -> u64| i64::try_from(all.iter().map(count).sum::<u64>());
        let done = Done {
            done: sum(|figures| figures.done)?,
            failed: sum(|figures| figures.failed)?,
        };
        (self.shape.agree)(work, &changes, done)
    }
}

impl Done {
    /// Makes sure that so many are there as were acknowledged, or failed without a word.
    ///
    /// # Errors
    /// If there are fewer, or more.
    pub(crate) fn are(self, there: i64) -> Result<()> {
        let Self { done, failed } = self;
        ensure!(
            there >= done && there <= done + failed,
            "{done} were acknowledged ({failed} failed), {there} are there"
        );
        Ok(())
    }
}
