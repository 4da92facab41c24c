//! Which backups belong together: those of one database and one kind are a series.
//!
//! A store may hold many of them. Whatever is said of "the newest" backup, or of how old it is, is
//! said of a series. A SQLite database is known by its path, a database of PostgreSQL by its address
//! and its cluster, a base backup by its cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use db_core::DatabaseUrl;
use serde::Serialize;

use crate::catalog::{Entry, Listing};
use crate::error::Error;
use crate::manifest::{Kind, Manifest};
use crate::postgres::RecoveryTarget;

/// Further ahead than this is the future; less is the clock of another machine.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// So many databases are listed in an error.
const MOST_NAMED: usize = 10;

/// Whether a moment is later than any clock of now can be.
#[must_use]
pub fn is_future(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at.signed_duration_since(now) > TOLERANCE
}

/// One database, and one kind of backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Series {
    /// What the backups hold.
    pub kind: Kind,
    /// The path of a SQLite file, the address of a database (`postgres://host:port/name`), or for
    /// base backups that of the server.
    pub database: String,
    /// PostgreSQL: which cluster, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

impl Series {
    /// The series of a backup.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let url = || DatabaseUrl::parse(&manifest.database).ok();
        let address = match manifest.kind {
            Kind::Sqlite => None,
            Kind::PostgresDump => url().and_then(|url| url.address()),
            Kind::PostgresBase => url().and_then(|url| url.server()),
        };
        Self {
            kind: manifest.kind,
            database: address.unwrap_or_else(|| manifest.database.clone()),
            cluster: manifest.engine.system_identifier.clone(),
        }
    }

    /// What tells it from every other one. A cluster may be reached in many ways.
    #[must_use]
    pub fn key(&self) -> String {
        let kind = self.kind.name();
        match (self.kind, &self.cluster) {
            (Kind::PostgresBase, Some(cluster)) => format!("{kind} {cluster}"),
            (_, Some(cluster)) => format!("{kind} {cluster} {}", self.database),
            (_, None) => format!("{kind} {}", self.database),
        }
    }

    /// Whether it is of the database behind this URL.
    #[must_use]
    pub fn is_of(&self, url: &DatabaseUrl) -> bool {
        match self.kind {
            Kind::Sqlite => url.path().is_some_and(|path| is_same(&self.database, path)),
            Kind::PostgresDump => url.address().as_ref() == Some(&self.database),
            Kind::PostgresBase => url.server().as_ref() == Some(&self.database),
        }
    }

    /// Whether a person means it by this text: the kind, the database, or both.
    #[must_use]
    pub fn is_called(&self, text: &str) -> bool {
        let rest = match text.strip_prefix(self.kind.name()) {
            Some("") => return true,
            Some(rest) if rest.starts_with(' ') => rest.trim_start(),
            _ => text,
        };
        let file_name = || {
            Path::new(&self.database)
                .file_name()
                .and_then(|n| n.to_str())
        };
        rest == self.database
            || self.cluster.as_deref() == Some(rest)
            || file_name() == Some(rest)
            || DatabaseUrl::parse(rest).is_ok_and(|url| self.is_of(&url))
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.database)
    }
}

/// Whether a recorded path leads to this file, perhaps by way of a link.
fn is_same(recorded: &str, path: &Path) -> bool {
    let recorded = Path::new(recorded);
    std::path::absolute(path).is_ok_and(|path| recorded == path) || real(recorded) == real(path)
}

/// Where a path leads, also if its file is lost: then where its link led.
pub(crate) fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let path = match path.read_link() {
        Ok(to) => path.parent().unwrap_or(path).join(to),
        Err(_) => path.to_owned(),
    };
    let absolute = std::path::absolute(&path).unwrap_or(path);
    let parent = absolute
        .parent()
        .and_then(|folder| folder.canonicalize().ok());
    match (parent, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

/// The backups of a series whose manifests can be read.
#[derive(Debug)]
pub(crate) struct Members<'l> {
    /// As its newest backup has it.
    pub(crate) series: Series,
    /// Oldest first; whole or not, and of the future or not.
    pub(crate) backups: Vec<(&'l Entry, &'l Manifest)>,
}

/// The series of a store, in the order of their keys.
pub(crate) fn groups(listing: &Listing) -> Vec<Members<'_>> {
    let mut found: BTreeMap<String, Vec<(&Entry, &Manifest)>> = BTreeMap::new();
    for entry in &listing.backups {
        if let Ok(manifest) = &entry.manifest {
            let key = Series::of(manifest).key();
            found.entry(key).or_default().push((entry, manifest));
        }
    }
    let mut groups = Vec::new();
    for mut backups in found.into_values() {
        backups.sort_by_key(|(entry, manifest)| (manifest.started_at, entry.name));
        if let Some((_, newest)) = backups.last() {
            let series = Series::of(newest);
            groups.push(Members { series, backups });
        }
    }
    groups
}

/// Which series `latest` is looked for in.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Databases that may be meant. Where none of them has a backup, it is the only one that has.
    pub databases: Vec<DatabaseUrl>,
    /// The kinds that can be used; all, if there is none.
    pub kinds: Vec<Kind>,
    /// What was said instead: a kind, a database, or both, as in `sqlite /srv/bank.db`.
    pub of: Option<String>,
    /// Whether the only database that has a backup is not meant unless it is named: one that is to be
    /// replaced must not become another one unasked.
    pub only_own: bool,
    /// Where a recovery from the base backup is to end: a later one does not get there.
    pub until: RecoveryTarget,
}

