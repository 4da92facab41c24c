//! Players, their first money, and what some of them stake.

use db_core::{Conn, Database};
use db_schema::rows::NewUser;

use super::{CHUNK, Filled, Options, Progress, Source, names, same, write};
use crate::{Result, UserRepository, money};

/// Bytes of an Ed25519 key.
const KEY: usize = 32;

/// Rates per year that are offered, and for how many days.
const OFFERS: [(f64, i32); 3] = [(0.03, 30), (0.05, 90), (0.08, 365)];

/// One of the players in so many stakes something.
const STAKERS: u64 = 10;

pub(super) fn fill(
    database: &Database,
    options: &Options,
    source: &mut Source,
    filled: &mut Filled,
    progress: &mut impl FnMut(Progress),
) -> Result<()> {
    let mut number = 0;
    while number < options.users {
        let until = options.users.min(number + CHUNK as u64);
        let mut new = Vec::with_capacity(CHUNK);
        let mut deposits = Vec::with_capacity(CHUNK);
        let mut stakes = Vec::new();
        for user in number..until {
            let created_at = source.next_moment();
            let id = source.key("user", user);
            let mut public_key = vec![0; KEY];
            source.rng.fill(&mut public_key);
            new.push(NewUser {
                id: id.clone(),
                username: names::of(&mut source.rng, &source.prefix, user),
                public_key,
                created_at,
            });
            // Most bring little, a few bring a lot.
            let amount = 1_000 * (1 + source.rng.i64(0..100)) * 10_i64.pow(source.rng.u32(0..3));
            deposits.push(money::Deposit {
                reference: source.key("deposit", user),
                user_id: id.clone(),
                amount,
            });
            if user % STAKERS == 0 {
                let (reward_rate, lock_period_days) = OFFERS[source.rng.usize(..OFFERS.len())];
                stakes.push(money::Stake {
                    reference: source.key("stake", user),
                    position_id: source.key("position", user),
                    user_id: id,
                    amount: amount / 4,
                    lock_period_days,
                    reward_rate,
                });
            }
        }
        let now = source.next_moment();
        let told = Progress {
            phase: "users",
            done: until,
            total: options.users,
        };
        number = until;
        if database.read(|conn| are_there(conn, &new))? {
            progress(told);
            continue;
        }
        write(database, &source.prefix, now, |conn, moments| {
            UserRepository::create_many(conn, &new)?;
            for deposit in &deposits {
                money::deposit(conn, deposit, moments.next())?;
            }
            for stake in &stakes {
                money::stake(conn, stake, moments.next())?;
            }
            Ok(())
        })?;
        filled.users += new.len() as u64;
        filled.positions += stakes.len() as u64;
        progress(told);
    }
    Ok(())
}

/// Whether an interrupted run has made these, which it did in one write.
fn are_there(conn: &mut Conn<'_>, new: &[NewUser]) -> Result<bool> {
    let (Some(first), Some(last)) = (new.first(), new.last()) else {
        return Ok(true);
    };
    let first_found = UserRepository::find(conn, &first.id)?;
    let last_found = UserRepository::find(conn, &last.id)?;
    if first_found.is_none() && last_found.is_none() {
        return Ok(false);
    }
    for (found, new) in [(first_found, first), (last_found, last)] {
        same(found.is_some_and(|found| found.public_key == new.public_key))?;
    }
    Ok(true)
}
