//! Databases at earlier versions of the schema.

use db_core::{Conn, with_conn};
use db_migrate::{Migrator, Source, Target};
use db_repo::{Check, Error, invariants};
use db_schema::migrations::{POSTGRES, SQLITE};
use db_schema::schema::{accounts, token_balances};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use super::{difference, found, played, reconcile};
use crate::support::{read, write};
use crate::tokens::set_account;

/// The version that brings what a check compares.
const fn since(check: Check) -> usize {
    match check {
        Check::Chain | Check::EndedBets => 1,
        Check::Available | Check::ActivePositions | Check::ClaimedRewards => 6,
        Check::BetWithoutEvent
        | Check::EventWithoutBet
        | Check::Stake
        | Check::OutcomeWithoutEvent
        | Check::EventWithoutOutcome
        | Check::Outcome
        | Check::Winnings => 12,
        _ => 11,
    }
}

/// The database goes back to this version, with what it holds.
#[track_caller]
fn back_to(db: &TestDb, version: usize) {
    let migrator = Migrator::new(Source::embedded(SQLITE, POSTGRES));
    migrator
        .rollback_to(db.connect().conn(), &Target::Ordinal(version))
        .unwrap();
}

fn set_balance(conn: &mut Conn<'_>, user: &str, balance: i64) -> Result<(), Error> {
    let row = token_balances::table.find(user);
    let set = token_balances::balance.eq(balance);
    with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
    Ok(())
}

both_engines! {
    fn what_a_version_has_is_reconciled_and_the_rest_is_said(db: TestDb) {
        drop(played(&db));
        for version in (1..=SQLITE.len()).rev() {
            back_to(&db, version);
            let database = db.database();
            let report = reconcile(&database);
            assert_eq!(report.differences, [], "V{version}");
            assert_eq!((report.users, report.transactions, report.games), (5, 22, 2), "V{version}");
            let later: Vec<_> = Check::ALL.iter().copied().filter(|check| since(*check) > version).collect();
            assert_eq!(report.not_checked, later, "V{version}");
            let supply = match version {
                11.. => 23_930,
                // Of players alone: the house and the treasury have 19,930 less what they paid, a pot 100.
                6.. => 23_930 - 20_000 + 10 - 100,
                _ => 0,
            };
            assert_eq!(report.total_supply, supply, "V{version}");
            let (observed, wrong) = read(&database, |conn| Ok::<_, Error>(invariants::money(conn)?));
            assert_eq!(wrong, Vec::<String>::new(), "V{version}");
            let is_partial = observed.ends_with("as far as a schema of this version tells");
            assert_eq!(is_partial, version < 12, "V{version}: {observed}");
        }
    }

    fn what_is_wrong_in_an_earlier_version_is_found(db: TestDb) {
        drop(played(&db));
        back_to(&db, 11);
        let database = db.database();
        let house: i64 = read(&database, |conn| {
            let balance = accounts::table.find("house").select(accounts::balance);
            Ok(with_conn!(conn, |c| balance.get_result(c))?)
        });
        let differences = found(&database, |conn| set_account(conn, "house", house + 1));
        assert_eq!(
            differences,
            [
                difference(Check::Account, "house", house.into(), (house + 1).into()),
                difference(Check::Supply, "all accounts", 23_930, 23_931),
            ]
        );
        write(&database, |conn| set_account(conn, "house", house));
        drop(database);
        back_to(&db, 6);
        let differences = found(&db.database(), |conn| set_balance(conn, "u4", 981));
        assert_eq!(differences, [difference(Check::Available, "u4", 980, 981)]);
    }
}
