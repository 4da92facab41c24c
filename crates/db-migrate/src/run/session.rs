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
const WAL_TRIES: u32 = 200;

/// The connection's settings as they were, and the server's identity.
#[derive(Debug, Default)]
pub(crate) struct Session {
    server: String,
    /// PostgreSQL's, which a migration may change.
    search_path: Option<String>,
    /// Whether SQLite's `synchronous` was lowered for the run.
    lowered_synchronous: bool,
    /// PostgreSQL's `synchronous_commit`, where it was switched off for the run.
    synchronous_commit: Option<String>,
}

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct BusyTimeout {
    #[diesel(sql_type = Integer)]
    timeout: i32,
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
    /// that not every migration waits for the disk, and so is PostgreSQL's `synchronous_commit`;
    /// [`Session::finish`] syncs once for all. What a crash of the machine can take is the end of
    /// a run that has not reported success, never a part of a migration.
    pub(crate) fn prepare(
        ledger: &Ledger,
        conn: &mut Conn<'_>,
        interrupt: Option<&Interrupt>,
    ) -> Result<Self, Error> {
        let mut session = Self::inspect(ledger, conn)?;
        if let Conn::Postgres(c) = conn.reborrow() {
            session.synchronous_commit = Some(setting(c, "synchronous_commit")?);
            set(c, "synchronous_commit", "off")?;
        }
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
            Conn::Postgres(c) => Some(setting(c, "search_path")?),
        };
        Ok(Self {
            server: ledger.server(conn)?,
            search_path,
            lowered_synchronous: false,
            synchronous_commit: None,
        })
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Puts everything back, and makes what was committed durable: the log is only flushed by a
    /// commit that has something to write, and SQLite's checkpoint does not sync it beside a reader.
    pub(crate) fn finish(&self, ledger: &Ledger, conn: &mut Conn<'_>) -> Result<(), Error> {
        match conn.reborrow() {
            Conn::Sqlite(c) if self.lowered_synchronous => {
                c.batch_execute("PRAGMA synchronous = FULL")
                    .map_err(in_database(Engine::Sqlite, "making the run durable"))?;
            }
            Conn::Postgres(c) => match &self.synchronous_commit {
                Some(before) => set(c, "synchronous_commit", before)?,
                None => return Ok(()),
            },
            Conn::Sqlite(_) => return Ok(()),
        }
        ledger.touch(conn)
    }

    /// Undoes what a migration changed of the session for the next one: its search path, under any
    /// of its names, and its role.
    pub(super) fn restore_search_path(
        &self,
        conn: &mut Conn<'_>,
        step: &PlannedStep<'_>,
    ) -> Result<(), Error> {
        const TELLTALES: [&str; 7] = [
            "search_path",
            "set schema",
            "set_config",
            "role",
            "session authorization",
            "reset",
            "discard",
        ];
        let (Conn::Postgres(c), Some(path)) = (conn.reborrow(), &self.search_path) else {
            return Ok(());
        };
        let may_change_it = match &step.action {
            Action::Sql(sql) => {
                let text = sql.to_ascii_lowercase();
                TELLTALES.iter().any(|word| text.contains(word))
            }
            Action::Rust(_) => true,
        };
        if !may_change_it {
            return Ok(());
        }
        c.batch_execute("RESET SESSION AUTHORIZATION; RESET ROLE")
            .map_err(in_database(Engine::Postgres, "restoring the role"))?;
        set(c, "search_path", path)
    }
}

/// Runs `body` without waiting for other writers (SQLite).
pub(crate) fn at_once(
    conn: &mut Conn<'_>,
    body: impl FnOnce(&mut Conn<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let patience = match conn.reborrow() {
        Conn::Sqlite(c) => {
            let patience = busy_timeout(c)?;
            set_busy_timeout(c, 0)?;
            Some(patience)
        }
        Conn::Postgres(_) => None,
    };
    let done = body(conn);
    let restored = match (conn.reborrow(), patience) {
        (Conn::Sqlite(c), Some(patience)) => set_busy_timeout(c, patience),
        _ => Ok(()),
    };
    done.and(restored)
}

/// A setting of the session.
fn setting(conn: &mut PgConnection, name: &str) -> Result<String, Error> {
    sql_query("SELECT pg_catalog.current_setting($1) AS value")
        .bind::<Text, _>(name)
        .get_result::<Setting>(conn)
        .map(|row| row.value)
        .map_err(in_database(
            Engine::Postgres,
            "reading the session's settings",
        ))
}

/// Changes a setting for the session.
fn set(conn: &mut PgConnection, name: &str, value: &str) -> Result<(), Error> {
    sql_query("SELECT pg_catalog.set_config($1, $2, false)")
        .bind::<Text, _>(name)
        .bind::<Text, _>(value)
        .execute(conn)
        .map(|_| ())
        .map_err(in_database(
            Engine::Postgres,
            "changing the session's settings",
        ))
}

pub(crate) fn busy_timeout(conn: &mut SqliteConnection) -> Result<i32, Error> {
    sql_query("SELECT timeout FROM pragma_busy_timeout")
        .get_result::<BusyTimeout>(conn)
        .map(|row| row.timeout)
        .map_err(in_database(Engine::Sqlite, "reading the file's mode"))
}

pub(crate) fn set_busy_timeout(
    conn: &mut SqliteConnection,
    milliseconds: i32,
) -> Result<(), Error> {
    conn.batch_execute(&format!("PRAGMA busy_timeout = {milliseconds}"))
        .map_err(in_database(Engine::Sqlite, "preparing the connection"))
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
    let patience = busy_timeout(conn)?;
    set_busy_timeout(conn, 0)?;
    let switched = try_wal(conn, interrupt);
    set_busy_timeout(conn, patience)?;
    switched
}

fn try_wal(conn: &mut SqliteConnection, interrupt: Option<&Interrupt>) -> Result<(), Error> {
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
