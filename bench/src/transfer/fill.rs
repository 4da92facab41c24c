//! The rows: six columns, as a SQLite file and as a file of CSV.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use db_core::{Access, Connection, DatabaseUrl};

use super::super::server::{self, lines};
use super::super::tools::Place;
use super::{Bench, place_of, text};

/// Where the rows are.
pub(super) struct Rows {
    pub(super) folder: PathBuf,
    pub(super) database: PathBuf,
    pub(super) csv: PathBuf,
}

/// The table in SQLite. pgloader takes REAL for a number of 32 bits, and DOUBLE for what it is.
pub(super) const IN_SQLITE: &str = "CREATE TABLE bets (\
    id INTEGER PRIMARY KEY, player TEXT NOT NULL, amount INTEGER NOT NULL, \
    odds DOUBLE NOT NULL, placed_at TEXT NOT NULL, note TEXT NOT NULL)";

/// The table in PostgreSQL.
const IN_POSTGRES: &str = "CREATE TABLE bets (\
    id bigint PRIMARY KEY, player text NOT NULL, amount bigint NOT NULL, \
    odds double precision NOT NULL, placed_at timestamptz NOT NULL, note text NOT NULL)";

impl Rows {
    /// Makes the file and its CSV, which lie in the page cache then.
    pub(super) fn make(bench: &Bench<'_>) -> Result<Self> {
        let rows = bench.size.rows;
        eprintln!("making {rows} rows");
        let folder = bench.fresh("rows")?;
        let database = folder.join("source.db");
        let csv = folder.join("bets.csv");
        let mut connection =
            Connection::open(&DatabaseUrl::SqliteFile(database.clone()), Access::Create)?;
        for statement in [
            "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF".to_owned(),
            IN_SQLITE.to_owned(),
            format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO bets SELECT i, 'player ' || (i * 7919 % 100003), i * 37 % 100000 - 50000,
                     (i % 100003) / 8.0,
                     strftime('%Y-%m-%d %H:%M:%S', 1700000000 + i, 'unixepoch') || '+00',
                     CASE i % 16 WHEN 0 THEN 'he said \"hard eight\", ' || i
                         ELSE 'bet ' || i || ' on the pass line' END
                 FROM n"
            ),
        ] {
            connection.conn().batch_execute(&statement)?;
        }
        drop(connection);
        let shell = bench.peer(
            "sqlite3",
            &[
                "-csv",
                "-header",
                text(&database)?,
                "SELECT * FROM bets ORDER BY id",
            ],
        );
        bench.redirected(&shell, &csv).answer()?;
        File::open(&csv)?.sync_all()?;
        Ok(Self {
            folder,
            database,
            csv,
        })
    }
}

/// Says how many rows of a SQLite file are those of the source, value by value.
pub(super) fn same_in_sqlite(bench: &Bench<'_>, file: &Path, rows: &Rows) -> Result<String> {
    let sql = format!(
        "ATTACH '{}' AS source; SELECT (SELECT count(*) FROM bets), count(*) FROM bets AS b \
         JOIN source.bets AS s ON s.id = b.id AND s.player = b.player AND s.amount = b.amount \
         AND s.odds = b.odds AND typeof(s.odds) = typeof(b.odds) AND s.note = b.note \
         AND s.placed_at = replace(b.placed_at, '+00:00', '+00')",
        text(&rows.database)?
    );
    let said = bench.peer("sqlite3", &[text(file)?, &sql]).answer()?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let all = bench.size.rows;
    ensure!(said == format!("{all}|{all}"), "not all is there: {said}");
    Ok(said)
}

/// Makes the table anew, without rows.
pub(super) fn empty_in_postgres(place: &Place) -> Result<()> {
    server::execute(place, "DROP TABLE IF EXISTS bets")?;
    server::execute(place, IN_POSTGRES)?;
    server::execute(place, "CHECKPOINT")
}

/// Fills the table by `psql`.
pub(super) fn fill_postgres(bench: &Bench<'_>, place: &Place, rows: &Rows) -> Result<()> {
    empty_in_postgres(place)?;
    let copy = format!("\\copy bets from '{}' csv header", text(&rows.csv)?);
    bench
        .peer("psql", &["-Xq", "-c", &copy, place_of(place)?])
        .answer()?;
    server::execute(place, "VACUUM ANALYZE bets")?;
    server::execute(place, "CHECKPOINT")
}

/// How many rows a table has, and what they hold, whatever their order.
pub(super) fn contents(place: &Place) -> Result<String> {
    let sql = "SELECT count(*) || ' rows, hash ' || sum(hashtextextended(CAST(bets AS text), 0)) \
               AS line FROM bets";
    Ok(lines(place, sql)?.join("\n"))
}
