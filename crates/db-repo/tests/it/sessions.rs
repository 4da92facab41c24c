//! Sessions, events and snapshots.

use db_core::Database;
use db_repo::{
    Error, EventRepository, PageRequest, SessionRepository, SnapshotFilter, UsageSnapshotRepository,
};
use db_schema::rows::{NewEvent, NewSession, NewUsageSnapshot, SnapshotType};
use db_schema::types::{Json, UtcTime};
use db_testkit::{TestDb, both_engines};
use serde_json::json;

use crate::rows::{event, new_session, snapshot};
use crate::support::{after_a_rival, all_pages, at, open, read, refusal, write};

#[track_caller]
pub(crate) fn start(database: &Database, id: &str, seconds: i64) {
    let new = new_session(id, seconds);
    write(database, |conn| SessionRepository::start(conn, &new));
}

#[track_caller]
pub(crate) fn take(database: &Database, session: &str, seconds: i64) {
    write(database, |conn| {
        UsageSnapshotRepository::create(conn, &snapshot(session, seconds))
    });
}

both_engines! {
    fn a_session_starts_and_ends_once(db: TestDb) {
        let database = open(&db);
        start(&database, "s1", 5);
        let session = read(&database, |conn| SessionRepository::get(conn, "s1"));
        assert_eq!((session.started_at, session.ended_at), (at(5), None));
        assert_eq!(session.metadata, Some(Json(json!({"model": "x"}))));
        let again = NewSession { session_id: "s1".into(), started_at: at(9), metadata: None };
        let refused = refusal(&database, |conn| SessionRepository::start(conn, &again));
        assert_eq!(refused.to_string(), "there is a session s1 already");
        let refused = refusal(&database, |conn| SessionRepository::end(conn, "s1", at(4)));
        assert!(matches!(refused, Error::Invalid { field: "ended_at", .. }), "{refused:?}");
        // Nor does one who goes on after the refusal keep such an end.
        write(&database, |conn| {
            let refused = SessionRepository::end(conn, "s1", at(4));
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
            Ok(())
        });
        let ended = write(&database, |conn| SessionRepository::end(conn, "s1", at(8)));
        assert_eq!(ended.ended_at, Some(at(8)));
        assert_eq!(read(&database, |conn| SessionRepository::find(conn, "s1")), Some(ended));
        let refused = refusal(&database, |conn| SessionRepository::end(conn, "s1", at(9)));
        assert_eq!(refused.to_string(), "session s1 has ended");
        for refused in [
            refusal(&database, |conn| SessionRepository::end(conn, "s2", at(9)).map(drop)),
            refusal(&database, |conn| SessionRepository::get(conn, "s2").map(drop)),
            refusal(&database, |conn| SessionRepository::delete(conn, "s2")),
        ] {
            assert_eq!(refused.to_string(), "there is no session s2");
        }
        assert_eq!(read(&database, |conn| SessionRepository::find(conn, "s2")), None);
        assert!(read(&database, |conn| SessionRepository::exists(conn, "s1")));
        assert!(!read(&database, |conn| SessionRepository::exists(conn, "s2")));
        let wrong = NewSession { session_id: String::new(), ..again };
        let refused = refusal(&database, |conn| SessionRepository::start(conn, &wrong));
        assert!(matches!(refused, Error::Invalid { field: "session_id", .. }), "{refused:?}");
    }

    fn sessions_are_listed_latest_first_and_take_theirs_along(db: TestDb) {
        let database = open(&db);
        for n in 0..11 {
            start(&database, &format!("s{n:02}"), n / 2);
        }
        let seen: Vec<_> = all_pages(&database, 4, SessionRepository::list)
            .into_iter()
            .map(|session| session.session_id)
            .collect();
        assert_eq!(seen, (0..11).rev().map(|n| format!("s{n:02}")).collect::<Vec<_>>());
        write(&database, |conn| EventRepository::record(conn, &event("s01", "start", 1)));
        take(&database, "s01", 1);
        write(&database, |conn| SessionRepository::delete(conn, "s01"));
        let page = PageRequest::default();
        let events = read(&database, |conn| EventRepository::list_by_session(conn, "s01", &page));
        let left = read(&database, |conn| UsageSnapshotRepository::list_by_session(conn, "s01", &page));
        assert_eq!((events.items, left.items), (vec![], vec![]));
    }

    fn events_are_listed_by_session_and_type(db: TestDb) {
        let database = open(&db);
        start(&database, "s1", 0);
        start(&database, "s2", 0);
        let one = write(&database, |conn| EventRepository::record(conn, &event("s1", "begin", -1)));
        assert_eq!((one.event_type.as_str(), one.timestamp, one.payload.0), ("begin", at(-1), json!({"n": -1})));
        let new: Vec<_> = (0..2_400)
            .map(|n| event(["s1", "s2"][n % 2], ["PreToolUse", "stop", "stop"][n % 3], i64::try_from(n / 4).unwrap()))
            .collect();
        assert_eq!(write(&database, |conn| EventRepository::record_many(conn, &new)), 2_400);
        let of_session = all_pages(&database, 171, |conn, page| {
            EventRepository::list_by_session(conn, "s1", page)
        });
        let times: Vec<_> = of_session.iter().map(|event| event.timestamp).collect();
        let expected: Vec<_> = std::iter::once(at(-1))
            .chain(new.iter().step_by(2).map(|event| event.timestamp))
            .collect();
        assert_eq!(times, expected);
        let of_type = all_pages(&database, 171, |conn, page| {
            EventRepository::list_by_type(conn, "PreToolUse", page)
        });
        let seen: Vec<_> = of_type.iter().map(|event| (event.session_id.as_str(), event.timestamp)).collect();
        let expected: Vec<_> = new.iter().step_by(3).rev()
            .map(|event| (event.session_id.as_str(), event.timestamp))
            .collect();
        assert_eq!(seen, expected);
    }

    fn events_need_a_session(db: TestDb) {
        let database = open(&db);
        start(&database, "s1", 0);
        let (right, lost) = (event("s1", "a", 0), event("s9", "a", 0));
        for refused in [
            refusal(&database, |conn| EventRepository::record(conn, &lost).map(drop)),
            refusal(&database, |conn| {
                EventRepository::record_many(conn, &[right.clone(), lost.clone()]).map(drop)
            }),
            refusal(&database, |conn| UsageSnapshotRepository::create(conn, &snapshot("s9", 0)).map(drop)),
        ] {
            assert_eq!(refused.to_string(), "session_id: there is no session s9");
        }
        let left = all_pages(&database, 9, |conn, page| EventRepository::list_by_session(conn, "s1", page));
        assert_eq!(left, []);
        let large = Json(json!("x".repeat(1 << 20)));
        for (field, wrong) in [
            ("session_id", event("", "a", 0)),
            ("event_type", event("s1", "two words", 0)),
            ("payload", NewEvent { payload: large.clone(), ..right }),
        ] {
            for refused in [
                refusal(&database, |conn| EventRepository::record(conn, &wrong).map(drop)),
                refusal(&database, |conn| {
                    EventRepository::record_many(conn, std::slice::from_ref(&wrong)).map(drop)
                }),
            ] {
                assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
            }
        }
        for (field, wrong) in [
            ("session_id", snapshot("", 0)),
            ("snapshot_data", NewUsageSnapshot { snapshot_data: large, ..snapshot("s1", 0) }),
        ] {
            let refused = refusal(&database, |conn| UsageSnapshotRepository::create(conn, &wrong));
            assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
        }
    }

    fn a_session_that_goes_meanwhile_is_missing(db: TestDb) {
        let database = open(&db);
        for others in [0, 1] {
            for id in ["s1", "s2"] {
                start(&database, id, 0);
            }
            let new: Vec<_> = ["s1", "s2"][..=others].iter().map(|id| event(id, "a", 0)).collect();
            let lost = after_a_rival(
                &db,
                |conn| SessionRepository::delete(conn, "s1"),
                |conn| EventRepository::record_many(conn, &new),
            );
            assert_eq!(lost.unwrap_err().to_string(), "session_id: there is no session s1");
            write(&database, |conn| SessionRepository::delete(conn, "s2"));
        }
    }

    fn snapshots_are_listed_a_day_back(db: TestDb) {
        let database = open(&db);
        start(&database, "s1", 0);
        start(&database, "s2", 0);
        let day = 24 * 60 * 60;
        let config = NewUsageSnapshot { snapshot_type: SnapshotType::Config, ..snapshot("s1", -1) };
        let old = write(&database, |conn| UsageSnapshotRepository::create(conn, &config));
        assert_eq!(read(&database, |conn| UsageSnapshotRepository::find(conn, old.id)), Some(old.clone()));
        assert_eq!((old.snapshot_type, &old.snapshot_data.0), (SnapshotType::Config, &json!({"tokens": -1})));
        assert_eq!(read(&database, |conn| UsageSnapshotRepository::find(conn, old.id + 999)), None);
        // One of a second before the day, one at its very begin, many within.
        for n in 0..150 {
            take(&database, ["s1", "s2"][n % 2], i64::try_from(n / 3).unwrap());
        }
        let recent = SnapshotFilter::recent(at(day));
        let tokens = |of: &[db_schema::rows::UsageSnapshot]| -> Vec<_> {
            of.iter().map(|one| one.snapshot_data.0["tokens"].as_i64().unwrap()).collect()
        };
        let newest: Vec<_> = (0..150).rev().map(|n| n / 3).collect();
        let page = read(&database, |conn| {
            UsageSnapshotRepository::list(conn, &recent, &PageRequest::default())
        });
        assert_eq!(tokens(&page.items), newest[..100]);
        let all = all_pages(&database, 7, |conn, page| UsageSnapshotRepository::list(conn, &recent, page));
        assert_eq!(tokens(&all), newest);
        let theirs = recent.session("s2");
        let all = all_pages(&database, 7, |conn, page| UsageSnapshotRepository::list(conn, &theirs, page));
        assert_eq!(tokens(&all), (0..150).rev().filter(|n| n % 2 == 1).map(|n| n / 3).collect::<Vec<_>>());
        let all = all_pages(&database, 7, |conn, page| {
            UsageSnapshotRepository::list_by_session(conn, "s1", page)
        });
        let expected: Vec<_> =
            std::iter::once(-1).chain((0..150).filter(|n| n % 2 == 0).map(|n| n / 3)).collect();
        assert_eq!(tokens(&all), expected);
        // At the begin of time there is no day back.
        assert_eq!(SnapshotFilter::recent(UtcTime::FIRST).since, UtcTime::FIRST);
    }

    fn old_snapshots_go_the_oldest_first(db: TestDb) {
        let database = open(&db);
        start(&database, "s1", 0);
        for n in 0..10 {
            take(&database, "s1", n);
        }
        let delete = |limit| {
            write(&database, |conn| UsageSnapshotRepository::delete_older_than(conn, at(7), limit))
        };
        assert_eq!(delete(5), 5);
        let left = all_pages(&database, 100, |conn, page| {
            UsageSnapshotRepository::list_by_session(conn, "s1", page)
        });
        assert_eq!(left.iter().map(|one| one.timestamp).collect::<Vec<_>>(), (5..10).map(at).collect::<Vec<_>>());
        assert_eq!((delete(5), delete(5)), (2, 0));
        let refused =
            refusal(&database, |conn| UsageSnapshotRepository::delete_older_than(conn, at(7), -1));
        assert!(matches!(refused, Error::Invalid { field: "limit", .. }), "{refused:?}");
    }
}
