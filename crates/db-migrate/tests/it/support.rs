//! A folder of migrations that a test writes, and looks at what is in a database.

use std::fs;
use std::path::{Path, PathBuf};

use db_core::{Conn, Engine, FixedClock, with_conn};
use db_migrate::catalog::{Catalog, Scope};
use db_migrate::{MigrateOptions, Migrator, Report, Source, Target};
use db_testkit::TestConn;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

/// A folder of migrations, gone when dropped.
pub(crate) struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    /// The three migrations that most tests use.
    pub(crate) fn dice() -> Self {
        let folder = Self::new();
        folder.add(
            "20240101000000_users",
            "-- people\nCREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL);\n",
            "DROP TABLE users;",
        );
        folder.add(
            "20240102000000_games",
            "CREATE TABLE games (id BIGINT PRIMARY KEY, winner BIGINT REFERENCES users (id));\n\
             CREATE INDEX idx_games_winner ON games (winner);",
            "DROP TABLE games;",
        );
        folder.add(
            "20240103000000_bets",
            "ALTER TABLE users ADD COLUMN email TEXT;\nINSERT INTO users (id, name) VALUES (1, 'House;');",
            "DELETE FROM users WHERE id = 1;\nALTER TABLE users DROP COLUMN email;",
        );
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn add(&self, name: &str, up: &str, down: &str) -> PathBuf {
        let path = self.root.path().join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("up.sql"), up).unwrap();
        fs::write(path.join("down.sql"), down).unwrap();
        path
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.root.path().join(file), text).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_dir_all(self.root.path().join(name)).unwrap();
    }

    pub(crate) fn migrator(&self) -> Migrator {
        Migrator::new(Source::folder(self.path()).named("main"))
            .actor("tester")
            .clock(clock())
    }

    pub(crate) fn run(&self, conn: &mut TestConn) -> Report {
        self.migrator().run(conn.conn()).unwrap()
    }

    /// Migrates up to a target.
    pub(crate) fn run_to(&self, conn: &mut TestConn, target: &str) -> Report {
        let options = MigrateOptions {
            target: Some(Target::parse(target).unwrap()),
            ..MigrateOptions::default()
        };
        self.migrator().migrate(conn.conn(), &options).unwrap()
    }
}

pub(crate) fn clock() -> FixedClock {
    FixedClock("2026-01-02T03:04:05.678901Z".parse().unwrap())
}

/// Versions of the steps of a report.
pub(crate) fn versions(report: &Report) -> Vec<&str> {
    report.steps.iter().map(|s| s.version.as_str()).collect()
}

/// Versions that the migrator holds for applied, in the order of application.
pub(crate) fn applied(migrator: &Migrator, conn: &mut TestConn) -> Vec<String> {
    let history = migrator.history(conn.conn()).unwrap();
    history.iter().map(|row| row.version.to_string()).collect()
}

/// Versions in Diesel's own table.
pub(crate) fn diesel_versions(conn: &mut TestConn) -> Vec<String> {
    texts(
        conn,
        "SELECT CAST(version AS TEXT) AS text FROM __diesel_schema_migrations ORDER BY 1",
    )
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// The column `text` of a query.
pub(crate) fn texts(conn: &mut TestConn, query: &str) -> Vec<String> {
    let mut conn = conn.conn();
    let rows: Vec<TextRow> = with_conn!(conn, |c| sql_query(query).load(c)).unwrap();
    rows.into_iter().map(|row| row.text).collect()
}

/// The column `count` of a query.
pub(crate) fn count(conn: &mut TestConn, query: &str) -> i64 {
    let mut conn = conn.conn();
    let row: CountRow = with_conn!(conn, |c| sql_query(query).get_result(c)).unwrap();
    row.count
}

/// The names of the user's tables.
pub(crate) fn tables(conn: &mut TestConn) -> Vec<String> {
    let query = match conn.engine() {
        Engine::Sqlite => {
            "SELECT name AS text FROM sqlite_schema WHERE type = 'table'
             AND name NOT GLOB '__d*' AND name NOT GLOB 'sqlite_*' ORDER BY 1"
        }
        Engine::Postgres => {
            "SELECT tablename::text AS text FROM pg_tables WHERE schemaname = 'public'
             AND tablename NOT LIKE '\\_\\_d%' ORDER BY 1"
        }
    };
    texts(conn, query)
}

/// The whole catalog, for comparing before and after.
pub(crate) fn catalog(conn: &mut TestConn) -> Catalog {
    Catalog::read(&mut conn.conn(), &Scope::default()).unwrap()
}

/// The words of the log's entries, oldest first.
pub(crate) fn log_kinds(migrator: &Migrator, conn: &mut TestConn) -> Vec<String> {
    let log = migrator.log(conn.conn()).unwrap();
    log.into_iter().map(|e| e.kind).collect()
}

/// The SQLite connection inside.
pub(crate) fn sqlite(conn: &mut TestConn) -> &mut diesel::SqliteConnection {
    match conn.conn() {
        Conn::Sqlite(c) => c,
        Conn::Postgres(_) => panic!("a SQLite database was expected"),
    }
}
