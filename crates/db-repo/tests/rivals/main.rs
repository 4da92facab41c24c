//! Many clients that move money at once, killed with SIGKILL and started again, and so is their
//! PostgreSQL server: nothing is lost, nothing happens twice, and the sum stays what it has to be.
//!
//! The clients are threads of a child process: this test binary, started again for the same test. Each
//! does a sequence of requests that follows from its number alone, so after a kill it asks again for
//! what it got no answer to. Clients come in pairs that ask for the same things under the same
//! references. When the server dies, clients go on and ask again for what broke off, also where the
//! outcome is unknown: that is what references are for. A longer run: `BITCRAPS_TEST_KILLS=200
//! BITCRAPS_TEST_SECONDS=3 cargo xtask test`.
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
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use db_testkit::{Cluster, Started, TestDb, size};

/// Clients of one child.
const CLIENTS: usize = 32;

/// A test that waits so long has failed.
const LONG: Duration = Duration::from_mins(2);

/// One test, on each engine. PostgreSQL is a server of the test's own, because it is killed as well.
mod killed_rivals_lose_nothing_and_do_nothing_twice {
    use db_testkit::{TestDb, durable_cluster};

    #[test]
    fn sqlite() {
        if !super::child::is_one() {
            super::rivals("sqlite", &TestDb::sqlite(), None);
        }
    }

    #[test]
    fn postgres() {
        if !super::child::is_one() {
            let cluster = durable_cluster(&[]);
            super::rivals("postgres", &TestDb::on(&cluster), Some(&cluster));
        }
    }
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    /// The child with all clients.
    Clients,
    /// The server's process of one client, upon which the server ends all others and recovers.
    Backend,
    /// The server, which is then started again.
    Server,
    /// Both.
    Everybody,
}

impl Victim {
    /// In turn; SQLite has no server.
    fn of(kill: u64, cluster: Option<&Cluster>) -> Self {
        match (cluster, kill % 4) {
            (None, _) | (_, 0) => Self::Clients,
            (_, 1) => Self::Server,
            (_, 2) => Self::Backend,
            _ => Self::Everybody,
        }
    }
}

fn rivals(engine: &str, db: &TestDb, cluster: Option<&Cluster>) {
    let name = format!("killed_rivals_lose_nothing_and_do_nothing_twice::{engine}");
    let kills = size("KILLS", 8);
    let pause = Duration::from_secs(size("SECONDS", 1));
    let seed = size("SEED", 1);
    println!("{kills} kills, BITCRAPS_TEST_SEED={seed}");
    db.migrate();
    let database = db.database();
    request::prepare(&database);
    let mut told = Told::default();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut killed: BTreeMap<Victim, u64> = BTreeMap::new();
    let mut life = Life::begin(&name, &db.url(), &told);
    for kill in 0..kills {
        // Sooner or later after the next answer, so that it dies in the middle of things. After a
        // kill of the server alone this says that the same clients are served again.
        life.listen(&mut told, pause.mul_f64(0.1 + 0.9 * random.f64()));
        let victim = Victim::of(kill, cluster);
        *killed.entry(victim).or_default() += 1;
        match (victim, cluster) {
            (Victim::Backend, Some(cluster)) => {
                assert!(
                    cluster.kill_backend(random.usize(..)).unwrap(),
                    "nobody asks"
                );
            }
            (Victim::Server, Some(cluster)) => {
                cluster.kill().unwrap();
                cluster.start_again().unwrap();
            }
            (Victim::Everybody, Some(cluster)) => {
                cluster.kill().unwrap();
                life.kill(&mut told);
                cluster.start_again().unwrap();
                life = Life::begin(&name, &db.url(), &told);
            }
            _ => {
                life.kill(&mut told);
                life = Life::begin(&name, &db.url(), &told);
            }
        }
    }
    life.listen(&mut told, pause);
    life.end(&mut told);
    let answers: usize = told.done.values().map(BTreeMap::len).sum();
    println!(
        "killed {killed:?}: {answers} answers, {} refusals, {} commits of unknown outcome",
        told.refused, told.unknown
    );
    assert!(
        answers > 300,
        "too little was done to say anything: {answers}"
    );
    books::check(&database, &told);
}

/// What clients were told, over all lives.
#[derive(Default)]
pub(crate) struct Told {
    /// By client and number of the request: kind, reference and answer.
    pub(crate) done: BTreeMap<usize, BTreeMap<u64, (String, String, String)>>,
    /// The next request of each client.
    next: BTreeMap<usize, u64>,
    refused: u64,
    /// Requests whose COMMIT was cut off; they are asked again.
    unknown: u64,
}

impl Told {
    /// A line of a child.
    fn hear(&mut self, line: &str) {
        let mut words = line.splitn(6, '\t');
        let verb = words.next().unwrap_or_default();
        match verb {
            "done" | "refused" => {}
            "unknown" => {
                self.unknown += 1;
                return;
            }
            _ => return,
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
struct Life(Started);

impl Life {
    fn begin(name: &str, url: &str, told: &Told) -> Self {
        let next = (0..CLIENTS).map(|client| told.next.get(&client).copied().unwrap_or(0));
        let next: Vec<_> = next.map(|number| number.to_string()).collect();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(child::URL, url)
            .env(child::NEXT, next.join(","))
            .stdin(Stdio::piped());
        Self(Started::new(&mut command))
    }

    /// Listens for so long after the next answer.
    fn listen(&mut self, told: &mut Told, time: Duration) {
        // What was said before does not count.
        self.0.said.try_iter().for_each(|line| told.hear(&line));
        let mut until = None;
        loop {
            let wait = match until {
                None => LONG,
                Some(until) => match Instant::checked_duration_since(&until, Instant::now()) {
                    Some(left) => left,
                    None => return,
                },
            };
            let Ok(line) = self.0.said.recv_timeout(wait) else {
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
        self.0.child.kill().unwrap();
        assert!(!self.0.child.wait().unwrap().success());
        // What it said before it died counts.
        self.0.said.iter().for_each(|line| told.hear(&line));
    }

    fn end(mut self, told: &mut Told) {
        drop(self.0.child.stdin.take());
        self.0.said.iter().for_each(|line| told.hear(&line));
        assert!(self.0.child.wait().unwrap().success(), "a client failed");
    }
}
