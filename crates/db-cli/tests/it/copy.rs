//! `copy`, as an operator runs it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use db_core::{
    Access, Clock as _, Connection, Database, DatabaseConfig, DatabaseUrl, Engine, RetryPolicy,
    SystemClock,
};
use db_repo::money::{self, Transfer};
use db_schema::types::UtcTime;
use db_testkit::{TestDb, both_engines};
use diesel::RunQueryDsl as _;
use serde_json::Value;

use crate::support::{Done, Running, bare, finish};

/// A folder to run in, which has no configuration.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(super) fn run(arguments: &[&str]) -> Done {
    finish(bare(folder().path()).args(arguments))
}

#[track_caller]
pub(super) fn json(code: i32, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let done = run(&arguments);
    assert_eq!(done.code, code, "{done:#?}");
    done.document()
}

/// A database with players, games and money.
pub(super) fn seeded(engine: Engine) -> TestDb {
    let db = TestDb::new(engine);
    let url = db.url();
    json(0, &["--database-url", &url, "migrate"]);
    json(
        0,
        &[
            "--database-url",
            &url,
            "seed",
            "--users",
            "60",
            "--games",
            "25",
        ],
    );
    json(0, &["--database-url", &url, "audit", "seal"]);
    db
}

/// The target is a database of ours like any other.
#[track_caller]
fn is_sound(db: &TestDb) {
    let url = db.url();
    let status = json(0, &["--database-url", &url, "status", "--check"]);
    assert_eq!(status["pending"].as_array().unwrap().len(), 0);
    json(0, &["--database-url", &url, "validate"]);
    json(0, &["--database-url", &url, "reconcile"]);
    json(0, &["--database-url", &url, "audit", "verify"]);
}

