//! Lines in the ledgers of players.

use std::collections::BTreeMap;

use db_core::{Conn, Database, with_conn};
use db_repo::money::Balances;
use db_repo::{Error, PageRequest, TransactionRepository};
use db_schema::rows::{Transaction, TransactionStatus, TransactionType};
use db_schema::schema::transactions;
use db_schema::types::Json;
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use crate::support::{at, open, read, users, write};

/// Seconds over which a player's lines are spread, each of which is asked for.
const MOMENTS: i64 = 1_000;

/// A line to be written as it stands; with balance 100 before, unless said otherwise.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) user: &'a str,
    pub(crate) kind: TransactionType,
    pub(crate) amount: i64,
    pub(crate) before: i64,
    pub(crate) locked: i64,
    pub(crate) staked: i64,
    pub(crate) status: TransactionStatus,
    pub(crate) reference: Option<&'a str>,
    pub(crate) seconds: i64,
}

pub(crate) const LINE: Line<'static> = Line {
    user: "u1",
    kind: TransactionType::Deposit,
    amount: 10,
    before: 100,
    locked: 0,
    staked: 0,
    status: TransactionStatus::Completed,
    reference: None,
    seconds: 0,
};

pub(crate) fn add(conn: &mut Conn<'_>, line: Line<'_>) -> Result<i64, Error> {
    let moved = match line.status {
        TransactionStatus::Completed => line.amount,
        _ => 0,
    };
    let values = (
        transactions::user_id.eq(line.user),
        transactions::transaction_type.eq(line.kind),
        transactions::amount.eq(line.amount),
        transactions::balance_before.eq(line.before),
        transactions::balance_after.eq(line.before + moved),
        transactions::locked_change.eq(line.locked),
        transactions::staked_change.eq(line.staked),
        transactions::status.eq(line.status),
        transactions::reference_id.eq(line.reference),
        transactions::created_at.eq(at(line.seconds)),
    );
    Ok(with_conn!(conn, |c| diesel::insert_into(
        transactions::table
    )
    .values(values)
    .returning(transactions::id)
    .get_result(c))?)
}

