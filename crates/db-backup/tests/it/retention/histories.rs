//! Random histories: clocks that jump, failed and unverified backups, increments, rules that change.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use db_backup::retention::{Candidate, Every, Extent, Plan, Policy, Reason, plan};
use proptest::prelude::*;
use proptest::test_runner::Config;

/// What happens to a store.
#[derive(Debug, Clone)]
enum Event {
    Pass(u32),
    Jump(i64),
    Full { verified: bool, series: u8 },
    Increment { back: usize, series: u8 },
    Verify(usize),
    Prune(Policy),
}

fn policy() -> impl Strategy<Value = Policy> {
    let count = || prop_oneof![4 => Just(0_u32), 4 => 1_u32..6, 1 => Just(u32::MAX)];
    (
        count(),
        count(),
        count(),
        count(),
        count(),
        count(),
        count(),
    )
        .prop_map(
            |(days, last, hourly, daily, weekly, monthly, yearly)| Policy {
                days,
                last,
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
            },
        )
}

fn event() -> impl Strategy<Value = Event> {
    let month = 30 * 86_400_i64;
    prop_oneof![
        6 => (0_u32..200_000).prop_map(Event::Pass),
        1 => (-400 * month..400 * month).prop_map(Event::Jump),
        6 => (any::<bool>(), 0_u8..2).prop_map(|(verified, series)| Event::Full { verified, series }),
        3 => (0_usize..6, 0_u8..2).prop_map(|(back, series)| Event::Increment { back, series }),
        2 => (0_usize..40).prop_map(Event::Verify),
        3 => policy().prop_map(Event::Prune),
    ]
}

/// The verified full backups of each series.
fn verified_full(backups: &[Candidate]) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for backup in backups {
        if backup.verified && backup.extent == Extent::Full {
            *found.entry(backup.series.as_str()).or_default() += 1;
        }
    }
    found
}

fn orphans(backups: &[Candidate]) -> BTreeSet<(&str, &str)> {
    let names: BTreeSet<&str> = backups.iter().map(|b| b.name.as_str()).collect();
    let edges = backups
        .iter()
        .flat_map(|b| b.requires.iter().map(|r| (b.name.as_str(), r.as_str())));
    edges.filter(|(_, r)| !names.contains(r)).collect()
}

/// Removes one backup after the other, and looks after each.
fn prune(backups: &mut Vec<Candidate>, policy: &Policy, now: DateTime<Utc>) -> Plan {
    let decided = plan(policy, backups, now);
    let kept = decided.kept.iter().map(|k| k.name.as_str());
    let removed = decided.removed.iter().map(|r| r.name.as_str());
    let all: Vec<&str> = kept.chain(removed).collect();
    assert_eq!(all.len(), backups.len());
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert!(decided.kept.iter().all(|kept| !kept.reasons.is_empty()));
    let before = backups.clone();
    let had = verified_full(&before);
    let orphaned = orphans(&before);
    for removed in &decided.removed {
        backups.retain(|backup| backup.name != removed.name);
        // A prune that is killed here leaves this.
        let left = verified_full(backups);
        for series in had.keys() {
            assert!(
                left.contains_key(series),
                "no verified full is left of {series}"
            );
        }
        assert!(
            orphans(backups).is_subset(&orphaned),
            "orphaned: {backups:?}"
        );
    }
    let newest = |list: &[Candidate]| list.iter().map(|b| b.started_at).max();
    assert_eq!(newest(&before), newest(backups), "the newest went");
    if policy.is_none() {
        assert!(decided.removed.is_empty());
    }
    counted_as_described(&decided, &before, policy, now);
    // What was decided once is decided: a second run finds nothing to do but what a rule with
    // counts left held on to, which is never a loss of a guarded one.
    assert_eq!(plan(policy, &before, now), decided, "a dry run differs");
    decided
}

