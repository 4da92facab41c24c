//! `kill -9` of the program at random moments of a copy over a database that is there.
//!
//! `BITCRAPS_TEST_KILLS` sets how often. Afterwards the name leads to the old database or to the new
//! one, each of them whole, and the old one is kept.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use db_core::{Access, Connection, DatabaseUrl, Engine, with_conn};
use db_testkit::kill::{midway, was_killed, whole};
use db_testkit::versioned::{forget, kept};
use db_testkit::{TestDb, both_engines, size, wait_until};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

/// Rows of the old database and of the new one.
const OLD: i64 = 3;
const NEW: i64 = 20_000;

/// So many runs there may be for one that is killed in time.
const MOST_ROUNDS: u64 = 10;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// What a server says that lets somebody in while the last statement of a killed command gives the database its name.
const RENAMED: &str = "It seems to have just been dropped or renamed";

fn open(url: &DatabaseUrl) -> Result<Connection, db_core::Error> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match Connection::open(url, Access::ReadWrite) {
            Err(error) if error.to_string().contains(RENAMED) && Instant::now() < until => {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

fn number(url: &DatabaseUrl, sql: &str) -> Result<i64, db_core::Error> {
    let mut connection = open(url)?;
    let engine = url.engine();
    let found: diesel::QueryResult<Number> =
        with_conn!(connection.conn(), |c| sql_query(sql).get_result(c));
    found
        .map(|found| found.n)
        .map_err(|e| db_core::Error::classify(engine, &e))
}

fn execute(url: &DatabaseUrl, sql: &str) {
    let mut connection = Connection::open(url, Access::Create).unwrap();
    connection.conn().batch_execute(sql).unwrap();
}

/// How many rows there are, if the database is one of the two and whole.
fn rows(url: &DatabaseUrl) -> i64 {
    let rows = number(url, "SELECT count(*) AS n FROM t").unwrap();
    let marks = number(url, "SELECT count(*) AS n FROM marks").unwrap();
    assert_eq!(marks, rows, "half of it");
    if url.engine() == Engine::Sqlite {
        let sound = "SELECT count(*) AS n FROM pragma_integrity_check WHERE integrity_check = 'ok'";
        assert_eq!(number(url, sound).unwrap(), 1);
    }
    rows
}

fn fill(url: &DatabaseUrl, rows: i64) {
    execute(
        url,
        &format!(
            "BEGIN; CREATE TABLE t (id bigint PRIMARY KEY, name text); CREATE TABLE marks (id bigint REFERENCES t (id));
             INSERT INTO t WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows})
               SELECT n, 'row' FROM s;
             INSERT INTO marks SELECT id FROM t; COMMIT"
        ),
    );
}

struct World {
    source: DatabaseUrl,
    target: DatabaseUrl,
    folder: tempfile::TempDir,
}

impl World {
    fn command(&self) -> Command {
        let text = |url: &DatabaseUrl| match url {
            DatabaseUrl::Postgres(url) => url.clone(),
            other => other.to_string(),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitcraps-db"));
        command
            .current_dir(self.folder.path())
            .args(["copy", "--replace", "--force", "--from"])
            .arg(text(&self.source))
            .arg("--to")
            .arg(text(&self.target))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// The databases that were kept.
    fn kept(&self) -> Vec<DatabaseUrl> {
        if let Some(path) = self.target.path() {
            let kept = kept(path, "copy").into_iter();
            return kept.map(DatabaseUrl::SqliteFile).collect();
        }
        let name = self.target.database_name().unwrap();
        let sql = format!(
            "SELECT datname::text AS name FROM pg_database WHERE starts_with(datname, '{name}_before_')"
        );
        let mut connection = Connection::open(&self.admin(), Access::ReadOnly).unwrap();
        let found: Vec<Name> = with_conn!(connection.conn(), |c| sql_query(&sql).load(c)).unwrap();
        let kept = found.into_iter();
        kept.map(|kept| self.target.with_database(&kept.name))
            .collect()
    }

    fn admin(&self) -> DatabaseUrl {
        self.target.with_database("postgres")
    }

    /// The old database and nothing else.
    fn begin(&self) {
        if let Some(path) = self.target.path() {
            forget(path);
        } else {
            self.drop_kept();
            execute(
                &self.target,
                "DROP TABLE IF EXISTS marks, t, __db_migrate_copy",
            );
        }
        fill(&self.target, OLD);
    }

    fn drop_kept(&self) {
        for kept in self.kept() {
            let name = kept.database_name().unwrap();
            execute(&self.admin(), &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }

    /// Waits until the server has noticed that its client is dead.
    fn settle(&self) {
        if self.target.engine() == Engine::Sqlite {
            return;
        }
        let name = self.target.database_name().unwrap();
        let sql = format!("SELECT count(*) AS n FROM pg_stat_activity WHERE datname = '{name}'");
        wait_until("everybody to be gone", || {
            number(&self.admin(), &sql).unwrap() == 0
        });
    }
}

both_engines! {
    fn a_killed_copy_over_a_database_leaves_the_old_or_the_new(db: TestDb) {
        let wanted = size("KILLS", 12);
        let source = TestDb::sqlite();
        let url = |db: &TestDb| DatabaseUrl::parse(&db.url()).unwrap();
        let world = World { source: url(&source), target: url(&db), folder: tempfile::tempdir().unwrap() };
        fill(&world.source, NEW);
        world.begin();
        world.settle();
        let mut time = whole(&mut world.command());
        assert_eq!(rows(&world.target), NEW);
        let mut random = fastrand::Rng::with_seed(23);
        let (mut kills, mut round) = (0, 0);
        while kills < wanted {
            round += 1;
            assert!(round < wanted * MOST_ROUNDS, "{kills} were killed in time");
            world.begin();
            world.settle();
            let status = midway(&mut world.command(), &mut time, random.f64());
            assert!(was_killed(status) || status.success(), "round {round}: {status}");
            kills += u64::from(was_killed(status));
            let found = rows(&world.target);
            assert!([OLD, NEW].contains(&found), "round {round}: {found}");
            let kept = world.kept();
            assert!(kept.iter().all(|kept| rows(kept) == OLD), "round {round}");
            assert!(found == OLD || kept.len() == 1, "round {round}: {kept:?}");
        }
        // What dead ones have left is in nobody's way.
        world.begin();
        world.settle();
        whole(&mut world.command());
        assert_eq!(rows(&world.target), NEW);
        if world.target.engine() == Engine::Postgres {
            world.drop_kept();
        }
    }
}
