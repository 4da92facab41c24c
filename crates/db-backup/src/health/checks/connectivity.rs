//! Whether the database can be opened, and how soon it answers.

use std::time::Instant;

use db_core::duration::show;

use super::super::look::Look;
use super::super::query::{Trouble, number};
use super::super::{Verdict, metrics};

/// Opened, and its header or its server read.
#[expect(clippy::unnecessary_wraps, reason = "all checks have one signature")]
pub(super) fn run(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    if let Some(error) = look.refused() {
        let hint = error.hint().map(ToOwned::to_owned);
        let verdict = Verdict::fail(error.message());
        return Ok(match hint {
            Some(hint) => verdict.hint(hint),
            None => verdict.hint("check the URL, and that the database is there"),
        });
    }
    let opened = look.opened;
    let answered = look.ask(|conn| number(conn, "SELECT CAST(1 AS BIGINT) AS value"));
    Ok(match answered {
        Ok(_) => Verdict::ok(format!("opened in {}", show(opened))),
        Err(trouble) => {
            look.note(&trouble);
            Verdict::fail(trouble.to_string()).hint("it can be opened, and answers nothing")
        }
    })
}

/// A query that every database answers at once.
pub(super) fn response(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let start = Instant::now();
    look.ask(|conn| match conn.engine() {
        db_core::Engine::Sqlite => number(conn, "SELECT count(*) AS value FROM sqlite_schema"),
        db_core::Engine::Postgres => number(
            conn,
            "SELECT count(*) AS value FROM pg_catalog.pg_namespace",
        ),
    })?;
    let took = start.elapsed();
    let limit = &look.limits.response;
    let verdict = Verdict::new(limit.judge(&took), format!("a query took {}", show(took)))
        .at(limit, |time| show(*time))
        .hint("look for a disk or a machine that is overloaded, and for long transactions")
        .measure(metrics::RESPONSE_TIME, took.as_secs_f64());
    Ok(verdict)
}