fn hashes(report: &Value) -> Vec<(String, String)> {
    let tables = report["tables"].as_array().unwrap();
    tables
        .iter()
        .map(|t| {
            (
                t["table"].as_str().unwrap().to_owned(),
                t["target_hash"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

#[test]
fn a_service_moves_to_postgres_and_back() {
    let (home, away, back) = (seeded(Engine::Sqlite), TestDb::postgres(), TestDb::sqlite());
    let dry = json(
        0,
        &[
            "copy",
            "--from",
            &home.url(),
            "--to",
            &away.url(),
            "--dry-run",
        ],
    );
    assert_eq!(
        (&dry["dry_run"], &dry["misfits"]["count"]),
        (&Value::Bool(true), &Value::from(0))
    );
    let there = json(
        0,
        &[
            "--database-url",
            &home.url(),
            "copy",
            "--to",
            &away.url(),
            "--lock-source",
        ],
    );
    assert_eq!(there["migrated"], true);
    assert_eq!(there["not_translated"].as_array().unwrap().len(), 0);
    assert!(
        there["checked"]
            .to_string()
            .contains("money, which adds up"),
        "{there}"
    );
    is_sound(&away);
    let returned = json(0, &["copy", "--from", &away.url(), "--to", &back.url()]);
    is_sound(&back);
    assert_eq!(hashes(&there), hashes(&returned));
    // Numbering goes on where it was.
    json(
        0,
        &[
            "--database-url",
            &away.url(),
            "seed",
            "--users",
            "5",
            "--games",
            "2",
            "--seed",
            "9",
        ],
    );
    is_sound(&away);
    let full = json(7, &["copy", "--from", &home.url(), "--to", &away.url()]);
    assert_eq!(full["error"]["kind"], "not_empty");
}

#[test]
fn an_older_version_stays_one_postgres() {
    let (home, away) = (TestDb::sqlite(), TestDb::postgres());
    json(0, &["--database-url", &home.url(), "migrate", "--to", "6"]);
    json(0, &["copy", "--from", &home.url(), "--to", &away.url()]);
    let versions = |db: &TestDb| {
        let status = json(0, &["--database-url", &db.url(), "status"]);
        let applied = status["applied"].as_array().unwrap().clone();
        applied
            .iter()
            .map(|m| m["version"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(versions(&home).len(), 6);
    assert_eq!(versions(&home), versions(&away));
    json(0, &["--database-url", &away.url(), "migrate"]);
    is_sound(&away);
}

#[test]
fn what_does_not_fit_is_shown_postgres() {
    let (home, away) = (TestDb::sqlite(), TestDb::postgres());
    home.connect().execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (7, 'a' || char(0))",
    );
    let done = run(&["copy", "--from", &home.url(), "--to", &away.url()]);
    assert_eq!(done.code, 7, "{done:#?}");
    assert!(
        done.out.is_empty() && done.err.contains("t.x of the row 7: a NUL"),
        "{}",
        done.err
    );
    assert!(
        done.err.contains("--on-nul strip") && !done.err.contains("--on-nan"),
        "{}",
        done.err
    );
    let told = json(7, &["copy", "--from", &home.url(), "--to", &away.url()]);
    assert_eq!(
        told["error"]["details"]["misfits"]["first"][0]["column"],
        "x"
    );
    let dry = json(
        7,
        &[
            "copy",
            "--from",
            &home.url(),
            "--to",
            &away.url(),
            "--dry-run",
        ],
    );
    assert_eq!(dry["misfits"]["count"], 1);
    let done = run(&[
        "copy",
        "--from",
        &home.url(),
        "--to",
        &away.url(),
        "--on-nul",
        "strip",
    ]);
    assert_eq!(done.code, 0, "{done:#?}");
    assert!(
        done.out.contains("1 values were changed") && done.out.contains("proven: "),
        "{}",
        done.out
    );
    assert!(!done.out.contains("pw@"), "no password: {}", done.out);
}

/// Kills for each target.
const KILLS: u64 = 12;

/// A database of another's, large enough that a kill falls into its middle.
fn foreign() -> TestDb {
    let db = TestDb::sqlite();
    db.connect().execute(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT UNIQUE, b INTEGER REFERENCES b);
         CREATE TABLE b (id INTEGER PRIMARY KEY, t TEXT);
         WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 60000)
         INSERT INTO b SELECT n, 'row ' || n FROM s;
         INSERT INTO a SELECT id, t, id FROM b;",
    );
    db
}

fn killed(home: &TestDb, target: &TestDb, expected: u64) {
    let mut stopped = 0;
    for kill in 0..KILLS {
        let place = folder();
        let mut command = bare(place.path());
        command.args([
            "copy",
            "--undo",
            "--from",
            &home.url(),
            "--to",
            &target.url(),
        ]);
        let phase = ["inspect", "\"phase\":\"copy\"", "\"phase\":\"prove\""]
            [usize::try_from(kill % 3).unwrap()];
        let running = Running::until(command, phase);
        running.signal("KILL");
        let done = running.wait();
        stopped += u64::from(done.code != 0);
        if let Some(path) = target.path() {
            assert_eq!(
                path.exists(),
                done.code == 0,
                "there is a file that is not proven"
            );
        }
        if done.code == 0 {
            break;
        }
    }
    assert!(stopped >= 3, "{stopped} kills fell into a copy");
    if target.path().is_some_and(std::path::Path::exists) {
        return;
    }
    let again = [
        "copy",
        "--undo",
        "--from",
        &home.url(),
        "--to",
        &target.url(),
    ];
    let report = json(0, &again);
    assert_eq!(report["rows"], expected);
    assert_eq!(report["undone_before"], true);
    if let Some(path) = target.path() {
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing else is left"
        );
    }
}

#[test]
fn a_copy_that_was_killed_is_undone_by_the_next() {
    let home = foreign();
    killed(&home, &TestDb::sqlite(), 120_000);
}

#[test]
fn a_copy_that_was_killed_is_undone_by_the_next_postgres() {
    let home = foreign();
    killed(&home, &TestDb::postgres(), 120_000);
}

#[test]
fn a_move_that_was_killed_is_undone_by_the_next_postgres() {
    let (home, away) = (seeded(Engine::Sqlite), TestDb::postgres());
    let place = folder();
    for phase in ["inspect", "\"phase\":\"copy\"", "\"phase\":\"prove\""] {
        let mut command = bare(place.path());
        command.args(["copy", "--undo", "--from", &home.url(), "--to", &away.url()]);
        let running = Running::until(command, phase);
        running.signal("KILL");
        assert_eq!(running.wait().code, -1);
    }
    // Somebody may have gone on with it: nothing goes that nobody asked to go.
    json(7, &["copy", "--from", &home.url(), "--to", &away.url()]);
    let again = ["copy", "--undo", "--from", &home.url(), "--to", &away.url()];
    let dry = json(0, &[&again[..], &["--dry-run"]].concat());
    let steps = dry["would_undo"].as_array().unwrap();
    let named = |what: &str| {
        steps
            .iter()
            .any(|step| step.as_str().unwrap().contains(what))
    };
    assert!(
        named("roll back the table users (") && named("__db_migrate_copy"),
        "{dry:#}"
    );
    let told = run(&[&again[..], &["--dry-run"]].concat());
    assert!(
        told.out
            .contains("would undo first: roll back the table users ("),
        "{told:?}"
    );
    // It is all there still.
    json(7, &["copy", "--from", &home.url(), "--to", &away.url()]);
    let report = json(0, &again);
    assert_eq!(report["undone_before"], true);
    is_sound(&away);
}

#[test]
fn ctrl_c_leaves_the_target_empty_postgres() {
    let home = foreign();
    for target in [TestDb::sqlite(), TestDb::postgres()] {
        let place = folder();
        let mut command = bare(place.path());
        command.args(["copy", "--from", &home.url(), "--to", &target.url()]);
        let running = Running::until(command, "\"phase\":\"copy\"");
        running.signal("INT");
        let done = running.wait();
        assert_eq!(done.code, 130, "{done:?}");
        let report = json(0, &["copy", "--from", &home.url(), "--to", &target.url()]);
        assert_eq!(
            report["undone_before"], false,
            "the first had undone everything itself"
        );
    }
}

/// All that a schema of PostgreSQL holds: tables and functions, those of the ledgers too.
fn everything(db: &TestDb) -> i64 {
    let mut connection = db.connect();
    let sql = "SELECT (SELECT count(*) FROM pg_class WHERE relkind = 'r' \
               AND relnamespace = current_schema()::regnamespace) \
               + (SELECT count(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace) \
               AS count";
    let found: Number = db_core::with_conn!(connection.conn(), |c| {
        diesel::sql_query(sql).get_result(c)
    })
    .unwrap();
    found.count
}

#[test]
fn ctrl_c_in_a_move_leaves_no_table_more_than_before_postgres() {
    let home = seeded(Engine::Sqlite);
    let (fresh, adopted) = (TestDb::postgres(), TestDb::postgres());
    adopted.connect().execute(
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY, \
         run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    );
    for (target, before) in [(fresh, 0), (adopted, 1)] {
        let place = folder();
        let mut command = bare(place.path());
        command.args(["copy", "--from", &home.url(), "--to", &target.url()]);
        let running = Running::until(command, "\"phase\":\"copy\"");
        running.signal("INT");
        let done = running.wait();
        assert_eq!(done.code, 130, "{done:?}");
        assert_eq!(everything(&target), before);
        json(0, &["copy", "--from", &home.url(), "--to", &target.url()]);
        is_sound(&target);
    }
}

#[test]
fn what_is_copied_otherwise_is_not_called_missing_postgres() {
    let (home, away) = (TestDb::postgres(), TestDb::sqlite());
    home.connect().execute(
        "CREATE TABLE gen (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a + 1) STORED); \
         INSERT INTO gen VALUES (1)",
    );
    let done = run(&["copy", "--from", &home.url(), "--to", &away.url()]);
    assert_eq!(done.code, 0, "{done:#?}");
    assert!(
        done.out.contains("copied as: generated column gen.b"),
        "{done:#?}"
    );
    assert!(
        !done.out.contains("plpgsql") && !done.out.contains("not copied"),
        "{done:#?}"
    );
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

#[derive(diesel::QueryableByName)]
struct Player {
    #[diesel(sql_type = diesel::sql_types::Text)]
    user_id: String,
}

/// Money moves while it is copied: what arrives is of one moment, and adds up.
#[test]
fn money_that_moves_meanwhile_adds_up_postgres() {
    let home = seeded(Engine::Sqlite);
    let database = Database::open(&DatabaseConfig::new(home.url())).unwrap();
    let rich = "SELECT user_id FROM token_balances WHERE balance > 1000 ORDER BY user_id LIMIT 2";
    let players: Vec<Player> = database
        .read(|conn| {
            Ok::<_, db_core::Error>(db_core::with_conn!(conn, |c| diesel::sql_query(rich).load(c))?)
        })
        .unwrap();
    let (over, moved) = (AtomicBool::new(false), AtomicU64::new(0));
    for target in [TestDb::postgres(), TestDb::sqlite()] {
        over.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let number = moved.fetch_add(1, Ordering::Relaxed);
                    let at = usize::try_from(number % 2).unwrap();
                    let request = Transfer {
                        reference: format!("moved {number}"),
                        from: players[at].user_id.clone(),
                        to: players[1 - at].user_id.clone(),
                        amount: 1,
                    };
                    let now = UtcTime::from(SystemClock.now());
                    database
                        .write_with_retry(&RetryPolicy::default(), |conn| {
                            money::transfer(conn, &request, now)
                        })
                        .unwrap();
                }
            });
            let before = moved.load(Ordering::Relaxed);
            let done = run(&[
                "copy",
                "--from",
                &home.url(),
                "--to",
                &target.url(),
                "--json",
            ]);
            let during = moved.load(Ordering::Relaxed) - before;
            over.store(true, Ordering::Relaxed);
            assert_eq!(done.code, 0, "{done:#?}");
            let report = done.document();
            assert!(during > 1, "{during} transfers went through meanwhile");
            assert!(
                report["checked"]
                    .to_string()
                    .contains("money, which adds up"),
                "{report}"
            );
        });
        is_sound(&target);
    }
}

