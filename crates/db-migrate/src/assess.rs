//! The files on one side, the history on the other: what is pending, and what does not fit.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::Version;
use crate::error::counted;
use crate::ledger::{Applied, DIESEL_TABLE, History, Status};
use crate::migration::Migration;
use crate::source::{MigrationSet, SourceError};

/// How bad an edit of an applied migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// Comments, white space, line ends or the case of keywords: it means the same.
    Cosmetic,
    /// It means something else.
    Semantic,
}

/// Something in which files and history disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// An applied migration was edited since.
    Edited {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// How bad it is.
        edit: Edit,
        /// Whether both texts are known, so that [`crate::Migrator::validate`] can show the lines
        /// that differ. A migration written in Rust has none.
        has_lines: bool,
    },
    /// A migration that is applied, or half applied, has no file any more.
    Missing {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
    },
    /// The database has migrations above all that this program knows.
    Newer {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
    },
    /// A pending migration comes before one of its set that is applied.
    OutOfOrder {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
        /// The applied one that comes after it.
        applied: String,
    },
    /// A migration outside a transaction stopped on its way back.
    HalfReverted {
        /// Its version.
        version: String,
        /// Its name.
        name: String,
    },
    /// There is not one migration, but the database has some: probably the folder is another one.
    NoMigrations {
        /// Where they would come from.
        place: String,
        /// How many applied ones are of the sets that belong there.
        applied: usize,
        /// How many are of other sets; if all are, it is only a warning.
        others: usize,
    },
    /// A table of the history is gone, and the other one says what was in it: the next run makes it
    /// again.
    LostTable {
        /// Which one.
        table: String,
    },
}

impl Problem {
    /// Whether a run goes on in spite of it.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::Edited {
                edit: Edit::Cosmetic,
                ..
            } | Self::NoMigrations { applied: 0, .. }
                | Self::LostTable { .. }
        )
    }

    /// The version of the migration that it is about, if it is about one.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Edited { version, .. }
            | Self::Missing { version, .. }
            | Self::Newer { version, .. }
            | Self::OutOfOrder { version, .. }
            | Self::HalfReverted { version, .. } => Some(version),
            Self::NoMigrations { .. } | Self::LostTable { .. } => None,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Edited {
                version,
                name,
                edit: Edit::Cosmetic,
                ..
            } => write!(
                f,
                "{version} {name} was edited since it was applied, but means the same; \
                 `repair --cosmetic` records the new text"
            ),
            Self::Edited { version, name, .. } => write!(
                f,
                "{version} {name} was edited since it was applied, and now means something else; \
                 restore the file and put the change into a new migration, or accept a deliberate \
                 edit with `repair --accept {version}`"
            ),
            Self::Missing { version, name } => write!(
                f,
                "{version} {name} is in the database, but its file is gone; restore it, or accept \
                 that with `repair --accept {version}`"
            ),
            Self::Newer { version, name } => write!(
                f,
                "{version} {name} is applied, but newer than every file here; restore its file, use \
                 the program that has it, or `rollback`, which reverts it with the down.sql that the \
                 ledger holds"
            ),
            Self::OutOfOrder {
                version,
                name,
                applied,
            } => write!(
                f,
                "{version} {name} comes before {applied}, which is applied; give it a new version, \
                 or allow it with --allow-out-of-order or `out_of_order = true` in its metadata.toml"
            ),
            Self::HalfReverted { version, name } => write!(
                f,
                "{version} {name} stopped on its way back, outside a transaction; `rollback` goes \
                 on with it, or `repair --accept {version}` takes what is there as applied"
            ),
            Self::NoMigrations {
                place,
                applied: 0,
                others,
            } => write!(
                f,
                "{place}: there are no migrations here; the database has {}, of other sets",
                counted(*others as u64, "applied migration")
            ),
            Self::NoMigrations { place, applied, .. } => write!(
                f,
                "{place}: there are no migrations here, but the database has {}; is that the right \
                 folder?",
                counted(*applied as u64, "applied migration")
            ),
            Self::LostTable { table } if table == DIESEL_TABLE => write!(
                f,
                "the table {table} is gone; `migrate` makes it again from the ledger"
            ),
            Self::LostTable { table } => write!(
                f,
                "the table {table} is gone, and with it the texts that were applied; `migrate` makes \
                 it again, with the files as they are now"
            ),
        }
    }
}

/// The outcome of comparing files and history.
#[derive(Debug)]
pub(crate) struct Assessment<'s> {
    /// Not applied yet, in order.
    pub(crate) pending: Vec<&'s Migration>,
    /// Everything that does not fit.
    pub(crate) problems: Vec<Problem>,
}

