//! Removing the backups that no rule keeps, and what lies around them.
//!
//! A backup exists by its manifest, so that goes first: killed anywhere, a prune leaves backups that
//! are whole, and files without a manifest that the next one takes away. Of backups that build on one
//! another the last goes first. A dry run decides by the very same function.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use db_core::Interrupt;
use serde::Serialize;

use crate::catalog::{self, Entry, Listing};
use crate::error::Error;
use crate::manifest::{Kind, Manifest};
use crate::name::FileName;
use crate::retention::{self, Candidate, Extent, Kept, Policy, Reason, Removed};
use crate::series::{self, Series};
use crate::shrunk;
use crate::store::{Lock, Store, StoredFile};

/// Files without a manifest are left for so long: a backup may be on its way.
const GRACE: TimeDelta = TimeDelta::days(1);

/// How the log files of PostgreSQL are called in a store: `wal_<segment>-<hash>.zst[.age]`.
const WAL_PREFIX: &str = "wal_";

/// Digits of a segment's name: timeline, and the place in the log.
const SEGMENT_DIGITS: usize = 24;
const TIMELINE_DIGITS: usize = 8;

/// What a prune does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Pruning {
    /// Backups that stay, newest first, each with its reasons.
    pub kept: Vec<Kept>,
    /// Backups that go, in this order.
    pub removed: Vec<Removed>,
    /// Backups that cannot be read or are not whole. They stay.
    pub unreadable: Vec<Unreadable>,
    /// Files without a manifest that go.
    pub leftovers: Vec<String>,
    /// Log files that go.
    pub log_files: Vec<String>,
    /// Why no log file goes, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_files_stay: Option<String>,
    /// What that frees.
    pub bytes: u64,
}

/// A backup that retention cannot judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Unreadable {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Which series are pruned, each as its newest backup has it. Every backup of another one stays.
pub type Meant<'m> = &'m dyn Fn(&Series) -> bool;

/// What a prune goes by.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'r> {
    pub(crate) policy: &'r Policy,
    pub(crate) meant: Meant<'r>,
    /// The backup that this program is restoring on trial meanwhile.
    pub(crate) on_trial: Option<&'r str>,
}

impl<'r> Rules<'r> {
    const fn of((policy, meant): (&'r Policy, Meant<'r>)) -> Self {
        Self {
            policy,
            meant,
            on_trial: None,
        }
    }
}

/// Decides for all series of a store, and changes nothing.
///
/// # Errors
/// What keeps the store from being read.
pub fn plan(store: &dyn Store, policy: &Policy, now: DateTime<Utc>) -> Result<Pruning, Error> {
    plan_series(store, (policy, &|_| true), now)
}

