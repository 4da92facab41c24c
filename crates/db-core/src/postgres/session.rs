//! One server session in the pool: what it is asked to forget, and how one sees what to forget.
//!
//! The next closure must find the session as a new one would be. `DISCARD ALL` would drop Diesel's
//! prepared statements too and make it use names that are gone, so the parts are sent:
//!
//! - settings and the role, with every COMMIT or ROLLBACK, in the same message: 2 µs, no round trip.
//!   Whatever changed them, be it a trigger, the next user does not inherit a tenant. After a plain
//!   statement without a transaction they go with the next BEGIN: until then, other such statements
//!   see what a view has set.
//! - session authorization, advisory locks, LISTEN, cursors, temporary tables and sequences' last values, in a
//!   message of their own, when a statement was not [plain](super::plain): 15 µs and a round trip.
//!
//! A session in which prepared statements were made or dropped by SQL ends.
//!
//! What was set when connecting stands in the start-up packet, where RESET leads back to.

use std::fmt::Write as _;
use std::time::Instant;

use diesel::connection::{
    AnsiTransactionManager, DebugQuery, Instrumentation, InstrumentationEvent, SimpleConnection,
    TransactionManager, get_default_instrumentation,
};
use diesel::r2d2::R2D2Connection;
use diesel::{Connection, PgConnection, QueryResult};

use super::connect::Role;
use super::plain::is_plain;
use super::signs::Signs;
use crate::{Engine, Error};

/// What is undone when a closure did more than query. `UNLISTEN` comes apart: a standby refuses it.
const FORGET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DISCARD TEMP; \
     DISCARD SEQUENCES; SELECT pg_advisory_unlock_all()";

/// Takes back that the commit need not wait, and nothing else: whoever asked for more, a standby's word
/// for one, gets it. 10 µs, in one message.
const COMMIT_ON_DISK: &str = "SELECT pg_catalog.set_config('synchronous_commit', 'local', true) \
     WHERE pg_catalog.current_setting('synchronous_commit') = 'off'; COMMIT";

/// A connection of the pool.
pub(super) struct Session {
    pub(super) conn: PgConnection,
    /// The server's process.
    pub(super) pid: i32,
    /// When it last answered.
    pub(super) used: Instant,
    /// How many connections had been lost when it was made or looked at.
    pub(super) epoch: u64,
    /// What this standby is known to have replayed. It belongs to the connection: a standby that
    /// was restarted may be behind what it had shown before.
    pub(super) replayed: u64,
    /// When a standby was last asked how it is.
    pub(super) asked: Option<Instant>,
    /// What follows COMMIT or ROLLBACK in the same message; empty behind a pooler.
    reset: String,
    /// It was used without that.
    owes_reset: bool,
    /// Behind a transaction pooler nothing is kept, and nothing reset.
    role: Role,
    waits_for_disk: bool,
    condemned: bool,
}

/// Whether a COMMIT waits until it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    /// If the transaction says so by now.
    AsSaid,
    /// In any case, though a trigger has said otherwise. A deferred trigger runs later still, and has
    /// the last word.
    OnDisk,
}

/// What a closure did, as far as it can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Statements sent.
    pub(super) statements: u32,
    /// One of them failed.
    pub(super) failed: bool,
    /// None of them can have changed more than settings.
    pub(super) plain: bool,
    /// What the others showed.
    pub(super) signs: Signs,
}

impl Seen {
    const NOTHING: Self = Self {
        statements: 0,
        failed: false,
        plain: true,
        signs: Signs::NONE,
    };
}

/// What a new session is told about itself.
pub(super) struct Traits {
    pub(super) pid: i32,
    pub(super) epoch: u64,
    pub(super) role: Role,
    /// Whether a commit waits until it is on disk, unless it says otherwise.
    pub(super) waits_for_disk: bool,
    /// Statements that RESET ALL would undo, and that must hold.
    pub(super) again: Vec<&'static str>,
}