/// Compares files and history.
///
/// # Errors
/// What is wrong with the metadata of a pending migration.
pub(crate) fn assess<'s>(
    set: &'s MigrationSet,
    history: &History,
) -> Result<Assessment<'s>, SourceError> {
    let places: Vec<Option<usize>> = history
        .applied
        .iter()
        .map(|row| set.position(&row.version))
        .collect();
    let mut is_pending = vec![true; set.all().len()];
    for at in places.iter().flatten() {
        is_pending[*at] = false;
    }
    let pending: Vec<_> = set
        .all()
        .iter()
        .zip(is_pending)
        .filter_map(|(migration, is_pending)| is_pending.then_some(migration))
        .collect();
    let mut known = None;
    let mut problems = Vec::new();
    problems.extend(no_migrations(set, history));
    for (row, place) in history.applied.iter().zip(places) {
        if row.status == Status::Reverting {
            if known_sets(set, history).contains(row.set.as_str()) {
                problems.push(Problem::HalfReverted {
                    version: row.version.to_string(),
                    name: row.name().to_owned(),
                });
            }
            continue;
        }
        match place.map(|at| &set.all()[at]) {
            Some(migration) => {
                problems.extend(edit_of(row, migration).map(|edit| Problem::Edited {
                    version: row.version.to_string(),
                    name: row.name().to_owned(),
                    edit,
                    has_lines: !row.is_rust && !migration.is_rust(),
                }));
            }
            // All of them, which is one thing to say.
            None if row.accepted_missing || set.all().is_empty() => {}
            None => {
                let known = known.get_or_insert_with(|| known_sets(set, history));
                if !known.contains(row.set.as_str()) {
                    continue;
                }
                let (version, name) = (row.version.to_string(), row.name().to_owned());
                let newest = newest_known(set, &row.set);
                let problem = if newest.is_none_or(|newest| row.version > *newest) {
                    Problem::Newer { version, name }
                } else {
                    Problem::Missing { version, name }
                };
                problems.push(problem);
            }
        }
    }
    // Without its file a half can neither be finished nor overlooked: until it is accepted, nothing
    // can be told of the schema.
    problems.extend(
        halves_without_file(set, history)
            .filter(|row| {
                set.all().is_empty() || known_sets(set, history).contains(row.set.as_str())
            })
            .map(|row| Problem::Missing {
                version: row.version.to_string(),
                name: row.name().to_owned(),
            }),
    );
    for migration in &pending {
        if !migration.options()?.out_of_order {
            problems.extend(out_of_order(migration, set, history));
        }
    }
    Ok(Assessment { pending, problems })
}

/// What to say where there is no migration at all, but a history.
fn no_migrations(set: &MigrationSet, history: &History) -> Option<Problem> {
    if !set.all().is_empty() {
        return None;
    }
    let known = known_sets(set, history);
    let missed = history.applied.iter().filter(|row| !row.accepted_missing);
    let (ours, theirs): (Vec<_>, Vec<_>) = missed.partition(|row| known.contains(row.set.as_str()));
    (!ours.is_empty() || !theirs.is_empty()).then(|| Problem::NoMigrations {
        place: set.described().to_owned(),
        applied: ours.len(),
        others: theirs.len(),
    })
}

/// Migrations that stopped half way, and have no file any more.
pub(crate) fn halves_without_file<'h>(
    set: &MigrationSet,
    history: &'h History,
) -> impl Iterator<Item = &'h Applied> {
    let halves = history.incomplete.iter();
    halves.filter(|row| set.find(&row.version).is_none())
}

/// The sets that these sources speak for: those they name, and those whose rows they have files
/// for. A set was perhaps renamed; rows of another team's set are none of our business.
pub(crate) fn known_sets<'a>(set: &'a MigrationSet, history: &'a History) -> BTreeSet<&'a str> {
    let named = set.names();
    let matched = history
        .applied
        .iter()
        .filter(|row| set.find(&row.version).is_some())
        .map(|row| row.set.as_str());
    // What diesel_cli left without a set could be anyone's: better to ask than to overlook it.
    named.chain(matched).chain([""]).collect()
}

/// The last version that the program knows of a set, or of all where it has none of that name.
fn newest_known<'s>(set: &'s MigrationSet, name: &str) -> Option<&'s Version> {
    let of_set = set.all().iter().rfind(|m| m.set() == name);
    of_set.or(set.all().last()).map(|m| &m.version)
}

fn edit_of(row: &Applied, migration: &Migration) -> Option<Edit> {
    let applied = row.checksums.as_ref()?;
    if applied.raw == migration.raw_checksum() {
        None
    } else if applied.tokens == migration.checksums().tokens {
        Some(Edit::Cosmetic)
    } else {
        Some(Edit::Semantic)
    }
}

fn out_of_order(migration: &Migration, set: &MigrationSet, history: &History) -> Option<Problem> {
    let later = history
        .applied
        .iter()
        .filter(|row| row.version > migration.version)
        .filter(|row| {
            let its_set = set
                .find(&row.version)
                .map_or(row.set.as_str(), Migration::set);
            its_set == migration.set()
        })
        .max_by_key(|row| &row.version)?;
    Some(Problem::OutOfOrder {
        version: migration.version.to_string(),
        name: migration.name().to_owned(),
        applied: later.version.to_string(),
    })
}