/// The rules by count, said another way: group by period, take the newest of each, take the first N.
fn counted_as_described(decided: &Plan, all: &[Candidate], policy: &Policy, now: DateTime<Utc>) {
    let reasons: HashMap<&str, &[Reason]> = decided
        .kept
        .iter()
        .map(|kept| (kept.name.as_str(), kept.reasons.as_slice()))
        .collect();
    let series: BTreeSet<&str> = all.iter().map(|b| b.series.as_str()).collect();
    for series in series {
        let mut members: Vec<&Candidate> = all
            .iter()
            .filter(|b| b.series == series && !db_backup::is_future(b.started_at, now))
            .collect();
        members.sort_by_key(|b| (b.started_at, b.name.clone()));
        for (every, count, format) in [
            (Every::Hourly, policy.hourly, "%Y-%m-%d %H"),
            (Every::Daily, policy.daily, "%Y-%m-%d"),
            (Every::Weekly, policy.weekly, "%G-%V"),
            (Every::Monthly, policy.monthly, "%Y-%m"),
            (Every::Yearly, policy.yearly, "%Y"),
        ] {
            let mut newest: BTreeMap<String, &str> = BTreeMap::new();
            for member in &members {
                newest.insert(
                    // Years before 0 and beyond 9999 sort by their own number.
                    format!(
                        "{:07} {}",
                        member.started_at.year() + 500_000,
                        member.started_at.format(format)
                    ),
                    &member.name,
                );
            }
            let mut periods: BTreeMap<String, &str> = BTreeMap::new();
            for (key, name) in newest {
                // ISO weeks cross the turn of the year: their own year counts.
                let key = if every == Every::Weekly {
                    key[8..].to_owned()
                } else {
                    key
                };
                periods
                    .entry(key)
                    .and_modify(|known| {
                        let place = |n: &str| members.iter().position(|m| m.name == n);
                        if place(name) > place(known) {
                            *known = name;
                        }
                    })
                    .or_insert(name);
            }
            let count = usize::try_from(count).unwrap();
            let mut expected: BTreeSet<&str> =
                periods.values().rev().take(count).copied().collect();
            if expected.len() < count
                && let Some(oldest) = members.first()
            {
                expected.insert(&oldest.name);
            }
            let found: BTreeSet<&str> = members
                .iter()
                .map(|m| m.name.as_str())
                .filter(|name| {
                    reasons.get(name).is_some_and(|reasons| {
                        reasons
                            .iter()
                            .any(|r| matches!(r, Reason::Counted { every: e, .. } if *e == every))
                    })
                })
                .collect();
            assert_eq!(found, expected, "{every} of {series}");
        }
    }
}

fn live(events: Vec<Event>) {
    let mut now: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().unwrap();
    let mut backups: Vec<Candidate> = Vec::new();
    for (number, event) in events.into_iter().enumerate() {
        let new = |extent, verified, series: u8, requires| Candidate {
            name: format!("b{number:04}"),
            series: format!("s{series}"),
            started_at: now,
            verified,
            extent,
            requires,
            bytes: 1,
            shrunk_from: Vec::new(),
        };
        match event {
            Event::Pass(seconds) => now += TimeDelta::seconds(i64::from(seconds)),
            Event::Jump(seconds) => now += TimeDelta::seconds(seconds),
            Event::Full { verified, series } => {
                backups.push(new(Extent::Full, verified, series, Vec::new()));
            }
            Event::Increment { back, series } => {
                let parent = backups.iter().rev().nth(back).map(|b| b.name.clone());
                let missing = (back == 5).then(|| "gone".to_owned());
                let requires = parent.into_iter().chain(missing).collect();
                backups.push(new(Extent::Increment, false, series, requires));
            }
            Event::Verify(at) => {
                let count = backups.len().max(1);
                if let Some(backup) = backups.get_mut(at % count) {
                    backup.verified = true;
                }
            }
            Event::Prune(policy) => {
                prune(&mut backups, &policy, now);
            }
        }
    }
}

#[test]
fn a_verified_full_backup_is_left_by_every_history() {
    let cases = u32::try_from(db_testkit::size("RETENTION_HISTORIES", 20_000)).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let histories = proptest::collection::vec(event(), 1..60);
    if let Err(error) = runner.run(&histories, |events| {
        live(events);
        Ok(())
    }) {
        panic!("{error}");
    }
}