/// All pages of seven.
fn pages(
    database: &Database,
    list: impl Fn(&mut Conn<'_>, &PageRequest) -> Result<db_repo::Page<Transaction>, Error>,
) -> Vec<Transaction> {
    let mut seen = Vec::new();
    let mut request = PageRequest::first(7);
    loop {
        let page = read(database, |conn| list(conn, &request));
        seen.extend(page.items);
        match page.next {
            Some(next) => request = PageRequest::first(7).after(next.to_string().parse().unwrap()),
            None => return seen,
        }
    }
}

both_engines! {
    fn a_line_is_read_as_it_was_written(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        let line = Line { locked: -3, staked: 4, reference: Some("b1"), seconds: 5, ..LINE };
        let id = write(&database, |conn| add(conn, line));
        let found = read(&database, |conn| TransactionRepository::find(conn, id));
        assert_eq!(
            found,
            Some(Transaction {
                id,
                user_id: "u1".into(),
                transaction_type: TransactionType::Deposit,
                amount: 10,
                balance_before: 100,
                balance_after: 110,
                status: TransactionStatus::Completed,
                reference_id: Some("b1".into()),
                created_at: at(5),
                metadata: None::<Json>,
                locked_change: -3,
                staked_change: 4,
            })
        );
        assert_eq!(read(&database, |conn| TransactionRepository::find(conn, id + 1)), None);
    }

    fn pages_hold_a_players_lines_newest_first(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        write(&database, |conn| {
            for n in 0..50 {
                let user = if n % 2 == 0 { "u1" } else { "u2" };
                add(conn, Line { user, seconds: n / 4, ..LINE })?;
            }
            Ok(())
        });
        let seen = pages(&database, |conn, page| TransactionRepository::list(conn, "u1", page));
        assert_eq!(seen.len(), 25);
        assert!(seen.iter().all(|line| line.user_id == "u1"));
        assert!(seen.is_sorted_by(|a, b| (a.created_at, a.id) > (b.created_at, b.id)));
    }

    fn lines_are_found_by_what_they_belong_to(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        write(&database, |conn| {
            for n in 0..30 {
                let user = if n % 2 == 0 { "u1" } else { "u2" };
                let reference = Some(if n % 3 == 0 { "g1" } else { "g2" });
                // Written in an order that is not that of their moments.
                add(conn, Line { user, reference, seconds: -n, ..LINE })?;
            }
            Ok(())
        });
        let seen = pages(&database, |conn, page| {
            TransactionRepository::list_by_reference(conn, "g1", page)
        });
        assert_eq!(seen.len(), 10);
        assert!(seen.is_sorted_by_key(|line| line.id));
        assert!(seen.iter().all(|line| line.reference_id.as_deref() == Some("g1")));
    }

    fn lines_are_found_by_type_and_span(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        write(&database, |conn| {
            for n in 0..60 {
                let kind = if n % 2 == 0 { TransactionType::Bet } else { TransactionType::Deposit };
                add(conn, Line { kind, seconds: n / 3, ..LINE })?;
            }
            Ok(())
        });
        let seen = pages(&database, |conn, page| {
            TransactionRepository::list_by_type(conn, TransactionType::Bet, at(2)..at(15), page)
        });
        // Of the lines 6 to 44 each second.
        assert_eq!(seen.len(), 20);
        assert!(seen.is_sorted_by(|a, b| (a.created_at, a.id) > (b.created_at, b.id)));
        assert_eq!((seen[0].created_at, seen[19].created_at), (at(14), at(2)));
        let none = pages(&database, |conn, page| {
            TransactionRepository::list_by_type(conn, TransactionType::Bet, at(2)..at(2), page)
        });
        assert_eq!(none, []);
        // The end of a page of the longer span is no place in the shorter one.
        let first = PageRequest::first(7);
        let kind = TransactionType::Bet;
        let next = read(&database, |conn| {
            TransactionRepository::list_by_type(conn, kind, at(2)..at(15), &first)
        })
        .next;
        let after = first.after(next.unwrap());
        let refused = database
            .read(|conn| TransactionRepository::list_by_type(conn, kind, at(2)..at(10), &after))
            .unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "after", .. }), "{refused}");
        let refused = database
            .read(|conn| TransactionRepository::list_by_reference(conn, "b1", &after))
            .unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "after", .. }), "{refused}");
    }

    fn any_past_balance_can_be_told(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        let mut random = fastrand::Rng::with_seed(42);
        let mut model: BTreeMap<i64, Balances> = BTreeMap::new();
        let mut now = Balances { available: 1_000, ..Balances::default() };
        write(&database, |conn| {
            add(conn, Line { amount: 1_000, before: 0, ..LINE })?;
            model.insert(0, now);
            for n in 1..MOMENTS * 3 / 2 {
                // Often several lines of one moment, now and then one that moves nothing.
                let seconds = n / 3 * 2;
                let status = if n % 7 == 0 { TransactionStatus::Failed } else { TransactionStatus::Completed };
                let line = Line {
                    amount: random.i64(-4..=5),
                    locked: random.i64(-2..=3),
                    staked: random.i64(-1..=2),
                    before: now.available,
                    status,
                    seconds,
                    ..LINE
                };
                add(conn, line)?;
                add(conn, Line { user: "u2", ..line })?;
                if status == TransactionStatus::Completed {
                    now.available += line.amount;
                    now.locked += line.locked;
                    now.staked += line.staked;
                }
                model.insert(seconds, now);
            }
            Ok(())
        });
        let balances_at = |seconds| {
            read(&database, |conn| TransactionRepository::balances_at(conn, "u1", at(seconds)))
        };
        assert_eq!(balances_at(-1), Balances::default());
        for seconds in 0..MOMENTS {
            let (_, expected) = model.range(..=seconds).next_back().unwrap();
            assert_eq!(balances_at(seconds), *expected, "after {seconds} s");
        }
        let nobody = read(&database, |conn| {
            TransactionRepository::balances_at(conn, "nobody", at(1_000))
        });
        assert_eq!(nobody, Balances::default());
    }
}
