//! Events of games, appended.

use db_core::DatabaseFailure as _;
use db_repo::{Error, EventStore, Expected};
use db_schema::rows::{GameState, NewGameEvent};
use db_testkit::{TestDb, both_engines};

use crate::event_store::{begun, changed, game};
use crate::support::{at, open, read, refusal, write};

both_engines! {
    fn what_is_no_event_is_refused_at_the_door(db: TestDb) {
        let database = open(&db);
        game(&database, "g1");
        let right = changed(GameState::Active);
        let of = |event_type: &str, payload: serde_json::Value| NewGameEvent {
            event_type: event_type.into(),
            payload: db_schema::types::Json(payload),
        };
        let payload = || right.payload.0.clone();
        let mut more = payload();
        more["pot"] = 5.into();
        let mut other_word = payload();
        other_word["state"] = "lost".into();
        for (field, wrong) in [
            ("event", of("game_lost", payload())),
            ("event", of("bet_resolved", payload())),
            ("event", of("phase_changed", serde_json::json!([]))),
            ("event", of("phase_changed", serde_json::json!({ "state": "active" }))),
            ("event", of("phase_changed", other_word)),
            ("payload", of("phase_changed", more)),
        ] {
            let events = [right.clone(), wrong];
            let refused = refusal(&database, |conn| EventStore::append(conn, "g1", Expected::Any, &events, at(1)));
            assert!(matches!(&refused, Error::Invalid { field: f, .. } if *f == field), "{refused:?}");
        }
        assert_eq!(read(&database, |conn| EventStore::version(conn, "g1")), 0);
    }

    fn events_are_counted_and_read_in_order(db: TestDb) {
        let database = open(&db);
        begun(&database, "g1");
        begun(&database, "g2");
        let (open_, active) = (changed(GameState::Open), changed(GameState::Active));
        let two = [open_.clone(), active.clone()];
        let version = write(&database, |conn| EventStore::append(conn, "g1", Expected::Version(1), &two, at(1)));
        assert_eq!(version, 3);
        let version = write(&database, |conn| EventStore::append(conn, "g1", Expected::Any, &two[..1], at(2)));
        assert_eq!(version, 4);
        let version = write(&database, |conn| EventStore::append(conn, "g2", Expected::Any, &two, at(3)));
        assert_eq!(version, 3);
        let events = read(&database, |conn| EventStore::read(conn, "g1", 3, 10));
        let seen: Vec<_> = events.iter().map(|e| (e.version, e.created_at, &e.payload)).collect();
        assert_eq!(seen, [(3, at(1), &active.payload), (4, at(2), &open_.payload)]);
        assert_eq!(read(&database, |conn| EventStore::read(conn, "g1", 1, 1)).len(), 1);
        assert_eq!(read(&database, |conn| EventStore::version(conn, "g1")), 4);
        assert_eq!(read(&database, |conn| EventStore::version(conn, "none")), 0);
    }

    fn of_rivals_each_is_counted_and_one_is_first(db: TestDb) {
        let database = open(&db);
        begun(&database, "g1");
        let events = [changed(GameState::Open)];
        // As `write_with_retry` does, without its bounds.
        let append = |expected| loop {
            let done = database.write(|conn| EventStore::append(conn, "g1", expected, &events, at(1)));
            let retryable = |error: &Error| error.database_error().is_some_and(db_core::Error::is_retryable);
            match done {
                Err(error) if retryable(&error) => {}
                done => return done,
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        append(Expected::Any).unwrap();
                    }
                });
            }
        });
        let seen = read(&database, |conn| EventStore::read(conn, "g1", 1, 1_000));
        assert!(seen.iter().map(|event| event.version).eq(1..=81));
        let ends: Vec<_> = std::thread::scope(|scope| {
            let rivals: Vec<_> =
                (0..4).map(|_| scope.spawn(|| append(Expected::Version(81)))).collect();
            rivals.into_iter().map(|rival| rival.join().unwrap()).collect()
        });
        let first = ends.iter().filter(|end| matches!(end, Ok(82))).count();
        let late = |end: &&Result<i64, Error>| {
            matches!(end, Err(Error::WrongVersion { expected: 81, found: 82, .. }))
        };
        assert_eq!((first, ends.iter().filter(late).count()), (1, 3), "{ends:?}");
    }

    fn an_append_at_another_version_is_refused_whole(db: TestDb) {
        let database = open(&db);
        begun(&database, "g1");
        let two = [changed(GameState::Open), changed(GameState::Active)];
        write(&database, |conn| EventStore::append(conn, "g1", Expected::Any, &two, at(1)));
        for (expected, events) in [(2, &two[..]), (4, &two[..]), (0, &two[..0])] {
            let refused = refusal(&database, |conn| {
                EventStore::append(conn, "g1", Expected::Version(expected), events, at(2))
            });
            assert!(
                matches!(&refused, Error::WrongVersion { game, expected: e, found: 3 } if game == "g1" && *e == expected),
                "{refused:?}"
            );
        }
        assert_eq!(read(&database, |conn| EventStore::version(conn, "g1")), 3);
        let refused = refusal(&database, |conn| {
            EventStore::append(conn, "none", Expected::Any, &two, at(2))
        });
        assert_eq!(refused.to_string(), "game_id: there is no game none");
    }
}
