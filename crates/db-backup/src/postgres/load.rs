//! A dump back into a server: into a scratch database first, and into its place when it is proven.

use std::io::Write;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use db_core::{Access, DatabaseUrl, Engine};
use diesel::PgConnection;

use super::child::Run;
use super::facts::{self, Server};
use super::scratch::{self, Old, Scratch};
use super::tools::{Task, Tools};
use super::{PostgresOptions, programs};
use crate::backup::millis;
use crate::codec::{Decoded, decode};
use crate::error::Error;
use crate::invariant::{Checked, Invariant};
use crate::manifest::{Level, Manifest, TableRows};
use crate::progress::{Phase, Watcher};
use crate::restore::{RestoreOptions, Restored};
use crate::store::Store;
use crate::verify::{Verified, VerifyOptions};

/// The longest name that PostgreSQL keeps whole, in bytes.
const LONGEST_NAME: usize = 63;

/// The server notices within this time that a client is gone, which may be this program itself.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// What stands where a dump is to be restored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// No database of the name.
    Missing,
    /// A database without any object.
    Empty,
    /// A database that somebody may miss.
    Full,
}

/// Looks where a dump is to be restored to, before anything is read.
///
/// # Errors
/// [`Error::Refused`] while others are connected; what the server says.
pub(super) fn look(url: &DatabaseUrl) -> Result<Place, Error> {
    let mut admin = scratch::maintenance(url)?;
    refuse_clients(facts::postgres(&mut admin)?, &database(url)?)?;
    Place::of(url)
}

impl Place {
    /// What stands there, whoever is connected to it.
    pub(super) fn of(url: &DatabaseUrl) -> Result<Self, Error> {
        let mut admin = scratch::maintenance(url)?;
        if !exists(facts::postgres(&mut admin)?, &database(url)?)? {
            return Ok(Self::Missing);
        }
        Ok(if is_empty(url)? {
            Self::Empty
        } else {
            Self::Full
        })
    }
}

/// Whether a database has no object of anybody's.
fn is_empty(url: &DatabaseUrl) -> Result<bool, Error> {
    let mut there = facts::connect(url, Access::ReadOnly)?;
    let objects = facts::name(
        facts::postgres(&mut there)?,
        "SELECT 'x' AS name WHERE EXISTS (
             SELECT FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
         OR EXISTS (SELECT FROM pg_catalog.pg_proc p
             JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
         OR EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)",
        "looking whether the database is empty",
    )?;
    Ok(objects.is_none())
}

