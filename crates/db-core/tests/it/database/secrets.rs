//! A password shows in no error, no `Debug` and no event (reliability, row 33, for the library).

use std::fmt::{Debug, Display, Write as _};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use db_core::{CacheOptions, Database, DatabaseConfig, DatabaseUrl, Error, ErrorKind, Interrupt};
use db_testkit::{Proxy, TestDb, cluster};

use super::{Log, count, execute, insert};

/// Nothing else contains this.
const CANARY: &str = "cAnArY-9f3b";

/// Everything that was shown.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn debug(&mut self, it: &impl Debug) {
        writeln!(self.0, "{it:?} {it:#?}").unwrap();
    }

    fn error(&mut self, error: &(impl Display + Debug)) {
        writeln!(self.0, "{error}").unwrap();
        self.debug(error);
    }
}

/// `url` with the password replaced.
fn with_password(url: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (account, place) = rest.rsplit_once('@').unwrap();
    let user = account.split(':').next().unwrap();
    format!("{scheme}://{user}:{password}@{place}")
}

fn config(url: &str) -> DatabaseConfig {
    DatabaseConfig::new(url)
        .max_connections(1)
        .connection_timeout(Duration::from_secs(3))
        .connect_timeout(Duration::from_secs(1))
}

/// Every way in which opening fails.
fn refusals(server: &str) -> Vec<(String, ErrorKind)> {
    // Nobody listens there once it is closed again.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let wrong = with_password(server, CANARY);
    let (before, parameters) = wrong.split_once('?').unwrap_or((&wrong, ""));
    let (address, _) = before.rsplit_once('/').unwrap();
    let place = "127.0.0.1";
    [
        (wrong.clone(), ErrorKind::Authentication),
        (
            format!("{address}/no_such_database?{parameters}"),
            ErrorKind::Authentication,
        ),
        (
            format!("postgres://u:{CANARY}@{place}:{port}/d"),
            ErrorKind::Unavailable,
        ),
        (
            format!("postgres://{place}:{port}/d?user=u&password={CANARY}"),
            ErrorKind::Unavailable,
        ),
        (
            format!("postgres://u:{CANARY}@no-such-host.invalid/d"),
            ErrorKind::Unavailable,
        ),
        (format!("{before}?sslmode=require"), ErrorKind::Unavailable),
        (
            format!("postgres://u:{CANARY}@[::1/d"),
            ErrorKind::Configuration,
        ),
        (
            format!("postgres://u:{CANARY}%@h/d"),
            ErrorKind::Configuration,
        ),
        (
            format!("postgres://u:{CANARY}@h/d?sslmode=sometimes"),
            ErrorKind::Other,
        ),
        (
            format!("postgre://u:{CANARY}@h/d"),
            ErrorKind::Configuration,
        ),
        (format!("u:{CANARY}@h/d"), ErrorKind::Configuration),
    ]
    .into()
}

#[test]
fn opening_never_shows_it() {
    let server = cluster(&[]);
    let mut shown = Shown::default();
    let log = Log::default();
    log.of(|| {
        for (url, kind) in refusals(&server.url()) {
            for set in [
                config(&url),
                config(&url).transaction_pooler(true),
                config(&server.url()).replicas(vec![url.clone()]),
            ] {
                shown.debug(&set);
                match set.options() {
                    Ok(options) => shown.debug(&options),
                    Err(error) => shown.error(&error),
                }
                match Database::open(&set) {
                    // A replica that is not there is left out.
                    Ok(database) => {
                        shown.debug(&database);
                        let read = database.read(|conn| execute(conn, "SELECT 1"));
                        read.unwrap();
                        shown.debug(&database.stats());
                    }
                    Err(error) => {
                        let said = error.to_string().replace(CANARY, "<CANARY>");
                        let safe = url.replace(CANARY, "<CANARY>");
                        assert!(
                            kind == ErrorKind::Other
                                || error.kind() == kind
                                || set.options().is_err(),
                            "{:?} for {safe}: {said}",
                            error.kind()
                        );
                        shown.error(&error);
                    }
                }
            }
            if let Ok(url) = DatabaseUrl::parse(&url) {
                shown.error(&url);
                let opened = db_core::Connection::open(&url, db_core::Access::Create);
                shown.error(&opened.map(|_| ()).expect_err(&url.to_string()));
            }
        }
    });
    assert!(log.text().len() > 1_000, "the events were not heard");
    found_nowhere(&shown, &log);
}

