//! Health: each fault flips its check and no other, and clears again (reliability, rows 7, 27–29).

mod cheap;
mod faults;
mod hang;
mod monitor;
mod own;
mod pages;
mod postgres;
mod rules;
mod soak;
mod sqlite;
mod truth;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use db_backup::health::{
    BackupAges, CheckResult, Examiner, HealthLimits, HealthReport, Selection, Space, State, Target,
};
use db_core::{Clock, Conn, DatabaseUrl, Engine, SystemClock, with_conn};
use db_migrate::{MigrateOptions, Migrator, RustMigration, Source};
use db_testkit::TestDb;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};

const PLAYERS: &str = "CREATE TABLE players (id BIGINT PRIMARY KEY, name TEXT NOT NULL)";
const BETS: &str = "CREATE TABLE bets (id BIGINT PRIMARY KEY,
    player_id BIGINT NOT NULL REFERENCES players (id), amount BIGINT NOT NULL)";
const INDEX: &str = "CREATE INDEX idx_bets_player_id ON bets (player_id)";

/// What a server that others use as well has for all of its databases.
const OF_SERVER: [&str; 5] = [
    "wal",
    "slots",
    "wal_archive",
    "transaction_age",
    "replication",
];

/// What a test can change without a machine of its own.
#[derive(Clone)]
struct World {
    space: Arc<Mutex<Space>>,
    ages: Arc<Mutex<BackupAges>>,
    /// How far the clock is off.
    offset: Arc<Mutex<TimeDelta>>,
}

struct Offset(World);

impl Clock for Offset {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + *self.0.offset.lock().unwrap()
    }
}

impl World {
    /// Half of the disk is free, and backups are young.
    fn new() -> Self {
        Self {
            space: Arc::new(Mutex::new(Space {
                free: 50 << 30,
                total: 100 << 30,
                read_only: false,
            })),
            ages: Arc::new(Mutex::new(young())),
            offset: Arc::default(),
        }
    }

    fn target(&self, url: &str) -> Target {
        let space = Arc::clone(&self.space);
        Target::new(DatabaseUrl::parse(url).unwrap())
            .with_space(move |_| Ok(*space.lock().unwrap()))
    }

    fn examiner(&self, target: Target, limits: HealthLimits) -> Examiner {
        let ages = Arc::clone(&self.ages);
        Examiner::new(target)
            .with_limits(limits)
            .with_clock(Offset(self.clone()))
            .with_migrator(migrator())
            .with_backups(move || Ok(*ages.lock().unwrap()))
    }
}

fn young() -> BackupAges {
    BackupAges {
        last_backup: Some(SystemClock.now() - TimeDelta::minutes(30)),
        last_verified_restore: Some(SystemClock.now() - TimeDelta::minutes(20)),
        failures: 0,
        shrunk: false,
        failed: 0,
    }
}

/// Limits that a slow machine does not meet by being slow.
fn patient() -> HealthLimits {
    let mut limits = HealthLimits::default();
    let long = std::time::Duration::from_hours(1);
    limits.response = db_backup::health::Limit::new(long, long);
    limits
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn number(conn: &mut Conn<'_>, sql: &str) -> diesel::QueryResult<i64> {
    let row: Number = with_conn!(conn, |c| sql_query(sql).get_result(c))?;
    Ok(row.n)
}

fn migration(name: &'static str, sql: &'static str) -> RustMigration {
    RustMigration::new(name, "1", move |conn| Ok(conn.batch_execute(sql)?))
}

fn migrator() -> Migrator {
    Migrator::new(Source::rust(vec![
        migration("20250901120000_players", PLAYERS),
        migration("20250901120001_bets", BETS),
        migration("20250901120002_index", INDEX),
    ]))
}

fn migrate(db: &TestDb) {
    let mut conn = db.connect();
    let done = migrator().migrate(conn.conn(), &MigrateOptions::default());
    assert!(done.unwrap().is_success());
}

/// A migrated database and what looks at it.
fn patient_of(db: &TestDb) -> (World, Examiner) {
    migrate(db);
    let world = World::new();
    let examiner = world.examiner(world.target(&db.url()), patient());
    (world, examiner)
}

#[track_caller]
fn find<'r>(report: &'r HealthReport, name: &str) -> &'r CheckResult {
    report
        .find(name)
        .unwrap_or_else(|| panic!("no {name} in {report:#?}"))
}

type States = BTreeMap<String, State>;

fn states(report: &HealthReport) -> States {
    let results = report.results.iter();
    results
        .map(|result| (result.name.to_string(), result.state))
        .collect()
}

/// The states of all checks, but for what a server has for others as well.
fn own_states(examiner: &Examiner) -> States {
    let mut states = states(&examiner.examine(&Selection::All));
    if examiner.target().engine() == Engine::Postgres {
        states.retain(|name, _| !OF_SERVER.contains(&name.as_str()));
    }
    states
}

/// What cannot be told without the open database, an extension, or the server's disk.
const MAY_BE_UNKNOWN: [&str; 5] = ["pool", "failures", "transactions", "slow_queries", "disk"];

/// The same of a server alone.
const OF_EXTENSIONS: &str = "integrity";

fn is_well(engine: Engine, result: &CheckResult) -> bool {
    let may_be_unknown = MAY_BE_UNKNOWN.contains(&&*result.name)
        || (engine == Engine::Postgres && result.name == OF_EXTENSIONS);
    result.state == State::Ok || (result.state == State::Unknown && may_be_unknown)
}

#[track_caller]
fn assert_well(report: &HealthReport) {
    for result in &report.results {
        assert!(is_well(report.engine, result), "{result:?}");
    }
}

/// But for what a server has for others as well.
#[track_caller]
fn assert_healthy(examiner: &Examiner) {
    let mut report = examiner.examine(&Selection::All);
    if report.engine == Engine::Postgres {
        report
            .results
            .retain(|result| !OF_SERVER.contains(&&*result.name));
    }
    assert_well(&report);
}

/// The fault flips the check and no other, and is gone with its cure.
#[track_caller]
fn flips(
    examiner: &Examiner,
    (check, state): (&str, State),
    fault: impl FnOnce(),
    cure: impl FnOnce(),
) -> CheckResult {
    assert_healthy(examiner);
    let before = own_states(examiner);
    assert_eq!(
        before.get(check),
        Some(&State::Ok),
        "{check} before the fault"
    );
    fault();
    let report = examiner.examine(&Selection::Cheap);
    let seen = own_states(examiner);
    let mut expected = before.clone();
    expected.insert(check.to_owned(), state);
    assert_eq!(seen, expected, "{report:#?}");
    let all = examiner.examine(&Selection::Named(vec![check.to_owned()]));
    let found = find(&all, check).clone();
    assert_eq!(found.state, state, "it holds as long as the fault does");
    cure();
    assert_eq!(own_states(examiner), before, "after the cure");
    found
}
