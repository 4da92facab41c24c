//! Whether the peers run what the repositories run: these do each operation once and are listened
//! to.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use bench_load::repo::{Bet, FIND, LIST, PLACE_BET, Step, now_micros};
use bench_load::{Key, Place};
use db_core::{Access, Conn, Connection, DatabaseUrl, with_conn};
use diesel::Connection as _;
use diesel::connection::InstrumentationEvent;

use super::work;
use crate::contest::database::Database;

/// Compares the texts, on a copy of the database.
///
/// # Errors
/// Shows both where they differ.
pub(super) fn are_those_of_the_peers(database: &Database, scratch: &Path) -> Result<()> {
    let place = database.for_a_run(&scratch.join("texts"))?;
    let url = match &place {
        Place::Sqlite(file) => DatabaseUrl::SqliteFile(file.clone()),
        Place::Postgres(url) => DatabaseUrl::parse(url)?,
    };
    let mut connection = Connection::open(&url, Access::ReadWrite)?;
    let mut conn = connection.conn();
    let rows = database.rows;
    let mut bet = Bet::default();
    // The second bet of a player runs what the first does.
    for number in [1, 2] {
        let bet = bet.at(number, 1, now_micros());
        let heard = heard(&mut conn, |conn| Ok(work::place_bet(conn, bet)?))?;
        compare("place_bet", &conn, &PLACE_BET, &heard)?;
    }
    if matches!(conn, Conn::Sqlite(_)) {
        let mut key = Key::default();
        let found = heard(&mut conn, |conn| work::find(conn, key.of(1, rows.users)))?;
        compare("find", &conn, &[FIND], &found)?;
        let (at, key) = key.cursor(1, rows.users);
        let listed = heard(&mut conn, |conn| work::list(conn, at, key))?;
        compare("list", &conn, &[LIST], &listed)?;
    }
    Ok(())
}

/// What runs while a closure does.
fn heard(
    conn: &mut Conn<'_>,
    run: impl FnOnce(&mut Conn<'_>) -> Result<()>,
) -> Result<Vec<String>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&heard);
    conn.batch_execute("BEGIN")?;
    with_conn!(conn, |c| c.set_instrumentation(
        move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                let mut all = writer.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(flat(&query.to_string()));
            }
        }
    ));
    let done = run(conn);
    with_conn!(conn, |c| c
        .set_instrumentation(|_: InstrumentationEvent<'_>| {}));
    conn.batch_execute("COMMIT")?;
    done?;
    let mut all = heard.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *all))
}

/// One line, without the values that Diesel shows behind it.
fn flat(sql: &str) -> String {
    let text = sql.split(" -- binds: ").next().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn compare(name: &str, conn: &Conn<'_>, steps: &[Step], heard: &[String]) -> Result<()> {
    let ours = |step: &Step| match conn {
        Conn::Sqlite(_) => step.sqlite.map(str::to_owned),
        Conn::Postgres(_) => step.postgres(),
    };
    let expected: Vec<String> = steps.iter().filter_map(ours).collect();
    let differs =
        (0..expected.len().max(heard.len())).find(|at| expected.get(*at) != heard.get(*at));
    let Some(at) = differs else {
        return Ok(());
    };
    let nothing = "nothing".to_owned();
    let shown = |texts: &[String]| texts.get(at).unwrap_or(&nothing).clone();
    bail!(
        "bench/load/src/repo/sql.rs is not what {name} runs: statement {} is\n  {}\nand is written \
         there as\n  {}",
        at + 1,
        shown(heard),
        shown(&expected)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_run_what_the_repositories_run() {
        let rows = bench_load::Rows {
            users: 200,
            bets: 0,
            players: 10,
        };
        let scratch = tempfile::tempdir().unwrap();
        let place = (scratch.path(), "small");
        let database = Database::sqlite(place, &super::super::SHAPE, rows, true).unwrap();
        are_those_of_the_peers(&database, scratch.path()).unwrap();
    }

    #[test]
    fn a_text_that_drifts_is_found() {
        let url = DatabaseUrl::parse("sqlite::memory:").unwrap();
        let mut connection = Connection::open(&url, Access::Create).unwrap();
        let conn = connection.conn();
        let texts = PLACE_BET.iter().filter_map(|step| step.sqlite);
        let texts: Vec<String> = texts.map(str::to_owned).collect();
        compare("place_bet", &conn, &PLACE_BET, &texts).unwrap();
        let mut other = texts.clone();
        other[3].push_str(" OR 1");
        let (_, fewer) = texts.split_last().unwrap();
        for heard in [other.as_slice(), fewer, &[]] {
            assert!(compare("place_bet", &conn, &PLACE_BET, heard).is_err());
        }
    }

    #[test]
    fn texts_are_compared_without_values_and_breaks() {
        assert_eq!(
            flat("SELECT 1\n    FROM users -- binds: [\"a\"]"),
            "SELECT 1 FROM users"
        );
    }
}
