//! A database of numbers that keeps the promises of a backend, and holds the executor to its own.
//!
//! Its state stands behind mutexes of the standard library, which loom does not see: they add no
//! synchronisation to the model that the executor could lean on by mistake. A commit and a look at
//! what is durable also touch a relaxed atomic, so that loom tries both orders of them.

use std::sync::{Arc, Mutex, MutexGuard};

use loom::sync::Condvar;
use loom::sync::atomic::{AtomicUsize, Ordering};

use super::backend::{
    Backend, BeginError, BoxedJob, Chores, GroupReport, Transaction, Turn, Waiting,
};
use super::job::Ran;
use crate::error::{Error, ErrorKind};

/// What is durable, and what will go wrong.
#[derive(Default)]
pub(crate) struct Disk {
    platter: Mutex<Platter>,
    accesses: AtomicUsize,
    stuck: Option<Stuck>,
    /// Whether what was left to do by [`Disk::leave_chores`] is done.
    tidied: loom::sync::Mutex<bool>,
    tidy: Condvar,
}

/// Another process that has the turn and never leaves: whether somebody has ended the wait for it.
#[derive(Default)]
struct Stuck {
    is_ended: loom::sync::Mutex<bool>,
    ended: Condvar,
}

#[derive(Default)]
struct Platter {
    durable: Vec<u32>,
    closed: bool,
    commits_to_fail: u32,
    begins_to_contend: u32,
    rollbacks_to_fail: u32,
    /// What each commit leaves to do.
    leaves: Option<Chores>,
    chores: Option<Chores>,
}

impl Disk {
    pub(crate) fn that_fails_once() -> Self {
        Self::with(Platter {
            commits_to_fail: 1,
            ..Platter::default()
        })
    }

    /// A disk that is somebody else's when a part is to be undone.
    pub(crate) fn that_is_taken_away_once() -> Self {
        Self::with(Platter {
            rollbacks_to_fail: 1,
            ..Platter::default()
        })
    }

    pub(crate) fn that_is_busy_once() -> Self {
        Self::with(Platter {
            begins_to_contend: 1,
            ..Platter::default()
        })
    }

    /// A disk after whose commits this is to be done.
    pub(crate) fn with_chores(chores: Chores) -> Self {
        Self::with(Platter {
            leaves: Some(chores),
            ..Platter::default()
        })
    }

    /// A disk that is never free: a `begin` waits until it is told that nobody waits.
    pub(crate) fn behind_a_stopped_process() -> Self {
        Self {
            stuck: Some(Stuck::default()),
            ..Self::default()
        }
    }

    /// From a thread of the disk's own there is something to do.
    pub(crate) fn leave_chores(&self) {
        // A step that others can come before: loom does not see the platter.
        *self.tidied.lock().unwrap() = false;
        self.platter().chores = Some(Chores::Now);
    }

    /// Waits until chores are done.
    pub(crate) fn await_chores(&self) {
        let mut tidied = self.tidied.lock().unwrap();
        while !*tidied {
            tidied = self.tidy.wait(tidied).unwrap();
        }
    }

    fn with(platter: Platter) -> Self {
        Self {
            platter: Mutex::new(platter),
            ..Self::default()
        }
    }

    /// Waits for the turn of a disk that is never free, until the wait is ended.
    pub(crate) fn await_turn(&self) {
        let stuck = self.stuck.as_ref().unwrap();
        let mut is_ended = stuck.is_ended.lock().unwrap();
        while !*is_ended {
            is_ended = stuck.ended.wait(is_ended).unwrap();
        }
    }

    pub(crate) fn holds(&self, n: u32) -> bool {
        self.accesses.fetch_add(1, Ordering::Relaxed);
        self.platter().durable.contains(&n)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.platter().closed
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap()
    }
}

/// What closures are given.
#[derive(Default)]
pub(crate) struct Conn {
    open: Option<Vec<u32>>,
    savepoint: Option<usize>,
    owes: bool,
}

impl Conn {
    /// Leaves something undone, without which nothing can be committed.
    pub(crate) fn owe(&mut self) {
        self.owes = true;
    }

    pub(crate) fn insert(&mut self, n: u32) {
        self.open.as_mut().expect("a transaction is open").push(n);
    }

    /// Ends the transaction behind the executor's back.
    pub(crate) fn end(&mut self) {
        self.open = None;
        self.savepoint = None;
    }
}

/// The backend.
pub(crate) struct Mock {
    disk: Arc<Disk>,
    conn: Conn,
}

impl Mock {
    pub(crate) fn new(disk: Arc<Disk>) -> Self {
        Self {
            disk,
            conn: Conn::default(),
        }
    }
}

impl Waiting for Disk {
    fn end(&self) {
        if let Some(stuck) = &self.stuck {
            *stuck.is_ended.lock().unwrap() = true;
            stuck.ended.notify_one();
        }
    }

    fn obstacle(&self) -> Option<Error> {
        None
    }
}

