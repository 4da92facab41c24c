//! Believable data for demonstrations and benchmarks: the same for the same seed, but for the moments
//! at which the database itself notes that a row was changed.
//!
//! Everything that has money in it goes through [`money`], so a seeded database
//! reconciles, its games can be replayed, and its trail is whole.
//!
//! ```no_run
//! # use db_core::{Database, DatabaseConfig};
//! # use db_repo::{Error, seed};
//! # fn main() -> Result<(), Error> {
//! let database = Database::open(&DatabaseConfig::new("sqlite://demo.db"))?;
//! let options = seed::Options { users: 100, games: 20, ..seed::Options::default() };
//! let filled = seed::fill(&database, &options, |_| {})?;
//! println!("{} bets", filled.bets);
//! # Ok(())
//! # }
//! ```

mod names;
mod play;
mod players;

use chrono::{DateTime, Duration};
use db_core::{Conn, Database, RetryPolicy};
use db_schema::types::UtcTime;
use fastrand::Rng;

use crate::{Actor, Error, Result, UserRepository, check, money};

/// Most users and games of one call.
const MOST: u64 = 10_000_000;

/// When the first player came: 2025-08-24, the day of the oldest seed document.
const BEGINNING: i64 = 1_755_993_600;

/// What the house and the treasury begin with, smallest unit of CRAP.
const FUNDS: i64 = 1_000_000_000_000;

/// Operations of one write: enough that its COMMIT does not count, and few enough that others wait
/// for milliseconds only.
const CHUNK: usize = 256;

/// How much of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Players.
    pub users: u64,
    /// Games of dice, most of them settled.
    pub games: u64,
    /// The same seed gives the same data.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            users: 1_000,
            games: 100,
            seed: 1,
        }
    }
}

/// What there is now more than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Filled {
    /// Players.
    pub users: u64,
    /// Games of dice.
    pub games: u64,
    /// Bets in them.
    pub bets: u64,
    /// Games against the house.
    pub house_games: u64,
    /// Staking positions.
    pub positions: u64,
}

/// Where the data comes from: random numbers, and a time that goes on.
pub(super) struct Source {
    pub(super) rng: Rng,
    now: DateTime<chrono::Utc>,
    /// What all keys begin with, so that several seeds fit into one database.
    pub(super) prefix: String,
}

impl Source {
    /// The next moment: some seconds later.
    pub(super) fn next_moment(&mut self) -> UtcTime {
        self.now += Duration::milliseconds(self.rng.i64(50..20_000));
        self.now.into()
    }

    pub(super) fn key(&self, kind: &str, number: u64) -> String {
        format!("{}-{kind}-{number:07}", self.prefix)
    }
}

/// Fills a migrated database; `progress` is told after each part. Each part is a write of its own, so what
/// was written stays when it is interrupted; take another seed, or an empty database, to begin again.
///
/// # Errors
/// `Invalid` for too many; `AlreadyExists` if the database holds the data of this seed already, with
/// nothing changed; `Database`.
pub fn fill(
    database: &Database,
    options: &Options,
    mut progress: impl FnMut(&Filled),
) -> Result<Filled> {
    check::within("users", options.users, 2..=MOST)?;
    check::within("games", options.games, 0..=MOST)?;
    let mut source = Source {
        rng: Rng::with_seed(options.seed),
        now: DateTime::from_timestamp(BEGINNING, 0).unwrap_or_default(),
        prefix: format!("seed{}", options.seed),
    };
    let first = source.key("user", 0);
    if database.read(|conn| UserRepository::exists(conn, &first))? {
        return Err(Error::already_exists("user", first));
    }
    let mut filled = Filled::default();
    funds(database, &mut source)?;
    players::fill(database, options, &mut source, &mut filled, &mut progress)?;
    play::fill(database, options, &mut source, &mut filled, &mut progress)?;
    Ok(filled)
}

fn funds(database: &Database, source: &mut Source) -> Result<()> {
    let now = source.next_moment();
    write(database, now, |conn| {
        for account in [money::Fundable::House, money::Fundable::Treasury] {
            let fund = money::Fund {
                reference: source.key("fund", u64::from(account == money::Fundable::House)),
                account,
                amount: FUNDS,
            };
            money::fund(conn, &fund, now)?;
        }
        Ok(())
    })
}

/// One write, which the trail says was seeding.
pub(super) fn write<T: Send>(
    database: &Database,
    now: UtcTime,
    mut f: impl FnMut(&mut Conn<'_>) -> Result<T> + Send,
) -> Result<T> {
    let actor = Actor::new().user("seed");
    database.write_with_retry(&RetryPolicy::default(), |conn| {
        actor.acts(conn, now, &mut f)
    })
}
