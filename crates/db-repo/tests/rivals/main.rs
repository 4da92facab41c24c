//! Many clients that move money at once, killed with SIGKILL and started again: nothing is lost,
//! nothing happens twice, and the sum stays what it has to be.
//!
//! The clients are threads of a child process: this test binary, started again for the same test. Each
//! does a sequence of requests that follows from its number alone, so after a kill it asks again for
//! what it got no answer to. Clients come in pairs that ask for the same things under the same
//! references. A longer run: `BITCRAPS_TEST_KILLS=200 BITCRAPS_TEST_SECONDS=3 cargo xtask test`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail, and say where"
)]
#![expect(clippy::print_stdout, reason = "a seed, to begin again with")]

mod books;
mod child;
mod request;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use db_core::{Database, DatabaseConfig, Engine};
use db_testkit::{TestDb, both_engines, size};

/// Clients of one child.
const CLIENTS: usize = 32;

/// A test that waits so long has failed.
const LONG: Duration = Duration::from_mins(2);

both_engines! {
    fn killed_clients_lose_nothing_and_do_nothing_twice(db: TestDb) {
        if let Some(url) = std::env::var_os(child::URL) {
            return child::live(url.to_str().unwrap());
        }
        let name = match db.engine() {
            Engine::Sqlite => "killed_clients_lose_nothing_and_do_nothing_twice::sqlite",
            Engine::Postgres => "killed_clients_lose_nothing_and_do_nothing_twice::postgres",
        };
        let kills = size("KILLS", 8);
        let pause = Duration::from_secs(size("SECONDS", 1));
        let seed = size("SEED", 1);
        println!("{kills} kills, BITCRAPS_TEST_SEED={seed}");
        db.migrate();
        let database = Database::open(&DatabaseConfig::new(db.url())).unwrap();
        request::prepare(&database);
        let mut told = Told::default();
        let mut random = fastrand::Rng::with_seed(seed);
        for kill in 0..=kills {
            let mut life = Life::begin(name, &db.url(), &told);
            // Sooner or later after the first answer, so that it dies in the middle of things.
            let share = if kill == kills { 1.0 } else { 0.1 + 0.9 * random.f64() };
            life.listen(&mut told, pause.mul_f64(share));
            if kill == kills {
                life.end(&mut told);
            } else {
                life.kill(&mut told);
            }
        }
        let answers: usize = told.done.values().map(BTreeMap::len).sum();
        println!("{answers} answers, {} refusals", told.refused);
        assert!(answers > 1_000, "too little was done to say anything: {answers}");
        books::check(&database, &told);
    }
}

/// What clients were told, over all lives.
#[derive(Default)]
pub(crate) struct Told {
    /// By client and number of the request: kind, reference and answer.
    pub(crate) done: BTreeMap<usize, BTreeMap<u64, (String, String, String)>>,
    /// The next request of each client.
    next: BTreeMap<usize, u64>,
    refused: u64,
}

impl Told {
    /// A line of a child.
    fn hear(&mut self, line: &str) {
        let mut words = line.splitn(6, '\t');
        let verb = words.next().unwrap_or_default();
        if verb != "done" && verb != "refused" {
            return;
        }
        let client: usize = words.next().unwrap().parse().unwrap();
        let number: u64 = words.next().unwrap().parse().unwrap();
        self.next.insert(client, number + 1);
        if verb == "refused" {
            self.refused += 1;
            return;
        }
        let [kind, reference, answer] = [(); 3].map(|()| words.next().unwrap().to_owned());
        let before = self
            .done
            .entry(client)
            .or_default()
            .insert(number, (kind, reference, answer));
        assert!(before.is_none(), "answered twice: {line}");
    }
}

/// One child.
struct Life {
    child: Child,
    said: Receiver<String>,
}

impl Life {
    fn begin(name: &str, url: &str, told: &Told) -> Self {
        let next = (0..CLIENTS).map(|client| told.next.get(&client).copied().unwrap_or(0));
        let next: Vec<_> = next.map(|number| number.to_string()).collect();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(child::URL, url)
            .env(child::NEXT, next.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, said) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The test may be over by now.
                drop(say.send(line));
            }
        });
        Self { child, said }
    }

    /// Listens for so long after the first answer.
    fn listen(&mut self, told: &mut Told, time: Duration) {
        let mut until = None;
        loop {
            let wait = match until {
                None => LONG,
                Some(until) => match Instant::checked_duration_since(&until, Instant::now()) {
                    Some(left) => left,
                    None => return,
                },
            };
            let Ok(line) = self.said.recv_timeout(wait) else {
                assert!(until.is_some(), "the child says nothing");
                return;
            };
            told.hear(&line);
            if until.is_none() && line.starts_with("done") {
                until = Some(Instant::now() + time);
            }
        }
    }

    fn kill(mut self, told: &mut Told) {
        self.child.kill().unwrap();
        assert!(!self.child.wait().unwrap().success());
        // What it said before it died counts.
        self.said.iter().for_each(|line| told.hear(&line));
    }

    fn end(mut self, told: &mut Told) {
        drop(self.child.stdin.take());
        self.said.iter().for_each(|line| told.hear(&line));
        assert!(self.child.wait().unwrap().success(), "a client failed");
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // Of a test that failed; an ended one is no trouble.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
