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

/// A server that outlives its tests keeps for so many days what a test program has begun to copy.
const DAYS_KEPT: i64 = 7;

/// Seconds.
const DAY: i64 = 24 * 60 * 60;

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
    /// The day on which a program last began with it, counted from 1970.
    #[diesel(sql_type = BigInt)]
    used: i64,
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
        let today = SystemClock.now().timestamp() / DAY;
        made_on(server, (PREFIX, &program()), today)
            .unwrap_or_else(|error| panic!("no PostgreSQL database to copy for tests: {error}"))
    })
}

fn made_on(
    server: &str,
    (prefix, program): (&str, &str),
    today: i64,
) -> diesel::QueryResult<String> {
    let mut admin = server::open(server);
    // Given back with the connection.
    admin.batch_execute(LOCK)?;
    for Named { name, used } in all(&mut admin, prefix)? {
        if name.ends_with(program) {
            if used < today {
                // Under another name nobody who copies it already would find it.
                admin.batch_execute(&format!("COMMENT ON DATABASE {name} IS '{today}'"))?;
            }
            return Ok(name);
        }
        if used + DAYS_KEPT < today {
            admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
        }
    }
    // Nobody else makes one now: what has this name is of somebody who was killed.
    let draft = format!("{prefix}_draft");
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))?;
    server::create(&mut admin, &draft, "template0")?;
    let mut conn = server::open(&server::with_database(server, &draft));
    migrator()
        .run(&mut conn)
        .unwrap_or_else(|error| panic!("no PostgreSQL database to copy for tests: {error}"));
    drop(conn);
    let name = format!("{prefix}_{today}_{program}");
    admin.batch_execute(&format!("ALTER DATABASE {draft} RENAME TO {name}"))?;
    Ok(name)
}

/// Their names say when they were made, their comments when one was found again.
fn all(admin: &mut PgConnection, prefix: &str) -> diesel::QueryResult<Vec<Named>> {
    diesel::sql_query(format!(
        "SELECT datname::text AS name, greatest(
             substring(datname::text FROM '_([0-9]+)_[0-9a-f]+$')::bigint,
             substring(shobj_description(oid, 'pg_database') FROM '^[0-9]+$')::bigint) AS used
         FROM pg_catalog.pg_database WHERE datname ~ '^{prefix}_[0-9]+_[0-9a-f]+$'"
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

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;

    use super::{all, made_on};
    use crate::server::{SERVER_VARIABLE, open};

    #[test]
    fn what_is_still_begun_with_outlives_its_week_postgres() {
        let server = std::env::var(SERVER_VARIABLE).unwrap();
        // Nobody else sees these, and these nobody else's.
        let prefix = format!("bitcraps_templates_of_{}", std::process::id());
        let made = |program, day| made_on(&server, (&prefix, program), day).unwrap();
        let old = made("0a", 100);
        assert_eq!(made("0a", 106), old);
        // Another program comes when it is older than a week, while the first one still copies it.
        made("0b", 110);
        assert_eq!(made("0a", 110), old);
        let new = made("0c", 118);
        let mut admin = open(&server);
        let left = all(&mut admin, &prefix).unwrap();
        let names: Vec<_> = left.into_iter().map(|one| one.name).collect();
        assert_eq!(names, [new.as_str()]);
        admin
            .batch_execute(&format!("DROP DATABASE {new}"))
            .unwrap();
    }
}