impl Session {
    pub(super) fn new(mut conn: PgConnection, traits: &Traits) -> Self {
        Watch::install(&mut conn);
        let mut reset = String::new();
        if traits.role.keeps_state {
            // The role first: it need not be one that may do the others.
            reset.push_str("RESET ROLE; RESET ALL");
            for statement in &traits.again {
                reset.push_str("; ");
                reset.push_str(statement);
            }
        }
        Self {
            conn,
            pid: traits.pid,
            used: Instant::now(),
            epoch: traits.epoch,
            replayed: 0,
            asked: None,
            reset,
            owes_reset: false,
            role: traits.role,
            waits_for_disk: traits.waits_for_disk,
            condemned: false,
        }
    }

    /// Whether the server or a mistake has made it unusable.
    pub(super) fn is_broken(&mut self) -> bool {
        self.condemned || self.conn.is_broken()
    }

    /// Whether a commit that says nothing else is on disk when it is answered.
    pub(super) const fn waits_for_disk(&self) -> bool {
        self.waits_for_disk
    }

    /// It has answered just now.
    pub(super) fn touch(&mut self) {
        self.used = Instant::now();
    }

    /// Has it closed when it comes back to the pool.
    pub(super) const fn condemn(&mut self) {
        self.condemned = true;
    }

    /// Whether the connection is gone, or in a state that nobody knows.
    pub(super) fn is_lost(&mut self) -> bool {
        self.conn.is_broken()
    }

    /// Has the next transaction reset what this one statement may have left.
    pub(super) const fn owe_reset(&mut self) {
        self.owes_reset = true;
    }

    /// Opens a transaction with this text.
    pub(super) fn begin(&mut self, sql: &str) -> Result<(), Error> {
        let done = if self.owes_reset && !self.reset.is_empty() {
            let sql = [&self.reset, "; ", sql].concat();
            AnsiTransactionManager::begin_transaction_sql(&mut self.conn, &sql)
        } else {
            AnsiTransactionManager::begin_transaction_sql(&mut self.conn, sql)
        };
        self.note(done)
    }

    /// From here on [`Seen`] counts.
    pub(super) fn start_watching(&mut self) {
        if let Some(watch) = Watch::of(&mut self.conn) {
            watch.start();
        }
    }

    /// What was seen since. Nothing is known if the closure brought an instrumentation of its own:
    /// it may have done anything but end its transaction, which would make each such write fail.
    pub(super) fn stop_watching(&mut self) -> Seen {
        if let Some(watch) = Watch::of(&mut self.conn) {
            return watch.stop();
        }
        Watch::install(&mut self.conn);
        Seen {
            failed: true,
            plain: false,
            signs: Signs::BEGINS.and(Signs::SPOILS).and(Signs::WRITES),
            ..Seen::NOTHING
        }
    }

    /// The nesting of the open transaction: 1 if it is ours alone.
    pub(super) fn depth(&mut self) -> QueryResult<u32> {
        AnsiTransactionManager::transaction_manager_status_mut(&mut self.conn)
            .transaction_depth()
            .map(|depth| depth.map_or(0, u32::from))
    }

    /// Whether the open transaction can still be committed: the server takes a COMMIT of one that
    /// failed without an error, and rolls back.
    pub(super) fn is_alive(&mut self) -> bool {
        self.conn.batch_execute("SELECT 1").is_ok()
    }

    /// Commits, and forgets settings.
    pub(super) fn commit(&mut self, how: Commit) -> Result<(), Error> {
        match how {
            Commit::AsSaid => self.end("COMMIT"),
            Commit::OnDisk => self.end(COMMIT_ON_DISK),
        }
    }

    /// Rolls back, and forgets settings; a session that cannot do it is condemned.
    pub(super) fn roll_back(&mut self) {
        if let Err(error) = self.end("ROLLBACK") {
            tracing::debug!(%error, "a transaction could not be rolled back; its session ends");
            self.condemn();
        }
    }

