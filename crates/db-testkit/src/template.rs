//! Our schema, applied once for a test program and copied for each test.
//!
//! A test on PostgreSQL that migrates its own database spends more on that than on what it tests.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::OnceLock;

use db_core::{Clock as _, SystemClock};
use db_migrate::{Migrator, Source};
use db_schema::migrations::{POSTGRES, SQLITE};
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl as _};

use crate::file::FileDb;
use crate::server;

/// What the names of all databases that are copied begin with.
const PREFIX: &str = "bitcraps_template";

/// Serialises those who make one on a server.
const LOCK: &str = "SELECT pg_advisory_lock(hashtext('bitcraps_template'))";

/// A server that outlives its tests keeps what a test program copied for so many days.
const DAYS_KEPT: i64 = 7;

/// Seconds.
const DAY: i64 = 24 * 60 * 60;

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
    /// The day it was made on, counted from 1970.
    #[diesel(sql_type = BigInt)]
    day: i64,
}

/// What brings a database to the newest version of our schema.
pub(crate) fn migrator() -> Migrator {
    Migrator::new(Source::embedded(SQLITE, POSTGRES))
}

/// The bytes of a SQLite file with our schema.
pub(crate) fn file() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let db = FileDb::create();
        let mut conn = db.connect();
        migrator()
            .run(&mut conn)
            .unwrap_or_else(|error| panic!("no SQLite file for tests: {error}"));
        // The last connection takes a log of its own along.
        drop(conn);
        fs::read(db.path()).unwrap_or_else(|error| panic!("no SQLite file for tests: {error}"))
    })
}

/// The name of a database with our schema on the server that all tests share, of which this is a superuser's URL. It
/// belongs to this build of this program: another one may bring another schema.
pub(crate) fn database(server: &str) -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        made_on(server)
            .unwrap_or_else(|error| panic!("no PostgreSQL database to copy for tests: {error}"))
    })
}

fn made_on(server: &str) -> diesel::QueryResult<String> {
    let mut admin = server::open(server);
    // Given back with the connection.
    admin.batch_execute(LOCK)?;
    let today = SystemClock.now().timestamp() / DAY;
    let program = program();
    for Named { name, day } in all(&mut admin)? {
        if name.ends_with(&program) {
            return Ok(name);
        }
        if day + DAYS_KEPT < today {
            admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        }
    }
    // Nobody else makes one now: what has this name is of somebody who was killed.
    let draft = format!("{PREFIX}_draft");
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))?;
    server::create(&mut admin, &draft, "template0")?;
    let mut conn = server::open(&server::with_database(server, &draft));
    migrator()
        .run(&mut conn)
        .unwrap_or_else(|error| panic!("no PostgreSQL database to copy for tests: {error}"));
    drop(conn);
    let name = format!("{PREFIX}_{today}_{program}");
    admin.batch_execute(&format!("ALTER DATABASE {draft} RENAME TO {name}"))?;
    Ok(name)
}

fn all(admin: &mut PgConnection) -> diesel::QueryResult<Vec<Named>> {
    diesel::sql_query(format!(
        "SELECT datname::text AS name, split_part(datname, '_', 3)::bigint AS day
         FROM pg_catalog.pg_database WHERE datname ~ '^{PREFIX}_[0-9]+_[0-9a-f]+$'"
    ))
    .load(admin)
}

/// Names this build of this program.
fn program() -> String {
    let mut hasher = DefaultHasher::new();
    if let Ok(path) = std::env::current_exe() {
        let modified = fs::metadata(&path).and_then(|meta| meta.modified()).ok();
        (path, modified).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}
