//! A database to copy: players and their bets, half of it text that compresses, half of it not.

use anyhow::Result;
use db_core::{Access, Connection, DatabaseUrl};

use crate::server::lines;
use crate::tools::Place;

/// Bytes of a bet with its entry in the index, about.
const BET: u64 = 400;

/// Players.
const PLAYERS: u64 = 10_000;

/// Fills an empty SQLite file or PostgreSQL database.
pub(super) fn fill(place: &Place, mebibytes: u64) -> Result<()> {
    let bets = mebibytes * 1_024 * 1_024 / BET;
    let (url, script) = match place {
        Place::Sqlite(file) => (format!("sqlite://{}", file.display()), sqlite(bets)),
        Place::Postgres(url) => (url.clone(), postgres(bets)),
    };
    eprintln!("filling a database of {mebibytes} MiB");
    let mut connection = Connection::open(&DatabaseUrl::parse(&url)?, Access::Create)?;
    for statement in script {
        connection.conn().batch_execute(&statement)?;
    }
    drop(connection);
    let rows = lines(place, "SELECT CAST(count(*) AS TEXT) AS line FROM bets")?;
    anyhow::ensure!(rows == [bets.to_string()], "{rows:?}");
    Ok(())
}

fn sqlite(bets: u64) -> Vec<String> {
    let numbers = |count| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        )
    };
    vec![
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
         CREATE TABLE players (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
         CREATE TABLE bets (
             id INTEGER PRIMARY KEY,
             player_id INTEGER NOT NULL REFERENCES players (id),
             amount INTEGER NOT NULL,
             note TEXT NOT NULL,
             seal BLOB NOT NULL
         ) STRICT;
         CREATE INDEX idx_bets_player_id ON bets (player_id)"
            .to_owned(),
        format!(
            "{} INSERT INTO players SELECT i, 'player ' || i FROM n",
            numbers(PLAYERS)
        ),
        format!(
            "{} INSERT INTO bets SELECT i, 1 + i * 7919 % {PLAYERS}, i % 1000,
                 'bet ' || i || ' on the pass line, ' || hex(zeroblob(75)), randomblob(170) FROM n",
            numbers(bets)
        ),
        "PRAGMA wal_checkpoint(TRUNCATE)".to_owned(),
    ]
}

fn postgres(bets: u64) -> Vec<String> {
    vec![
        "CREATE TABLE players (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
         CREATE TABLE bets (
             id bigint PRIMARY KEY,
             player_id bigint NOT NULL REFERENCES players (id),
             amount bigint NOT NULL,
             note text NOT NULL,
             seal bytea NOT NULL
         )"
        .to_owned(),
        format!(
            "INSERT INTO players SELECT i, 'player ' || i FROM generate_series(1, {PLAYERS}) i"
        ),
        format!(
            "INSERT INTO bets SELECT i, 1 + i * 7919 % {PLAYERS}, i % 1000,
                 'bet ' || i || ' on the pass line, ' || repeat('0', 150),
                 decode(md5(i::text) || md5((i + 1)::text) || md5((i + 2)::text)
                     || md5((i + 3)::text) || md5((i + 4)::text), 'hex')
             FROM generate_series(1::bigint, {bets}) i"
        ),
        "CREATE INDEX idx_bets_player_id ON bets (player_id)".to_owned(),
        "VACUUM ANALYZE".to_owned(),
        "CHECKPOINT".to_owned(),
    ]
}
