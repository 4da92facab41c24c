//! Operations on money: each has its answer.

use db_core::{Conn, statement, with_conn};
use diesel::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Text};

use super::{Books, Check, MOST_BREAKS, count, count_of};
use crate::Result;

statement! {
    /// One that runs now is not to be seen: it has its answer when it is committed.
    struct Unanswered {
        rows: i64 as BigInt,
    }
    returns (Text, Text, BigInt);
    "SELECT kind, reference, count(*) OVER () FROM operations WHERE answer = ''
    ORDER BY kind, reference LIMIT " rows " + 0"
}

pub(super) fn check(conn: &mut Conn<'_>, books: &mut Books) -> Result<()> {
    let found: Vec<(String, String, i64)> =
        with_conn!(conn, |c| Unanswered { rows: MOST_BREAKS }.load(c))?;
    let total = found.first().map_or(0, |(.., total)| *total);
    books.report.difference_count += count(total).saturating_sub(count_of(&found));
    for (kind, reference, _) in found {
        books.compare(Check::Answer, &format!("{kind} {reference}"), 1, 0);
    }
    Ok(())
}
