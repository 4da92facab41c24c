//! A look at a server, on a thread of its own that is given up when nothing comes back.
//!
//! `statement_timeout` is the server's own, and libpq waits without a limit: a server whose machine
//! answers and whose processes do not would keep a look for ever (docs/adr/0024).

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use db_core::duration::show;
use db_core::{Access, Connection, Error, ErrorKind, Interrupt};

use super::checks::CONNECTIVITY;
use super::look::Memory;
use super::query::number;
use super::{CheckResult, Cost, Examiner, HealthReport, Selection, Target, Verdict};

/// A check that brings nothing for so long waits for a server that does not answer: what it asks
/// is ended by a server that does after a third of that.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Checks that ask a bucket or a disk, and may take long while the server answers.
const BESIDE: [&str; 4] = ["backup", "restore_drill", "disk", "writable"];

/// How often somebody who waits looks up.
const GLANCE: Duration = Duration::from_millis(100);

/// So long a look that is stopped has to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// Threads of looks that live at most. Two look, and two may ask for these whether the server
/// answers at all; the others were given up, and end when the connection does.
const MOST_THREADS: usize = 6;

/// What a look tells while it runs.
pub(super) enum Word {
    /// This check.
    Begins(Cow<'static, str>, Cost),
    Saw(Box<CheckResult>),
    Ends(Box<(HealthReport, Memory)>),
}

impl Word {
    /// What was seen last.
    pub(super) fn saw(results: &[CheckResult]) -> Self {
        match results.last() {
            Some(result) => Self::Saw(Box::new(result.clone())),
            None => Self::Begins(CONNECTIVITY.into(), Cost::Cheap),
        }
    }
}

/// What all looks of an examiner share.
pub(super) struct Shared {
    /// Held by the look that remembers.
    turn: Mutex<()>,
    memory: Mutex<Memory>,
    /// What stops the looks that run, each with its number.
    running: Mutex<Vec<(u64, Interrupt)>>,
    numbers: AtomicU64,
    /// Damage that a look met: it stays until one that reads everything meets none.
    pub(super) damage: Mutex<Option<Arc<Error>>>,
    pub(super) stopped: AtomicBool,
    threads: Arc<AtomicUsize>,
}

impl Shared {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            turn: Mutex::default(),
            memory: Mutex::new(memory),
            running: Mutex::default(),
            numbers: AtomicU64::default(),
            damage: Mutex::default(),
            stopped: AtomicBool::new(false),
            threads: Arc::default(),
        }
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Vec<(u64, Interrupt)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what stops a look, until the answer is dropped.
    pub(super) fn runs(&self, interrupt: Interrupt) -> Running<'_> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.running().push((number, interrupt));
        Running {
            shared: self,
            number,
        }
    }

    /// Stops the looks that run, for good. A server may not answer whoever asks it to stop one: all are
    /// asked at once, and waited for as long as for one.
    pub(super) fn stop(&self, own: &Interrupt) {
        self.stopped.store(true, Ordering::Relaxed);
        let running = self.running().clone();
        let running = running.into_iter().map(|(_, interrupt)| interrupt);
        let (tell, told) = channel::<()>();
        for interrupt in running.chain([own.clone()]) {
            let tell = tell.clone();
            let again = interrupt.clone();
            let thread = thread::Builder::new().name("health-stop".to_owned());
            let asking = thread.spawn(move || {
                ask_to_stop(&interrupt);
                drop(tell);
            });
            if asking.is_err() {
                ask_to_stop(&again);
            }
        }
        drop(tell);
        // Nothing is ever sent: it ends when the last one has asked.
        let _over = told.recv_timeout(GRACE);
    }
}

fn ask_to_stop(interrupt: &Interrupt) {
    if let Err(error) = interrupt.interrupt() {
        tracing::debug!(%error, "a health check cannot be interrupted");
    }
}

/// A look that runs and can be stopped.
pub(super) struct Running<'s> {
    shared: &'s Shared,
    number: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared
            .running()
            .retain(|(which, _)| *which != self.number);
    }
}

/// One of the threads, until it is dropped at its end, in a panic too.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(threads: &Arc<AtomicUsize>) -> Option<Self> {
        let seated = threads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
            (taken < MOST_THREADS).then_some(taken + 1)
        });
        seated.ok().map(|_| Self(Arc::clone(threads)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Starts work on a thread of its own, and returns what it tells.
fn start<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&Sender<T>) + Send + 'static,
) -> Result<Receiver<T>, String> {
    let Some(seat) = Seat::take(&shared.threads) else {
        return Err(format!(
            "{MOST_THREADS} earlier looks wait for an answer of the server"
        ));
    };
    let (tell, told) = channel();
    let work = move || {
        work(&tell);
        // Who waits for the end finds the seat free.
        drop(seat);
        drop(tell);
    };
    let thread = thread::Builder::new().name("health-look".to_owned());
    match thread.spawn(work) {
        Ok(_) => Ok(told),
        Err(error) => Err(format!("no thread can be started: {error}")),
    }
}

