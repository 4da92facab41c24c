//! What statements are recognised as.

use db_core::Engine::{self, Postgres, Sqlite};

use crate::sql::{Facts, IndexName, facts};

#[track_caller]
fn all(engine: Engine, statements: &[&str], fact: fn(&Facts) -> bool, expected: bool) {
    for statement in statements {
        let noisy = format!("/* x */ -- y\n {} /* z */ ;", statement.to_lowercase());
        assert_eq!(fact(&facts(engine, statement)), expected, "{statement}");
        assert_eq!(fact(&facts(engine, &noisy)), expected, "{noisy}");
    }
}

#[test]
fn foreign_key_pragmas() {
    let fact = |facts: &Facts| facts.sets_foreign_keys;
    let set = [
        "PRAGMA foreign_keys = OFF",
        "PRAGMA foreign_keys=1",
        "PRAGMA main . foreign_keys(0)",
        "PRAGMA \"foreign_keys\" = ON",
        "PRAGMA /* c */ FOREIGN_KEYS = no",
    ];
    all(Sqlite, &set, fact, true);
    let other = [
        "PRAGMA foreign_keys",
        "PRAGMA foreign_key_check",
        "PRAGMA defer_foreign_keys = ON",
        "PRAGMA foreign_key_list(foreign_keys)",
        "SELECT 'PRAGMA foreign_keys = OFF'",
        "PRAGMA",
        "",
    ];
    all(Sqlite, &other, fact, false);
    all(Postgres, &set, fact, false);
}

#[test]
fn transaction_control() {
    let fact = |facts: &Facts| facts.controls_transaction;
    let both = [
        "BEGIN",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ROLLBACK TO a",
        "SAVEPOINT a",
        "RELEASE a",
    ];
    all(Sqlite, &both, fact, true);
    all(Postgres, &both, fact, true);
    all(Sqlite, &["BEGIN IMMEDIATE", "END TRANSACTION"], fact, true);
    let postgres = [
        "START TRANSACTION READ ONLY",
        "ABORT",
        "PREPARE TRANSACTION 'x'",
    ];
    all(Postgres, &postgres, fact, true);
    let neither = [
        "PREPARE transaction_plan AS SELECT 1",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END",
        "DO $$ BEGIN COMMIT; END $$",
        "SELECT 'BEGIN'",
    ];
    all(Postgres, &neither, fact, false);
    all(
        Sqlite,
        &["CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END"],
        fact,
        false,
    );
}

#[test]
fn statements_that_refuse_a_transaction() {
    let fact = |facts: &Facts| facts.refuses_transaction;
    let sqlite = [
        "VACUUM",
        "VACUUM INTO 'x'",
        "ATTACH 'a' AS b",
        "DETACH b",
        "PRAGMA journal_mode = WAL",
        "PRAGMA main.journal_mode(DELETE)",
        "PRAGMA synchronous = 1",
        "PRAGMA wal_checkpoint",
    ];
    all(Sqlite, &sqlite, fact, true);
    all(
        Sqlite,
        &["PRAGMA journal_mode", "PRAGMA user_version = 3", "ANALYZE"],
        fact,
        false,
    );
    let postgres = [
        "VACUUM (FULL) t",
        "CREATE DATABASE a",
        "DROP DATABASE a",
        "CREATE TABLESPACE a LOCATION '/x'",
        "DROP TABLESPACE a",
        "ALTER SYSTEM SET a = 1",
        "CREATE INDEX CONCURRENTLY i ON t (a)",
        "CREATE UNIQUE INDEX CONCURRENTLY ON t (a)",
        "DROP INDEX CONCURRENTLY IF EXISTS i",
        "REINDEX INDEX CONCURRENTLY i",
        "REINDEX (VERBOSE, CONCURRENTLY) TABLE t",
        "REINDEX SCHEMA s",
        "ALTER TABLE t DETACH PARTITION s.p CONCURRENTLY",
        "ALTER DATABASE a SET TABLESPACE b",
        "DISCARD ALL",
        "CLUSTER",
    ];
    all(Postgres, &postgres, fact, true);
    let plain = [
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
        "CREATE INDEX i ON t (a)",
        "DROP INDEX i",
        "REINDEX TABLE t",
        "REINDEX (CONCURRENTLY off) TABLE t",
        "ALTER TABLE t DETACH PARTITION p",
        "ALTER TABLE t DETACH PARTITION p FINALIZE",
        "CLUSTER t USING i",
        "ALTER DATABASE a SET work_mem = '1MB'",
        "SELECT 'VACUUM'",
    ];
    all(Postgres, &plain, fact, false);
}

