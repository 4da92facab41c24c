//! Room on the disks, and whether they can be written.

use std::io;
use std::path::{Path, PathBuf};

use db_core::Engine;

use super::super::look::Look;
use super::super::query::{Trouble, gauge, number, percent, size, word};
use super::super::{Space, Verdict, metrics};

/// Every folder whose disk matters has room.
pub(super) fn free(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    let folders = folders(look);
    if folders.is_empty() {
        return Ok(Verdict::unknown(match look.target.engine() {
            Engine::Sqlite => "the database is in memory",
            Engine::Postgres => "the server's disk cannot be seen from here",
        }));
    }
    let mut worst: Option<(PathBuf, Space)> = None;
    for folder in folders {
        let space = space(look, &folder)?;
        let is_worse = |(_, other): &(PathBuf, Space)| space.free_share() < other.free_share();
        if worst.as_ref().is_none_or(is_worse) {
            worst = Some((folder, space));
        }
    }
    let Some((folder, space)) = worst else {
        return Ok(Verdict::unknown("there is no folder to look at"));
    };
    let share = space.free_share();
    let limit = &look.limits.disk_free;
    let observed = format!(
        "{} of {} free ({}) at {}",
        size(space.free),
        size(space.total),
        percent(share),
        folder.display()
    );
    Ok(Verdict::new(limit.judge_least(&share), observed)
        .limit(format!(
            "warn {}, fail {}",
            percent(limit.warn),
            percent(limit.fail)
        ))
        .hint("make room: a full disk stops writes, checkpoints and backups")
        .measure(metrics::DISK_FREE, gauge(space.free))
        .measure(metrics::DISK_FREE_RATIO, share))
}

/// What is written goes where it should.
pub(super) fn writable(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    match look.target.engine() {
        Engine::Sqlite => file_is_writable(look),
        Engine::Postgres => server_is_writable(look),
    }
}

fn file_is_writable(look: &Look<'_>) -> Result<Verdict, Trouble> {
    let Some(path) = look.target.url.path() else {
        return Ok(Verdict::ok("the database is in memory"));
    };
    let folder = db_core::folder::of(path).to_owned();
    if space(look, &folder)?.read_only {
        return Ok(
            Verdict::fail(format!("the disk of {} is read-only", folder.display())).hint(
                "an error of the disk may have made it so: see the system's log, then remount it",
            ),
        );
    }
    for place in [path, &*folder] {
        if is_forbidden(place) {
            let place = place.display();
            return Ok(Verdict::warn(format!("this user may not write to {place}"))
                .hint("check the owner and mode of the file and its folder"));
        }
    }
    Ok(Verdict::ok("the file and its folder can be written"))
}

fn server_is_writable(look: &mut Look<'_>) -> Result<Verdict, Trouble> {
    // This connection is read-only by its own wish; a reset would ask the server's.
    const SQL: &str = "SELECT (reset_val = 'on')::int::bigint AS value FROM pg_catalog.pg_settings
                       WHERE name = 'default_transaction_read_only'";
    let standby =
        look.ask(|conn| number(conn, "SELECT pg_is_in_recovery()::int::bigint AS value"))?;
    if standby == Some(1) {
        return Ok(
            Verdict::warn("the server is a standby, which takes no writes")
                .hint("after a failover, point the URL to the new primary"),
        );
    }
    let forbidden = look.ask(|conn| number(conn, SQL))?;
    Ok(if forbidden == Some(1) {
        Verdict::fail("transactions are read-only (default_transaction_read_only)")
            .hint("the server, the database or the role says so; see pg_settings and \\drds")
    } else {
        Verdict::ok("the server takes writes")
    })
}

/// The folders of the database, as far as they are on this machine, and those that were added.
fn folders(look: &mut Look<'_>) -> Vec<PathBuf> {
    let own = match (look.target.engine(), look.target.url.path()) {
        (Engine::Sqlite, path) => path.map(|path| db_core::folder::of(path).to_owned()),
        (Engine::Postgres, _) => data_folder(look),
    };
    own.into_iter()
        .chain(look.target.places.iter().cloned())
        .collect()
}

/// The server's folder, if the server runs on this machine and this role may know it.
fn data_folder(look: &mut Look<'_>) -> Option<PathBuf> {
    const IS_HERE: &str = "SELECT (inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr())::int::bigint AS value";
    const FOLDER: &str =
        "SELECT setting AS value FROM pg_catalog.pg_settings WHERE name = 'data_directory'";
    let here = look
        .ask(|conn| number(conn, IS_HERE))
        .unwrap_or_else(|trouble| {
            tracing::debug!(%trouble, "where the server runs is not known");
            None
        });
    if here != Some(1) {
        return None;
    }
    let folder = look
        .ask(|conn| word(conn, FOLDER))
        .unwrap_or_else(|trouble| {
            tracing::debug!(%trouble, "the server's folder is not known");
            None
        });
    // A port may be forwarded: then it is a folder of another machine.
    folder.map(PathBuf::from).filter(|folder| folder.is_dir())
}

fn space(look: &Look<'_>, folder: &Path) -> Result<Space, Trouble> {
    (look.target.space)(folder)
        .map_err(|error| Trouble::Other(format!("{}: {error}", folder.display())))
}

fn is_forbidden(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    let asked = access(path, Access::WRITE_OK).map_err(io::Error::from);
    matches!(asked, Err(e) if e.kind() == io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_a_size() {
        let space = Space::of(Path::new("/")).unwrap();
        assert!(space.total > 0 && space.free <= space.total);
        assert!((0.0..=1.0).contains(&space.free_share()));
    }
}
