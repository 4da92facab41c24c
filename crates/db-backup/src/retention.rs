//! Which backups are kept, and why: a decision over plain data, without a store or a clock.
//!
//! `keep_last` to `keep_yearly` mean what they mean to restic: the newest backup of each of the last
//! N hours, days, ISO weeks, months or years *in which there is one* is kept, and while a rule has
//! counts left the oldest backup of all is kept for it. `keep_days` keeps what is younger than that.
//! The rules are a union. Calendars are UTC.
//!
//! Beside every rule, and for each series (one database, one kind of backup) on its own:
//! - the newest full backup, and the newest one that is verified, are never removed,
//! - nor the newest of all, should it be one that is not sound; such ones take no place in a rule by
//!   count, so that no sound one goes because of them,
//! - nor is what a kept backup requires, through any number of steps,
//! - nor the last backup before a kept one that has less than half of its rows,
//! - nor a backup that is dated in the future.
//!
//! **Clocks that jump.** The age of a backup is counted from the newest backup that is not in the
//! future, or from the present if that is earlier. So a clock that runs ahead, or a schedule that has
//! stopped, ages nothing; a clock that was set back makes younger backups "future" ones, which stay
//! and take no place in any rule until their time has come. What no rule by age can survive is a
//! clock that jumps ahead *and* goes on making backups: those before the jump are older than
//! `keep_days` then. Rules by count are immune to that.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::fmt;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::Serialize;

use crate::series;

/// What `keep_days` is where nothing else is said.
pub const DEFAULT_KEEP_DAYS: u32 = 7;

/// Which backups to keep. 0 switches a rule off, [`u32::MAX`] keeps everything it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Policy {
    /// All backups of this many times 24 hours.
    pub days: u32,
    /// The newest N backups.
    pub last: u32,
    /// One for each of the last N hours that have one.
    pub hourly: u32,
    /// One for each of the last N days that have one.
    pub daily: u32,
    /// One for each of the last N weeks that have one.
    pub weekly: u32,
    /// One for each of the last N months that have one.
    pub monthly: u32,
    /// One for each of the last N years that have one.
    pub yearly: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            days: DEFAULT_KEEP_DAYS,
            ..Self::none()
        }
    }
}

impl Policy {
    /// No rule at all: everything is kept.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            days: 0,
            last: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
        }
    }

    /// Whether no rule is on.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::none()
    }
}

/// Whether a backup can be restored without another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// By itself.
    Full,
    /// Only with what it requires.
    Increment,
    /// By itself, but its data was not sound when it was made, or the last look at it failed: it takes no place in a rule
    /// by count, and no sound one goes because of it.
    Unsound,
}

/// A backup, as far as retention looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, unique in the store.
    pub name: String,
    /// What it is a backup of, and how: rules count each series on its own.
    pub series: String,
    /// The moment of its snapshot.
    pub started_at: DateTime<Utc>,
    /// Whether it was restored and checked.
    pub verified: bool,
    /// Whether it stands by itself.
    pub extent: Extent,
    /// The names of the backups without which it cannot be restored.
    pub requires: Vec<String>,
    /// The last backup before this one that had more than twice its rows, if it is so, and where a look at that one
    /// failed, the last before it that is usable: they stay as long as this one.
    pub shrunk_from: Vec<String>,
    /// What it takes in the store.
    pub bytes: u64,
}

/// Why a backup is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum Reason {
    /// There is no rule.
    NoPolicy,
    /// It is of another database, or of another kind, than is pruned.
    OtherSeries,
    /// It is being restored on trial.
    OnTrial,
    /// The record of its last trial restore cannot be read: it may be the last one that is proven.
    Unread,
    /// It is younger than `keep_days`.
    Within {
        /// `keep_days`.
        days: u32,
    },
    /// A rule by count; `oldest` if it is kept because the rule has counts left.
    Counted {
        /// Which one.
        every: Every,
        /// Whether it is the oldest of all, and the rule not used up.
        oldest: bool,
    },
    /// No full backup is newer.
    NewestFull,
    /// No backup is newer, though it is not sound.
    NewestUnsound,
    /// No verified full backup is newer.
    LastVerifiedFull,
    /// It is dated later than the present.
    Future,
    /// A backup that is kept cannot be restored without it.
    RequiredBy {
        /// That backup.
        name: String,
    },
    /// It is the last one before a backup that is kept and has less than half of its rows.
    BeforeShrunk {
        /// That backup.
        name: String,
    },
}