both_engines! {
    fn a_target_is_replaced_only_when_told_and_the_old_one_is_kept(target: TestDb) {
        let source = TestDb::sqlite();
        source
            .connect()
            .execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2)");
        target.connect().execute("CREATE TABLE old (a INTEGER)");
        let (from, to) = (source.url(), target.url());
        let copy = |code, more: &[&str]| {
            let words: Vec<&str> = ["copy", "--from", &from, "--to", &to].iter().chain(more).copied().collect();
            json(code, &words)
        };
        let told = copy(7, &[])["error"]["message"].to_string();
        assert!(told.contains("old") && !told.contains("keepalives"), "{told}");
        let untold = copy(7, &["--replace"]);
        assert!(untold["error"]["hint"].to_string().contains("--force"), "{untold}");
        // Somebody is in it.
        let mut other = target.connect();
        other.execute("INSERT INTO old VALUES (5)");
        let busy = if target.engine() == Engine::Postgres { 7 } else { 6 };
        copy(busy, &["--replace", "--force"]);
        copy(busy, &["--replace", "--dry-run"]);
        drop(other);
        let touched = || {
            let folder = target.path()?.parent()?.to_owned();
            std::fs::metadata(folder).ok()?.modified().ok()
        };
        let before = touched();
        assert_eq!(copy(0, &["--replace", "--dry-run"])["dry_run"], true);
        assert_eq!(touched(), before, "nothing was made beside it");
        let ask = |url: &DatabaseUrl, sql: &str| {
            let mut connection = Connection::open(url, Access::ReadWrite).unwrap();
            connection.conn().batch_execute(sql)
        };
        let url = DatabaseUrl::parse(&to).unwrap();
        ask(&url, "SELECT a FROM old").unwrap();
        let done = copy(0, &["--replace", "--force"]);
        assert_eq!((&done["rows"], &done["target"]), (&Value::from(2), &Value::from(url.to_string())));
        ask(&url, "SELECT a FROM t").unwrap();
        ask(&url, "SELECT a FROM old").unwrap_err();
        let kept = done["kept"].as_str().unwrap();
        let old = match target.engine() {
            Engine::Sqlite => DatabaseUrl::SqliteFile(kept.into()),
            Engine::Postgres => url.with_database(kept),
        };
        ask(&old, "INSERT INTO old VALUES (6)").unwrap();
        if let Some(path) = target.path() {
            let beside = std::fs::read_dir(path.parent().unwrap()).unwrap();
            assert_eq!(beside.count(), 2, "the new one and the old one");
        } else {
            ask(&url, &format!("DROP DATABASE {kept}")).unwrap();
        }
        // The same database is no target.
        json(2, &["copy", "--from", &to, "--to", &to, "--replace", "--force"]);
    }
}

