//! Our own side: the repositories, as an application calls them.

use std::hint::black_box;
use std::str::FromStr as _;

use anyhow::{Context as _, Result, ensure};
use bench_load::repo::{self, ACTOR, Bet, STAKE, now_micros};
use bench_load::{Figures, Job, Key, clients, once};
use chrono::DateTime;
use db_core::{Conn, Database, RetryPolicy};
use db_repo::{
    Actor, BetRepository, Cursor, LeaderboardOrder, PageRequest, StatsRepository, TokenRepository,
    UserRepository, money,
};
use db_schema::rows::{Bet as NewBet, BetOutcome, BetType};
use db_schema::types::{BetId, UtcTime};
use uuid::Uuid;

/// Does a job of the area; failed operations are counted.
///
/// # Errors
/// If the contender is unknown, or its job cannot be begun.
pub(crate) fn run(job: &Job, database: &Database, work: repo::Work) -> Result<Figures> {
    ensure!(
        job.contender == "ours",
        "there is no contender {}",
        job.contender
    );
    match work {
        repo::Work::Find => clients(job, |_| {
            let mut key = Key::default();
            Ok(move |number| {
                let key = key.of(number, job.rows);
                database.read(|conn| find(conn, key))
            })
        }),
        repo::Work::List => clients(job, |_| {
            let mut key = Key::default();
            Ok(move |number| {
                let (at, key) = key.cursor(number, job.rows);
                database.read(|conn| list(conn, at, key))
            })
        }),
        repo::Work::PlaceBet => {
            let policy = RetryPolicy::default();
            let policy = &policy;
            clients(job, |_| {
                let mut bet = Bet::default();
                Ok(move |number| {
                    let bet = bet.of(number, job.players);
                    Ok(database.write_with_retry(policy, |conn| place_bet(conn, bet))?)
                })
            })
        }
        repo::Work::Bulk { bets } => bulk(job, database, bets),
        repo::Work::Leaderboard { rows } => clients(job, |_| {
            let page = PageRequest::first(rows);
            Ok(move |_| {
                database.read(|conn| {
                    let best =
                        StatsRepository::leaderboard(conn, LeaderboardOrder::TotalWon, &page)?;
                    ensure!(best.next.is_some(), "no further page");
                    black_box(best);
                    Ok(())
                })
            })
        }),
        repo::Work::Balance => clients(job, |_| {
            let mut key = Key::default();
            Ok(move |number| {
                let key = key.of(number, job.players);
                database.read(|conn| {
                    black_box(TokenRepository::get(conn, key)?);
                    Ok(())
                })
            })
        }),
    }
}

/// A user by key, who is there.
pub(super) fn find(conn: &mut Conn<'_>, key: &str) -> Result<()> {
    let user = UserRepository::find(conn, key)?.context("no user")?;
    black_box(user);
    Ok(())
}

/// The page of 100 after this user, which is not the last.
pub(super) fn list(conn: &mut Conn<'_>, at: i64, key: &str) -> Result<()> {
    let cursor = Cursor::from_str(&format!("2:users:{at}.{key}"))?;
    let page = UserRepository::list(conn, &PageRequest::first(100).after(cursor))?;
    ensure!(page.items.len() == 100, "{} of 100 rows", page.items.len());
    ensure!(page.next.is_some(), "no further page");
    black_box(page);
    Ok(())
}

/// A bet as a service places it: by its player, from an address, with a program.
pub(super) fn place_bet(conn: &mut Conn<'_>, bet: &Bet) -> Result<(), db_repo::Error> {
    let now = time(bet.now);
    let request = money::PlaceBet {
        reference: bet.text().to_owned(),
        bet_id: id(bet),
        game_id: bet.game().to_owned(),
        player_id: bet.player().to_owned(),
        bet_type: BetType::Pass,
        amount: STAKE,
    };
    let placed =
        acting(bet.player()).acts(conn, now, |conn| money::place_bet(conn, &request, now))?;
    black_box(placed);
    Ok(())
}

/// All in one transaction, handed over some at a time, as one reads them from somewhere.
fn bulk(job: &Job, database: &Database, bets: u64) -> Result<Figures> {
    const AT_A_TIME: u64 = 8_192;
    let now = now_micros();
    once(job, bets, || {
        database.write(|conn| {
            acting("bench").acts(conn, time(now), |conn| {
                let (mut bet, mut rows) = (Bet::default(), Vec::new());
                let mut first = 0;
                while first < bets {
                    let end = bets.min(first + AT_A_TIME);
                    rows.clear();
                    rows.extend((first..end).map(|number| row(bet.at(number, job.players, now))));
                    let added = BetRepository::create_many(conn, &rows)?;
                    ensure!(added == rows.len(), "{added} of {} rows", rows.len());
                    first = end;
                }
                Ok(())
            })
        })
    })
}

pub(super) fn row(bet: &Bet) -> NewBet {
    NewBet {
        id: id(bet),
        game_id: bet.game().to_owned(),
        player_id: bet.player().to_owned(),
        bet_type: BetType::Pass,
        amount: STAKE,
        outcome: Some(BetOutcome::Lost),
        created_at: time(bet.now),
        resolved_at: Some(time(bet.now)),
    }
}

pub(super) fn acting(user: &str) -> Actor {
    let (address, agent) = ACTOR;
    Actor::new().user(user).address(address).agent(agent)
}

fn id(bet: &Bet) -> BetId {
    BetId(Uuid::from_bytes(*bet.id()))
}

pub(super) fn time(micros: i64) -> UtcTime {
    DateTime::from_timestamp_micros(micros)
        .unwrap_or_default()
        .into()
}
