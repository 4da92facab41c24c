//! Money that is locked away for a reward.

use db_core::Database;
use db_repo::Error;
use db_repo::money::{self, Balances, ClaimRewards, Fundable, Stake, Unstake};
use db_schema::rows::{EntryType, TransactionType};
use db_testkit::{TestDb, both_engines};

use super::books::books;
use super::table::{fund, refused, table};
use crate::support::{at, write};

const DAY: i64 = 86_400;

fn stake(position: &str, amount: i64, days: i32, rate: f64) -> Stake {
    Stake {
        reference: format!("open {position}"),
        position_id: position.into(),
        user_id: "ada".into(),
        amount,
        lock_period_days: days,
        reward_rate: rate,
    }
}

fn unstake(position: &str) -> Unstake {
    Unstake {
        reference: format!("close {position}"),
        position_id: position.into(),
    }
}

fn claim(reference: &str, position: &str) -> ClaimRewards {
    ClaimRewards {
        reference: reference.into(),
        position_id: position.into(),
    }
}

/// With 100 in the treasury.
#[track_caller]
fn treasury(db: &TestDb) -> Database {
    let database = table(db);
    let request = fund("treasury", Fundable::Treasury, 100);
    write(&database, |conn| money::fund(conn, &request, at(0)));
    database
}

both_engines! {
    fn a_position_earns_until_its_end(db: TestDb) {
        let database = treasury(&db);
        let staked = write(&database, |conn| {
            money::stake(conn, &stake("p1", 600, 365, 0.1), at(0))
        });
        assert_eq!(staked.ends_at, at(365 * DAY));
        assert_eq!(staked.balances, Balances { available: 400, locked: 0, staked: 600 });
        // Half a year and some hours: 30, rounded down.
        let half = at(183 * DAY);
        let claimed = write(&database, |conn| money::claim_rewards(conn, &claim("c1", "p1"), half));
        assert_eq!((claimed.reward, claimed.claimed_rewards), (30, 30));
        assert_eq!(claimed.balances.available, 430);
        let none = write(&database, |conn| money::claim_rewards(conn, &claim("c2", "p1"), half));
        assert_eq!((none.reward, none.claimed_rewards), (0, 30));
        assert_eq!(none.balances, claimed.balances);
        let late = at(4_000 * DAY);
        let closed = write(&database, |conn| money::unstake(conn, &unstake("p1"), late));
        assert_eq!((closed.amount, closed.reward), (600, 30));
        assert_eq!(closed.balances, Balances { available: 1_060, locked: 0, staked: 0 });
        let books = books(&database);
        assert_eq!(books.account("treasury"), 40);
        assert_eq!(
            books.lines_of("ada", 1),
            [
                (TransactionType::Stake, -600, 0, 600, "p1"),
                (TransactionType::Reward, 30, 0, 0, "p1"),
                (TransactionType::Unstake, 600, 0, -600, "p1"),
                (TransactionType::Reward, 30, 0, 0, "p1"),
            ]
        );
        assert_eq!(
            books.entries_of("treasury", 1),
            [(EntryType::Reward, -30, "p1"), (EntryType::Reward, -30, "p1")]
        );
        let position = &books.positions[0];
        assert_eq!((position.claimed_rewards, position.is_active), (60, false));
    }

    fn who_leaves_early_forfeits_the_reward(db: TestDb) {
        let database = treasury(&db);
        write(&database, |conn| money::stake(conn, &stake("p1", 600, 365, 0.1), at(0)));
        let early = at(365 * DAY - 1);
        let closed = write(&database, |conn| money::unstake(conn, &unstake("p1"), early));
        assert_eq!((closed.amount, closed.reward), (600, 0));
        assert_eq!(books(&database).account("treasury"), 100);
        for error in [
            refused(&database, |conn, now| {
                money::unstake(conn, &Unstake { reference: "again".into(), ..unstake("p1") }, now)
                    .map(drop)
            }),
            refused(&database, |conn, now| {
                money::claim_rewards(conn, &claim("c1", "p1"), now).map(drop)
            }),
        ] {
            assert_eq!(error.to_string(), "staking position p1 is closed already");
        }
    }

    fn the_treasury_pays_no_more_than_it_has(db: TestDb) {
        let database = treasury(&db);
        write(&database, |conn| money::stake(conn, &stake("p1", 600, 365, 0.5), at(0)));
        let end = at(365 * DAY);
        let short = refused(&database, |conn, _| money::unstake(conn, &unstake("p1"), end));
        assert_eq!(short.to_string(), "the treasury has 100, which is less than 300");
        let short = refused(&database, |conn, _| money::claim_rewards(conn, &claim("c1", "p1"), end));
        assert!(matches!(short, Error::TreasuryShort { needed: 300, available: 100 }));
    }

    fn what_cannot_be_staked_is_refused(db: TestDb) {
        let database = treasury(&db);
        write(&database, |conn| money::stake(conn, &stake("p1", 600, 30, 0.0), at(0)));
        let again = Stake { reference: "other".into(), ..stake("p1", 10, 30, 0.0) };
        let error = refused(&database, |conn, now| money::stake(conn, &again, now));
        assert!(matches!(error, Error::AlreadyExists { entity: "staking position", .. }));
        let error = refused(&database, |conn, now| money::stake(conn, &stake("p2", 401, 30, 0.0), now));
        assert!(matches!(error, Error::InsufficientFunds { needed: 401, available: 400, .. }));
        let error = refused(&database, |conn, now| money::unstake(conn, &unstake("p9"), now));
        assert_eq!(error.to_string(), "there is no staking position p9");
        for (field, wrong) in [
            ("amount", stake("p2", 0, 30, 0.0)),
            ("lock_period_days", stake("p2", 1, -1, 0.0)),
            ("lock_period_days", stake("p2", 1, 36_501, 0.0)),
            ("reward_rate", stake("p2", 1, 30, f64::NAN)),
            ("reward_rate", stake("p2", 1, 30, -0.1)),
            ("position_id", stake("", 1, 30, 0.0)),
        ] {
            let error = refused(&database, |conn, now| money::stake(conn, &wrong, now));
            assert!(matches!(error, Error::Invalid { field: f, .. } if f == field), "{error}");
        }
    }
}
