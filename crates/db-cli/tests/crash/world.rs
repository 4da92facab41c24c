//! A folder of migrations, the binary, and what a database must look like at any moment.

use std::path::Path;
use std::process::{Command, Stdio};

use db_core::{Access, Connection, DatabaseUrl, Engine, with_conn};
use db_migrate::{Migrator, Source, State};
use db_testkit::TestDb;
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

/// Migrations in the folder: enough for a kill to fall into any part of a run.
pub(crate) const MIGRATIONS: usize = 24;

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// A folder in which migration `i` makes tables `a<i>` and `b<i>` and fills them; every fifth
/// runs outside a transaction.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..MIGRATIONS {
        let path = folder
            .path()
            .join(format!("{:014}_m{i}", 20_240_101_000_000 + i));
        std::fs::create_dir(&path).unwrap();
        let exists = if outside(i) { "IF NOT EXISTS " } else { "" };
        let up = format!(
            "CREATE TABLE {exists}a{i} (x INTEGER);\nCREATE TABLE {exists}b{i} (x INTEGER);\n\
             INSERT INTO a{i} VALUES (1);\nINSERT INTO b{i} VALUES (1);\n"
        );
        std::fs::write(path.join("up.sql"), up).unwrap();
        std::fs::write(
            path.join("down.sql"),
            format!("DROP TABLE b{i};\nDROP TABLE a{i};\n"),
        )
        .unwrap();
        if outside(i) {
            std::fs::write(path.join("metadata.toml"), "run_in_transaction = false\n").unwrap();
        }
    }
    folder
}

/// Whether migration `i` runs outside a transaction. Its statements may run twice when a kill
/// falls between one of them and its record, which is why it is written to bear that.
pub(crate) const fn outside(i: usize) -> bool {
    i % 5 == 4
}

/// The binary, ready to migrate `db` with `folder`.
pub(crate) fn migrate(db: &TestDb, folder: &Path) -> Command {
    run(db, folder, &["migrate"])
}

/// The binary, ready to revert everything.
pub(crate) fn rollback(db: &TestDb, folder: &Path) -> Command {
    run(db, folder, &["rollback", "0", "--force"])
}

/// The binary, ready to tell what is applied.
pub(crate) fn status(db: &TestDb, folder: &Path) -> Command {
    run(db, folder, &["status"])
}

fn run(db: &TestDb, folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitcraps-db"));
    // libpq would follow them.
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("PG") {
            command.env_remove(variable);
        }
    }
    command
        .args(["--database-url", &db.url(), "--json", "--migrations"])
        .arg(folder)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Versions that the database has, after checking that it is exactly before or after each
/// migration: ledger, Diesel's table and tables agree.
pub(crate) fn consistent(db: &TestDb, folder: &Path) -> usize {
    let url = DatabaseUrl::parse(&db.url()).unwrap();
    let mut connection = match Connection::open(&url, Access::ReadWrite) {
        Ok(connection) => connection,
        // Killed before the file was made.
        Err(e) if e.kind() == db_core::ErrorKind::DatabaseMissing => return 0,
        Err(e) => panic!("{e}"),
    };
    let migrator = Migrator::new(Source::folder(folder).named("bitcraps"));
    let status = migrator.status(connection.conn()).unwrap();
    let applied = status.applied.len();
    for (i, entry) in status.applied.iter().enumerate() {
        assert_eq!(entry.name, format!("m{i}"));
    }
    assert!(status.unrecorded.is_empty() && status.reverted_outside.is_empty());
    let tables = tables(&mut connection);
    let complete = |i: usize| {
        ["a", "b"]
            .iter()
            .all(|t| tables.contains(&format!("{t}{i}")))
    };
    for i in 0..MIGRATIONS {
        let any = tables.contains(&format!("a{i}")) || tables.contains(&format!("b{i}"));
        if i + 1 == applied && outside(i) && status.applied[i].state == State::Reverting {
            // On its way back, statement by statement.
        } else if i < applied {
            assert!(complete(i), "m{i} is recorded, but not whole: {tables:?}");
        } else if i > applied || !outside(i) {
            assert!(!any, "m{i} is not recorded, but there: {tables:?}");
        }
    }
    applied
}

fn tables(connection: &mut Connection) -> Vec<String> {
    let query = match connection.url().engine() {
        Engine::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        Engine::Postgres => {
            "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'"
        }
    };
    let mut conn = connection.conn();
    let names: Vec<Name> = with_conn!(conn, |c| sql_query(query).load(c)).unwrap();
    names.into_iter().map(|n| n.name).collect()
}
