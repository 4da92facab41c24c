//! A look at a base backup: whether it is as it was made, and a restore of it on trial.

use std::path::Path;
use std::time::Instant;

use super::{Plan, major, tools, unpack_into};
use crate::backup::millis;
use crate::error::Error;
use crate::invariant::Checked;
use crate::manifest::{Level, Manifest};
use crate::postgres::NOT_RESTORED;
use crate::postgres::account::Account;
use crate::postgres::base::verify_files;
use crate::postgres::gap::{self, chain, check_system, system};
use crate::postgres::server::ControlData;
use crate::postgres::staging::{PLAIN, Staging};
use crate::postgres::target::RecoveryTarget;
use crate::postgres::tools::{Task, Tools};
use crate::postgres::wal::Archive;
use crate::progress::{Phase, Watcher};
use crate::store::Store;
use crate::verify::{Verified, VerifyOptions};

/// What the names of folders of trials among temporary files begin with. Nothing else is called so: those of dead
/// processes are removed.
const DRILL: &str = "bitcraps-trial-";

/// Restores a base backup and all of the log into a scratch folder, starts a server on it, checks
/// every database, and takes it away.
pub(crate) fn drill(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Verified, Error> {
    let began = Instant::now();
    let account = Account::for_drill(options.postgres.run_as.as_deref())?;
    let scratch = scratch(store, manifest, options.scratch.as_deref(), account)?;
    account.give(scratch.path())?;
    let data = scratch.path().join("data");
    std::fs::create_dir(&data).map_err(|e| Error::io("create", &data, e))?;
    private(&data, account)?;
    let plan = Plan {
        store,
        manifest,
        identities: &options.identities,
        account,
        tools: tools(manifest, options.postgres.bin.as_deref())?,
        target: &RecoveryTarget::End,
        timeline: options.postgres.timeline,
        is_durable: false,
        level: Level::Full,
        invariants: &options.invariants,
    };
    plan.refuse_gap()?;
    plan.unpack(&data, watcher)?;
    let outcome = plan.recover(&data, watcher)?;
    Ok(Verified {
        level: Level::Full,
        decode_ms: millis(began.elapsed()).saturating_sub(outcome.verify_ms),
        check_ms: outcome.verify_ms,
        bytes: manifest.content.bytes,
        invariants: outcome.invariants,
    })
}

/// Reads a base backup back, compares every hash, checks every file against PostgreSQL's list, and
/// looks for holes in the log behind it.
pub(crate) fn verify(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Verified, Error> {
    let began = Instant::now();
    let staging = scratch(store, manifest, options.scratch.as_deref(), Account::Own)?;
    let tools = Tools::find(
        Task::Files,
        options.postgres.bin.as_deref(),
        major(manifest),
    )?;
    let what = (store, manifest, &options.identities);
    unpack_into(what, staging.path(), Account::Own, watcher)?;
    let decode_ms = millis(began.elapsed());
    let began = Instant::now();
    verify_files(&tools, staging.path(), watcher.interrupt())?;
    let control = ControlData::read(&tools, staging.path(), watcher.interrupt())?;
    check_system(manifest, &control)?;
    let archive = Archive::new(store, &options.identities, system(manifest));
    if let Some(chain) = chain(
        &archive,
        manifest,
        Some(&control),
        options.postgres.timeline,
    )? {
        gap::refuse(store, &chain)?;
    }
    watcher.at(Phase::Check, 1, 1)?;
    Ok(Verified {
        level: Level::Quick,
        decode_ms,
        check_ms: millis(began.elapsed()),
        bytes: manifest.content.bytes,
        invariants: Checked::none(&options.invariants, NOT_RESTORED),
    })
}

/// Where a backup is unpacked for a look at it: where it was asked for, else where backups are prepared
/// if the account can get there and the backup is plain anyway, else in a folder for temporary files.
fn scratch(
    store: &dyn Store,
    manifest: &Manifest,
    wanted: Option<&Path>,
    account: Account,
) -> Result<Staging, Error> {
    if let Some(folder) = wanted {
        return Staging::new_in(folder, PLAIN);
    }
    // Where a draft would be is where the store has room for what is prepared.
    if account == Account::Own
        && manifest.encryption.is_none()
        && let Ok(draft) = store.draft()
        && let Some(folder) = draft.path().parent()
        && let Ok(staging) = Staging::new_in(folder, PLAIN)
    {
        return Ok(staging);
    }
    account.large_folder(DRILL)
}

/// Makes a folder private to an account.
fn private(folder: &Path, account: Account) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
        .map_err(|e| Error::io("make private", folder, e))?;
    account.give(folder)
}
