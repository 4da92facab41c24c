//! What players own.

use db_core::{Conn, with_conn};
use db_repo::{Error, PageRequest, TokenRepository};
use db_schema::rows::{StakingPosition, TokenBalance};
use db_schema::schema::{accounts, staking_positions, token_balances};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use crate::support::{at, open, read, users, write};

/// Sets a player's three balances, whatever the lines say.
pub(crate) fn set_balances(
    conn: &mut Conn<'_>,
    user: &str,
    (balance, locked, staked): (i64, i64, i64),
) -> Result<(), Error> {
    let values = (
        token_balances::user_id.eq(user),
        token_balances::balance.eq(balance),
        token_balances::locked_balance.eq(locked),
        token_balances::staked_balance.eq(staked),
        token_balances::last_updated.eq(at(0)),
    );
    with_conn!(conn, |c| {
        diesel::delete(token_balances::table.find(user)).execute(c)?;
        diesel::insert_into(token_balances::table)
            .values(values)
            .execute(c)
    })?;
    Ok(())
}

/// Sets the balance of an account that is there.
pub(crate) fn set_account(conn: &mut Conn<'_>, id: &str, balance: i64) -> Result<(), Error> {
    let set = (
        accounts::balance.eq(balance),
        accounts::updated_at.eq(at(0)),
    );
    let rows = with_conn!(conn, |c| diesel::update(accounts::table.find(id))
        .set(set)
        .execute(c))?;
    assert_eq!(rows, 1);
    Ok(())
}

/// Adds a position of ten, from `at(start)` to `at(end)`.
pub(crate) fn stake(
    conn: &mut Conn<'_>,
    (id, user): (&str, &str),
    (start, end): (i64, i64),
    is_active: bool,
) -> Result<(), Error> {
    let values = (
        staking_positions::id.eq(id),
        staking_positions::user_id.eq(user),
        staking_positions::amount.eq(10),
        staking_positions::lock_period_days.eq(1),
        staking_positions::reward_rate.eq(0.05),
        staking_positions::started_at.eq(at(start)),
        staking_positions::ends_at.eq(at(end)),
        staking_positions::is_active.eq(is_active),
    );
    with_conn!(conn, |c| diesel::insert_into(staking_positions::table)
        .values(values)
        .execute(c))?;
    Ok(())
}

both_engines! {
    fn balances_are_found_by_player(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        write(&database, |conn| set_balances(conn, "u1", (5, 3, 2)));
        let expected = TokenBalance {
            user_id: "u1".into(),
            balance: 5,
            locked_balance: 3,
            staked_balance: 2,
            last_updated: at(0),
        };
        assert_eq!(read(&database, |conn| TokenRepository::get(conn, "u1")), expected);
        assert_eq!(read(&database, |conn| TokenRepository::find(conn, "u2")), None);
        let missing = database.read(|conn| TokenRepository::get(conn, "u2")).unwrap_err();
        assert_eq!(missing.to_string(), "there is no balance of user u2");
    }

    fn all_money_is_counted(db: TestDb) {
        let database = open(&db);
        assert_eq!(read(&database, TokenRepository::total_supply), 0);
        users(&database, &["u1", "u2"]);
        write(&database, |conn| {
            set_balances(conn, "u1", (5, 3, 2))?;
            set_balances(conn, "u2", (100, 0, 0))?;
            set_account(conn, "house", 1_000)?;
            set_account(conn, "treasury", 10_000)
        });
        assert_eq!(read(&database, TokenRepository::total_supply), 11_110);
    }

    fn money_beyond_64_bits_is_refused_and_not_rounded(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        write(&database, |conn| set_balances(conn, "u1", (i64::MAX - 5, 3, 2)));
        assert_eq!(read(&database, TokenRepository::total_supply), i64::MAX);
        for further in [(i64::MAX, 1, 0), (i64::MAX, 0, i64::MAX)] {
            write(&database, |conn| set_balances(conn, "u1", further));
            let refused = database.read(TokenRepository::total_supply).unwrap_err();
            assert!(matches!(refused, Error::Overflow { .. }), "{further:?}: {refused}");
        }
        write(&database, |conn| {
            set_balances(conn, "u1", (i64::MAX, 0, 0))?;
            set_account(conn, "house", 1)
        });
        let refused = database.read(TokenRepository::total_supply).unwrap_err();
        assert!(matches!(refused, Error::Overflow { .. }), "{refused}");
    }

    fn a_players_positions_are_listed_newest_first(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        write(&database, |conn| {
            for n in 0..20 {
                let user = if n % 2 == 0 { "u1" } else { "u2" };
                stake(conn, (&format!("p{n:02}"), user), (n / 4, 100), n % 3 == 0)?;
            }
            Ok(())
        });
        let mut seen = Vec::new();
        let mut request = PageRequest::first(3);
        loop {
            let page = read(&database, |conn| TokenRepository::list_positions(conn, "u1", &request));
            seen.extend(page.items.into_iter().map(|position| position.id));
            match page.next {
                Some(next) => request = PageRequest::first(3).after(next.to_string().parse().unwrap()),
                None => break,
            }
        }
        let expected: Vec<_> = (0..10).rev().map(|n| format!("p{:02}", n * 2)).collect();
        assert_eq!(seen, expected);
    }

    fn positions_whose_lock_has_ended_come_in_the_order_of_their_ends(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        write(&database, |conn| {
            for n in 0..20 {
                stake(conn, (&format!("p{n:02}"), "u1"), (0, 100 - n / 2 * 2), n % 5 != 0)?;
            }
            Ok(())
        });
        let mut seen: Vec<StakingPosition> = Vec::new();
        let mut request = PageRequest::first(3);
        loop {
            let page = read(&database, |conn| TokenRepository::list_ended(conn, at(96), &request));
            seen.extend(page.items);
            match page.next {
                Some(next) => request = PageRequest::first(3).after(next.to_string().parse().unwrap()),
                None => break,
            }
        }
        assert!(seen.is_sorted_by(|a, b| (a.ends_at, &a.id) < (b.ends_at, &b.id)));
        // Numbers 4 to 19 have ended, of which 5, 10 and 15 are closed.
        assert_eq!(seen.len(), 13);
        assert!(seen.iter().all(|position| position.is_active && position.ends_at <= at(96)));
        let found = read(&database, |conn| TokenRepository::find_position(conn, "p04"));
        assert_eq!(found.as_ref(), seen.iter().find(|position| position.id == "p04"));
        assert_eq!(found.unwrap().ends_at, at(96));
    }
}
