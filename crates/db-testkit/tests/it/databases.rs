//! What a test may expect of its database: it is empty, its own, and gone afterwards.

use db_core::{Engine, Error, with_conn};
use db_migrate::{EmbeddedFolder, Migrator, Source};
use db_testkit::{TestDb, both_engines};
use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{PgConnection, QueryableByName, RunQueryDsl};

/// An application's migrations, alike on both engines.
static OWN: EmbeddedFolder = &[(
    "20261201000100_favourites",
    &[
        (
            "up.sql",
            "CREATE TABLE favourites (number INTEGER NOT NULL);",
        ),
        ("down.sql", "DROP TABLE favourites;"),
    ],
)];

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn databases_named(conn: &mut PgConnection, name: &str) -> i64 {
    let sql = format!("SELECT count(*) AS n FROM pg_database WHERE datname = '{name}'");
    diesel::sql_query(sql).get_result::<Count>(conn).unwrap().n
}

both_engines! {
    fn two_databases_do_not_see_each_other(db: TestDb) {
        let other = TestDb::new(db.engine());
        assert_ne!(db.url(), other.url());
        for each in [&db, &other] {
            each.connect().execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
        }
        db.connect().execute("INSERT INTO t VALUES (1)");
        other.connect().execute("INSERT INTO t VALUES (1)");
    }

    fn two_connections_see_the_same_database(db: TestDb) -> diesel::QueryResult<()> {
        db.connect().execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
        db.connect().conn().batch_execute("INSERT INTO t VALUES (1)")
    }

    fn an_application_tests_with_its_own_migrations(db: TestDb) {
        let library = Source::embedded(db_schema::migrations::SQLITE, db_schema::migrations::POSTGRES);
        let own = Source::embedded(OWN, OWN).named("favourites");
        let migrator = Migrator::new(library).and(own);
        db.migrate_with(&migrator);
        // Again it finds nothing to do.
        db.migrate_with(&migrator);
        let insert = "INSERT INTO favourites VALUES (7)";
        db.database().write(|conn| Ok::<_, Error>(conn.batch_execute(insert)?)).unwrap();
        // Opened anew it holds what was written.
        let count = "SELECT count(*) AS n FROM favourites CROSS JOIN (SELECT count(*) FROM users) AS u";
        let found: Count = db
            .database()
            .read(|conn| Ok::<_, Error>(with_conn!(conn, |c| diesel::sql_query(count).get_result(c))?))
            .unwrap();
        assert_eq!(found.n, 1);
    }

    fn the_url_says_which_engine(db: TestDb) {
        let scheme = match db.engine() {
            Engine::Sqlite => "sqlite:///",
            Engine::Postgres => "postgres",
        };
        assert!(db.url().starts_with(scheme));
        assert_eq!(db.connect().engine(), db.engine());
        assert_eq!(db.path().is_some(), db.engine() == Engine::Sqlite);
    }
}

#[test]
fn sqlite_leaves_nothing_behind() {
    let db = TestDb::sqlite();
    db.connect()
        .execute("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER)");
    let folder = db.path().unwrap().parent().unwrap().to_owned();
    assert!(folder.exists());
    drop(db);
    assert!(!folder.exists());
}

mod postgres {
    use super::{Count, RunQueryDsl, SimpleConnection, TestDb, databases_named};
    use db_testkit::TestConn;

    #[test]
    fn leaves_nothing_behind_even_with_open_connections() {
        let witness = TestDb::postgres();
        let TestConn::Postgres(mut look) = witness.connect() else {
            unreachable!()
        };

        let db = TestDb::postgres();
        let name = db.url().rsplit('/').next().unwrap().to_owned();
        let TestConn::Postgres(mut open) = db.connect() else {
            unreachable!()
        };
        assert_eq!(databases_named(&mut look, &name), 1);

        drop(db);
        assert_eq!(databases_named(&mut look, &name), 0);
        assert!(open.batch_execute("SELECT 1").is_err(), "it was cut off");
        let alive: Count = diesel::sql_query("SELECT 1::bigint AS n")
            .get_result(&mut look)
            .unwrap();
        assert_eq!(alive.n, 1);
    }

    #[test]
    fn debug_output_hides_the_password() {
        let db = TestDb::postgres();
        let text = format!("{db:?}");
        let url = db.url();
        let password = url
            .split_once('@')
            .and_then(|(user, _)| user.rsplit(':').next());
        assert!(!text.contains(password.unwrap()), "{text}");
    }
}
