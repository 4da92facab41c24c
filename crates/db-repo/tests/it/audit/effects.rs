//! Every change leaves its line, and no line is without its change: over commits, rollbacks,
//! retries and the death of the program.
//!
//! The program that dies is this test binary, started again for the same test with the database in
//! an environment variable.
#![expect(
    clippy::panic,
    reason = "a program that cannot go on must fail, and say why"
)]
#![expect(
    clippy::print_stdout,
    reason = "a seed is printed, to run the same again"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use db_core::{Conn, Database, DatabaseConfig, Engine, ErrorKind, RetryPolicy, with_conn};
use db_repo::{Actor, Error, UserRepository};
use db_testkit::{TestDb, size};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use fastrand::Rng;

use super::{seal_all, verified};
use crate::support::{at, new_user, open, read};

const DATABASE: &str = "BITCRAPS_TEST_AUDIT_DATABASE";
const SEED: &str = "BITCRAPS_TEST_AUDIT_SEED";

/// Threads of the program that dies.
const THREADS: u64 = 4;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Orphan {
    #[diesel(sql_type = Text)]
    id: String,
}

/// How many rows a table has.
pub(super) fn count(conn: &mut Conn<'_>, table: &str) -> QueryResult<i64> {
    number(conn, &format!("SELECT count(*) AS n FROM {table}"))
}

fn number(conn: &mut Conn<'_>, sql: &str) -> QueryResult<i64> {
    let found: Count = with_conn!(conn, |c| diesel::sql_query(sql).get_result(c))?;
    Ok(found.n)
}

/// One change of one row, counted in the same transaction by a trail of the test's own.
fn effect(conn: &mut Conn<'_>, rng: &mut Rng, thread: u64, n: &mut u64) -> Result<(), Error> {
    let now = at(i64::try_from(*n % 100_000).unwrap());
    let name = format!("t{thread}-{}", *n / 3);
    match *n % 3 {
        0 => UserRepository::create(conn, &new_user(&name, rng.i64(0..1_000)))?.id,
        1 => {
            UserRepository::update_reputation(conn, &name, rng.f64() + 1.0, now)?;
            name
        }
        _ if rng.bool() => {
            UserRepository::delete(conn, &name)?;
            name
        }
        // Stays: again a change.
        _ => {
            UserRepository::update_reputation(conn, &name, -rng.f64() - 1.0, now)?;
            name
        }
    };
    *n += 1;
    conn.batch_execute(&format!(
        "UPDATE effects SET n = n + 1 WHERE thread = {thread}"
    ))?;
    Ok(())
}

/// Writes until it is killed; says how many effects of a thread were acknowledged.
fn write_until_killed(url: &str, seed: u64) {
    let database = Database::open(&DatabaseConfig::new(url)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let database = &database;
            scope.spawn(move || {
                write_on(database, &mut Rng::with_seed(seed ^ thread), seed, thread);
            });
        }
    });
}

