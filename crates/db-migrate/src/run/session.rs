//! What a run changes on its connection, and puts back.

use db_core::{Conn, Engine, ErrorKind, Interrupt};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{Integer, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

use crate::error::{Error, in_database};
use crate::ledger::Ledger;
use crate::lock;
use crate::plan::{Action, PlannedStep};

/// SQLite's numbers for `PRAGMA synchronous`.
const SYNCHRONOUS_FULL: i32 = 2;

/// The pause between two tries to switch a new file to WAL, and how many.
const WAL_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
const WAL_TRIES: u32 = 500;

/// The connection's settings as they were, and the server's identity.
#[derive(Debug, Default)]
pub(crate) struct Session {
    server: String,
    /// PostgreSQL's, which a migration may change.
    search_path: Option<String>,
    /// Whether SQLite's `synchronous` was lowered for the run.
    lowered_synchronous: bool,
}

#[derive(QueryableByName)]
struct SearchPath {
    #[diesel(sql_type = Text)]
    search_path: String,
}

#[derive(QueryableByName)]
struct FileState {
    #[diesel(sql_type = Text)]
    journal_mode: String,
    #[diesel(sql_type = Integer)]
    synchronous: i32,
    #[diesel(sql_type = Integer)]
    page_count: i32,
}

impl Session {
    /// Prepares the connection for a run, under the lock.
    ///
    /// A new SQLite file is switched to WAL, which makes each commit several times cheaper; an
    /// existing one keeps its mode. In WAL mode `synchronous` is lowered to NORMAL for the run, so
    /// that not every migration waits for the disk; [`Session::finish`] syncs once for all.
    pub(crate) fn prepare(
        ledger: &Ledger,
        conn: &mut Conn<'_>,
        interrupt: Option<&Interrupt>,
    ) -> Result<Self, Error> {
        let mut session = Self::inspect(ledger, conn)?;
        if let Conn::Sqlite(c) = conn.reborrow() {
            if file_state(c)?.page_count == 0 {
                switch_to_wal(c, interrupt)?;
            }
            let state = file_state(c)?;
            if state.journal_mode == "wal" && state.synchronous == SYNCHRONOUS_FULL {
                c.batch_execute("PRAGMA synchronous = NORMAL")
                    .map_err(in_database(Engine::Sqlite, "preparing the connection"))?;
                session.lowered_synchronous = true;
            }
        }
        Ok(session)
    }

    /// Looks without changing anything, for a rehearsal.
    pub(crate) fn inspect(ledger: &Ledger, conn: &mut Conn<'_>) -> Result<Self, Error> {
        let search_path = match conn.reborrow() {
            Conn::Sqlite(_) => None,
            Conn::Postgres(c) => Some(search_path(c)?),
        };
        Ok(Self {
            server: ledger.server(conn)?,
            search_path,
            lowered_synchronous: false,
        })
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Puts everything back, and makes what was committed durable.
    pub(crate) fn finish(&self, conn: &mut Conn<'_>) -> Result<(), Error> {
        if let Conn::Sqlite(c) = conn.reborrow()
            && self.lowered_synchronous
        {
            // A checkpoint syncs the WAL first, whatever readers there are.
            c.batch_execute("PRAGMA wal_checkpoint(PASSIVE); PRAGMA synchronous = FULL")
                .map_err(in_database(Engine::Sqlite, "making the run durable"))?;
        }
        Ok(())
    }

    /// Undoes a `SET search_path` of a migration, so that the next one starts as this one did.
    pub(super) fn restore_search_path(
        &self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
    ) -> Result<(), Error> {
        let (Conn::Postgres(c), Some(path)) = (conn.reborrow(), &self.search_path) else {
            return Ok(());
        };
        let may_change_it = match &step.action {
            Action::Sql(sql) => sql.to_ascii_lowercase().contains("search_path"),
            Action::Rust(_) => true,
        };
        if !may_change_it {
            return Ok(());
        }
        sql_query("SELECT pg_catalog.set_config('search_path', $1, false)")
            .bind::<Text, _>(path)
            .execute(c)
            .map(|_| ())
            .map_err(in_database(Engine::Postgres, "restoring the search_path"))
    }
}

fn search_path(conn: &mut PgConnection) -> Result<String, Error> {
    sql_query("SELECT pg_catalog.current_setting('search_path') AS search_path")
        .get_result::<SearchPath>(conn)
        .map(|row| row.search_path)
        .map_err(in_database(Engine::Postgres, "reading the search_path"))
}

fn file_state(conn: &mut SqliteConnection) -> Result<FileState, Error> {
    sql_query(
        "SELECT journal_mode, synchronous, page_count
         FROM pragma_journal_mode, pragma_synchronous, pragma_page_count",
    )
    .get_result(conn)
    .map_err(in_database(Engine::Sqlite, "reading the file's mode"))
}

/// Several connections that switch one new file at once get "database is locked" in spite of
/// `busy_timeout`, so it is tried again.
fn switch_to_wal(conn: &mut SqliteConnection, interrupt: Option<&Interrupt>) -> Result<(), Error> {
    for _ in 0..WAL_TRIES {
        match conn.batch_execute("PRAGMA journal_mode = WAL") {
            Ok(()) => return Ok(()),
            Err(e) => {
                let error = db_core::Error::classify(Engine::Sqlite, &e);
                if error.kind() != ErrorKind::Busy {
                    return Err(Error::Database {
                        doing: "switching the new file to WAL",
                        error,
                    });
                }
            }
        }
        lock::sleep(WAL_PAUSE, interrupt)?;
    }
    // It works without WAL as well, only slower.
    Ok(())
}