/// Decides for some series.
///
/// # Errors
/// What keeps the store from being read.
pub fn plan_series(
    store: &dyn Store,
    (policy, meant): (&Policy, Meant<'_>),
    now: DateTime<Utc>,
) -> Result<Pruning, Error> {
    plan_by(store, Rules::of((policy, meant)), now)
}

fn plan_by(store: &dyn Store, rules: Rules<'_>, now: DateTime<Utc>) -> Result<Pruning, Error> {
    let files = store.list()?;
    Ok(decide(&files, &catalog::list(store)?, rules, now))
}

/// As [`prune_series`], for all series of the store.
///
/// # Errors
/// As [`prune_series`].
pub fn prune(
    store: &dyn Store,
    policy: &Policy,
    now: DateTime<Utc>,
    watched: (&Interrupt, &mut dyn FnMut(&str)),
) -> Result<Pruning, Error> {
    prune_series(store, (policy, &|_| true), now, watched)
}

/// Removes what no rule keeps, while nobody makes a backup. `on_removed` hears of each backup and
/// file when it is gone.
///
/// # Errors
/// [`Error::Locked`], also if the lock was lost before the next file; [`Error::Interrupted`] between
/// two backups; what keeps the store from being changed. What was removed before that stays removed.
pub fn prune_series(
    store: &dyn Store,
    rules: (&Policy, Meant<'_>),
    now: DateTime<Utc>,
    watched: (&Interrupt, &mut dyn FnMut(&str)),
) -> Result<Pruning, Error> {
    prune_by(store, Rules::of(rules), now, watched)
}

pub(crate) fn prune_by(
    store: &dyn Store,
    rules: Rules<'_>,
    now: DateTime<Utc>,
    (interrupt, on_removed): (&Interrupt, &mut dyn FnMut(&str)),
) -> Result<Pruning, Error> {
    store.obey(interrupt);
    let lock = store.lock("prune")?;
    let pruning = plan_by(store, rules, now)?;
    let files = store.list()?;
    for removed in &pruning.removed {
        if interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        remove(store, &lock, &files, &removed.name)?;
        on_removed(&removed.name);
        tracing::info!(backup = removed.name, "removed");
    }
    for file in pruning.leftovers.iter().chain(&pruning.log_files) {
        if interrupt.is_set() {
            return Err(Error::Interrupted);
        }
        lock.check()?;
        store.remove(file)?;
        on_removed(file);
    }
    Ok(pruning)
}

/// Removes a backup: first what makes it one.
pub(crate) fn remove(
    store: &dyn Store,
    lock: &Lock,
    files: &[StoredFile],
    backup: &str,
) -> Result<(), Error> {
    let mut own: Vec<(u8, &str)> = files
        .iter()
        .filter_map(|file| {
            let kind = FileName::parse(&file.name)?;
            let order = match kind {
                FileName::Manifest(_) => 0,
                FileName::Verification(_) | FileName::Failure(_) => 1,
                FileName::Part(_) => 2,
            };
            (kind.backup().to_string() == backup).then_some((order, file.name.as_str()))
        })
        .collect();
    own.sort_unstable();
    own.into_iter().try_for_each(|(_, file)| {
        lock.check()?;
        store.remove(file)
    })
}

fn decide(
    files: &[StoredFile],
    listing: &Listing,
    rules: Rules<'_>,
    now: DateTime<Utc>,
) -> Pruning {
    let mut unreadable = Vec::new();
    let mut readable = Vec::new();
    for entry in &listing.backups {
        match &entry.manifest {
            Ok(manifest) if entry.faults.is_empty() => readable.push((entry, manifest)),
            Ok(_) => unreadable.push(Unreadable {
                name: entry.name.to_string(),
                reason: entry.faults.join("; "),
            }),
            Err(error) => unreadable.push(Unreadable {
                name: entry.name.to_string(),
                reason: error.to_string(),
            }),
        }
    }
    let groups = series::groups(listing);
    let shrunk: HashMap<String, Vec<String>> = groups
        .iter()
        .flat_map(|group| shrunk::of_series(&group.backups, now))
        .map(|one| (one.shrunk.name.clone(), one.before().cloned().collect()))
        .collect();
    let unread = readable.iter().filter(|(entry, _)| entry.unread.is_some());
    let unread: BTreeSet<&str> = unread.map(|(_, m)| m.name.as_str()).collect();
    let candidates: Vec<Candidate> = readable
        .iter()
        .map(|(e, m)| candidate(e, m, shrunk.get(&m.name)))
        .collect();
    let of_meant = groups.iter().filter(|group| (rules.meant)(&group.series));
    let keys: BTreeSet<String> = of_meant.map(|group| group.series.key()).collect();
    let stays = |one: &Candidate| {
        if !keys.contains(&one.series) {
            return Some(Reason::OtherSeries);
        }
        if rules.on_trial == Some(one.name.as_str()) {
            return Some(Reason::OnTrial);
        }
        unread.contains(one.name.as_str()).then_some(Reason::Unread)
    };
    let retention::Plan { kept, removed } =
        retention::plan_some(rules.policy, &candidates, now, stays);
    let leftovers = leftovers(files, &listing.orphans, now);
    let names: BTreeSet<&str> = kept.iter().map(|kept| kept.name.as_str()).collect();
    // Those that are not whole stay, and so does the log that they need.
    let stay = listing.backups.iter().filter_map(|entry| {
        let manifest = entry.manifest.as_ref().ok()?;
        let stays = !entry.faults.is_empty() || names.contains(manifest.name.as_str());
        stays.then_some(manifest)
    });
    let unclear = listing.backups.iter().find(|entry| {
        let may_be_base = entry.kind.is_none_or(|kind| kind == Kind::PostgresBase);
        entry.manifest.is_err() && may_be_base
    });
    let (log_files, log_files_stay) = match first_segment(stay, unclear) {
        Ok(first) => (older(files, first), None),
        Err(why) if files.iter().any(|file| segment(&file.name).is_some()) => {
            (Vec::new(), Some(why))
        }
        Err(_) => (Vec::new(), None),
    };
    let loose: BTreeSet<&str> = leftovers
        .iter()
        .chain(&log_files)
        .map(String::as_str)
        .collect();
    let loose_bytes = files
        .iter()
        .filter(|file| loose.contains(file.name.as_str()))
        .map(|file| file.bytes);
    let bytes = removed.iter().map(|removed| removed.bytes);
    Pruning {
        bytes: bytes.chain(loose_bytes).fold(0, u64::saturating_add),
        kept,
        removed,
        unreadable,
        leftovers,
        log_files,
        log_files_stay,
    }
}

fn candidate(entry: &Entry, manifest: &Manifest, before: Option<&Vec<String>>) -> Candidate {
    Candidate {
        name: manifest.name.clone(),
        series: Series::of(manifest).key(),
        started_at: manifest.started_at,
        verified: entry.verification.is_some(),
        // Each kind there is holds everything; a base backup brings the log that it needs with it.
        extent: if manifest.is_sound() && entry.failure.is_none() {
            Extent::Full
        } else {
            Extent::Unsound
        },
        requires: manifest.requires.clone(),
        shrunk_from: before.cloned().unwrap_or_default(),
        bytes: manifest.stored_bytes(),
    }
}

/// Files of backups that never were, and are not about to be.
fn leftovers(files: &[StoredFile], orphans: &[String], now: DateTime<Utc>) -> Vec<String> {
    let is_old = |file: &&StoredFile| {
        file.modified
            .is_some_and(|at| now.signed_duration_since(at) > GRACE)
    };
    let is_orphan = |file: &&StoredFile| orphans.contains(&file.name);
    let old = files.iter().filter(is_orphan).filter(is_old);
    old.map(|file| file.name.clone()).collect()
}

/// The first place in the log that a base backup needs which stays; or why no log file may go.
fn first_segment<'m>(
    stay: impl Iterator<Item = &'m Manifest>,
    unclear: Option<&Entry>,
) -> Result<&'m str, String> {
    if let Some(backup) = unclear {
        return Err(format!(
            "{} cannot be read, and may be a base backup that needs them; if it is lost, \
             `backup remove {0}` removes it",
            backup.name
        ));
    }
    let mut clusters = BTreeSet::new();
    let mut first: Option<&str> = None;
    for base in stay.filter(|m| m.kind == Kind::PostgresBase) {
        clusters.insert(base.engine.system_identifier.as_deref());
        let start = base.engine.start_wal.as_deref().and_then(place);
        let Some(start) = start else {
            return Err(format!("{} does not say where it begins", base.name));
        };
        first = Some(first.map_or(start, |known| known.min(start)));
    }
    if clusters.len() > 1 {
        return Err("there are base backups of several clusters".to_owned());
    }
    first.ok_or_else(|| "there is no base backup".to_owned())
}

/// The log files before this place, on every timeline.
fn older(files: &[StoredFile], first: &str) -> Vec<String> {
    let is_older = |file: &&StoredFile| {
        segment(&file.name)
            .and_then(place)
            .is_some_and(|place| place < first)
    };
    files
        .iter()
        .filter(is_older)
        .map(|file| file.name.clone())
        .collect()
}

/// The segment that a stored log file holds. Histories of timelines are none, and stay for ever.
fn segment(file: &str) -> Option<&str> {
    let rest = file.strip_prefix(WAL_PREFIX)?;
    let (segment, hash) = rest.split_once('-')?;
    (place(segment).is_some() && !hash.is_empty()).then_some(segment)
}

/// The place of a segment in the log, whatever its timeline; as text it sorts.
fn place(segment: &str) -> Option<&str> {
    let is_digit = |b: u8| b.is_ascii_digit() || matches!(b, b'A'..=b'F');
    let is_name = segment.len() == SEGMENT_DIGITS && segment.bytes().all(is_digit);
    is_name.then(|| &segment[TIMELINE_DIGITS..])
}
