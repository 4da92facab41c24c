//! Relays that are killed with SIGKILL: no event is lost, and a receiver that looks at keys has each
//! effect once.
//!
//! A relay is this test binary, started again for the same test. It hands an event over by saying its
//! number on its standard output: what is in the pipe is delivered, whatever becomes of the relay. A
//! longer run: `BITCRAPS_TEST_EVENTS=100000 BITCRAPS_TEST_RELAY_KILLS=200 cargo xtask test`.
#![expect(
    clippy::print_stdout,
    reason = "whoever runs it longer wants to see the seed and the figures"
)]

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use db_core::{Database, DatabaseConfig, Engine, SystemClock};
use db_repo::{OutboxCounts, OutboxRelay, OutboxRepository, PageRequest, RetrySchedule};
use db_testkit::{TestDb, both_engines, size};

use crate::outbox::{entry, number};
use crate::support::{open, read, write};

const URL: &str = "BITCRAPS_TEST_RELAY_URL";

/// What marks a line of a relay among those of the test harness.
const MARK: &str = "@ ";

/// The event that no receiver takes.
const POISON: i64 = 0;

/// Relays that run at once.
const RELAYS: usize = 2;

/// A test that waits so long has failed.
const LONG: Duration = Duration::from_mins(2);

/// Between two looks at an outbox in which nothing was due.
const PAUSE: Duration = Duration::from_millis(5);

both_engines! {
    fn killed_relays_lose_nothing(db: TestDb) {
        if let Some(url) = std::env::var_os(URL) {
            return live(url.to_str().unwrap());
        }
        let events = i64::try_from(size("EVENTS", 2_000)).unwrap();
        let kills = size("RELAY_KILLS", 6);
        let seed = size("SEED", 1);
        println!("{events} events, {kills} kills, BITCRAPS_TEST_SEED={seed}");
        let test = match db.engine() {
            Engine::Sqlite => "outbox_kill::killed_relays_lose_nothing::sqlite",
            Engine::Postgres => "outbox_kill::killed_relays_lose_nothing::postgres",
        };
        let database = open(&db);
        let mut relays = Relays::start(test, db.url());
        let mut receiver = Receipts::default();
        std::thread::scope(|scope| {
            scope.spawn(|| enqueue(&database, events));
            kill_some(&mut relays, &mut receiver, (events, kills), seed);
        });
        await_empty(&database, &relays, &mut receiver);
        relays.end(&mut receiver);
        receiver.check(events);
        let counts = OutboxCounts { delivered: events - 1, dead: 1, ..OutboxCounts::default() };
        assert_eq!(read(&database, OutboxRepository::counts), counts);
        let dead = read(&database, |conn| OutboxRepository::list_dead(conn, &PageRequest::default()));
        assert_eq!(dead.items[0].payload.0["number"], POISON);
    }
}