/// The rules by count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// `keep_last`.
    Last,
    /// `keep_hourly`.
    Hourly,
    /// `keep_daily`.
    Daily,
    /// `keep_weekly`.
    Weekly,
    /// `keep_monthly`.
    Monthly,
    /// `keep_yearly`.
    Yearly,
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPolicy => f.write_str("no rule"),
            Self::OtherSeries => f.write_str("another series"),
            Self::OnTrial => f.write_str("on trial"),
            Self::Unread => f.write_str("the record of its trial restore cannot be read"),
            Self::Within { days } => write!(f, "within {days} days"),
            Self::Counted {
                every,
                oldest: false,
            } => write!(f, "{every}"),
            Self::Counted {
                every,
                oldest: true,
            } => write!(f, "oldest {every}"),
            Self::NewestFull => f.write_str("newest full backup"),
            Self::NewestUnsound => f.write_str("newest, though not sound"),
            Self::LastVerifiedFull => f.write_str("last verified full backup"),
            Self::Future => f.write_str("dated in the future"),
            Self::RequiredBy { name } => write!(f, "required by {name}"),
            Self::BeforeShrunk { name } => write!(f, "last before {name} shrank"),
        }
    }
}

/// A backup that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// All reasons, at least one.
    pub reasons: Vec<Reason>,
}

/// A backup that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Removed {
    /// Its name.
    pub name: String,
    /// What that frees.
    pub bytes: u64,
}

/// What stays and what goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Newest first.
    pub kept: Vec<Kept>,
    /// In the order in which to remove them: what requires another before that one, else the oldest
    /// first. However many of them are removed, what is left can be restored.
    pub removed: Vec<Removed>,
}

/// Decides for each backup of a store.
#[must_use]
pub fn plan(policy: &Policy, backups: &[Candidate], now: DateTime<Utc>) -> Plan {
    plan_some(policy, backups, now, |_| None)
}

/// The same, where some stay beside all rules and take no place in them: those for which there is a reason.
pub(crate) fn plan_some(
    policy: &Policy,
    backups: &[Candidate],
    now: DateTime<Utc>,
    stays: impl Fn(&Candidate) -> Option<Reason>,
) -> Plan {
    let mut reasons: HashMap<&str, Vec<Reason>> = HashMap::new();
    let mut series: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for backup in backups {
        if let Some(reason) = stays(backup) {
            reasons.entry(&backup.name).or_default().push(reason);
            continue;
        }
        if policy.is_none() {
            reasons
                .entry(&backup.name)
                .or_default()
                .push(Reason::NoPolicy);
        }
        if series::is_future(backup.started_at, now) {
            reasons
                .entry(&backup.name)
                .or_default()
                .push(Reason::Future);
        } else {
            series.entry(&backup.series).or_default().push(backup);
        }
    }
    for members in series.values_mut() {
        members.sort_by_key(|backup| Reverse(place(backup)));
        judge(policy, members, now, &mut reasons);
    }
    keep_required(backups, &mut reasons);
    let mut order: Vec<&Candidate> = backups.iter().collect();
    order.sort_by_key(|backup| Reverse(place(backup)));
    let mut kept = Vec::new();
    let mut rest = Vec::new();
    for backup in order {
        match reasons.remove(backup.name.as_str()) {
            Some(reasons) => kept.push(Kept {
                name: backup.name.clone(),
                reasons,
            }),
            None => rest.push(backup),
        }
    }
    Plan {
        kept,
        removed: dependents_first(&rest),
    }
}

/// Where it stands in time; names decide between backups of one moment.
fn place(backup: &Candidate) -> (DateTime<Utc>, &str) {
    (backup.started_at, &backup.name)
}

/// Applies the rules and the guards to one series, newest first, none in the future.
fn judge<'c>(
    policy: &Policy,
    members: &[&'c Candidate],
    now: DateTime<Utc>,
    reasons: &mut HashMap<&'c str, Vec<Reason>>,
) {
    let mut keep = |backup: &'c Candidate, reason: Reason| {
        reasons.entry(&backup.name).or_default().push(reason);
    };
    let Some(newest) = members.first() else {
        return;
    };
    let present = newest.started_at.min(now);
    if policy.days > 0 {
        let limit = TimeDelta::days(i64::from(policy.days));
        for backup in members {
            if present.signed_duration_since(backup.started_at) < limit {
                keep(backup, Reason::Within { days: policy.days });
            }
        }
    }
    if newest.extent == Extent::Unsound {
        keep(newest, Reason::NewestUnsound);
    }
    let sound: Vec<_> = members
        .iter()
        .filter(|backup| backup.extent != Extent::Unsound)
        .collect();
    for (every, mut left) in rules(policy) {
        let mut last = None;
        for (at, backup) in sound.iter().enumerate() {
            if left == 0 {
                break;
            }
            let period = period(every, at, backup.started_at);
            let is_new = last != Some(period);
            let is_oldest = at + 1 == sound.len();
            if is_new || is_oldest {
                keep(
                    backup,
                    Reason::Counted {
                        every,
                        oldest: !is_new,
                    },
                );
                last = Some(period);
                left = if left == u32::MAX { left } else { left - 1 };
            }
        }
    }
    let mut full = members
        .iter()
        .filter(|backup| backup.extent == Extent::Full);
    if let Some(backup) = full.clone().next() {
        keep(backup, Reason::NewestFull);
    }
    if let Some(backup) = full.find(|backup| backup.verified) {
        keep(backup, Reason::LastVerifiedFull);
    }
}