impl Backend for Mock {
    type Conn = Conn;

    fn waiting(&self) -> Option<Arc<dyn Waiting>> {
        let disk = Arc::clone(&self.disk);
        Some(disk)
    }

    fn begin(&mut self, turn: Turn) -> Result<(), BeginError> {
        assert!(self.conn.open.is_none(), "two transactions at once");
        if let Some(stuck) = &self.disk.stuck {
            if turn == Turn::IfFree {
                return Err(BeginError::Contended);
            }
            if !*stuck.is_ended.lock().unwrap() {
                return Err(BeginError::Queue(std::time::Instant::now()));
            }
            return Err(BeginError::Contended);
        }
        let mut disk = self.disk.platter();
        assert!(!disk.closed, "a write after the close");
        if turn == Turn::IfFree && disk.begins_to_contend > 0 {
            disk.begins_to_contend -= 1;
            return Err(BeginError::Contended);
        }
        self.conn.open = Some(Vec::new());
        Ok(())
    }

    fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    fn transaction(&mut self) -> Result<Transaction, Error> {
        Ok(match self.conn.open {
            Some(_) => Transaction::Intact,
            None => Transaction::Ended,
        })
    }

    fn savepoint(&mut self) -> Result<(), Error> {
        assert!(self.conn.savepoint.is_none(), "a savepoint was left");
        self.conn.savepoint = self.conn.open.as_ref().map(Vec::len);
        Ok(())
    }

    fn unsatisfied(&mut self) -> Option<Error> {
        let owes = std::mem::take(&mut self.conn.owes);
        owes.then(|| Error::new(ErrorKind::Constraint, "owed"))
    }

    fn release(&mut self) -> Result<(), Error> {
        self.conn.savepoint.take().expect("a savepoint");
        Ok(())
    }

    fn rollback_to(&mut self) -> Result<(), Error> {
        let length = self.conn.savepoint.take().expect("a savepoint");
        let mut disk = self.disk.platter();
        if disk.rollbacks_to_fail > 0 {
            disk.rollbacks_to_fail -= 1;
            self.conn.end();
            return Err(Error::new(ErrorKind::Busy, "taken"));
        }
        self.conn.open.as_mut().unwrap().truncate(length);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        assert!(self.conn.savepoint.is_none(), "a savepoint was left");
        let written = self.conn.open.take().expect("a transaction is open");
        self.disk.accesses.fetch_add(1, Ordering::Relaxed);
        let mut disk = self.disk.platter();
        if disk.commits_to_fail > 0 {
            disk.commits_to_fail -= 1;
            return Err(Error::new(ErrorKind::DiskFull, "full"));
        }
        disk.durable.extend(written);
        disk.chores = disk.leaves.or(disk.chores);
        Ok(())
    }

    fn rollback(&mut self) {
        self.conn.end();
    }

    fn damage(&self) -> Option<Error> {
        None
    }

    fn answered(&mut self, _group: &GroupReport) {
        assert!(self.conn.open.is_none(), "answered in a transaction");
    }

    fn chores(&self) -> Chores {
        self.disk.platter().chores.unwrap_or(Chores::None)
    }

    fn do_chores(&mut self) {
        assert!(self.conn.open.is_none(), "chores in a transaction");
        self.disk.platter().chores = None;
        *self.disk.tidied.lock().unwrap() = true;
        self.disk.tidy.notify_all();
    }

    fn close(&mut self) {
        assert!(self.conn.open.is_none(), "closed in a transaction");
        let mut disk = self.disk.platter();
        assert!(!std::mem::replace(&mut disk.closed, true), "closed twice");
    }
}

/// A submitted write of one number, and the answers that it got.
pub(crate) struct Boxed {
    n: u32,
    abandoned: bool,
    owes: bool,
    answers: Arc<Mutex<Vec<bool>>>,
    disk: Arc<Disk>,
}

impl Boxed {
    /// One that leaves something undone, and expects to be told that, whatever else happens.
    pub(crate) fn that_owes(mut self) -> Self {
        self.owes = true;
        self
    }

    pub(crate) fn new(
        n: u32,
        abandoned: bool,
        answers: Arc<Mutex<Vec<bool>>>,
        disk: Arc<Disk>,
    ) -> Self {
        Self {
            n,
            abandoned,
            owes: false,
            answers,
            disk,
        }
    }
}

impl BoxedJob<Conn> for Boxed {
    fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    fn run(&mut self, conn: &mut Conn) -> Ran {
        conn.insert(self.n);
        if self.owes {
            conn.owe();
        }
        Ran::Well
    }

    fn finish(self: Box<Self>, failure: Option<Error>) {
        if self.owes {
            let kind = failure.as_ref().map(Error::kind);
            assert_eq!(kind, Some(ErrorKind::Constraint), "{failure:?}");
        }
        assert_eq!(failure.is_none(), self.disk.holds(self.n), "{failure:?}");
        self.answers.lock().unwrap().push(failure.is_none());
    }
}
