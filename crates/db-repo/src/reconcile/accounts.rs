//! The house, the treasury and the pots.

use std::collections::BTreeMap;

use db_core::{Conn, statement, with_conn};
use diesel::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Text};

use super::{Books, Break, Check, MOST_BREAKS, count, count_of};
use crate::Result;

statement! {
    struct FirstAccounts {
        rows: i64 as BigInt,
    }
    returns (Text, BigInt);
    "SELECT id, balance FROM accounts ORDER BY id LIMIT " rows " + 0"
}

statement! {
    struct NextAccounts<'a> {
        after: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns (Text, BigInt);
    "SELECT id, balance FROM accounts WHERE id > " after " ORDER BY id LIMIT " rows " + 0"
}

statement! {
    struct Entries<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
    }
    returns (Text, BigInt, BigInt, BigInt);
    "SELECT account_id, count(*), CAST(sum(amount) AS BIGINT),
    CAST(sum(CASE WHEN entry_type = 'fund' THEN amount ELSE 0 END) AS BIGINT)
    FROM account_entries
    WHERE account_id >= " first " AND account_id <= " last " GROUP BY account_id"
}

statement! {
    struct BrokenChains<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns (Text, BigInt, BigInt, BigInt, BigInt);
    "SELECT account_id, id, expected, balance_before, count(*) OVER () FROM (
        SELECT account_id, id, balance_before, lag(balance_after, 1, CAST(0 AS BIGINT))
            OVER (PARTITION BY account_id ORDER BY id) AS expected
        FROM account_entries
        WHERE account_id >= " first " AND account_id <= " last ") AS lines
    WHERE balance_before <> expected ORDER BY account_id, id LIMIT " rows " + 0"
}

type Account = (String, i64);

pub(super) fn check(conn: &mut Conn<'_>, rows: i64, books: &mut Books) -> Result<()> {
    let mut batch: Vec<Account> = with_conn!(conn, |c| FirstAccounts { rows }.load(c))?;
    while let (Some((first, _)), Some((last, _))) = (batch.first(), batch.last()) {
        books.report.accounts += count_of(&batch);
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        let entries: Vec<(String, i64, i64, i64)> =
            with_conn!(conn, |c| Entries { first, last }.load(c))?;
        for (id, entries, amount, funds) in entries {
            books.report.account_entries += count(entries);
            books.outside += i128::from(funds);
            sums.insert(id, amount);
        }
        for (id, balance) in &batch {
            let expected = sums.get(id).copied().unwrap_or(0);
            books.compare(Check::Account, id, expected.into(), (*balance).into());
        }
        let chains = BrokenChains {
            first,
            last,
            rows: MOST_BREAKS,
        };
        let breaks: Vec<Break> = with_conn!(conn, |c| chains.load(c))?;
        books.add_breaks(Check::AccountChain, breaks);
        batch = with_conn!(conn, |c| NextAccounts { after: last, rows }.load(c))?;
    }
    Ok(())
}
