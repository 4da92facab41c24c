//! Deposits, withdrawals, funds and transfers: what each writes down.

use db_core::with_conn;
use db_repo::money::{self, Balances, Fundable, Transfer, Withdraw};
use db_schema::rows::{EntryType, TransactionType};
use db_schema::schema::{notifications, outbox};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;
use serde_json::{Value, json};

use super::books::books;
use super::table::{deposit, fund, table};
use crate::support::{at, open, read, users, write};

fn has(available: i64) -> Balances {
    Balances {
        available,
        locked: 0,
        staked: 0,
    }
}

/// Type and payload of the last entry of the outbox.
fn last_told(database: &db_core::Database) -> (Option<String>, String, Value) {
    let query = outbox::table
        .select((outbox::user_id, outbox::outbox_type, outbox::payload))
        .order(outbox::id.desc())
        .limit(1);
    read(database, |conn| {
        Ok(with_conn!(conn, |c| query.get_result(c))?)
    })
}

/// Player, type and text of the last notification.
fn last_noted(database: &db_core::Database) -> (String, String, String) {
    let query = notifications::table
        .select((
            notifications::user_id,
            notifications::notification_type,
            notifications::message,
        ))
        .order(notifications::id.desc())
        .limit(1);
    read(database, |conn| {
        Ok(with_conn!(conn, |c| query.get_result(c))?)
    })
}

both_engines! {
    fn a_deposit_is_written_down_everywhere(db: TestDb) {
        let database = open(&db);
        users(&database, &["ada"]);
        let request = deposit("d1", "ada", 70);
        let answer = write(&database, |conn| money::deposit(conn, &request, at(1)));
        assert_eq!(answer, has(70));
        let request = deposit("d2", "ada", 5);
        let answer = write(&database, |conn| money::deposit(conn, &request, at(2)));
        assert_eq!(answer, has(75));
        let books = books(&database);
        assert_eq!(books.balances["ada"].last_updated, at(2));
        assert_eq!(
            books.lines_of("ada", 0),
            [
                (TransactionType::Deposit, 70, 0, 0, "d1"),
                (TransactionType::Deposit, 5, 0, 0, "d2"),
            ]
        );
        assert_eq!(books.lines[1].created_at, at(2));
        let payload = json!({"reference": "d2", "user_id": "ada", "amount": 5, "balance": 75});
        assert_eq!(last_told(&database), (Some("ada".into()), "deposit".into(), payload));
        assert_eq!(
            last_noted(&database),
            ("ada".into(), "deposit".into(), "5 CRAP came in.".into())
        );
        assert_eq!((books.counts["outbox"], books.counts["notifications"]), (2, 2));
    }

    fn a_withdrawal_takes_no_more_than_is_there(db: TestDb) {
        let database = table(&db);
        let request = Withdraw { reference: "w1".into(), user_id: "ada".into(), amount: 1_000 };
        let answer = write(&database, |conn| money::withdraw(conn, &request, at(1)));
        assert_eq!(answer, has(0));
        let books = books(&database);
        assert_eq!(
            books.lines_of("ada", 1),
            [(TransactionType::Withdrawal, -1_000, 0, 0, "w1")]
        );
        assert_eq!(last_told(&database).1, "withdrawal");
        assert_eq!(last_noted(&database).2, "1000 CRAP went out.");
    }

    fn the_house_and_the_treasury_are_funded(db: TestDb) {
        let database = table(&db);
        let request = fund("f1", Fundable::Treasury, 40);
        let answer = write(&database, |conn| money::fund(conn, &request, at(1)));
        assert_eq!((answer.account, answer.balance), (Fundable::Treasury, 40));
        let books = books(&database);
        assert_eq!((books.account("house"), books.account("treasury")), (500, 40));
        assert_eq!(books.entries_of("treasury", 0), [(EntryType::Fund, 40, "f1")]);
        assert_eq!(last_told(&database).0, None);
    }

    fn a_transfer_is_two_lines_whoever_comes_first(db: TestDb) {
        let database = table(&db);
        users(&database, &["dot"]);
        for (reference, from, to, answer) in [
            ("t1", "ada", "bob", (has(900), has(1_100))),
            ("t2", "bob", "ada", (has(1_000), has(1_000))),
            ("t3", "cid", "dot", (has(900), has(100))),
        ] {
            let request = Transfer {
                reference: reference.into(),
                from: from.into(),
                to: to.into(),
                amount: 100,
            };
            let got = write(&database, |conn| money::transfer(conn, &request, at(3)));
            assert_eq!((got.from, got.to), answer, "{reference}");
        }
        let books = books(&database);
        assert_eq!(
            books.lines_of("ada", 1),
            [
                (TransactionType::TransferOut, -100, 0, 0, "t1"),
                (TransactionType::TransferIn, 100, 0, 0, "t2"),
            ]
        );
        let line = books.lines.iter().find(|line| line.user_id == "dot").unwrap();
        assert_eq!(line.metadata.as_ref().unwrap().0, json!({"from": "cid"}));
        assert_eq!(last_told(&database).1, "transfer");
        assert_eq!(last_noted(&database).0, "dot");
    }
}