const fn rules(policy: &Policy) -> [(Every, u32); 6] {
    [
        (Every::Last, policy.last),
        (Every::Hourly, policy.hourly),
        (Every::Daily, policy.daily),
        (Every::Weekly, policy.weekly),
        (Every::Monthly, policy.monthly),
        (Every::Yearly, policy.yearly),
    ]
}

/// Which hour, day, … a backup is of; `at` is its place, counted from the newest.
fn period(every: Every, at: usize, moment: DateTime<Utc>) -> (i32, i64) {
    match every {
        Every::Last => (0, i64::try_from(at).unwrap_or(i64::MAX)),
        Every::Hourly => (0, moment.timestamp().div_euclid(3600)),
        Every::Daily => (0, i64::from(moment.num_days_from_ce())),
        Every::Weekly => {
            let week = moment.iso_week();
            (week.year(), i64::from(week.week()))
        }
        Every::Monthly => (moment.year(), i64::from(moment.month())),
        Every::Yearly => (moment.year(), 0),
    }
}

/// Keeps what the kept ones require, and what these require.
fn keep_required<'c>(backups: &'c [Candidate], reasons: &mut HashMap<&'c str, Vec<Reason>>) {
    let by_name: HashMap<&str, &Candidate> = backups
        .iter()
        .map(|backup| (backup.name.as_str(), backup))
        .collect();
    let mut open: Vec<&Candidate> = backups
        .iter()
        .filter(|backup| reasons.contains_key(backup.name.as_str()))
        .collect();
    while let Some(backup) = open.pop() {
        let of = || backup.name.clone();
        let required = backup.requires.iter();
        let required = required.map(|name| (name, Reason::RequiredBy { name: of() }));
        let before = backup.shrunk_from.iter();
        let before = before.map(|name| (name, Reason::BeforeShrunk { name: of() }));
        for (name, why) in required.chain(before) {
            let Some(required) = by_name.get(name.as_str()) else {
                continue;
            };
            if let Some(known) = reasons.get_mut(name.as_str()) {
                known.push(why);
            } else {
                reasons.insert(&required.name, vec![why]);
                open.push(required);
            }
        }
    }
}

/// What requires another comes before it; among those that may go, the oldest first.
fn dependents_first(backups: &[&Candidate]) -> Vec<Removed> {
    let by_name: HashMap<&str, &Candidate> = backups
        .iter()
        .map(|backup| (backup.name.as_str(), *backup))
        .collect();
    let mut waited_for: HashMap<&str, usize> = HashMap::new();
    for backup in backups {
        for name in required_once(backup) {
            *waited_for.entry(name).or_default() += 1;
        }
    }
    let is_free = |waited_for: &HashMap<&str, usize>, name: &str| {
        waited_for.get(name).is_none_or(|count| *count == 0)
    };
    let mut free: BinaryHeap<_> = backups
        .iter()
        .filter(|backup| is_free(&waited_for, &backup.name))
        .map(|backup| Reverse(place(backup)))
        .collect();
    let mut left: BTreeSet<_> = backups.iter().map(|backup| place(backup)).collect();
    let mut order = Vec::with_capacity(backups.len());
    // Backups that require each other in a circle are never free; they cannot be restored anyway.
    while let Some(next) = free
        .pop()
        .map(|Reverse(next)| next)
        .or_else(|| left.first().copied())
    {
        if !left.remove(&next) {
            continue;
        }
        let Some(backup) = by_name.get(next.1) else {
            continue;
        };
        for name in required_once(backup) {
            if let Some(count) = waited_for.get_mut(name) {
                *count = count.saturating_sub(1);
            }
            if let Some(required) = by_name.get(name)
                && is_free(&waited_for, name)
            {
                free.push(Reverse(place(required)));
            }
        }
        order.push(Removed {
            name: backup.name.clone(),
            bytes: backup.bytes,
        });
    }
    order
}

fn required_once(backup: &Candidate) -> BTreeSet<&str> {
    backup
        .requires
        .iter()
        .map(String::as_str)
        .filter(|name| *name != backup.name)
        .collect()
}
