//! The rules for Prometheus alarm by metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use db_backup::health::{AlertRule, Selection, metrics};
use db_core::{Database, DatabaseConfig, Error};
use db_testkit::TestDb;
use metrics_util::debugging::DebuggingRecorder;

use super::{World, migrate, patient};

/// What `PromQL` has besides names of metrics and of labels.
const WORDS: [&str; 10] = [
    "rate", "time", "absent", "and", "or", "by", "sum", "on", "max", "unless",
];

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging/prometheus/bitcraps-db.rules.yml")
}

/// The exporter's way to write a name.
fn sanitised(name: &str) -> String {
    name.replace('.', "_")
}

/// Names of metrics in the expressions, without what stands in braces and quotes.
fn used(text: &str) -> BTreeSet<String> {
    let expressions = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr:"));
    let mut names = BTreeSet::new();
    for expression in expressions {
        let mut plain = String::new();
        let mut depth = 0_u32;
        // Labels stand in parentheses behind `by`.
        let expression = match expression.split_once(" by (") {
            Some((before, rest)) => format!("{before}{}", rest.split_once(')').unwrap().1),
            None => expression.to_owned(),
        };
        for c in expression.chars() {
            match c {
                '{' | '[' => depth += 1,
                '}' | ']' => depth -= 1,
                _ if depth == 0 => plain.push(c),
                _ => {}
            }
        }
        let words = plain.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let is_name = |word: &&str| {
            word.starts_with(|c: char| c.is_ascii_alphabetic()) && !WORDS.contains(word)
        };
        names.extend(words.filter(is_name).map(str::to_owned));
    }
    names
}

/// What a database and its monitor record, on both engines.
fn recorded() -> BTreeSet<String> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    ::metrics::with_local_recorder(&recorder, || {
        for db in [TestDb::sqlite(), TestDb::postgres()] {
            migrate(&db);
            let database = Database::open(&DatabaseConfig::new(db.url())).unwrap();
            database.read(|_| Ok::<_, Error>(())).unwrap();
            database
                .write(|conn| Ok::<_, Error>(conn.batch_execute("DELETE FROM bets")?))
                .unwrap();
            let world = World::new();
            let target = world.target(&db.url()).with_database(database);
            drop(world.examiner(target, patient()).examine(&Selection::All));
        }
    });
    let all = snapshotter.snapshot().into_vec();
    all.iter()
        .map(|(key, ..)| sanitised(key.key().name()))
        .collect()
}

#[test]
fn every_metric_of_a_rule_is_recorded_postgres() {
    let text = fs::read_to_string(file()).unwrap();
    let used = used(&text);
    assert!(used.len() > 10, "{used:?}");
    let mut recorded = recorded();
    // These are there only where there is a standby or an old slot, or after a failure.
    recorded.extend([metrics::REPLICA_LAG, metrics::REPLICA_LAG_BYTES].map(sanitised));
    // The exporter adds these to a histogram.
    let parts: Vec<String> = recorded
        .iter()
        .flat_map(|name| [format!("{name}_count"), format!("{name}_sum")])
        .collect();
    recorded.extend(parts);
    let unknown: Vec<_> = used.difference(&recorded).collect();
    assert!(unknown.is_empty(), "{unknown:?} in {recorded:#?}");
}

#[test]
fn every_metric_is_described_under_one_name() {
    let names: BTreeSet<_> = metrics::ALL
        .iter()
        .map(|(name, ..)| sanitised(name))
        .collect();
    assert_eq!(names.len(), metrics::ALL.len());
}

#[test]
fn every_rule_is_whole() {
    let text = fs::read_to_string(file()).unwrap();
    let rules: Vec<&str> = text.split("      - alert: ").skip(1).collect();
    assert!(rules.len() >= 12);
    let mut names = BTreeSet::new();
    for rule in rules {
        let name = rule.lines().next().unwrap();
        assert!(names.insert(name), "{name} is there twice");
        for part in [
            "expr:",
            "labels:",
            "severity:",
            "annotations:",
            "summary:",
            "description:",
        ] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
    }
    // What the issue asks for has a rule here and one in the library.
    for name in [
        "PoolExhausted",
        "TransactionsFail",
        "BackupFails",
        "DiskSpace",
    ] {
        assert!(names.contains(&*format!("BitCrapsDb{name}")), "{names:?}");
    }
    let usual = AlertRule::usual();
    for name in [
        "pool_exhaustion",
        "transaction_failures",
        "backup_failures",
        "disk_space",
    ] {
        assert!(usual.iter().any(|rule| rule.name == name), "{name}");
    }
}

/// Prometheus' own opinion, where it is installed (Debian's package `prometheus`).
#[test]
fn promtool_agrees() {
    let Ok(checked) = Command::new("promtool")
        .args(["check", "rules"])
        .arg(file())
        .output()
    else {
        return;
    };
    assert!(checked.status.success(), "{checked:?}");
}
