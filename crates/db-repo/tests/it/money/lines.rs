//! What is written stays written, and says what was at any time.

use db_core::Database;
use db_core::with_conn;
use db_repo::money;
use db_schema::rows::BetOutcome;
use db_schema::schema::{account_entries, transactions};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use super::books::books;
use super::table::{deposit, place, resolve, table};
use crate::support::{at, read, write};

/// Runs a statement that has to be refused, and says how.
#[track_caller]
fn refused(database: &Database, sql: &str) -> String {
    let refused = database.write(|conn| conn.batch_execute(sql).map_err(db_core::Error::from));
    refused.unwrap_err().to_string()
}

both_engines! {
    fn lines_and_entries_refuse_every_change(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 100);
        resolve(&database, 1, BetOutcome::Lost, 0);
        let before = books(&database);
        for table in ["transactions", "account_entries"] {
            for sql in [
                format!("UPDATE {table} SET amount = amount + 1"),
                format!("UPDATE {table} SET reference_id = 'another'"),
                format!("UPDATE {table} SET created_at = created_at"),
                format!("DELETE FROM {table}"),
                format!("DELETE FROM {table} WHERE id = (SELECT max(id) FROM {table})"),
            ] {
                let said = refused(&database, &sql);
                assert!(said.contains("append-only"), "{sql}: {said}");
            }
        }
        assert_eq!(books(&database), before);
    }

    fn a_past_balance_can_be_read_off(db: TestDb) {
        let database = table(&db);
        let mut then = Vec::new();
        for step in 1..=30 {
            let request = deposit(&format!("d{step}"), "ada", step);
            let answer = write(&database, |conn| money::deposit(conn, &request, at(step)));
            then.push((at(step), answer.available));
        }
        for (moment, balance) in then {
            let last = transactions::table
                .filter(transactions::user_id.eq("ada"))
                .filter(transactions::created_at.le(moment))
                .order((transactions::created_at.desc(), transactions::id.desc()))
                .select(transactions::balance_after)
                .limit(1);
            let found: i64 = read(&database, |conn| {
                Ok(with_conn!(conn, |c| last.get_result(c))?)
            });
            assert_eq!(found, balance, "at {moment}");
        }
        let entries = account_entries::table.count();
        let count: i64 = read(&database, |conn| Ok(with_conn!(conn, |c| entries.get_result(c))?));
        assert_eq!(count, 1);
    }
}
