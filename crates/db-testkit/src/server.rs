//! A PostgreSQL database of its own on the test server.

use std::fmt;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use uuid::Uuid;

use crate::template;

/// The environment variable that names the test server, as a superuser's URL.
pub const SERVER_VARIABLE: &str = "BITCRAPS_TEST_POSTGRES_URL";

/// Numbers the databases of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A database on a server, made when it is first asked for, and dropped with all its connections on drop.
pub(crate) struct ServerDb {
    name: String,
    url: String,
    server: String,
    /// Whether many tests share the server, so that what they copy pays.
    is_shared: bool,
    made: Once,
}

impl ServerDb {
    /// On the server that `cargo xtask test` provides.
    pub(crate) fn shared() -> Self {
        let server = std::env::var(SERVER_VARIABLE).unwrap_or_default();
        assert!(
            !server.is_empty(),
            "this test needs a PostgreSQL server: run `cargo xtask test`, which starts one, \
             or set {SERVER_VARIABLE} to a superuser's URL of a server for tests"
        );
        Self::new(server, true)
    }

    /// On the server of this superuser's URL.
    pub(crate) fn on(server: String) -> Self {
        Self::new(server, false)
    }

    fn new(server: String, is_shared: bool) -> Self {
        let name = unique_name();
        let url = with_database(&server, &name);
        Self {
            name,
            url,
            server,
            is_shared,
            made: Once::new(),
        }
    }

    pub(crate) fn url(&self) -> &str {
        // template0, because template1 cannot be copied while anyone is connected to it.
        self.make(|| "template0");
        &self.url
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> PgConnection {
        open(self.url())
    }

    /// Makes it with our schema; `false` if it is there already, or migrating it is as well.
    pub(crate) fn make_migrated(&self) -> bool {
        self.is_shared && self.make(|| template::database(&self.server))
    }

    /// Makes it a copy of another one; `false` if it is there already.
    fn make(&self, template: impl FnOnce() -> &'static str) -> bool {
        let mut is_new = false;
        self.made.call_once(|| {
            create(&mut open(&self.server), &self.name, template())
                .unwrap_or_else(|error| panic!("cannot create a test database: {error}"));
            is_new = true;
        });
        is_new
    }
}

/// Makes a database that is a copy of another one.
pub(crate) fn create(
    admin: &mut PgConnection,
    name: &str,
    template: &str,
) -> diesel::QueryResult<()> {
    let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
    // Copying files takes 14 ms where the default, writing all through the log, takes 51.
    // Servers before 15 do not know the word, and copy files anyway.
    admin
        .batch_execute(&format!("{sql} STRATEGY FILE_COPY"))
        .or_else(|_| admin.batch_execute(&sql))
}

impl Drop for ServerDb {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test server is no concern of db-core"
    )]
    fn drop(&mut self) {
        if !self.made.is_completed() {
            return;
        }
        // A failure is not reported: the test may be panicking already, and the throw-away
        // server takes its databases with it.
        if let Ok(mut admin) = PgConnection::establish(&self.server) {
            let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            drop(admin.batch_execute(&sql));
        }
    }
}

/// Hides the password that the URL holds.
impl fmt::Debug for ServerDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerDb")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A name that no other test, process or machine on the same server will pick.
fn unique_name() -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let random = Uuid::new_v4().simple().to_string();
    format!(
        "bitcraps_test_{}_{number}_{:.8}",
        std::process::id(),
        random
    )
}

#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "tests of db-core itself need a connection that db-core did not make"
)]
pub(crate) fn open(url: &str) -> PgConnection {
    PgConnection::establish(url).unwrap_or_else(|error| {
        // The URL holds a password, so the message does without it.
        panic!("the PostgreSQL server in {SERVER_VARIABLE} cannot be reached: {error}")
    })
}

/// `url` with another database name, parameters kept.
pub(crate) fn with_database(url: &str, name: &str) -> String {
    let (address, parameters) = match url.split_once('?') {
        Some((address, parameters)) => (address, format!("?{parameters}")),
        None => (url, String::new()),
    };
    let authority = address.find("://").map_or(0, |scheme| scheme + "://".len());
    let server = match address.get(authority..).and_then(|rest| rest.find('/')) {
        Some(slash) => address.get(..authority + slash).unwrap_or(address),
        None => address,
    };
    format!("{server}/{name}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::{unique_name, with_database};

    #[test]
    fn the_database_is_replaced_and_the_rest_is_kept() {
        for (url, expected) in [
            ("postgres://u:p@h:5/postgres", "postgres://u:p@h:5/new"),
            ("postgres://u:p@h:5", "postgres://u:p@h:5/new"),
            ("postgresql://h/", "postgresql://h/new"),
            (
                "postgres://u@%2Ftmp/db?sslmode=disable&options=-c%20a=/b",
                "postgres://u@%2Ftmp/new?sslmode=disable&options=-c%20a=/b",
            ),
            (
                "postgres:///db?host=/run/postgresql",
                "postgres:///new?host=/run/postgresql",
            ),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }

    #[test]
    fn names_differ() {
        assert_ne!(unique_name(), unique_name());
    }
}
