//! Where the ledger lives in PostgreSQL, whatever comes first in the search path.

use db_testkit::TestDb;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};

use crate::support::{Folder, applied, texts, versions};

fn schemas_of(conn: &mut db_testkit::TestConn, table: &str) -> Vec<String> {
    texts(
        conn,
        &format!("SELECT schemaname::text AS text FROM pg_tables WHERE tablename = '{table}'"),
    )
}

#[test]
fn a_schema_named_like_the_role_does_not_hide_the_history() {
    let folder = Folder::dice();
    folder.add(
        "20240104000000_schema",
        "DO $$ BEGIN EXECUTE format('CREATE SCHEMA %I', current_user); END $$;",
        "DO $$ BEGIN EXECUTE format('DROP SCHEMA %I', current_user); END $$;",
    );
    let db = TestDb::postgres();
    folder.run(&mut db.connect());
    let mut conn = db.connect();
    assert!(folder.run(&mut conn).steps.is_empty());
    assert_eq!(applied(&folder.migrator(), &mut conn).len(), 4);
    let found = folder.migrator().validate(conn.conn(), None).unwrap();
    assert!(found.is_clean(), "{found:?}");
    let report = folder.migrator().rollback(conn.conn()).unwrap();
    assert_eq!(versions(&report), ["20240104000000"]);
    assert_eq!(schemas_of(&mut conn, "__db_migrate_ledger"), ["public"]);
}

#[test]
fn diesels_table_further_down_the_path_is_found() {
    let folder = Folder::dice();
    let db = TestDb::postgres();
    let mut conn = db.connect();
    let db_core::Conn::Postgres(c) = conn.conn() else {
        panic!("a PostgreSQL database was expected");
    };
    let source = FileBasedMigrations::from_path(folder.path()).unwrap();
    c.run_pending_migrations(source).unwrap();
    conn.execute("CREATE SCHEMA app; SET search_path = app, public");
    assert!(folder.run(&mut conn).steps.is_empty());
    assert_eq!(schemas_of(&mut conn, "__db_migrate_ledger"), ["public"]);
    assert!(
        folder
            .migrator()
            .validate(conn.conn(), None)
            .unwrap()
            .is_clean()
    );
}

#[test]
fn temporary_tables_are_no_ledger() {
    let folder = Folder::dice();
    let db = TestDb::postgres();
    let mut conn = db.connect();
    folder.run(&mut conn);
    conn.execute(
        "CREATE TEMP TABLE __db_migrate_ledger (x INT);
         CREATE TEMP TABLE __diesel_schema_migrations (x INT);
         SET search_path = pg_temp, public",
    );
    assert!(folder.run(&mut conn).steps.is_empty());
    assert_eq!(applied(&folder.migrator(), &mut conn).len(), 3);
}
