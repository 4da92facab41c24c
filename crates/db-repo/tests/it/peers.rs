//! Peers and connections.

use std::sync::Barrier;

use db_core::Database;
use db_repo::{Error, PeerRepository};
use db_schema::rows::{ConnectionState, PeerSighting, PeerState};
use db_testkit::{TestDb, both_engines};

use crate::rows::sighting;
use crate::support::{after_a_rival, all_pages, at, open, read, refusal, write};

#[track_caller]
fn see(database: &Database, id: &str, seconds: i64) {
    write(database, |conn| {
        PeerRepository::upsert(conn, &sighting(id, seconds))
    });
}

#[track_caller]
fn connect(database: &Database, id: &str, seconds: i64) -> i64 {
    write(database, |conn| {
        PeerRepository::connect(conn, id, "198.51.100.1:1", at(seconds))
    })
    .id
}

both_engines! {
    fn sightings_may_come_in_any_order(db: TestDb) {
        let database = open(&db);
        let first = write(&database, |conn| PeerRepository::upsert(conn, &sighting("p1", 5)));
        assert_eq!((first.state, first.first_seen_at, first.last_seen_at),
            (PeerState::Discovered, at(5), at(5)));
        assert_eq!((first.latency_us, first.failure_count), (None, 0));
        see(&database, "p1", 9);
        see(&database, "p1", 2);
        let peer = read(&database, |conn| PeerRepository::get(conn, "p1"));
        assert_eq!((peer.first_seen_at, peer.last_seen_at), (at(2), at(9)));
        assert_eq!(peer.address, "203.0.113.9:4000");
        assert!(read(&database, |conn| PeerRepository::exists(conn, "p1")));
        assert!(!read(&database, |conn| PeerRepository::exists(conn, "p2")));
        assert_eq!(read(&database, |conn| PeerRepository::find(conn, "p2")), None);
        for (field, wrong) in [
            ("id", PeerSighting { id: String::new(), ..sighting("p1", 1) }),
            ("address", PeerSighting { address: String::new(), ..sighting("p1", 1) }),
        ] {
            let refused = refusal(&database, |conn| PeerRepository::upsert(conn, &wrong));
            assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
        }
    }

    fn peers_are_listed_by_state_and_last_sighting(db: TestDb) {
        let database = open(&db);
        let ids: Vec<_> = (0..20).map(|n| format!("p{n:02}")).collect();
        for (n, id) in (0..).zip(&ids) {
            see(&database, id, n / 2);
            if n % 3 == 0 {
                write(&database, |conn| PeerRepository::update_state(conn, id, PeerState::Banned));
            }
        }
        let seen: Vec<_> =
            all_pages(&database, 6, PeerRepository::list).into_iter().map(|p| p.id).collect();
        assert_eq!(seen, ids.iter().rev().cloned().collect::<Vec<_>>());
        let of = |state| -> Vec<_> {
            all_pages(&database, 3, |conn, page| PeerRepository::list_by_state(conn, state, page))
                .into_iter()
                .map(|peer| peer.id)
                .collect()
        };
        let banned: Vec<_> = (0..20).rev().filter(|n| n % 3 == 0).map(|n| format!("p{n:02}")).collect();
        assert_eq!(of(PeerState::Banned), banned);
        assert_eq!(of(PeerState::Discovered).len(), 13);
        assert_eq!(of(PeerState::Connected), Vec::<String>::new());
        let refused =
            refusal(&database, |conn| PeerRepository::update_state(conn, "p99", PeerState::Banned));
        assert_eq!(refused.to_string(), "there is no peer p99");
    }

    fn a_connection_adds_to_its_peer_when_it_ends(db: TestDb) {
        let database = open(&db);
        see(&database, "p1", 1);
        let id = connect(&database, "p1", 2);
        let made = read(&database, |conn| PeerRepository::get_connection(conn, id));
        assert_eq!((made.state, made.connected_at), (ConnectionState::Connecting, at(2)));
        let peer = read(&database, |conn| PeerRepository::get(conn, "p1"));
        assert_eq!((peer.state, peer.last_seen_at), (PeerState::Connecting, at(2)));
        assert_eq!(peer.address, "198.51.100.1:1");

        write(&database, |conn| PeerRepository::update_established(conn, id, at(3)));
        write(&database, |conn| PeerRepository::record_latency(conn, id, 1_500, at(4)));
        write(&database, |conn| PeerRepository::record_bytes(conn, id, 10, 1));
        write(&database, |conn| PeerRepository::record_bytes(conn, id, 5, 2));
        let peer = read(&database, |conn| PeerRepository::get(conn, "p1"));
        assert_eq!((peer.state, peer.latency_us), (PeerState::Connected, Some(1_500)));
        assert_eq!((peer.bytes_sent, peer.last_seen_at), (0, at(4)));

        let ended = write(&database, |conn| PeerRepository::disconnect(conn, id, at(6)));
        assert_eq!((ended.state, ended.disconnected_at), (ConnectionState::Disconnected, Some(at(6))));
        assert_eq!((ended.bytes_sent, ended.bytes_received, ended.latency_us), (15, 3, Some(1_500)));
        let peer = read(&database, |conn| PeerRepository::get(conn, "p1"));
        assert_eq!((peer.bytes_sent, peer.bytes_received, peer.failure_count), (15, 3, 0));
        assert_eq!((peer.state, peer.last_seen_at), (PeerState::Disconnected, at(6)));

        let id = connect(&database, "p1", 7);
        write(&database, |conn| PeerRepository::record_bytes(conn, id, 1, 1));
        let broken = write(&database, |conn| PeerRepository::record_failure(conn, id, "reset", at(8)));
        assert_eq!((broken.state, broken.failure_reason.as_deref()), (ConnectionState::Failed, Some("reset")));
        let peer = read(&database, |conn| PeerRepository::get(conn, "p1"));
        assert_eq!((peer.bytes_sent, peer.bytes_received, peer.failure_count), (16, 4, 1));
    }

    fn what_has_ended_does_not_go_on(db: TestDb) {
        let database = open(&db);
        see(&database, "p1", 1);
        let id = connect(&database, "p1", 2);
        write(&database, |conn| PeerRepository::disconnect(conn, id, at(3)));
        let calls = |id| [
            refusal(&database, |conn| PeerRepository::update_established(conn, id, at(9))),
            refusal(&database, |conn| PeerRepository::record_latency(conn, id, 1, at(9))),
            refusal(&database, |conn| PeerRepository::record_bytes(conn, id, 1, 1)),
            refusal(&database, |conn| PeerRepository::disconnect(conn, id, at(9))),
            refusal(&database, |conn| PeerRepository::record_failure(conn, id, "late", at(9))),
        ];
        for refused in calls(id) {
            assert_eq!(refused.to_string(), format!("connection {id} has ended"));
        }
        for refused in calls(id + 1) {
            assert_eq!(refused.to_string(), format!("there is no connection {}", id + 1));
        }
        // What was refused left nothing.
        let peer = read(&database, |conn| PeerRepository::get(conn, "p1"));
        assert_eq!((peer.last_seen_at, peer.failure_count), (at(3), 0));
        for refused in [
            refusal(&database, |conn| PeerRepository::record_latency(conn, id, -1, at(9))),
            refusal(&database, |conn| PeerRepository::record_bytes(conn, id, -1, 1)),
            refusal(&database, |conn| PeerRepository::record_bytes(conn, id, 1, -1)),
            refusal(&database, |conn| {
                PeerRepository::record_failure(conn, id, "", at(9)).map(drop)
            }),
        ] {
            assert!(matches!(refused, Error::Invalid { .. }), "{refused:?}");
        }
    }

    fn nobody_connects_to_the_banned_or_unknown(db: TestDb) {
        let database = open(&db);
        see(&database, "p1", 1);
        let id = connect(&database, "p1", 2);
        write(&database, |conn| PeerRepository::update_state(conn, "p1", PeerState::Banned));
        let refused = refusal(&database, |conn| PeerRepository::connect(conn, "p1", "x:1", at(3)));
        assert!(matches!(refused, Error::PeerBanned(ref peer) if peer == "p1"), "{refused:?}");
        let refused = refusal(&database, |conn| PeerRepository::connect(conn, "p2", "x:1", at(3)));
        assert_eq!(refused.to_string(), "there is no peer p2");
        // A ban outlives the connections that were open, and sightings.
        write(&database, |conn| PeerRepository::update_established(conn, id, at(4)));
        write(&database, |conn| PeerRepository::disconnect(conn, id, at(5)));
        see(&database, "p1", 6);
        let peer = read(&database, |conn| PeerRepository::get(conn, "p1"));
        assert_eq!(peer.state, PeerState::Banned);
    }

    fn connections_are_listed_open_and_by_peer(db: TestDb) {
        let database = open(&db);
        see(&database, "p1", 1);
        see(&database, "p2", 1);
        let ids: Vec<_> =
            (0..12).map(|n| connect(&database, ["p1", "p2"][n % 2], 10 + i64::try_from(n / 2).unwrap())).collect();
        for id in &ids[..4] {
            write(&database, |conn| PeerRepository::disconnect(conn, *id, at(30)));
        }
        let open: Vec<_> =
            all_pages(&database, 3, PeerRepository::list_open).into_iter().map(|c| c.id).collect();
        assert_eq!(open, ids[4..].iter().rev().copied().collect::<Vec<_>>());
        let of_peer: Vec<_> = all_pages(&database, 4, |conn, page| {
            PeerRepository::list_connections(conn, "p1", page)
        })
        .into_iter()
        .map(|connection| connection.id)
        .collect();
        assert_eq!(of_peer, ids.iter().rev().skip(1).step_by(2).copied().collect::<Vec<_>>());
        assert_eq!(read(&database, |conn| PeerRepository::find_connection(conn, ids[11] + 1)), None);
        // One of several that are open goes: the peer stays as the others are.
        write(&database, |conn| PeerRepository::disconnect(conn, ids[5], at(31)));
        let peer = read(&database, |conn| PeerRepository::get(conn, "p2"));
        assert_eq!(peer.state, PeerState::Connecting);
    }

    fn connections_that_end_at_once_leave_the_peer_disconnected(db: TestDb) {
        let database = open(&db);
        see(&database, "p1", 1);
        let ids: Vec<_> = (0..6).map(|n| connect(&database, "p1", n)).collect();
        for id in &ids {
            write(&database, |conn| PeerRepository::record_bytes(conn, *id, 7, 3));
        }
        let together = Barrier::new(ids.len());
        std::thread::scope(|scope| {
            for id in &ids {
                let (database, together) = (&database, &together);
                scope.spawn(move || {
                    together.wait();
                    write(database, |conn| PeerRepository::disconnect(conn, *id, at(50)));
                });
            }
        });
        let peer = read(&database, |conn| PeerRepository::get(conn, "p1"));
        assert_eq!((peer.bytes_sent, peer.bytes_received), (42, 18));
        assert_eq!(peer.state, PeerState::Disconnected);
    }

    fn what_cannot_be_counted_any_more_keeps_no_connection_open(db: TestDb) {
        let database = open(&db);
        see(&database, "p1", 1);
        for seconds in 2..4 {
            let id = connect(&database, "p1", seconds);
            for _ in 0..2 {
                write(&database, |conn| {
                    PeerRepository::record_bytes(conn, id, i64::MAX, i64::MAX - 1)
                });
            }
            let ended = write(&database, |conn| {
                PeerRepository::record_failure(conn, id, "reset", at(seconds))
            });
            assert_eq!((ended.bytes_sent, ended.bytes_received), (i64::MAX, i64::MAX));
        }
        let peer = read(&database, |conn| PeerRepository::get(conn, "p1"));
        assert_eq!((peer.bytes_sent, peer.bytes_received), (i64::MAX, i64::MAX));
        assert_eq!((peer.state, peer.failure_count), (PeerState::Disconnected, 2));
    }

    fn peers_unseen_for_long_are_forgotten(db: TestDb) {
        let database = open(&db);
        for (id, seconds) in [("old", 1), ("banned", 1), ("open", 1), ("edge", 5), ("new", 9)] {
            see(&database, id, seconds);
        }
        write(&database, |conn| PeerRepository::update_state(conn, "banned", PeerState::Banned));
        let open_one = connect(&database, "open", 2);
        let old_one = connect(&database, "old", 2);
        write(&database, |conn| PeerRepository::disconnect(conn, old_one, at(3)));
        let gone = write(&database, |conn| PeerRepository::delete_older_than(conn, at(5), 10));
        assert_eq!(gone, 1);
        assert_eq!(read(&database, |conn| PeerRepository::find_connection(conn, old_one)), None);
        let mut left: Vec<_> =
            all_pages(&database, 10, PeerRepository::list).into_iter().map(|p| p.id).collect();
        left.sort();
        assert_eq!(left, ["banned", "edge", "new", "open"]);
        write(&database, |conn| PeerRepository::delete(conn, "open"));
        assert_eq!(read(&database, |conn| PeerRepository::find_connection(conn, open_one)), None);
        let refused = refusal(&database, |conn| PeerRepository::delete(conn, "open"));
        assert_eq!(refused.to_string(), "there is no peer open");
    }

    fn who_was_seen_longest_ago_is_forgotten_first(db: TestDb) {
        let database = open(&db);
        for (id, seconds) in [("b", 2), ("d", 4), ("a", 1), ("e", 9), ("c", 3)] {
            see(&database, id, seconds);
        }
        let forget = || write(&database, |conn| PeerRepository::delete_older_than(conn, at(9), 2));
        assert_eq!(forget(), 2);
        let left: Vec<_> =
            all_pages(&database, 10, PeerRepository::list).into_iter().map(|peer| peer.id).collect();
        assert_eq!(left, ["e", "d", "c"]);
        assert_eq!([forget(), forget()], [2, 0]);
    }

    fn who_is_banned_or_seen_meanwhile_stays(db: TestDb) {
        let database = open(&db);
        see(&database, "banned", 1);
        see(&database, "connected", 1);
        let gone = after_a_rival(
            &db,
            |conn| {
                PeerRepository::update_state(conn, "banned", PeerState::Banned)?;
                PeerRepository::connect(conn, "connected", "x:1", at(9)).map(drop)
            },
            |conn| PeerRepository::delete_older_than(conn, at(5), 10),
        );
        assert_eq!(gone.unwrap(), 0);
        for id in ["banned", "connected"] {
            assert!(read(&database, |conn| PeerRepository::exists(conn, id)), "{id}");
        }
    }
}
