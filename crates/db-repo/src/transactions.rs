//! Lines in the ledgers of players. They are written by the [operations on money](crate::money) and
//! never change.

use std::ops::Range;

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{Transaction, TransactionType};
use db_schema::schema::transactions;
use db_schema::types::{JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::money::Balances;
use crate::page::{Listing, Place};
use crate::{Page, PageRequest, Result, check};

type Columns = (
    BigInt,
    Text,
    Text,
    BigInt,
    BigInt,
    BigInt,
    Text,
    Nullable<Text>,
    UtcTimestamp,
    Nullable<JsonDoc>,
    BigInt,
    BigInt,
);

statement! {
    struct Newest<'a> {
        user_id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, transaction_type, amount, balance_before, balance_after, status,
    reference_id, created_at, metadata, locked_change, staked_change
    FROM transactions WHERE user_id = " user_id "
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct Before<'a> {
        user_id: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, transaction_type, amount, balance_before, balance_after, status,
    reference_id, created_at, metadata, locked_change, staked_change
    FROM transactions WHERE user_id = " user_id " AND (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    /// The plus keeps PostgreSQL from going along the primary key until it has met enough of them.
    struct OfReference<'a> {
        reference: &'a str as Text,
        after: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, transaction_type, amount, balance_before, balance_after, status,
    reference_id, created_at, metadata, locked_change, staked_change
    FROM transactions WHERE reference_id = " reference " AND id + 0 > " after "
    ORDER BY id + 0 LIMIT " rows " + 0"
}

statement! {
    struct OfType {
        transaction_type: TransactionType as Text,
        from: UtcTime as UtcTimestamp,
        to: UtcTime as UtcTimestamp,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, transaction_type, amount, balance_before, balance_after, status,
    reference_id, created_at, metadata, locked_change, staked_change
    FROM transactions WHERE transaction_type = " transaction_type "
    AND created_at >= " from " AND created_at < " to "
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct OfTypeBefore {
        transaction_type: TransactionType as Text,
        from: UtcTime as UtcTimestamp,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, transaction_type, amount, balance_before, balance_after, status,
    reference_id, created_at, metadata, locked_change, staked_change
    FROM transactions WHERE transaction_type = " transaction_type "
    AND created_at >= " from " AND (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct BalancesAt<'a> {
        user_id: &'a str as Text,
        at: UtcTime as UtcTimestamp,
    }
    returns (BigInt, BigInt, BigInt);
    "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT),
    CAST(coalesce(sum(locked_change), 0) AS BIGINT), CAST(coalesce(sum(staked_change), 0) AS BIGINT)
    FROM transactions
    WHERE user_id = " user_id " AND created_at <= " at " AND status = 'completed'"
}

/// Lines in the ledgers of players.
#[derive(Debug)]
pub struct TransactionRepository;

impl TransactionRepository {
    /// The line of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, id: i64) -> Result<Option<Transaction>> {
        let query = transactions::table.find(id);
        Ok(with_conn!(conn, |c| query.get_result(c)).optional()?)
    }

    /// A player's lines, newest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list(
        conn: &mut Conn<'_>,
        user_id: &str,
        page: &PageRequest,
    ) -> Result<Page<Transaction>> {
        check::sought("user_id", user_id)?;
        let page = &page.of("transactions")?;
        let rows = page.rows();
        let found = match page.time_id()? {
            None => with_conn!(conn, |c| Newest { user_id, rows }.load(c))?,
            Some((at, id)) => {
                let before = Before {
                    user_id,
                    at,
                    id,
                    rows,
                };
                with_conn!(conn, |c| before.load(c))?
            }
        };
        Ok(by_time(found, page))
    }

    /// The lines that belong to one thing, for instance a bet, in the order in which they were
    /// written.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_by_reference(
        conn: &mut Conn<'_>,
        reference: &str,
        page: &PageRequest,
    ) -> Result<Page<Transaction>> {
        check::sought("reference_id", reference)?;
        let page = &page.of("transactions.by_reference")?;
        let query = OfReference {
            reference,
            after: page.after_id(),
            rows: page.rows(),
        };
        let found: Vec<Transaction> = with_conn!(conn, |c| page.load(query, c))?;
        Ok(Page::of(found, page, |last| Place::of_id(last.id)))
    }

    /// The lines of one type from a moment on and before another, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, or the cursor of a page beyond the span; `Database`.
    pub fn list_by_type(
        conn: &mut Conn<'_>,
        transaction_type: TransactionType,
        span: Range<UtcTime>,
        page: &PageRequest,
    ) -> Result<Page<Transaction>> {
        let page = &page.of("transactions.by_type")?;
        let rows = page.rows();
        let Range {
            start: from,
            end: to,
        } = span;
        let found = match page.time_id()? {
            // The end of a page is within its span; this one is of another.
            Some((at, _)) if at >= to => return Err(check::no_cursor()),
            None => {
                let query = OfType {
                    transaction_type,
                    from,
                    to,
                    rows,
                };
                with_conn!(conn, |c| query.load(c))?
            }
            Some((at, id)) => {
                let query = OfTypeBefore {
                    transaction_type,
                    from,
                    at,
                    id,
                    rows,
                };
                with_conn!(conn, |c| query.load(c))?
            }
        };
        Ok(by_time(found, page))
    }

    /// What a player had at a moment, when all lines of that moment were written: the sum of the
    /// completed lines up to then. Reads them all.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn balances_at(conn: &mut Conn<'_>, user_id: &str, at: UtcTime) -> Result<Balances> {
        check::sought("user_id", user_id)?;
        let (available, locked, staked) =
            with_conn!(conn, |c| BalancesAt { user_id, at }.get_result(c))?;
        Ok(Balances {
            available,
            locked,
            staked,
        })
    }
}

fn by_time(found: Vec<Transaction>, page: &Listing<'_>) -> Page<Transaction> {
    Page::of(found, page, |last| Place::at(last.created_at, last.id))
}
