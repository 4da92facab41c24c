//! What each rule keeps, and what stays beside every rule.

use chrono::{DateTime, Utc};
use db_backup::retention::{Candidate, Extent, Policy, Reason, plan};

fn at(text: &str) -> DateTime<Utc> {
    format!("{text}Z").parse().unwrap()
}

fn full(name: &str, moment: &str) -> Candidate {
    Candidate {
        name: name.to_owned(),
        series: "s".to_owned(),
        started_at: at(moment),
        verified: false,
        extent: Extent::Full,
        requires: Vec::new(),
        bytes: 10,
        shrunk_from: Vec::new(),
    }
}

fn verified(name: &str, moment: &str) -> Candidate {
    Candidate {
        verified: true,
        ..full(name, moment)
    }
}

fn increment(name: &str, moment: &str, requires: &[&str]) -> Candidate {
    Candidate {
        extent: Extent::Increment,
        requires: requires.iter().map(|name| (*name).to_owned()).collect(),
        ..full(name, moment)
    }
}

/// Each kept backup with its reasons, and the removed ones in order.
fn shown(policy: Policy, backups: &[Candidate], now: &str) -> (Vec<String>, Vec<String>) {
    let plan = plan(&policy, backups, at(now));
    let kept = plan.kept.iter().map(|kept| {
        let reasons: Vec<String> = kept.reasons.iter().map(ToString::to_string).collect();
        format!("{}: {}", kept.name, reasons.join(", "))
    });
    let removed = plan.removed.iter().map(|removed| removed.name.clone());
    (kept.collect(), removed.collect())
}

/// One that was not sound when it was made saves somebody today, and costs no sound one.
#[test]
fn no_sound_backup_goes_for_one_that_is_not() {
    let unsound = |name: &str, moment: &str| Candidate {
        extent: Extent::Unsound,
        ..full(name, moment)
    };
    let backups = [
        full("a", "2025-03-01T10:00:00"),
        verified("b", "2025-03-02T10:00:00"),
        full("c", "2025-03-03T10:00:00"),
        unsound("d", "2025-03-04T10:00:00"),
        unsound("e", "2025-03-05T10:00:00"),
    ];
    let policy = Policy {
        last: 1,
        ..Policy::none()
    };
    let (kept, removed) = shown(policy, &backups, "2025-03-05T12:00:00");
    assert_eq!(
        kept,
        [
            "e: newest, though not sound",
            "c: last, newest full backup",
            "b: last verified full backup"
        ]
    );
    assert_eq!(removed, ["a", "d"]);
    // Alone it stays, too.
    let (kept, removed) = shown(policy, &backups[3..4], "2025-03-05T12:00:00");
    assert_eq!((kept.len(), removed.len()), (1, 0));
    let days = Policy::default();
    assert_eq!(shown(days, &backups, "2025-03-05T12:00:00").0.len(), 5);
}

#[test]
fn rules_by_count_are_restics() {
    // The example of restic's own documentation, shortened: backups on Sundays.
    let backups = [
        full("a", "2014-09-07T10:00:00"),
        full("b", "2014-09-14T10:00:00"),
        full("c", "2014-09-21T10:00:00"),
        full("d", "2014-10-05T10:00:00"),
        full("e", "2014-10-12T10:00:00"),
        full("f", "2014-10-12T11:00:00"),
    ];
    let policy = Policy {
        daily: 4,
        ..Policy::none()
    };
    let (kept, removed) = shown(policy, &backups, "2014-10-13T00:00:00");
    assert_eq!(
        kept,
        [
            "f: daily, newest full backup",
            "d: daily",
            "c: daily",
            "b: daily"
        ]
    );
    assert_eq!(removed, ["a", "e"]);
    let policy = Policy {
        monthly: 3,
        ..Policy::none()
    };
    let (kept, removed) = shown(policy, &backups, "2014-10-13T00:00:00");
    // The rule has a count left, which keeps the oldest.
    assert_eq!(
        kept,
        [
            "f: monthly, newest full backup",
            "c: monthly",
            "a: oldest monthly"
        ]
    );
    assert_eq!(removed, ["b", "d", "e"]);
}

#[test]
fn weeks_are_iso_weeks_and_reasons_add_up() {
    let backups = [
        // Monday of week 1 of 2027 and the Sunday before, of week 53 of 2026.
        full("b", "2027-01-04T00:00:00"),
        full("a", "2027-01-03T23:59:59"),
    ];
    let policy = Policy {
        weekly: 2,
        yearly: 1,
        last: 1,
        ..Policy::none()
    };
    let (kept, removed) = shown(policy, &backups, "2027-01-04T01:00:00");
    assert_eq!(
        kept,
        ["b: last, weekly, yearly, newest full backup", "a: weekly"]
    );
    assert!(removed.is_empty());
}

