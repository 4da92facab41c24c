//! What a closure may not do to its connection, because the next closure is a stranger's. SQLite
//! only: elsewhere the server keeps sessions apart.

use db_core::{Conn, Database, DatabaseConfig, Error, ErrorKind};
use db_testkit::TestDb;

use super::{count, execute, insert, number, open_with, statement};

/// What would change the session, or what it is connected to.
const REFUSED: [&str; 14] = [
    "PRAGMA query_only = OFF",
    "PRAGMA Query_Only(0)",
    "PRAGMA main.query_only = OFF",
    "PRAGMA ignore_check_constraints = ON",
    "PRAGMA recursive_triggers = OFF",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA synchronous = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA busy_timeout = 1",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "ATTACH ':memory:' AS other",
    "DETACH main",
    "COMMIT; BEGIN",
];

/// A file and a database in memory, one connection each.
fn each(check: impl Fn(&Database)) {
    let file = TestDb::sqlite();
    check(&open_with(&file, |config| config.max_connections(1)));
    let memory = Database::open(&DatabaseConfig::new("sqlite::memory:")).unwrap();
    memory.write(|conn| execute(conn, super::SCHEMA)).unwrap();
    check(&memory);
}

/// Goes on where the statement was refused, and fails where it was not.
fn is_refused(conn: &mut Conn<'_>, sql: &str) -> Result<(), Error> {
    match execute(conn, sql) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        other => Err(Error::new(ErrorKind::Other, format!("{sql}: {other:?}"))),
    }
}

#[test]
fn no_closure_changes_the_session() {
    each(|database| {
        for sql in REFUSED {
            // Both closures go on, as if nothing had been refused.
            database.read(|conn| is_refused(conn, sql)).unwrap();
            database.write(|conn| is_refused(conn, sql)).unwrap();
        }
        let error = database.read(|conn| insert(conn, 7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
        assert!(error.hint().unwrap().contains("use `write`"), "{error}");
        let negative = "INSERT INTO parents (id, n) VALUES (1, -1)";
        let error = database.write(|conn| execute(conn, negative)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Constraint, "{error}");
        let orphan = "INSERT INTO children (id, parent_id) VALUES (1, 77)";
        let error = database.write(|conn| execute(conn, orphan)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Constraint, "{error}");
        assert_eq!(database.read(count).unwrap(), 0);
    });
}

/// Also by one statement that is prepared and kept.
#[test]
fn a_prepared_statement_is_refused_as_well() {
    each(|database| {
        let kinds = database.read(|conn| {
            let refused = ["PRAGMA query_only = OFF", "ROLLBACK"];
            Ok::<_, Error>(refused.map(|sql| statement(conn, sql).unwrap_err().kind()))
        });
        assert_eq!(kinds.unwrap(), [ErrorKind::PermissionDenied; 2]);
    });
}

#[test]
fn questions_and_what_goes_with_the_transaction_are_allowed() {
    each(|database| {
        database
            .read(|conn| {
                for sql in [
                    "PRAGMA table_info(parents)",
                    "PRAGMA foreign_key_check",
                    "PRAGMA foreign_key_check(children)",
                    "PRAGMA data_version",
                    "PRAGMA query_only",
                    "SAVEPOINT mine; RELEASE mine",
                ] {
                    execute(conn, sql)?;
                }
                let columns = "SELECT count(*) AS value FROM pragma_table_info('parents')";
                assert_eq!(number(conn, columns)?, 2);
                Ok::<_, Error>(())
            })
            .unwrap();
        let undone: Result<(), Error> = database.write(|conn| {
            execute(
                conn,
                "PRAGMA user_version = 3; PRAGMA defer_foreign_keys = ON",
            )?;
            Err(Error::new(ErrorKind::Other, "on purpose"))
        });
        undone.unwrap_err();
        let version = "SELECT user_version AS value FROM pragma_user_version";
        assert_eq!(database.read(|conn| number(conn, version)).unwrap(), 0);
    });
}

/// A closure cannot make another file's damage that of the database.
#[test]
fn a_damaged_file_elsewhere_does_not_stop_the_writes() {
    let db = TestDb::sqlite();
    let database = open_with(&db, |config| config);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("garbage");
    std::fs::write(&path, "this is no database, only text. ".repeat(100)).unwrap();
    let sql = format!(
        "ATTACH '{}' AS g; SELECT * FROM g.sqlite_master",
        path.display()
    );
    database.read(|conn| execute(conn, &sql)).unwrap_err();
    database.write(|conn| insert(conn, 1)).unwrap();
}
