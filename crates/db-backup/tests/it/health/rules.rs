//! The rules for Prometheus alarm by metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use db_backup::health::{AlertRule, Selection, metrics};
use db_backup::retention::Policy;
use db_backup::schedule::{self, Alarm, Schedule, StoreJob, Timer};
use db_backup::{BackupOptions, LocalStore, Source, VerifyOptions};
use db_core::{Database, DatabaseConfig, DatabaseUrl, Error, Interrupt};
use db_testkit::TestDb;
use metrics_util::debugging::DebuggingRecorder;
use serde::Deserialize;

use super::{World, migrate, patient};
use crate::schedule::fake::Patient;

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
        scheduled();
    });
    let all = snapshotter.snapshot().into_vec();
    all.iter()
        .map(|(key, ..)| sanitised(key.key().name()))
        .collect()
}

/// A round of a schedule, with a trial restore.
fn scheduled() {
    let db = TestDb::sqlite();
    migrate(&db);
    let folder = tempfile::tempdir().unwrap();
    let source = Source {
        url: DatabaseUrl::parse(&db.url()).unwrap(),
        key: None,
    };
    let store = Arc::new(LocalStore::new(folder.path()));
    let options = (BackupOptions::default(), VerifyOptions::default());
    let job = StoreJob::new(source, store, options, Policy::none());
    let timer: Arc<dyn Timer> = Arc::new(Patient::default());
    let at = (timer, &Interrupt::default());
    let state = schedule::run(Schedule::default(), job, at, true, &mut |_| {}).unwrap();
    assert_eq!((state.made, state.alarms.len()), (1, 0));
}

/// Each alarm of a schedule has a rule that names it as the metric does.
#[test]
fn every_alarm_of_a_schedule_has_a_rule() {
    let text = fs::read_to_string(file()).unwrap();
    let rules = text.lines().filter(|line| line.contains("backup_alarms{"));
    let named: BTreeSet<&str> = rules
        .filter_map(|line| line.split('"').nth(1))
        .flat_map(|names| names.split('|'))
        .collect();
    let known: BTreeSet<&str> = Alarm::ALL.iter().map(Alarm::name).collect();
    assert_eq!(named, known);
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

/// A file of rules as Prometheus reads one; it refuses what it does not know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(default, rename = "for")]
    held: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// Names of labels in the braces of an expression and behind `by`.
fn labels_of(expr: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for selector in expr.split('{').skip(1) {
        let (selector, _) = selector.split_once('}').expect("a brace is not closed");
        for matcher in selector.split(',') {
            let (name, value) = matcher.split_once(['=', '!']).expect("no matcher");
            let value = value.trim_start_matches(['=', '~']);
            assert!(value.starts_with('"') && value.ends_with('"'), "{matcher}");
            labels.insert(name.trim().to_owned());
        }
    }
    for grouping in expr.split(" by (").skip(1) {
        let (names, _) = grouping
            .split_once(')')
            .expect("a parenthesis is not closed");
        labels.extend(names.split(',').map(|name| name.trim().to_owned()));
    }
    labels
}

#[test]
fn the_file_is_one_that_prometheus_reads_postgres() {
    const LABELS: [&str; 5] = [
        "alarm",
        "db_namespace",
        "bitcraps_db_health_check",
        "error_type",
        "db_client_connection_pool_name",
    ];
    let text = fs::read_to_string(file()).unwrap();
    let file: File = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(file.groups.len(), 1);
    assert_eq!(file.groups[0].name, "bitcraps-db");
    let rules = &file.groups[0].rules;
    assert_eq!(rules.len(), text.matches("- alert: ").count());
    for rule in rules {
        let name = &rule.alert;
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric());
        assert!(is_name && name.starts_with("BitCrapsDb"), "{name}");
        assert!(
            ["critical", "warning"].contains(&&*rule.labels["severity"]),
            "{name}"
        );
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            let count = |c| rule.expr.matches(c).count();
            assert_eq!(count(open), count(close), "{name}: {}", rule.expr);
        }
        assert!(
            rule.expr.contains(['>', '<', '=']),
            "{name} compares nothing"
        );
        let known = |label: &str| LABELS.contains(&label);
        assert!(
            labels_of(&rule.expr).iter().all(|label| known(label)),
            "{name}"
        );
        if let Some(held) = &rule.held {
            let (number, unit) = held.split_at(held.len() - 1);
            let is_span = number.parse::<u32>().is_ok() && ["s", "m", "h", "d"].contains(&unit);
            assert!(is_span, "{name}: for {held}");
        }
        for text in rule.annotations.values() {
            for template in text.split("{{").skip(1) {
                let (template, _) = template.split_once("}}").expect("a template has no end");
                let label = template.trim().strip_prefix("$labels.");
                let is_value = template.trim().starts_with("$value");
                assert!(is_value || label.is_some_and(known), "{name}: {template}");
            }
        }
    }
    // The checks that are named are checks.
    let names: BTreeSet<String> = [TestDb::sqlite(), TestDb::postgres()]
        .iter()
        .flat_map(|db| {
            let world = World::new();
            let examiner = world.examiner(world.target(&db.url()), patient());
            let names: Vec<String> = examiner.names().into_iter().map(str::to_owned).collect();
            names
        })
        .collect();
    for rule in rules {
        for part in rule.expr.split("bitcraps_db_health_check").skip(1) {
            let value = part.split('"').nth(1).unwrap();
            for check in value.split('|') {
                assert!(names.contains(check), "{}: no check {check}", rule.alert);
            }
        }
    }
}