fn write_on(database: &Database, rng: &mut Rng, seed: u64, thread: u64) {
    let mut acknowledged = 0;
    // Keys of another program's life are not met again.
    let mut done = (seed % 1_000_000) * 3_000_000;
    loop {
        let effects = rng.u64(1..=3);
        let fate = rng.u8(..10);
        let from = rng.u64(..);
        let mut attempt = 0;
        let actor = Actor::new().user(format!("t{thread}"));
        let policy = RetryPolicy::new().with_attempts(50);
        let written = database.write_with_retry(&policy, |conn| {
            attempt += 1;
            let mut rng = Rng::with_seed(from);
            let mut n = done;
            actor.acts(conn, at(0), |conn| {
                for _ in 0..effects {
                    effect(conn, &mut rng, thread, &mut n)?;
                }
                Ok::<_, Error>(())
            })?;
            match fate {
                // Rolled back by the caller.
                0 => Err(Error::UsernameTaken("rolled back".into())),
                // Rolled back, and run again.
                1 if attempt == 1 => {
                    Err(db_core::Error::new(ErrorKind::Serialization, "again").into())
                }
                _ => Ok(n),
            }
        });
        match written {
            Ok(n) => {
                done = n;
                acknowledged += effects;
            }
            Err(Error::UsernameTaken(_)) if fate == 0 => continue,
            // The budget for running things again was used up: rolled back, too.
            Err(Error::Database(error)) if error.kind() == ErrorKind::Serialization => continue,
            Err(error) => panic!("{error}"),
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacknowledged {thread} {acknowledged}").unwrap();
        out.flush().unwrap();
    }
}

fn run(engine: Engine, test: &str) {
    if let Ok(url) = std::env::var(DATABASE) {
        let seed = std::env::var(SEED).unwrap().parse().unwrap();
        return write_until_killed(&url, seed);
    }
    let seed = size("SEED", fastrand::u64(..));
    println!("BITCRAPS_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let db = TestDb::new(engine);
    let database = open(&db);
    db.connect().execute(
        "CREATE TABLE effects (thread INTEGER PRIMARY KEY, n BIGINT NOT NULL);
        INSERT INTO effects VALUES (0, 0), (1, 0), (2, 0), (3, 0)",
    );
    let kills = size("AUDIT_KILLS", 3);
    let transactions = size("AUDIT_TRANSACTIONS", 300);
    for life in 0..kills {
        let before = effects(&database);
        let said = live_and_die(&db, test, rng.u64(..), transactions / kills);
        // The server may still be at the last COMMIT that it was sent: effect and line stand or fall
        // together at any moment.
        let (after, lines) = read(&database, |conn| {
            Ok((
                number(conn, "SELECT CAST(sum(n) AS BIGINT) AS n FROM effects")?,
                count(conn, "audit_logs")?,
            ))
        });
        assert_eq!(lines, after, "life {life}");
        let acknowledged: i64 = said.iter().sum();
        assert!(
            after - before >= acknowledged,
            "life {life}: {before} + {acknowledged} > {after}"
        );
        assert!(acknowledged > 0);
        assert_eq!(orphans(&database), Vec::<String>::new(), "life {life}");
    }
    seal_all(&database, 64);
    let found = verified(&database);
    assert!(
        found.is_sound() && found.lines >= i64::try_from(transactions).unwrap(),
        "{found:?}"
    );
}

fn effects(database: &Database) -> i64 {
    read(database, |conn| {
        Ok(number(
            conn,
            "SELECT CAST(sum(n) AS BIGINT) AS n FROM effects",
        )?)
    })
}

/// Starts the program, and kills it in the middle of its writes; what it acknowledged, by thread.
fn live_and_die(db: &TestDb, test: &str, seed: u64, transactions: u64) -> Vec<i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DATABASE, db.url())
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = vec![0; usize::try_from(THREADS).unwrap()];
    let mut heard = 0;
    let out = BufReader::new(child.stdout.take().unwrap());
    for line in out.lines() {
        let line = line.unwrap();
        let Some(numbers) = line.strip_prefix("acknowledged ") else {
            continue;
        };
        let (thread, effects) = numbers.split_once(' ').unwrap();
        said[thread.parse::<usize>().unwrap()] = effects.parse().unwrap();
        heard += 1;
        if heard == transactions {
            // SIGKILL: nothing of it runs on. What it said before is heard below.
            child.kill().unwrap();
        }
    }
    let ended = child.wait().unwrap();
    assert!(
        !ended.success() && heard >= transactions,
        "{ended}: {heard}"
    );
    said
}

/// Players whose last line does not say what they are, or that are there without a line, and lines
/// that say that somebody is there who is not.
fn orphans(database: &Database) -> Vec<String> {
    let (value, exact) = match database.engine() {
        Engine::Sqlite => (
            "json_extract(line.after_state, '$.reputation')",
            "line.after_state IS NULL",
        ),
        Engine::Postgres => (
            "CAST(line.after_state ->> 'reputation' AS double precision)",
            "line.after_state IS NULL",
        ),
    };
    let sql = format!(
        "WITH last AS (SELECT entity_id, max(id) AS id FROM audit_logs WHERE entity_type = 'users' GROUP BY entity_id),
        line AS (SELECT audit_logs.* FROM audit_logs JOIN last ON last.id = audit_logs.id)
        SELECT users.id AS id FROM users LEFT JOIN line ON line.entity_id = users.id
        WHERE line.id IS NULL OR {exact} OR {value} <> users.reputation
        UNION ALL
        SELECT line.entity_id AS id FROM line LEFT JOIN users ON users.id = line.entity_id
        WHERE users.id IS NULL AND line.after_state IS NOT NULL"
    );
    let found: Vec<Orphan> = read(database, |conn| {
        Ok(with_conn!(conn, |c| diesel::sql_query(sql.as_str()).load(c))?)
    });
    found.into_iter().map(|orphan| orphan.id).collect()
}

mod lines_are_as_many_as_effects_over_rollbacks_retries_and_kills {
    use db_core::Engine;

    const NAME: &str =
        "audit::effects::lines_are_as_many_as_effects_over_rollbacks_retries_and_kills";

    #[test]
    fn sqlite() {
        super::run(Engine::Sqlite, &format!("{NAME}::sqlite"));
    }

    #[test]
    fn postgres() {
        super::run(Engine::Postgres, &format!("{NAME}::postgres"));
    }
}