/// Restores a dump that `feed` writes, and fails if it is not as it was. What stood in its place is
/// kept under another name.
pub(crate) fn load(
    store: &dyn Store,
    manifest: &Manifest,
    url: &DatabaseUrl,
    options: &RestoreOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Restored, Error> {
    let began = Instant::now();
    let name = database(url)?;
    let now = options.clock.now();
    let place = look(url)?;
    if place == Place::Full && !options.replace {
        return Err(Error::refused(
            format!("{url} is there already, with tables of its own"),
            "confirm that it may be replaced; it is kept under another name",
        ));
    }
    let like = (place != Place::Missing).then_some(name.as_str());
    let mut scratch = Scratch::create(url, like, now)?;
    let owners = if options.postgres.owners {
        Owners::Kept
    } else {
        Owners::Ours
    };
    let decoded = fill(
        &mut scratch,
        (&options.postgres, owners),
        watcher,
        |out, watcher| decode(store, manifest, &options.identities, out, watcher),
    )?;
    let copy_ms = millis(began.elapsed());
    let checking = Instant::now();
    let (tables, invariants) = check(manifest, scratch.url(), &options.invariants, watcher)?;
    let verify_ms = millis(checking.elapsed());
    watcher.at(Phase::Swap, 0, 1)?;
    let kept_as = beside(&name, "before", now);
    let old = match place {
        Place::Missing => Old::None,
        Place::Empty | Place::Full => Old::Aside(&kept_as),
    };
    let taken = refuse_clients(scratch.admin()?, &name);
    if let Err(error) = taken.and_then(|()| scratch.take_place(&name, old)) {
        let kept = keep_proven(&mut scratch, (&name, old), now, &error);
        return Err(kept.unwrap_or(error));
    }
    let has_old = match place {
        Place::Missing => false,
        Place::Full => true,
        Place::Empty => !drop_empty(&mut scratch, url, &kept_as, options.replace)?,
    };
    watcher.at(Phase::Swap, 1, 1)?;
    Ok(Restored {
        name: manifest.name.clone(),
        kind: manifest.kind,
        target: url.to_string(),
        kept: has_old.then_some(kept_as),
        bytes: decoded.bytes,
        copy_ms,
        verify_ms,
        total_ms: millis(began.elapsed()),
        tables,
        invariants,
        unsound: Vec::new(),
    })
}

/// What took hours to restore, and is proven, is not thrown away because its place cannot be taken, as when
/// somebody has connected in the last moment: it waits under a name of its own.
fn keep_proven(
    scratch: &mut Scratch,
    (name, old): (&str, Old<'_>),
    now: DateTime<Utc>,
    error: &Error,
) -> Option<Error> {
    let waits_as = beside(name, "restored", now);
    if let Err(error) = scratch.take_place(&waits_as, Old::None) {
        tracing::warn!(%error, "what was restored cannot be kept");
        return None;
    }
    Some(Error::refused(
        format!("{error}; what was restored and proven waits as the database {waits_as}"),
        format!(
            "stop the application, then give it its place: {}",
            scratch::renaming((&waits_as, name), old)
        ),
    ))
}

/// Drops the database that was empty before the restore and is moved aside now, and tells whether it is
/// gone. Nobody knows its new name, so that what it holds stays so while it is looked at.
fn drop_empty(
    scratch: &mut Scratch,
    url: &DatabaseUrl,
    aside: &str,
    may_replace: bool,
) -> Result<bool, Error> {
    let dropped = match is_empty(&url.with_database(aside)) {
        Ok(true) => {
            let sql = format!("DROP DATABASE {}", facts::quoted(aside));
            facts::run(scratch.admin()?, &sql, "dropping the empty database")
        }
        Ok(false) if may_replace => return Ok(false),
        Ok(false) => match scratch.give_back(aside) {
            Ok(()) => {
                return Err(Error::refused(
                    format!("{url} was empty, and was written to during the restore"),
                    "confirm that it may be replaced; it is kept under another name",
                ));
            }
            // Somebody is in the new one already.
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    if let Err(error) = &dropped {
        tracing::warn!(%error, database = aside, "the database that was there stays");
    }
    Ok(dropped.is_ok())
}

/// Restores a dump into a scratch database, holds it against its manifest, and drops it.
pub(crate) fn drill(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Verified, Error> {
    let server = options.server.as_ref();
    let server = server.filter(|url| url.engine() == Engine::Postgres);
    let url = server.ok_or_else(|| {
        Error::usage(
            "a drill with a dump needs a server to restore it to",
            "name one with --drill-server; a scratch database is made there, and dropped",
        )
    })?;
    let began = Instant::now();
    let mut scratch = Scratch::for_trial(url, options.clock.now())?;
    // Roles of another server need not exist on this one.
    let how = (&options.postgres, Owners::Ours);
    let decoded = fill(&mut scratch, how, watcher, |out, watcher| {
        decode(store, manifest, &options.identities, out, watcher)
    })?;
    let decode_ms = millis(began.elapsed());
    let began = Instant::now();
    let (_, invariants) = check(manifest, scratch.url(), &options.invariants, watcher)?;
    Ok(Verified {
        level: Level::Full,
        decode_ms,
        check_ms: millis(began.elapsed()),
        bytes: decoded.bytes,
        invariants,
    })
}

/// Reads a dump back, compares every hash, and holds its table of contents against the manifest.
pub(crate) fn verify(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Verified, Error> {
    let began = Instant::now();
    let server = manifest.engine.server_version_num.unwrap_or_default() / 10_000;
    let interrupt = watcher.interrupt().clone();
    let mut bytes = 0;
    let list = super::dump::list(&options.postgres, server, &interrupt, |out| {
        let decoded = decode(store, manifest, &options.identities, out, watcher)?;
        bytes = decoded.bytes;
        Ok(())
    })?;
    let decode_ms = millis(began.elapsed());
    let began = Instant::now();
    let findings: Vec<String> = manifest
        .tables
        .iter()
        .filter(|table| !super::dump::lists(&list, &table.name))
        .map(|table| format!("the dump lacks the rows of {}", table.name))
        .collect();
    if !findings.is_empty() {
        return Err(Error::Unsound {
            name: manifest.name.clone(),
            findings,
        });
    }
    Ok(Verified {
        level: Level::Quick,
        decode_ms,
        check_ms: millis(began.elapsed()),
        bytes,
        invariants: Checked::none(&options.invariants, super::NOT_RESTORED),
    })
}

/// Whose the restored objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owners {
    /// Those of the dump, with their grants.
    Kept,
    /// The user that restores.
    Ours,
}

/// Feeds a dump to `pg_restore`. Foreign keys are checked by the server as they are added, after the
/// rows.
fn fill(
    scratch: &mut Scratch,
    (options, owners): (&PostgresOptions, Owners),
    watcher: &mut Watcher<'_>,
    feed: impl FnOnce(&mut dyn Write, &mut Watcher<'_>) -> Result<Decoded, Error>,
) -> Result<Decoded, Error> {
    let major = Server::read(scratch.admin()?)?.major();
    let tools = Tools::find(Task::Restore, options.bin.as_deref(), major)?;
    let url = scratch.url();
    let mut command = programs(&tools, "pg_restore", url)?;
    command.args(["--format=custom", "--exit-on-error", "--no-password"]);
    if owners == Owners::Ours {
        command.args(["--no-owner", "--no-privileges", "--no-security-labels"]);
    }
    let mut run = Run::start_fed(&mut command, Some(url), watcher.interrupt())?;
    // It writes nothing but to the server.
    drop(run.stdout());
    let mut to = run.stdin();
    let fed = feed(&mut to, watcher);
    drop(to);
    let finished = run.finish();
    // Damage explains why the program failed, and not the other way round.
    let decoded = fed?;
    match finished {
        Err(error) if owners == Owners::Kept => Err(of_roles(error)),
        finished => finished.map(|_| decoded),
    }
}

/// The error, with the way out if it was an owner or a grant: on a new server their roles are not there.
fn of_roles(error: Error) -> Error {
    let Error::ToolFailed { tool, reason } = error else {
        return error;
    };
    // The text of the statement is ours, whatever language the server speaks.
    let (_, statement) = reason.split_once("Command was: ").unwrap_or_default();
    let statement = statement.lines().next().unwrap_or_default();
    let is_owner = statement.starts_with("ALTER ") && statement.contains(" OWNER TO ");
    let grants = ["GRANT ", "REVOKE ", "ALTER DEFAULT PRIVILEGES "];
    if is_owner || grants.iter().any(|grant| statement.starts_with(grant)) {
        return Error::refused(
            format!("{tool} failed: {reason}"),
            "make the roles of the old server on this one, or leave owners and grants out with --no-owner",
        );
    }
    Error::ToolFailed { tool, reason }
}

/// Holds a restored database against the manifest.
fn check(
    manifest: &Manifest,
    url: &DatabaseUrl,
    invariants: &[Invariant],
    watcher: &mut Watcher<'_>,
) -> Result<(Vec<TableRows>, Checked), Error> {
    let mut connection = facts::connect(url, Access::ReadOnly)?;
    let conn = facts::postgres(&mut connection)?;
    // A policy that hides rows is an error, and not a table with fewer.
    facts::run(conn, "SET row_security = off", "preparing the checks")?;
    let tables = facts::tables(conn)?;
    let total = manifest.tables.len() as u64 + 1;
    let found = facts::count(conn, &tables, |done| {
        watcher.at(Phase::Check, done.min(total), total)
    })?;
    let mut findings = facts::differences(&manifest.tables, &found);
    if let Some(expected) = &manifest.schema {
        match crate::sqlite::proof::schema(&mut conn.into())? {
            Some(schema) if schema == *expected => {}
            Some(schema) => findings.push(format!(
                "its schema is {} {}, and was {} {}",
                schema.version, schema.fingerprint, expected.version, expected.fingerprint
            )),
            None => findings.push("its history of migrations is missing".to_owned()),
        }
    }
    let mut checked = Checked::default();
    for invariant in invariants {
        findings.extend(checked.look(invariant, &mut conn.into())?);
    }
    if !findings.is_empty() {
        return Err(Error::Unsound {
            name: manifest.name.clone(),
            findings,
        });
    }
    watcher.at(Phase::Check, total, total)?;
    Ok((found, checked))
}

pub(super) fn database(url: &DatabaseUrl) -> Result<String, Error> {
    url.database_name().ok_or_else(|| {
        Error::usage(
            "the URL names no database to restore to",
            "write postgres://USER@HOST/NAME",
        )
    })
}

fn exists(conn: &mut PgConnection, name: &str) -> Result<bool, Error> {
    let query = format!(
        "SELECT datname::text AS name FROM pg_catalog.pg_database WHERE datname = {}",
        facts::literal(name)
    );
    Ok(facts::name(conn, &query, "looking for the database")?.is_some())
}

/// Refuses to touch a database that others work in, and says who they are.
pub(super) fn refuse_clients(conn: &mut PgConnection, name: &str) -> Result<(), Error> {
    let query = format!(
        "SELECT pg_catalog.format('%s (%s, process %s)',
                COALESCE(NULLIF(application_name, ''), 'a client'), usename, pid) AS name
         FROM pg_catalog.pg_stat_activity
         WHERE datname = {} AND pid <> pg_catalog.pg_backend_pid()
           AND backend_type = 'client backend'
         ORDER BY pid LIMIT 5",
        facts::literal(name)
    );
    let began = Instant::now();
    let clients = loop {
        let clients = facts::names(conn, &query, "looking who is connected")?;
        if clients.is_empty() {
            return Ok(());
        }
        if began.elapsed() > GONE_WITHIN {
            break clients;
        }
        // Nobody wakes it: it may return sooner, and looks once more.
        std::thread::park_timeout(GONE_WITHIN / 20);
    };
    Err(Error::refused(
        format!(
            "others are connected to the database {name}: {}",
            clients.join(", ")
        ),
        "stop the application, or name another database",
    ))
}

/// `<name>_<before>_<time>`, as long as a name may be.
pub(super) fn beside(name: &str, before: &str, now: DateTime<Utc>) -> String {
    let ending = format!("_{before}_{}", now.format("%Y%m%d%H%M%S"));
    let mut room = LONGEST_NAME - ending.len();
    while !name.is_char_boundary(room.min(name.len())) {
        room -= 1;
    }
    format!("{}{ending}", &name[..room.min(name.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_old_one_fits() {
        let now = "2026-01-02T03:04:05Z".parse::<DateTime<Utc>>().unwrap();
        assert_eq!(beside("shop", "before", now), "shop_before_20260102030405");
        let long = "ü".repeat(31);
        let name = beside(&long, "before", now);
        assert!(
            name.len() <= LONGEST_NAME && name.ends_with("ü_before_20260102030405"),
            "{name}"
        );
    }
}