#[test]
fn an_open_database_never_shows_it() {
    let server = cluster(&[]);
    let admin = Database::open(&config(&server.url())).unwrap();
    admin
        .write(|conn| {
            execute(
                conn,
                &format!("CREATE ROLE secretive SUPERUSER LOGIN PASSWORD '{CANARY}'"),
            )
        })
        .unwrap();
    let url = server.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let place = rest.rsplit_once('@').unwrap().1;
    let url = format!("{scheme}://secretive:{CANARY}@{place}");
    let mut shown = Shown::default();
    let log = Log::default();
    log.of(|| {
        let mut proxy = Proxy::to(server.port());
        let through = url.replace(
            &format!(":{}", server.port()),
            &format!(":{}", proxy.port()),
        );
        let database =
            Database::open(&config(&through).held_threshold(Duration::from_millis(1))).unwrap();
        database.write(|conn| execute(conn, super::SCHEMA)).unwrap();
        shown.debug(&database);
        shown.debug(&database.stats());
        shown.debug(&database.query_cache::<u8, u8>(CacheOptions::new(1, Duration::from_secs(1))));
        #[cfg(feature = "tokio")]
        shown.debug(&db_core::AsyncDatabase::new(database.clone()));
        let mut failures: Vec<Error> = Vec::new();
        for sql in [
            "SELEC 1",
            "INSERT INTO parents (id, n) VALUES (1, -1)",
            "SELECT pg_sleep(9)",
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "COMMIT",
            "SET ROLE nobody",
        ] {
            let options =
                db_core::TransactionOptions::new().statement_timeout(Duration::from_millis(20));
            let result = database.write_with(&options, |conn| execute(conn, sql));
            failures.push(result.expect_err(sql));
        }
        failures.push(database.read(|conn| insert(conn, 1)).unwrap_err());
        failures.push(database.read(|_| database.read(count)).unwrap_err());
        proxy.refuse();
        for _ in 0..3 {
            failures.push(database.read(count).unwrap_err());
            failures.push(database.write(count).unwrap_err());
        }
        proxy.pass();
        proxy.hold();
        failures.push(database.read(count).unwrap_err());
        proxy.pass();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            database.read(|_| -> Result<(), Error> { panic!("{database:?}") })
        }));
        if let Err(panic) = panic {
            shown.debug(panic.downcast_ref::<String>().unwrap());
        }
        database.close(Duration::from_secs(5)).unwrap();
        failures.push(database.read(count).unwrap_err());
        let kinds: std::collections::BTreeSet<_> =
            failures.iter().map(|e| format!("{:?}", e.kind())).collect();
        assert!(kinds.len() >= 7, "{kinds:?}");
        for error in &failures {
            shown.error(error);
        }
        let parsed = DatabaseUrl::parse(&url).unwrap();
        let mut connection = db_core::Connection::open(&parsed, db_core::Access::Create).unwrap();
        let interrupt: Interrupt = connection.interrupt();
        shown.debug(&interrupt);
        connection.conn().batch_execute("SELECT 1").unwrap();
    });
    assert!(log.text().contains("secretive") || log.text().len() > 1_000);
    found_nowhere(&shown, &log);
}

/// A constraint's detail may show a row's values, but they are the row's and not the password's.
#[test]
fn a_file_shows_nothing_either() {
    let db = TestDb::sqlite();
    let mut shown = Shown::default();
    let log = Log::default();
    log.of(|| {
        let database = super::open(&db);
        shown.debug(&database);
        for sql in ["SELEC 1", "INSERT INTO parents (id, n) VALUES (1, -1)"] {
            shown.error(&database.write(|conn| execute(conn, sql)).unwrap_err());
        }
    });
    found_nowhere(&shown, &log);
}

fn found_nowhere(shown: &Shown, log: &Log) {
    for (what, text) in [("shown", &shown.0), ("logged", &log.text())] {
        for secret in [CANARY, "9f3b"] {
            if let Some(at) = text.find(secret) {
                let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
                let line = text[from..].lines().next().unwrap_or_default();
                panic!("{what}: {}", line.replace(secret, "<CANARY>"));
            }
        }
    }
}