#[test]
fn seven_days_is_the_rule_without_a_word() {
    let backups = [
        full("new", "2026-11-22T02:00:00"),
        full("just", "2026-11-15T02:00:01"),
        full("old", "2026-11-15T02:00:00"),
    ];
    let (kept, removed) = shown(Policy::default(), &backups, "2026-11-22T02:30:00");
    assert_eq!(
        kept,
        [
            "new: within 7 days, newest full backup",
            "just: within 7 days"
        ]
    );
    assert_eq!(removed, ["old"]);
}

#[test]
fn the_last_verified_and_what_it_requires_stay() {
    let backups = [
        verified("v", "2026-01-01T00:00:00"),
        full("base", "2026-02-01T00:00:00"),
        increment("i1", "2026-02-02T00:00:00", &["base"]),
        increment("i2", "2026-11-22T00:00:00", &["i1"]),
        full("new", "2026-11-22T01:00:00"),
        full("between", "2026-03-01T00:00:00"),
    ];
    let (kept, removed) = shown(Policy::default(), &backups, "2026-11-22T02:00:00");
    assert_eq!(
        kept,
        [
            "new: within 7 days, newest full backup",
            "i2: within 7 days",
            "i1: required by i2",
            "base: required by i1",
            "v: last verified full backup"
        ]
    );
    assert_eq!(removed, ["between"]);
}

#[test]
fn what_requires_another_goes_before_it() {
    let backups = [
        full("base", "2026-01-01T00:00:00"),
        // Made by a machine whose clock was behind.
        increment("i1", "2025-12-31T00:00:00", &["base"]),
        increment("i2", "2026-01-03T00:00:00", &["i1"]),
        full("new", "2026-11-22T01:00:00"),
    ];
    let (_, removed) = shown(Policy::default(), &backups, "2026-11-22T02:00:00");
    assert_eq!(removed, ["i2", "i1", "base"]);
    let circle = [
        increment("x", "2026-01-01T00:00:00", &["y", "x"]),
        increment("y", "2026-01-02T00:00:00", &["x"]),
        full("new", "2026-11-22T01:00:00"),
    ];
    let (_, removed) = shown(Policy::default(), &circle, "2026-11-22T02:00:00");
    assert_eq!(removed, ["x", "y"]);
}

#[test]
fn series_are_counted_apart() {
    let other = Candidate {
        series: "other".to_owned(),
        ..verified("o", "2020-01-01T00:00:00")
    };
    let backups = [verified("n", "2026-11-22T00:00:00"), other];
    let (kept, removed) = shown(Policy::default(), &backups, "2026-11-22T02:00:00");
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(removed.is_empty());
}

#[test]
fn clocks_that_jump_age_nothing() {
    let backups = [
        verified("a", "2026-11-01T00:00:00"),
        verified("b", "2026-11-20T00:00:00"),
        verified("c", "2026-11-21T00:00:00"),
    ];
    // A clock that runs ahead, or a schedule that stopped.
    let (_, removed) = shown(Policy::default(), &backups, "2046-01-01T00:00:00");
    assert_eq!(removed, ["a"]);
    // A clock that was set back: everything is in the future.
    let (kept, removed) = shown(Policy::default(), &backups, "1970-01-01T00:00:00");
    assert!(kept.iter().all(|line| line.ends_with("future")), "{kept:?}");
    assert!(removed.is_empty());
    // One backup dated wrongly: it takes no place, and the others are not old because of it.
    let wrong = verified("w", "2040-01-01T00:00:00");
    let mut with_wrong = backups.to_vec();
    with_wrong.push(wrong);
    let policy = Policy {
        last: 1,
        ..Policy::none()
    };
    let (kept, removed) = shown(policy, &with_wrong, "2026-11-22T00:00:00");
    assert_eq!(
        kept,
        [
            "w: dated in the future",
            "c: last, newest full backup, last verified full backup"
        ]
    );
    assert_eq!(removed, ["a", "b"]);
}

#[test]
fn no_rule_removes_nothing() {
    let backups = [
        full("a", "2016-11-01T00:00:00"),
        full("b", "2026-11-20T00:00:00"),
    ];
    let plan = plan(&Policy::none(), &backups, at("2026-11-22T00:00:00"));
    assert!(plan.removed.is_empty());
    assert_eq!(plan.kept[1].reasons, [Reason::NoPolicy]);
}
