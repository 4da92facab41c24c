//! How the application is used, and what goes out of it.

use std::time::Duration;

use db_repo::{
    Actor, Error, EventRepository, MetricsRepository, NotificationRepository, OutboxRepository,
    PeerRepository, SessionRepository, SettingsRepository, UsageConfigRepository,
    UsageSnapshotRepository,
};
use db_schema::rows::UsageConfigChanges;
use db_schema::types::Json;
use serde_json::json;

use super::Door;
use super::wrong::{NO_NUMBERS, Writes, door};
use crate::outbox::entry;
use crate::rows::{event, new_session, sample, snapshot};
use crate::support::at;

pub(super) fn doors() -> Vec<Door> {
    let mut doors = usage();
    doors.extend(outside());
    doors
}

fn usage() -> Vec<Door> {
    let sessions = Writes::of(new_session("s1", 0))
        .by(door!(|conn, new| SessionRepository::start(conn, new)))
        .key("session_id", |new, text| new.session_id = text)
        .json("metadata", |new, json| new.metadata = Some(json))
        .moment("started_at", |new, at| new.started_at = at);
    let events = Writes::of(event("s1", "start", 0))
        .by(door!(|conn, new| EventRepository::record(conn, new)))
        .by(door!(|conn, new| EventRepository::record_many(
            conn,
            std::slice::from_ref(new)
        )))
        .key("session_id", |new, text| new.session_id = text)
        .word("event_type", |new, text| new.event_type = text)
        .json("payload", |new, json| new.payload = json)
        .moment("timestamp", |new, at| new.timestamp = at);
    let snapshots = Writes::of(snapshot("s1", 0))
        .by(door!(|conn, new| UsageSnapshotRepository::create(
            conn, new
        )))
        .key("session_id", |new, text| new.session_id = text)
        .json("snapshot_data", |new, json| new.snapshot_data = json)
        .moment("timestamp", |new, at| new.timestamp = at);
    let config = Writes::of(UsageConfigChanges::default())
        .by(door!(|conn, new| UsageConfigRepository::create(
            conn,
            new,
            at(0)
        )))
        .by(door!(|conn, new| UsageConfigRepository::update(
            conn,
            new,
            at(0)
        )))
        .numbers("custom_limit_tokens", &[0, -1], |new, n| {
            new.custom_limit_tokens = Some(Some(n));
        })
        .text("timezone", |new, text| new.timezone = Some(text))
        .with("timezone", |new| {
            new.timezone = Some("Europe/Zürich".to_owned());
        })
        .with("refresh_rate", |new| new.refresh_rate = Some(0))
        .with("refresh_rate", |new| new.refresh_rate = Some(61))
        .floats("refresh_per_second", &NO_NUMBERS, |new, n| {
            new.refresh_per_second = Some(n);
        })
        .floats("refresh_per_second", &[0.09, 20.1, -1.0], |new, n| {
            new.refresh_per_second = Some(n);
        })
        .with("reset_hour", |new| new.reset_hour = Some(Some(-1)))
        .with("reset_hour", |new| new.reset_hour = Some(Some(24)));
    let samples = Writes::of(sample("cpu", 1.0, 0))
        .by(door!(|conn, new| MetricsRepository::record(conn, new)))
        .by(door!(|conn, new| MetricsRepository::record_many(
            conn,
            std::slice::from_ref(new)
        )))
        .key("name", |new, text| new.name = text)
        .floats("value", &NO_NUMBERS, |new, n| new.value = n)
        .floats("value", &[1.1e288, f64::MIN], |new, n| new.value = n)
        .text("unit", |new, text| new.unit = Some(text))
        .object("labels", |new, json| new.labels = json)
        .moment("recorded_at", |new, at| new.recorded_at = at);
    let all = [
        sessions.doors(),
        events.doors(),
        snapshots.doors(),
        config.doors(),
        samples.doors(),
    ];
    all.into_iter().flatten().collect()
}

fn outside() -> Vec<Door> {
    let entries = Writes::of(entry(1, 0))
        .by(door!(|conn, new| OutboxRepository::enqueue(conn, new)))
        .by(door!(|conn, new| OutboxRepository::enqueue_many(
            conn,
            std::slice::from_ref(new)
        )))
        .key("user_id", |new, text| new.user_id = Some(text))
        .json("payload", |new, json| new.payload = json)
        .moment("created_at", |new, at| new.created_at = at);
    let settings = Writes::of(("a".to_owned(), Json(json!(1))))
        .by(door!(|conn, (key, value)| SettingsRepository::set(
            conn,
            key,
            value,
            at(0)
        )))
        .by(door!(|conn, (key, value)| {
            SettingsRepository::compare_and_set(conn, key, None, value, at(0))
        }))
        .key("setting_key", |new, text| new.0 = text)
        .json("setting_value", |new, json| new.1 = json);
    let actors = Writes::of(Actor::new())
        .by(door!(|conn, new| new.acts(
            conn,
            at(0),
            |_| Ok::<_, Error>(())
        )))
        .with("user_id", |new| *new = Actor::new().user("a\0"))
        .with("ip_address", |new| *new = Actor::new().address("a\n"))
        .with("user_agent", |new| {
            *new = Actor::new().agent("x".repeat(513));
        });
    let limits = Writes::of(0)
        .by(door!(|conn, n| PeerRepository::delete_older_than(
            conn,
            at(0),
            *n
        )))
        .by(door!(|conn, n| MetricsRepository::delete_older_than(
            conn,
            at(0),
            *n
        )))
        .by(door!(|conn, n| OutboxRepository::delete_older_than(
            conn,
            at(0),
            *n
        )))
        .by(door!(|conn, n| NotificationRepository::delete_older_than(
            conn,
            at(0),
            *n
        )))
        .by(door!(|conn, n| UsageSnapshotRepository::delete_older_than(
            conn,
            at(0),
            *n
        )))
        .by(door!(|conn, n| OutboxRepository::claim(
            conn,
            at(0),
            Duration::from_secs(1),
            *n
        )))
        .numbers("limit", &[0, -1, i64::MIN], |new, n| *new = n);
    let all = [
        entries.doors(),
        settings.doors(),
        actors.doors(),
        limits.doors(),
    ];
    all.into_iter().flatten().collect()
}
