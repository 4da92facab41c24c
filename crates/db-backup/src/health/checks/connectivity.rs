//! Whether the database can be opened, and how soon it answers.

use std::time::Instant;

use db_core::duration::show;
use db_core::{Error, ErrorKind};

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
            None => verdict.hint(otherwise(error)),
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

/// What helps, where the error itself does not say it.
fn otherwise(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::NotADatabase => {
            "restore the newest backup that was restored on trial, which `bitcraps-db backup status` \
             names; `bitcraps-db salvage --to NEW` reads what is left of a SQLite file"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnly => {
            "check the owner and the mode of the file and its folder, or what the role may do"
        }
        ErrorKind::DiskFull | ErrorKind::Io => "look at the system's log for the disk",
        _ => "check the URL, and that the database is there",
    }
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
