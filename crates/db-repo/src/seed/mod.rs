//! Believable data for demonstrations and benchmarks: the same for the same seed, every row and every time,
//! unless something else writes to the database meanwhile. Only the numbers of the audit trail's lines for rows
//! that one statement changes are as PostgreSQL meets them.
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

use crate::{Actor, Error, OutboxRepository, Result, check, money};

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
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
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

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being made: `users`, then `games`.
    pub phase: &'static str,
    /// How many of them are there, those of an interrupted run included.
    pub done: u64,
    /// How many there will be.
    pub total: u64,
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

/// Between two operations of one write: more moments than one operation takes for its changes of a row.
const STEP: Duration = Duration::microseconds(10);

/// The moments of one write's operations. None comes twice: a row that is changed at the very time that
/// stands in it gets the machine's from its trigger.
pub(super) struct Moments(UtcTime);

impl Moments {
    /// The next one.
    pub(super) fn next(&mut self) -> UtcTime {
        self.0 = (*self.0 + STEP).into();
        self.0
    }
}

/// Fills a migrated database; `progress` is told after each part. Each part is a write of its own: after an
/// interruption what was written is there, and the same call goes on behind it and ends in the same data.
///
/// # Errors
/// `Invalid` for too many, and for other numbers than those that the data of this seed was begun with;
/// `AlreadyExists` if the database holds all of it already, with nothing changed; `Database`.
pub fn fill(
    database: &Database,
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Filled> {
    check::within("users", options.users, 2..=MOST)?;
    check::within("games", options.games, 0..=MOST)?;
    let mut source = Source {
        rng: Rng::with_seed(options.seed),
        now: DateTime::from_timestamp(BEGINNING, 0).unwrap_or_default(),
        prefix: format!("seed{}", options.seed),
    };
    let mut filled = Filled::default();
    funds(database, &mut source)?;
    players::fill(database, options, &mut source, &mut filled, &mut progress)?;
    play::fill(database, options, &mut source, &mut filled, &mut progress)?;
    if filled == Filled::default() {
        return Err(Error::already_exists("user", source.key("user", 0)));
    }
    Ok(filled)
}

/// Refuses to go on with data that does not follow from these options.
fn same(is_same: bool) -> Result<()> {
    check::rule(
        "seed",
        is_same,
        "was begun with other numbers of users and games",
    )
}

fn funds(database: &Database, source: &mut Source) -> Result<()> {
    let now = source.next_moment();
    write(database, &source.prefix, now, |conn, moments| {
        for account in [money::Fundable::House, money::Fundable::Treasury] {
            let fund = money::Fund {
                reference: source.key("fund", u64::from(account == money::Fundable::House)),
                account,
                amount: FUNDS,
            };
            money::fund(conn, &fund, moments.next())?;
        }
        Ok(())
    })
}

/// One write, which the trail says was seeding. What it enqueues for the players of this seed is
/// marked as delivered, by the seed: nobody outside waits for the news of a demonstration, and left
/// waiting they would be a year old when a relay or a health check first sees them.
pub(super) fn write<T: Send>(
    database: &Database,
    prefix: &str,
    now: UtcTime,
    mut f: impl FnMut(&mut Conn<'_>, &mut Moments) -> Result<T> + Send,
) -> Result<T> {
    let actor = Actor::new().user("seed");
    database.write_with_retry(&RetryPolicy::default(), |conn| {
        let last = OutboxRepository::newest(conn)?;
        // From its beginning, also when it is run again.
        let mut moments = Moments(now);
        let done = actor.acts(conn, now, |conn| f(conn, &mut moments))?;
        OutboxRepository::deliver_of_seed(conn, last, prefix, moments.next())?;
        Ok(done)
    })
}
