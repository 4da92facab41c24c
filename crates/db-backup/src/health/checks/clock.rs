//! A clock that has gone back: names of backups, ages and retention all suffer from it.

use std::fs;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db_core::Engine;
use db_core::duration::show;

use super::super::look::Look;
use super::super::query::{Trouble, number};
use super::super::{State, Verdict, metrics};

const SERVER: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS value";

/// The clock is not behind what was seen before, and agrees with the server's.
pub(super) fn run(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let ages = look.ages().and_then(Result::ok);
    let backup = ages.and_then(|ages| ages.last_backup.max(ages.last_verified_restore));
    let (mut back, mut behind) = (TimeDelta::zero(), "");
    let changed = last_change(look);
    // A busy machine may keep a look waiting for seconds: what it sees is older than this moment, and what an earlier one
    // saw than its beginning.
    let after = look.moment();
    let seen = [
        (look.memory.newest, look.now, "the last look"),
        (changed, after, "the last change of the database's file"),
        (backup, after, "the last backup"),
    ];
    for (then, since, whom) in seen {
        let by = then.map_or(TimeDelta::zero(), |then| then - since);
        if by > back {
            back = by;
            behind = whom;
        }
    }
    if look.target.engine() == Engine::Postgres {
        let before = look.moment();
        let server = look.ask(|conn| number(conn, SERVER))?;
        let after = look.moment();
        let server = server.and_then(DateTime::from_timestamp_micros);
        // Either may be wrong, but not by much if they keep time.
        let by = server.map_or(TimeDelta::zero(), |server| {
            (server - after).max(before - server)
        });
        if by > back {
            back = by;
            behind = "the server's clock";
        }
    }
    let by = back.to_std().unwrap_or(Duration::ZERO);
    let limit = &look.limits.clock_back;
    let observed = if limit.judge(&by) == State::Ok {
        "the clock has not gone back".to_owned()
    } else {
        format!("the clock is {} off {behind}", show(by))
    };
    Ok(Verdict::new(limit.judge(&by), observed)
        .at(limit, |by| show(*by))
        .hint("set the clock right (chrony, systemd-timesyncd) before the next backup and prune")
        .measure(metrics::CLOCK_BACK, by.as_secs_f64()))
}

/// When the file or its log was written last, by `stat`.
fn last_change(look: &Look<'_>) -> Option<DateTime<Utc>> {
    let path = look.target.url.path()?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let times = [path.as_os_str().to_owned(), log].map(|path| {
        let modified = fs::metadata(path).and_then(|meta| meta.modified());
        modified.ok().map(DateTime::<Utc>::from)
    });
    times.into_iter().flatten().max()
}