/// Looks; what is remembered is given back if the look came to its end.
pub(super) fn look(
    examiner: &Examiner,
    selection: &Selection,
    memory: Memory,
) -> (HealthReport, Option<Memory>) {
    let began = Instant::now();
    let (twin, what) = (examiner.twin(), selection.clone());
    let told = start(&examiner.shared, move |tell| {
        let seen = twin.look_here(&what, memory, &mut |word| tell.send(word).is_ok());
        // Whoever asked may have gone on.
        drop(tell.send(Word::Ends(Box::new(seen))));
    });
    let mut waits = Waits {
        examiner,
        results: Vec::new(),
        check: CONNECTIVITY.into(),
        cost: Cost::Cheap,
        since: began,
    };
    let reason = match told {
        Ok(told) => match waits.hear(&told) {
            Ok(seen) => return (seen.0, Some(seen.1)),
            Err(reason) => reason,
        },
        Err(reason) => reason,
    };
    (waits.given_up(selection, began, reason), None)
}

/// Somebody who waits for a look.
struct Waits<'e> {
    examiner: &'e Examiner,
    results: Vec<CheckResult>,
    /// What is looked at.
    check: Cow<'static, str>,
    cost: Cost,
    since: Instant,
}

impl Waits<'_> {
    /// Listens to the end, or as long as the server answers.
    fn hear(&mut self, told: &Receiver<Word>) -> Result<(HealthReport, Memory), String> {
        loop {
            match told.recv_timeout(GLANCE) {
                Ok(Word::Begins(check, cost)) => {
                    (self.check, self.cost) = (check, cost);
                    self.since = Instant::now();
                }
                Ok(Word::Saw(result)) => {
                    self.results.push(*result);
                    self.since = Instant::now();
                }
                Ok(Word::Ends(seen)) => return Ok(*seen),
                Err(RecvTimeoutError::Disconnected) => return Err("the look panicked".to_owned()),
                Err(RecvTimeoutError::Timeout) => self.go_on()?,
            }
        }
    }

    /// Whether it is worth it to wait on.
    fn go_on(&mut self) -> Result<(), String> {
        let (waited, patience) = (self.since.elapsed(), self.examiner.patience);
        if self.examiner.shared.stopped.load(Ordering::Relaxed) && waited > GRACE {
            return Err("stopped".to_owned());
        }
        if waited <= patience {
            return Ok(());
        }
        let may_take_long = self.cost == Cost::Expensive || BESIDE.contains(&&*self.check);
        if may_take_long && answers(self.examiner) {
            self.since = Instant::now();
            return Ok(());
        }
        Err(format!(
            "the server took the connection and has not answered for {}",
            show(waited)
        ))
    }

    /// What is known of a look that came to no end.
    fn given_up(mut self, selection: &Selection, began: Instant, reason: String) -> HealthReport {
        let examiner = self.examiner;
        let hint =
            "look at the server's machine: its processes may be stopped, or wait for its disk";
        tracing::warn!(check = %self.check, reason, "a look at the server is given up");
        let waited = self.since.elapsed();
        if selection.takes(CONNECTIVITY, Cost::Cheap) {
            let verdict = Verdict::fail(reason.clone()).hint(hint);
            let took = (began.elapsed(), Duration::ZERO);
            let failed = examiner.told(CONNECTIVITY.into(), Cost::Cheap, verdict, took);
            self.results.retain(|result| result.name != CONNECTIVITY);
            self.results.insert(0, failed);
        }
        if self.results.iter().all(|result| result.name != self.check) {
            let verdict = Verdict::unknown(reason.clone());
            let took = (waited, Duration::ZERO);
            let hung = examiner.told(self.check, self.cost, verdict, took);
            self.results.push(hung);
        }
        let rest = examiner.unknown(selection, &self.results, &reason);
        self.results.extend(rest);
        HealthReport {
            engine: examiner.target().engine(),
            location: examiner.target().location(),
            at: examiner.now(),
            took: began.elapsed(),
            results: self.results,
            refused: Some(Error::new(ErrorKind::Unavailable, reason).with_hint(hint)),
            met: None,
            forbidden: None,
        }
    }
}

/// Whether the server answers another connection.
fn answers(examiner: &Examiner) -> bool {
    let target = examiner.target().clone();
    let told = start(&examiner.shared, move |tell| {
        let is_there = is_there(&target);
        tell.send(is_there).unwrap_or_default();
    });
    let Ok(told) = told else {
        return false;
    };
    let began = Instant::now();
    loop {
        match told.recv_timeout(GLANCE) {
            Ok(answers) => return answers,
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let is_stopped = examiner.shared.stopped.load(Ordering::Relaxed);
        if is_stopped || began.elapsed() > examiner.patience {
            return false;
        }
    }
}

fn is_there(target: &Target) -> bool {
    let Ok(mut connection) = Connection::open(&target.url, Access::ReadOnly) else {
        return false;
    };
    number(&mut connection.conn(), "SELECT CAST(1 AS BIGINT) AS value").is_ok()
}
