//! What `tracing` is told: a span for each call, within the caller's, and no bound value.

use db_core::{Engine, Error, ErrorKind};
use db_testkit::{TestDb, both_engines};
use diesel::sql_types::Text;
use diesel::{RunQueryDsl, sql_query};

use super::{Log, count, open};

const CANARY: &str = "cAnArY-77e1";

both_engines! {
    fn calls_have_spans_and_values_stay_out_of_them(db: TestDb) {
        let log = Log::default();
        log.of(|| {
            let database = open(&db);
            let outer = tracing::info_span!("request");
            let _inside = outer.enter();
            for sql in [
                "SELECT $1",
                // It fails, with the value in it.
                "INSERT INTO parents (id, n) SELECT CAST($1 AS BIGINT), -1",
                "SELEC $1",
            ] {
                let bound = |conn: &mut db_core::Conn<'_>| {
                    tracing::info!("in the closure");
                    let done = db_core::with_conn!(conn, |c| {
                        sql_query(sql).bind::<Text, _>(CANARY).execute(c)
                    })?;
                    Ok::<_, Error>(done)
                };
                drop(database.read(bound));
                drop(database.write(bound));
            }
            drop(database.write(|_| Err::<(), _>(Error::new(ErrorKind::Other, CANARY))));
            database.read(count).unwrap();
        });
        let text = log.text();
        assert!(!text.contains(CANARY), "{text}");
        let system = match db.engine() {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgresql",
        };
        for operation in ["read", "write"] {
            let span = format!(
                "request:database{{db.system.name=\"{system}\" db.operation.name=\"{operation}\"}}"
            );
            let found = text.lines().filter(|line| line.contains(&span));
            let inside = found.filter(|line| line.contains("in the closure"));
            assert_eq!(inside.count(), 3, "{operation}: {text}");
        }
    }
}