/// The life of a relay: until its input ends.
fn live(url: &str) {
    let database = Database::open(&DatabaseConfig::new(url)).unwrap();
    // More attempts than there are kills: only what is refused each time is to be given up.
    let most = i32::try_from(size("RELAY_KILLS", 6)).unwrap() + 10;
    let relay = OutboxRelay::new()
        .with_lease(Duration::from_secs(1))
        .with_limit(20)
        .with_schedule(RetrySchedule::new(Duration::from_millis(20), 1, most));
    let (_told, over) = until_input_ends();
    // Ends the line that the harness has begun.
    say("");
    loop {
        let report = relay
            .run_once(&database, &SystemClock, |entry| match number(entry) {
                POISON => Err("poison"),
                number => {
                    say(&format!("{MARK}{number}"));
                    Ok(())
                }
            })
            .unwrap();
        let pause = if report.claimed == 0 {
            PAUSE
        } else {
            Duration::ZERO
        };
        if over.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// A receiver whose sender is gone when the parent has closed our input.
fn until_input_ends() -> (std::thread::JoinHandle<()>, Receiver<()>) {
    let (send, over) = channel();
    let reader = std::thread::spawn(move || {
        assert!(std::io::stdin().lines().next().is_none());
        drop(send);
    });
    (reader, over)
}

/// In one call of the system, past the harness, which holds back what is printed.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn enqueue(database: &Database, events: i64) {
    let numbers: Vec<_> = (0..events).collect();
    for batch in numbers.chunks(10) {
        let new: Vec<_> = batch.iter().map(|number| entry(*number, 0)).collect();
        write(database, |conn| OutboxRepository::enqueue_many(conn, &new));
    }
}

/// Kills now this relay, now that one, after a random number of deliveries, until all is delivered.
fn kill_some(relays: &mut Relays, receiver: &mut Receipts, (events, kills): (i64, u64), seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let apart = (events.unsigned_abs() / (kills + 1)).max(1);
    let mut killed = 0;
    let mut due = random.u64(1..=apart);
    while killed < kills || receiver.effects.len() < usize::try_from(events - 1).unwrap() {
        let number = relays.said.recv_timeout(LONG).unwrap();
        receiver.take(number);
        if killed < kills && receiver.deliveries >= due {
            relays.kill_one(usize::try_from(killed).unwrap() % RELAYS);
            killed += 1;
            due = receiver.deliveries + random.u64(1..=apart);
        }
    }
    println!("{killed} kills");
}

/// What was claimed by a relay that is dead comes again when its lease ends.
fn await_empty(database: &Database, relays: &Relays, receiver: &mut Receipts) {
    let since = Instant::now();
    loop {
        let counts = read(database, OutboxRepository::counts);
        if counts.pending + counts.processing + counts.failed == 0 {
            return;
        }
        assert!(since.elapsed() < LONG, "{counts:?}");
        if let Ok(number) = relays.said.recv_timeout(PAUSE) {
            receiver.take(number);
        }
    }
}

/// What was received: each effect happens once, by the number of its event.
#[derive(Default)]
struct Receipts {
    deliveries: u64,
    effects: HashSet<i64>,
    sum: i64,
}

impl Receipts {
    fn take(&mut self, number: i64) {
        self.deliveries += 1;
        if self.effects.insert(number) {
            self.sum += number;
        }
    }

    fn check(&self, events: i64) {
        let once = u64::try_from(self.effects.len()).unwrap();
        println!("{} deliveries of {once} events", self.deliveries);
        assert_eq!(once + 1, events.unsigned_abs());
        assert_eq!(self.sum, events * (events - 1) / 2);
    }
}

/// The relays that run now, and what all of them say.
struct Relays {
    test: &'static str,
    url: String,
    running: Vec<(Child, Option<ChildStdin>)>,
    say: Sender<i64>,
    said: Receiver<i64>,
}

impl Relays {
    fn start(test: &'static str, url: String) -> Self {
        let (say, said) = channel();
        let mut relays = Self {
            test,
            url,
            running: Vec::new(),
            say,
            said,
        };
        for _ in 0..RELAYS {
            let relay = relays.start_one();
            relays.running.push(relay);
        }
        relays
    }

    fn start_one(&self) -> (Child, Option<ChildStdin>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", self.test, "--nocapture", "--test-threads=1"])
            .env(URL, &self.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let say = self.say.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(number) = line.strip_prefix(MARK) {
                    // The test may be over by now.
                    let _ = say.send(number.parse().unwrap());
                }
            }
        });
        let input = child.stdin.take();
        (child, input)
    }

    /// SIGKILL, and another in its place.
    fn kill_one(&mut self, at: usize) {
        let fresh = self.start_one();
        let (mut child, input) = std::mem::replace(&mut self.running[at], fresh);
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        drop(input);
    }

    /// Lets them come to their end, which has to be a good one, and takes what they still say.
    fn end(mut self, receiver: &mut Receipts) {
        for (mut child, input) in std::mem::take(&mut self.running) {
            drop(input);
            assert!(child.wait().unwrap().success());
        }
        let Self { say, said, .. } = self;
        drop(say);
        for number in said {
            receiver.take(number);
        }
    }
}
