//! Rebuilding a parent table on SQLite without losing its children.

mod sqlite {
    use db_migrate::Error;
    use db_testkit::{TestConn, TestDb};

    use crate::support::{Folder, catalog, count, texts};

    const REBUILD: &str = "CREATE TABLE new_users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        INSERT INTO new_users SELECT id, name FROM users;
        DROP TABLE users;
        ALTER TABLE new_users RENAME TO users;";

    fn folder(rebuild: &str, metadata: &str) -> Folder {
        let folder = Folder::new();
        folder.add(
            "20240101000000_tables",
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
             CREATE TABLE bets (user INTEGER REFERENCES users (id) ON DELETE CASCADE);
             INSERT INTO users VALUES (1, 'a'), (2, 'b'); INSERT INTO bets VALUES (1), (2), (2);",
            "DROP TABLE bets; DROP TABLE users;",
        );
        folder.add("20240102000000_rebuild", rebuild, "SELECT 1;");
        folder.write("20240102000000_rebuild/metadata.toml", metadata);
        folder
    }

    fn foreign_keys(conn: &mut TestConn) -> Vec<String> {
        texts(
            conn,
            "SELECT CAST(foreign_keys AS TEXT) AS text FROM pragma_foreign_keys",
        )
    }

    const OFF: &str = "run_in_transaction = true\nforeign_keys = \"off\"\n";
    const ON: &str = "run_in_transaction = true\n";

    #[test]
    fn the_children_survive_when_the_migration_asks() {
        let folder = folder(REBUILD, OFF);
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run(&mut conn);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM bets"), 3);
        assert_eq!(foreign_keys(&mut conn), ["1"]);
    }

    /// The trap itself, so that the cure is known to cure something.
    #[test]
    fn without_asking_the_cascade_empties_the_child() {
        let folder = folder(REBUILD, ON);
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run(&mut conn);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM bets"), 0);
    }

    #[test]
    fn one_transaction_for_all_is_refused_where_one_runs_without_keys() {
        let folder = folder(REBUILD, OFF);
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        let options = db_migrate::MigrateOptions {
            single_transaction: true,
            ..db_migrate::MigrateOptions::default()
        };
        let error = folder
            .migrator()
            .migrate(conn.conn(), &options)
            .unwrap_err();
        assert!(
            error.to_string().contains("--single-transaction"),
            "{error}"
        );
        assert!(crate::support::tables(&mut conn).is_empty());
    }

    #[test]
    fn new_violations_undo_the_migration_and_switch_the_keys_on_again() {
        let folder = folder(&format!("{REBUILD} DELETE FROM users WHERE id = 2;"), OFF);
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "1");
        let before = catalog(&mut conn);
        let error = folder.migrator().run(conn.conn()).unwrap_err();
        let Error::Failed { failure, .. } = &error else {
            panic!("{error}")
        };
        assert!(
            failure
                .message
                .contains("2 rows of bets would lose their parent in users"),
            "{failure}"
        );
        assert_eq!(catalog(&mut conn), before);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM users"), 2);
        assert_eq!(foreign_keys(&mut conn), ["1"]);
    }

    #[test]
    fn old_violations_are_not_blamed_on_the_migration() {
        let folder = folder(REBUILD, OFF);
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        folder.run_to(&mut conn, "1");
        conn.execute(
            "PRAGMA foreign_keys = OFF; INSERT INTO bets VALUES (99); PRAGMA foreign_keys = ON",
        );
        folder.run(&mut conn);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM bets"), 4);
    }

    /// diesel_cli runs such a script without effect, and the cascade empties the child.
    #[test]
    fn a_pragma_that_would_do_nothing_is_done_as_it_was_meant() {
        let folder = folder(
            &format!("PRAGMA foreign_keys = OFF;\n{REBUILD}\nPRAGMA foreign_keys = ON;"),
            ON,
        );
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        let report = folder.run(&mut conn);
        assert_eq!(count(&mut conn, "SELECT count(*) AS count FROM bets"), 3);
        assert!(
            report.notices[0].contains("does nothing inside a transaction"),
            "{report:?}"
        );
        assert_eq!(foreign_keys(&mut conn), ["1"]);
    }
}