impl Wanted {
    /// What is meant, out of what there is; nothing if there is nothing at all.
    ///
    /// # Errors
    /// [`Error::Usage`] if nothing fits, or more than one database does.
    pub(crate) fn choose<'g, 'l>(
        &self,
        groups: &'g [Members<'l>],
        (place, now): (&str, DateTime<Utc>),
    ) -> Result<Vec<&'g Members<'l>>, Error> {
        let usable =
            |g: &&Members<'_>| self.kinds.is_empty() || self.kinds.contains(&g.series.kind);
        let usable: Vec<_> = groups.iter().filter(usable).collect();
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        if usable.is_empty() {
            let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
            let hint = if self.until == RecoveryTarget::End {
                "name a target of the engine that the backup is of with --target"
            } else {
                "a point in time needs a base backup of before it (`backup --method base`) and the \
                 archived log (`backup wal-push`)"
            };
            return Err(Error::usage(
                format!(
                    "{place} holds no backup of the kind {}; it holds {}",
                    kinds.join(" or "),
                    named(groups.iter())
                ),
                hint,
            ));
        }
        let meant: Vec<_> = if let Some(text) = &self.of {
            let called = |g: &&&Members<'_>| g.series.is_called(text);
            usable.iter().filter(called).copied().collect()
        } else {
            let is_of = |g: &&&Members<'_>| self.databases.iter().any(|url| g.series.is_of(url));
            let own: Vec<_> = usable.iter().filter(is_of).copied().collect();
            if own.is_empty() && self.only_own {
                return Err(Error::usage(
                    format!(
                        "{place} holds no backup of this database; it holds {}",
                        named(usable.into_iter())
                    ),
                    "name the one that is meant with --of, or write the name of a backup",
                ));
            }
            if own.is_empty() { usable.clone() } else { own }
        };
        let meant = without_former(meant, now);
        let called = self.of.as_deref().unwrap_or_default();
        if meant.is_empty() && groups.iter().any(|g| g.series.is_called(called)) {
            return Err(Error::usage(
                format!(
                    "the backups of {called} in {place} cannot be restored to this target: they are of \
                     another engine"
                ),
                "name a target of the same engine with --target: a new file for SQLite, a URL for PostgreSQL",
            ));
        }
        if meant.is_empty() {
            return Err(Error::usage(
                format!(
                    "{place} holds no backup of {}; it holds {}",
                    self.of.as_deref().unwrap_or_default(),
                    named(usable.into_iter())
                ),
                "`backup list` shows the databases",
            ));
        }
        if meant.len() == 1 || is_one_cluster(&meant) || self.is_one_file(&meant) {
            return Ok(meant);
        }
        Err(Error::usage(
            format!(
                "{place} holds backups of several databases: {}; which one is meant?",
                named(meant.into_iter())
            ),
            "say it with --of, as in --of 'sqlite /srv/bank.db', or write the name of a backup",
        ))
    }
}

impl Wanted {
    /// One SQLite file that was recorded by way of a link, and by its own path.
    fn is_one_file(&self, meant: &[&Members<'_>]) -> bool {
        let is_it = |g: &&Members<'_>, url| g.series.kind == Kind::Sqlite && g.series.is_of(url);
        let mut urls = self.databases.iter();
        urls.any(|url| meant.iter().all(|group| is_it(group, url)))
    }
}

/// Leaves out what an address was before: a database whose cluster changed, as `pg_upgrade` does it,
/// goes on as that of the newest backup.
fn without_former<'g, 'l>(meant: Vec<&'g Members<'l>>, now: DateTime<Utc>) -> Vec<&'g Members<'l>> {
    let newest = |group: &Members<'_>| {
        let moments = group
            .backups
            .iter()
            .map(|(_, manifest)| manifest.started_at);
        moments.filter(|at| !is_future(*at, now)).max()
    };
    let is_same = |a: &Series, b: &Series| a.kind == b.kind && a.database == b.database;
    let is_former = |group: &Members<'_>| {
        let later = |other: &&&Members<'_>| {
            is_same(&other.series, &group.series) && newest(other) > newest(group)
        };
        group.series.cluster.is_some() && meant.iter().any(|other| later(&other))
    };
    let former: Vec<_> = meant.iter().filter(|group| is_former(group)).collect();
    let clusters: Vec<_> = former.iter().map(|group| &group.series.cluster).collect();
    let stays = |group: &&&Members<'_>| !clusters.contains(&&group.series.cluster);
    let kept: Vec<_> = meant.iter().filter(stays).copied().collect();
    // Two that took turns at two addresses: nobody is the former one.
    if kept.is_empty() { meant } else { kept }
}

/// Dumps and base backups of one database: the newest of both is its latest.
fn is_one_cluster(meant: &[&Members<'_>]) -> bool {
    let clusters = |g: &&Members<'_>| g.series.cluster.clone();
    let first = meant.first().and_then(clusters);
    let dumps = meant.iter().filter(|g| g.series.kind != Kind::PostgresBase);
    first.is_some() && meant.iter().all(|g| clusters(g) == first) && dumps.count() < 2
}

fn named<'g, 'l: 'g>(groups: impl Iterator<Item = &'g Members<'l>>) -> String {
    let mut names: Vec<String> = groups
        .map(|g| {
            let newest = g.backups.last().map(|(entry, _)| entry.name.to_string());
            let cluster = g.series.cluster.as_ref();
            let cluster = cluster.map_or_else(String::new, |one| format!(" of the cluster {one}"));
            let newest = newest.unwrap_or_default();
            format!("{}{cluster} (newest: {newest})", g.series)
        })
        .collect();
    let more = names.len().saturating_sub(MOST_NAMED);
    names.truncate(MOST_NAMED);
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", names.join(", "))
}
