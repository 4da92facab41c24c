//! Tables go over side by side.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use db_core::Engine;
use db_testkit::TestDb;
use db_transfer::Phase;
use db_transfer::copy::Copy;

use super::support::{endpoint, lines};

/// Whoever waits for longer is alone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two tables that are being filled: nobody else may look into either.
const FILLED: &str = "SELECT count(DISTINCT pid)::text AS line FROM pg_locks \
    WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted \
    AND relation IN (to_regclass('a'), to_regclass('b'))";

/// Two tables of some hundred kilobytes, so that a word about progress comes while rows do.
fn source(engine: Engine) -> TestDb {
    let db = TestDb::new(engine);
    let rows: Vec<String> = (1..=4000)
        .map(|id| format!("({id}, '{}')", "x".repeat(60)))
        .collect();
    let rows = rows.join(", ");
    db.connect().execute(&format!(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT); INSERT INTO a VALUES {rows};
         CREATE TABLE b (id INTEGER PRIMARY KEY, t TEXT); INSERT INTO b VALUES {rows}"
    ));
    db
}

/// Where the tables of a copy wait for each other.
#[derive(Default)]
struct Meeting {
    tables: Mutex<BTreeSet<String>>,
    changed: Condvar,
}

impl Meeting {
    /// Waits until both are there; whoever comes last looks around.
    fn join(&self, table: &str, look: impl FnOnce()) -> bool {
        let mut tables = self.tables.lock().unwrap();
        if tables.insert(table.to_owned()) && tables.len() == 2 {
            look();
            self.changed.notify_all();
        }
        let alone = |tables: &mut BTreeSet<String>| tables.len() < 2;
        let waited = self.changed.wait_timeout_while(tables, PATIENCE, alone);
        !waited.unwrap().1.timed_out()
    }
}

/// Neither table goes on before rows of the other have come: one after the other they never arrive.
fn side_by_side(from: Engine) {
    let (source, target) = (source(from), TestDb::postgres());
    let (meeting, filled) = (Meeting::default(), Mutex::new(Vec::new()));
    let report = Copy::new(endpoint(&source), endpoint(&target))
        .workers(2)
        .on_progress(|progress| {
            if let (Phase::Copy, Some(table)) = (progress.phase, progress.table) {
                let look = || filled.lock().unwrap().extend(lines(&target, FILLED));
                assert!(meeting.join(table, look), "{table} is copied alone");
            }
        })
        .run();
    assert_eq!(report.unwrap().rows, 8000);
    assert_eq!(*filled.lock().unwrap(), ["2"], "two transactions at once");
}

#[test]
fn two_tables_are_copied_at_once_from_sqlite_to_postgres() {
    side_by_side(Engine::Sqlite);
}

#[test]
fn two_tables_are_copied_at_once_from_postgres_to_postgres() {
    side_by_side(Engine::Postgres);
}