    /// Forgets all that a closure may have left behind; a session that cannot do it is condemned.
    pub(super) fn forget(&mut self) {
        if !self.role.keeps_state || self.is_broken() {
            return;
        }
        let mut sql = String::from(FORGET);
        if !self.role.is_standby {
            sql.push_str("; UNLISTEN *");
        }
        sql.push_str("; ");
        sql.push_str(&self.reset);
        let done = self.conn.batch_execute(&sql);
        if let Err(error) = self.note(done) {
            tracing::debug!(%error, "a session could not be reset; it ends");
            self.condemn();
        } else {
            self.owes_reset = false;
        }
    }

    /// Whether what follows a COMMIT goes well by itself; if not, it is condemned.
    pub(super) fn can_reset(&mut self) -> bool {
        if self.reset.is_empty() {
            return true;
        }
        let done = self.conn.batch_execute(&self.reset);
        let done = self.note(done).is_ok();
        if !done {
            self.condemn();
        }
        done
    }

    /// Whether the server answers.
    pub(super) fn ping(&mut self) -> Result<(), Error> {
        let done = self.conn.batch_execute("SELECT 1");
        self.note(done)
    }

    fn end(&mut self, how: &str) -> Result<(), Error> {
        if self.reset.is_empty() {
            let done = self.conn.batch_execute(how);
            return self.note(done);
        }
        let sql = [how, "; ", &self.reset].concat();
        let done = self.conn.batch_execute(&sql);
        let done = self.note(done);
        self.owes_reset &= done.is_err();
        done
    }

    fn note<T>(&mut self, result: QueryResult<T>) -> Result<T, Error> {
        match result {
            Ok(value) => {
                self.used = Instant::now();
                Ok(value)
            }
            Err(error) => Err(Error::classify(Engine::Postgres, &error)),
        }
    }
}

/// Counts and judges statements, and hands every event on to the default instrumentation.
struct Watch {
    next: Option<Box<dyn Instrumentation>>,
    watching: bool,
    seen: Seen,
    /// Kept for its memory.
    text: Text,
}

/// The text of a statement as Diesel shows it, but for the values: they follow in a piece of their own,
/// and to write them takes longer than to read the statement.
#[derive(Default)]
struct Text {
    sql: String,
    is_whole: bool,
}

impl Text {
    /// The statement of an event; nothing if it cannot be shown.
    fn of(&mut self, query: &dyn DebugQuery) -> Option<&str> {
        self.sql.clear();
        self.is_whole = false;
        self.is_whole |= write!(self, "{query}").is_ok();
        self.is_whole.then_some(&*self.sql)
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        if piece == " -- binds: " {
            self.is_whole = true;
            return Err(std::fmt::Error);
        }
        self.sql.push_str(piece);
        Ok(())
    }
}

impl Watch {
    fn install(conn: &mut PgConnection) {
        conn.set_instrumentation(Self {
            next: get_default_instrumentation(),
            watching: false,
            seen: Seen::NOTHING,
            text: Text::default(),
        });
    }

    fn of(conn: &mut PgConnection) -> Option<&mut Self> {
        conn.instrumentation().downcast_mut()
    }

    fn start(&mut self) {
        self.watching = true;
        self.seen = Seen::NOTHING;
    }

    fn stop(&mut self) -> Seen {
        self.watching = false;
        self.seen
    }
}

impl Instrumentation for Watch {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if self.watching {
            match &event {
                InstrumentationEvent::StartQuery { query, .. } => {
                    self.seen.statements = self.seen.statements.saturating_add(1);
                    let sql = self.text.of(*query).unwrap_or_default();
                    if !is_plain(sql) {
                        self.seen.plain = false;
                        self.seen.signs = self.seen.signs.and(Signs::of(sql));
                    }
                }
                InstrumentationEvent::FinishQuery { error: Some(_), .. } => {
                    self.seen.failed = true;
                }
                _ => {}
            }
        }
        if let Some(next) = &mut self.next {
            next.on_connection_event(event);
        }
    }
}
