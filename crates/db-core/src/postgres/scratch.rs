//! A database beside others for as long as somebody works on it, and what dead processes left of such.

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Text;
use diesel::{PgConnection, QueryableByName, RunQueryDsl as _, sql_query};

use crate::error::{Error, ErrorKind};
use crate::{Conn, Connection, DatabaseUrl, Engine};

/// What the names of such databases begin with.
const PREFIX: &str = "bitcraps_scratch_";

/// Those that nobody works on: whoever made one bears its name from before it was there until after it
/// is gone, and whoever fills it is connected to it. The roles of these sessions do not matter, because
/// the server shows these two columns to everybody.
const LEFT: &str = "SELECT d.datname::text AS name FROM pg_catalog.pg_database d
    WHERE d.datname::text ~ '^bitcraps_scratch_[0-9]{14}_[0-9a-f]{8}$'
      AND pg_catalog.pg_has_role(d.datdba, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
                      WHERE a.datid = d.oid OR a.application_name = d.datname::text)";

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// A new database on a PostgreSQL server, called `bitcraps_scratch_<time>_<random>`. It is dropped with
/// this, unless it was [kept](Self::keep).
///
/// What a process leaves that dies meanwhile belongs to no living session, and goes when the next one is
/// made on the server by a role that may drop it. A session is known by its name, so the connection has
/// to be to the server itself, and not to a pooler that lends sessions by the transaction.
#[derive(Debug)]
pub struct ScratchDatabase {
    admin: Connection,
    name: String,
    is_kept: bool,
}

impl ScratchDatabase {
    /// Drops what dead processes left, and makes one from `template0`, to which nobody can be connected.
    ///
    /// `admin` is to any other database of the server; its session is this one's from now on. `traits`
    /// end the statement, as in `OWNER somebody`, and `now` is for the name only.
    ///
    /// # Errors
    /// `PermissionDenied` without the right to create databases; what the server says.
    /// `Configuration` for a connection to SQLite.
    pub fn create(mut admin: Connection, traits: &str, now: DateTime<Utc>) -> Result<Self, Error> {
        let conn = postgres(&mut admin)?;
        sweep(conn);
        let name = format!(
            "{PREFIX}{}_{:08x}",
            now.format("%Y%m%d%H%M%S"),
            fastrand::u32(..)
        );
        // The name needs no quotes, here and wherever it is dropped.
        run(conn, &format!("SET application_name = '{name}'"))?;
        run(
            conn,
            &format!("CREATE DATABASE {name} TEMPLATE template0 {traits}"),
        )?;
        Ok(Self {
            admin,
            name,
            is_kept: false,
        })
    }

    /// The name that it was made under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, for whoever fills it.
    #[must_use]
    pub fn url(&self) -> DatabaseUrl {
        self.admin.url().with_database(&self.name)
    }

    /// The connection that it was made by.
    pub const fn admin(&mut self) -> &mut Connection {
        &mut self.admin
    }

    /// Says whether it stays when this is dropped: it was given another name, or got its own back.
    pub const fn keep(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        if let Err(error) = postgres(&mut self.admin).and_then(|conn| run(conn, &sql)) {
            tracing::warn!(%error, database = self.name, "a scratch database is left over");
        }
    }
}

/// Drops what dead processes left. That it could not is no reason to go no further.
fn sweep(conn: &mut PgConnection) {
    let left: Vec<Name> = match sql_query(LEFT).load(conn) {
        Ok(left) => left,
        Err(error) => {
            tracing::warn!(%error, "what dead processes left cannot be looked for");
            return;
        }
    };
    for Name { name } in left {
        tracing::info!(database = name, "dropping what a dead process left");
        if let Err(error) = run(conn, &format!("DROP DATABASE IF EXISTS {name}")) {
            tracing::warn!(%error, database = name, "it stays");
        }
    }
}

fn postgres(connection: &mut Connection) -> Result<&mut PgConnection, Error> {
    match connection.conn() {
        Conn::Postgres(conn) => Ok(conn),
        Conn::Sqlite(_) => Err(Error::new(
            ErrorKind::Configuration,
            "a scratch database is made on a PostgreSQL server",
        )),
    }
}

fn run(conn: &mut PgConnection, sql: &str) -> Result<(), Error> {
    conn.batch_execute(sql)
        .map_err(|e| Error::classify(Engine::Postgres, &e))
}