#[test]
fn concurrent_indexes_are_named() {
    let index = |statement| facts(Postgres, statement).concurrent_index;
    let named = |schema: Option<&str>, name: Option<&str>, on_table: &str, if_not_exists| {
        let (schema, name) = (schema.map(str::to_owned), name.map(str::to_owned));
        Some(IndexName {
            schema,
            name,
            on_table: on_table.to_owned(),
            if_not_exists,
        })
    };
    for (statement, expected) in [
        (
            "CREATE INDEX CONCURRENTLY Idx ON Users (a)",
            named(None, Some("idx"), "users", false),
        ),
        (
            "create unique index concurrently if not exists \"I\"\"x\" on only S . \"T\" using \
             btree (a)",
            named(Some("s"), Some("I\"x"), "T", true),
        ),
        (
            "CREATE INDEX CONCURRENTLY /* c */ ON t (a)",
            named(None, None, "t", false),
        ),
        ("CREATE INDEX i ON t (a)", None),
        ("CREATE INDEX CONCURRENTLY i", None),
        ("CREATE INDEX CONCURRENTLY", None),
        ("DROP INDEX CONCURRENTLY i", None),
    ] {
        assert_eq!(index(statement), expected, "{statement}");
    }
    assert_eq!(
        facts(Sqlite, "CREATE INDEX CONCURRENTLY i ON t (a)").concurrent_index,
        None
    );
}

#[test]
fn statements_that_change_rows() {
    let fact = |facts: &Facts| facts.changes_rows;
    let both = [
        "INSERT INTO a VALUES (1)",
        "UPDATE a SET b = 1",
        "DELETE FROM a",
        "WITH x AS (SELECT 1) DELETE FROM a",
        "WITH RECURSIVE x(a) AS (SELECT 1), y AS (SELECT 2) INSERT INTO a SELECT * FROM x",
    ];
    all(Sqlite, &both, fact, true);
    all(Postgres, &both, fact, true);
    all(
        Sqlite,
        &[
            "REPLACE INTO a VALUES (1)",
            "WITH x AS (SELECT 1) REPLACE INTO a VALUES (1)",
        ],
        fact,
        true,
    );
    let postgres = [
        "MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE",
        "WITH x AS (DELETE FROM a RETURNING *) SELECT * FROM x",
        "WITH y AS (SELECT 1), x AS NOT MATERIALIZED (UPDATE a SET b = 1) SELECT 1",
    ];
    all(Postgres, &postgres, fact, true);
    let neither = [
        "SELECT replace(a, 'x', 'y') FROM t",
        "WITH x AS (SELECT replace(a, 'x', 'y') AS r FROM t) SELECT r FROM x",
        "CREATE TABLE a (b)",
        "SELECT 'INSERT'",
    ];
    all(Sqlite, &neither, fact, false);
    all(Postgres, &neither, fact, false);
    let reads = [
        "WITH x AS (SELECT 1) SELECT * FROM t FOR UPDATE",
        "WITH x AS (SELECT 1), insert AS (SELECT 2) SELECT * FROM insert",
        "WITH x(insert) AS (SELECT 1) SELECT * FROM x",
    ];
    all(Postgres, &reads, fact, false);
}
