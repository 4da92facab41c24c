//! The life of a child: all clients ask until the input ends.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::DateTime;
use db_core::{Database, DatabaseConfig, Engine, ErrorKind, RetryPolicy};
use db_repo::Error;
use db_schema::types::UtcTime;

use crate::request::Request;

pub(crate) const URL: &str = "BITCRAPS_TEST_RIVALS_URL";
pub(crate) const NEXT: &str = "BITCRAPS_TEST_RIVALS_NEXT";

/// How long a client waits before it asks a server again that is not there.
const BREATH: Duration = Duration::from_millis(5);

/// Past the test harness, which holds back what is printed.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Whether this process is a child; if so, its life is over now.
pub(crate) fn is_one() -> bool {
    let url = std::env::var(URL);
    url.map(|url| live(&url)).is_ok()
}

fn live(url: &str) {
    let database = Database::open(&DatabaseConfig::new(url)).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (client, next) in std::env::var(NEXT).unwrap().split(',').enumerate() {
            let (database, over) = (&database, &over);
            let mut number: u64 = next.parse().unwrap();
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if ask(database, client, number) {
                        number += 1;
                    }
                }
            });
        }
        assert!(std::io::stdin().lines().next().is_none());
        over.store(true, Ordering::Relaxed);
    });
}

/// One request; whether it was answered or refused, and not to be asked again.
fn ask(database: &Database, client: usize, number: u64) -> bool {
    let request = Request::of(client, number);
    // A time that follows from the request, so that a repeated one has the same content.
    let seconds = 1_700_000_000 + i64::try_from(number).unwrap();
    let now = UtcTime::from(DateTime::from_timestamp(seconds, 0).unwrap());
    let policy = RetryPolicy::default();
    match database.write_with_retry(&policy, |conn| request.run(conn, now)) {
        Ok(answer) => {
            let (kind, reference) = request.name();
            if kind.is_empty() {
                // Not one that can be asked for again.
                say(&format!("refused\t{client}\t{number}\tonce"));
                return true;
            }
            say(&format!(
                "done\t{client}\t{number}\t{kind}\t{reference}\t{answer}"
            ));
            true
        }
        Err(Error::Database(error)) if error.is_retryable() => false,
        Err(Error::Database(error)) if database.engine() == Engine::Postgres => {
            match error.kind() {
                ErrorKind::OutcomeUnknown => say(&format!("unknown\t{client}\t{number}")),
                ErrorKind::ConnectionLost | ErrorKind::Unavailable | ErrorKind::Timeout => {
                    // Nobody wakes it: a server that is not there is asked again after a breath.
                    std::thread::park_timeout(BREATH);
                }
                _ => panic!("{request:?}: {error}"),
            }
            false
        }
        Err(Error::Database(error)) => panic!("{request:?}: {error}"),
        Err(refused) => {
            let shown = format!("{refused:?}");
            let word = shown.split([' ', '(']).next().unwrap_or_default();
            say(&format!("refused\t{client}\t{number}\t{word}"));
            true
        }
    }
}
