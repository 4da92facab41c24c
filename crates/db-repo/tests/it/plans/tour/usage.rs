//! Samples, settings, sessions and usage.

use std::time::Duration;

use db_repo::{
    EventRepository, MetricsRepository, PageRequest, SessionRepository, SettingsRepository,
    SnapshotFilter, UsageConfigRepository, UsageSnapshotRepository,
};
use db_schema::rows::UsageConfigChanges;

use super::{Step, go};
use crate::rows::{event, new_session, sample, snapshot};
use crate::support::at;

pub(super) fn run(step: Step<'_>) {
    metrics(step);
    settings(step);
    sessions(step);
    snapshots(step);
    go(
        step,
        "usage configuration: find",
        UsageConfigRepository::find,
    );
    go(step, "usage configuration: update", |conn| {
        UsageConfigRepository::update(conn, &UsageConfigChanges::default(), at(1))
    });
    go(step, "usage configuration: reset", |conn| {
        UsageConfigRepository::reset(conn, at(2))
    });
    go(step, "usage configuration: deactivate", |conn| {
        UsageConfigRepository::deactivate(conn, at(3))
    });
    go(step, "usage configuration: create", |conn| {
        UsageConfigRepository::create(conn, &UsageConfigChanges::default(), at(4))
    });
}

fn metrics(step: Step<'_>) {
    let sample = sample("load", 1.0, 0);
    go(step, "metrics: record", |conn| {
        MetricsRepository::record(conn, &sample)
    });
    go(step, "metrics: record_many", |conn| {
        MetricsRepository::record_many(conn, &[sample.clone(), sample.clone()])
    });
    go(step, "metrics: list", |conn| {
        MetricsRepository::list(conn, "load", at(0)..at(1), &PageRequest::default())
    });
    go(step, "metrics: find_latest", |conn| {
        MetricsRepository::find_latest(conn, "load")
    });
    go(step, "metrics: roll_up", |conn| {
        MetricsRepository::roll_up(conn, "load", at(0)..at(60), Duration::from_secs(1))
    });
    go(step, "metrics: delete_older_than", |conn| {
        MetricsRepository::delete_older_than(conn, at(0), 10)
    });
}

fn settings(step: Step<'_>) {
    go(step, "settings: set", |conn| {
        SettingsRepository::set(conn, "k", &1, at(0))
    });
    go(step, "settings: find", |conn| {
        SettingsRepository::exists(conn, "k")?;
        SettingsRepository::find_row(conn, "k")?;
        SettingsRepository::find::<i64>(conn, "k")
    });
    go(step, "settings: list", |conn| {
        SettingsRepository::list(conn, "k", &PageRequest::default())
    });
    go(step, "settings: compare_and_set", |conn| {
        SettingsRepository::compare_and_set(conn, "k", None, &3, at(1))?;
        SettingsRepository::compare_and_set(conn, "k", Some(&1), &2, at(1))
    });
    go(step, "settings: delete", |conn| {
        SettingsRepository::delete(conn, "k")
    });
}

fn sessions(step: Step<'_>) {
    let first = PageRequest::default;
    let session = new_session("s1", 0);
    let event = event("s1", "begin", 0);
    go(step, "sessions: start", |conn| {
        SessionRepository::start(conn, &session)
    });
    go(step, "sessions: find", |conn| {
        SessionRepository::find(conn, "s1")?;
        SessionRepository::exists(conn, "s1")
    });
    go(step, "sessions: list", |conn| {
        SessionRepository::list(conn, &first())
    });
    go(step, "events: record", |conn| {
        EventRepository::record(conn, &event)
    });
    go(step, "events: record_many", |conn| {
        EventRepository::record_many(conn, &[event.clone(), event.clone()])
    });
    go(step, "events: list_by_session", |conn| {
        EventRepository::list_by_session(conn, "s1", &first())
    });
    go(step, "events: list_by_type", |conn| {
        EventRepository::list_by_type(conn, "begin", &first())
    });
    go(step, "sessions: end", |conn| {
        SessionRepository::end(conn, "s1", at(1))
    });
}

fn snapshots(step: Step<'_>) {
    let first = PageRequest::default;
    let snapshot = snapshot("s1", 0);
    go(step, "snapshots: create", |conn| {
        UsageSnapshotRepository::create(conn, &snapshot)
    });
    go(step, "snapshots: find", |conn| {
        UsageSnapshotRepository::find(conn, 1)
    });
    go(step, "snapshots: list", |conn| {
        UsageSnapshotRepository::list(conn, &SnapshotFilter::recent(at(0)), &first())
    });
    go(step, "snapshots: list, one session", |conn| {
        let filter = SnapshotFilter::recent(at(0)).session("s1");
        UsageSnapshotRepository::list(conn, &filter, &first())
    });
    go(step, "snapshots: list_by_session", |conn| {
        UsageSnapshotRepository::list_by_session(conn, "s1", &first())
    });
    go(step, "snapshots: delete_older_than", |conn| {
        UsageSnapshotRepository::delete_older_than(conn, at(0), 10)
    });
    go(step, "sessions: delete", |conn| {
        SessionRepository::delete(conn, "s1")
    });
}