/// What users added to a database of ours, and changed in it.
const ADDED: &str = "CREATE INDEX extra_index ON users (username, id); \
    CREATE VIEW extra_view AS SELECT id FROM users; \
    DROP INDEX idx_users_created_at; CREATE INDEX idx_users_created_at ON users (created_at, id);";

/// The same, in words of one engine.
const ADDED_SQLITE: &str = "CREATE TRIGGER extra_trigger AFTER UPDATE ON games BEGIN SELECT 1; END; \
    CREATE VIRTUAL TABLE extra_words USING fts5 (word);";
const ADDED_POSTGRES: &str = "CREATE SEQUENCE extra_sequence; \
    CREATE MATERIALIZED VIEW extra_rows AS SELECT id FROM users; \
    CREATE FUNCTION extra_function() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
    CREATE TRIGGER extra_trigger AFTER UPDATE ON games FOR EACH ROW EXECUTE FUNCTION extra_function(); \
    ALTER TABLE games ENABLE ROW LEVEL SECURITY;";

#[test]
fn what_was_added_to_a_database_of_ours_is_listed() {
    let in_both = [
        "index extra_index",
        "index idx_users_created_at",
        "view extra_view",
    ];
    for (engine, more, of_engine) in [
        (
            Engine::Sqlite,
            ADDED_SQLITE,
            vec!["trigger extra_trigger", "virtual table extra_words"],
        ),
        (
            Engine::Postgres,
            ADDED_POSTGRES,
            vec![
                "function extra_function()",
                "materialized view extra_rows",
                "sequence extra_sequence",
                "table games",
                "trigger games.extra_trigger",
            ],
        ),
    ] {
        let from = TestDb::new(engine);
        json(0, &["--database-url", &from.url(), "migrate"]);
        from.connect().execute(ADDED);
        from.connect().execute(more);
        let mut expected: Vec<&str> = of_engine.into_iter().chain(in_both).collect();
        expected.sort_unstable();
        for to in [TestDb::sqlite(), TestDb::postgres()] {
            let (from, to) = (from.url(), to.url());
            for last in [&["--dry-run"][..], &[]] {
                let asked = ["copy", "--from", &from, "--to", &to];
                let report = json(0, &[&asked[..], last].concat());
                let left = report["not_translated"].as_array().unwrap();
                let mut left: Vec<String> = left
                    .iter()
                    .map(|l| {
                        format!(
                            "{} {}",
                            l["kind"].as_str().unwrap(),
                            l["name"].as_str().unwrap()
                        )
                    })
                    .collect();
                left.sort_unstable();
                assert_eq!(left, expected, "{report:#}");
            }
        }
    }
}
