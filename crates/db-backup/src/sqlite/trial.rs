//! Verifying a SQLite backup, in its place or unpacked, and restoring it on trial.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::proof::{self, Proved};
use super::restore;
use crate::backup::millis;
use crate::codec::decode;
use crate::error::Error;
use crate::manifest::{Level, Manifest};
use crate::progress::Watcher;
use crate::store::draft::{private_folder, sweep};
use crate::store::{Draft, Store};
use crate::tolerated::Tolerated;
use crate::verify::{Verified, VerifyOptions};

/// What files of drills are called.
const DRILL: &str = "drill";

/// Reads it back and checks it.
pub(crate) fn verify(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Verified, Error> {
    let began = Instant::now();
    if let Some(folder) = store.folder().filter(|_| manifest.is_stored_plain()) {
        // It is the database itself: it is hashed, and then read where it is.
        decode(
            store,
            manifest,
            &options.identities,
            &mut io::sink(),
            watcher,
        )?;
        let part = manifest.parts.first().map_or("", |part| part.name.as_str());
        return checked(manifest, &folder.join(part), (began, options), watcher);
    }
    let scratch = scratch(store, manifest, options)?;
    restore::unpack(store, manifest, &options.identities, &scratch, watcher)?;
    checked(manifest, scratch.path(), (began, options), watcher)
}

/// Restores it into a folder of its own, by the way that a restore takes, and checks it in full.
pub(crate) fn drill(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
    watcher: &mut Watcher<'_>,
) -> Result<Verified, Error> {
    let began = Instant::now();
    let scratch = scratch(store, manifest, options)?;
    restore::unpack(store, manifest, &options.identities, &scratch, watcher)?;
    scratch.sync()?;
    let full = VerifyOptions {
        level: Level::Full,
        ..options.clone()
    };
    checked(manifest, scratch.path(), (began, &full), watcher)
}

fn checked(
    manifest: &Manifest,
    path: &Path,
    (began, options): (Instant, &VerifyOptions),
    watcher: &mut Watcher<'_>,
) -> Result<Verified, Error> {
    let decode_ms = millis(began.elapsed());
    let began = Instant::now();
    let tolerated = Tolerated::default();
    let what = proof::What {
        name: &manifest.name,
        path,
        key: options.key.as_ref(),
        level: options.level,
        invariants: &options.invariants,
        tolerated: (!manifest.is_sound()).then_some(&tolerated),
    };
    let proved = proof::prove(&what, watcher)?;
    same(manifest, &proved)?;
    Ok(Verified {
        level: options.level,
        decode_ms,
        check_ms: millis(began.elapsed()),
        bytes: manifest.content.bytes,
        invariants: proved.invariants,
    })
}

/// Compares what was found with what the manifest says.
pub(crate) fn same(manifest: &Manifest, proved: &Proved) -> Result<(), Error> {
    let mut findings = Vec::new();
    for table in &manifest.tables {
        match proved.tables.iter().find(|found| found.name == table.name) {
            Some(found) if found.rows == table.rows => {}
            Some(found) => findings.push(format!(
                "{} has {} rows, and had {}",
                table.name, found.rows, table.rows
            )),
            None => findings.push(format!("the table {} is not there", table.name)),
        }
    }
    if proved.tables.len() > manifest.tables.len() {
        findings.push("it has tables that the manifest does not name".to_owned());
    }
    let facts = |e: &crate::EngineFacts| (e.page_size, e.pages, e.application_id);
    if facts(&proved.engine) != facts(&manifest.engine) {
        findings.push("its pages or its application_id are not the manifest's".to_owned());
    }
    // Not the fingerprint, which another version of this program may take otherwise.
    let version = |schema: &Option<crate::SchemaFacts>| schema.as_ref().map(|s| s.version.clone());
    if version(&proved.schema) != version(&manifest.schema) {
        findings.push("its schema has another version than the manifest says".to_owned());
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Error::Unsound {
            name: manifest.name.clone(),
            findings,
        })
    }
}

/// A private file to unpack into. What is encrypted in the store becomes plain elsewhere: others may
/// read the store, and its disk may be anybody's.
fn scratch(
    store: &dyn Store,
    manifest: &Manifest,
    options: &VerifyOptions,
) -> Result<Draft, Error> {
    if let Some(folder) = &options.scratch {
        sweep(folder);
        return Draft::new_in(folder, DRILL);
    }
    if manifest.encryption.is_some() {
        return temporary();
    }
    match store.draft() {
        Err(Error::Io { error, .. })
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            temporary()
        }
        made => made,
    }
}

/// One in this user's own folder among the system's temporary ones, where the next drill finds what a
/// killed one left.
fn temporary() -> Result<Draft, Error> {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("bitcraps-db.{user}"));
    private_folder(&folder)?;
    // Everybody may make folders there, and links.
    let meta =
        fs::symlink_metadata(&folder).map_err(|e| Error::io("look at the folder", &folder, e))?;
    if !meta.is_dir() || meta.uid() != user || meta.mode() & 0o077 != 0 {
        return Err(Error::refused(
            format!("{} is not a folder of this user alone", folder.display()),
            "name a folder to unpack into with --scratch, or remove that one",
        ));
    }
    sweep(&folder);
    Draft::new_in(&folder, DRILL)
}
