//! The network, and worlds.

use db_repo::{AssetRepository, ConsensusRepository, PageRequest, PeerRepository, WorldRepository};
use db_schema::rows::{AssetChanges, Position, WorldChanges, WorldObjectChanges};

use super::Door;
use super::wrong::{NO_NUMBERS, Writes, door};
use crate::rows::{asset, new_world, object, round, sighting, vote};
use crate::support::at;

pub(super) fn doors() -> Vec<Door> {
    let mut doors = network();
    doors.extend(worlds());
    doors
}

fn network() -> Vec<Door> {
    let peers = Writes::of(sighting("p1", 0))
        .by(door!(|conn, new| PeerRepository::upsert(conn, new)))
        .key("id", |new, text| new.id = text)
        .text("address", |new, text| new.address = text)
        .moment("last_seen_at", |new, at| new.seen_at = at);
    let addresses = Writes::of(String::new())
        .by(door!(|conn, text| PeerRepository::connect(
            conn,
            "p1",
            text,
            at(0)
        )))
        .text("address", |new, text| *new = text);
    let reasons = Writes::of(String::new())
        .by(door!(|conn, text| PeerRepository::record_failure(
            conn,
            1,
            text,
            at(0)
        )))
        .text("failure_reason", |new, text| *new = text);
    let latency = Writes::of(0)
        .by(door!(|conn, n| PeerRepository::record_latency(
            conn,
            1,
            *n,
            at(0)
        )))
        .numbers("latency_us", &[-1, i64::MIN], |new, n| *new = n);
    let bytes = Writes::of((0, 0))
        .by(door!(
            |conn, (sent, received)| PeerRepository::record_bytes(conn, 1, *sent, *received)
        ))
        .numbers("bytes_sent", &[-1, i64::MIN], |new, n| new.0 = n)
        .numbers("bytes_received", &[-1, i64::MIN], |new, n| new.1 = n);
    let rounds = Writes::of(round(1))
        .by(door!(|conn, new| ConsensusRepository::start_round(
            conn, new
        )))
        .numbers("round_number", &[-1, i64::MIN, i64::MAX], |new, n| {
            new.round_number = n;
        })
        .key("game_id", |new, text| new.game_id = Some(text))
        .key("proposer_id", |new, text| new.proposer_id = text)
        .bytes("proposal_hash", &[0, 15, 65], |new, bytes| {
            new.proposal_hash = bytes;
        })
        .moment("created_at", |new, at| new.created_at = at);
    let votes = Writes::of(vote(1, "p1", 1))
        .by(door!(|conn, new| ConsensusRepository::vote(conn, new)))
        .key("id", |new, text| new.id = text)
        .key("voter_id", |new, text| new.voter_id = text)
        .bytes("vote_hash", &[0, 15, 65], |new, bytes| {
            new.vote_hash = bytes;
        })
        .bytes("signature", &[0, 8_193], |new, bytes| new.signature = bytes)
        .moment("created_at", |new, at| new.created_at = at);
    let voters = Writes::of(0)
        .by(door!(|conn, n| ConsensusRepository::quorum(conn, 1, *n)))
        .by(door!(|conn, n| ConsensusRepository::finalize(
            conn,
            1,
            *n,
            at(0)
        )))
        .with("voters", |new| *new = 0);
    let all = [
        peers.doors(),
        addresses.doors(),
        reasons.doors(),
        latency.doors(),
        bytes.doors(),
        rounds.doors(),
        votes.doors(),
        voters.doors(),
    ];
    all.into_iter().flatten().collect()
}

#[expect(clippy::too_many_lines, reason = "one table, line by line")]
fn worlds() -> Vec<Door> {
    let worlds = Writes::of(new_world("w"))
        .by(door!(|conn, new| WorldRepository::create(conn, new)))
        .name("name", |new, text| new.name = text)
        .prose("description", |new, text| new.description = Some(text))
        .moment("created_at", |new, at| new.created_at = at);
    let changes = Writes::of(WorldChanges::default())
        .by(door!(|conn, new| WorldRepository::update(
            conn,
            1,
            new,
            at(0)
        )))
        .name("name", |new, text| new.name = Some(text))
        .prose("description", |new, text| {
            new.description = Some(Some(text));
        });
    let objects = Writes::of(object(1, "t", Position::default()))
        .by(door!(|conn, new| WorldRepository::create_object(conn, new)))
        .by(door!(|conn, new| WorldRepository::create_objects(
            conn,
            std::slice::from_ref(new)
        )))
        .word("object_type", |new, text| new.object_type = text)
        .text("name", |new, text| new.name = text)
        .floats("position", &NO_NUMBERS, |new, n| new.position.x = n)
        .floats("position", &NO_NUMBERS, |new, n| new.position.y = n)
        .floats("position", &[1.1e308, f64::NAN], |new, n| {
            new.position.z = n;
        })
        .object("properties", |new, json| new.properties = json)
        .moment("created_at", |new, at| new.created_at = at);
    let object_changes = Writes::of(WorldObjectChanges::default())
        .by(door!(|conn, new| WorldRepository::update_object(
            conn,
            1,
            new,
            at(0)
        )))
        .word("object_type", |new, text| new.object_type = Some(text))
        .text("name", |new, text| new.name = Some(text))
        .floats("position", &NO_NUMBERS, |new, n| {
            new.position = Some(Position::new(0.0, n, 0.0));
        })
        .object("properties", |new, json| new.properties = Some(json));
    let places = Writes::of(Position::default())
        .by(door!(|conn, place| WorldRepository::move_object(
            conn,
            1,
            *place,
            at(0)
        )))
        .floats("position", &NO_NUMBERS, |new, n| new.z = n);
    let boxes = Writes::of((Position::default(), Position::default()))
        .by(door!(|conn, (min, max)| {
            WorldRepository::list_objects_in_box(conn, 1, *min, *max, &PageRequest::default())
        }))
        .floats("min", &NO_NUMBERS, |new, n| new.0.y = n)
        .floats("max", &NO_NUMBERS, |new, n| new.1.y = n)
        .floats("max", &[-0.1], |new, n| new.1.y = n);
    let balls = Writes::of((Position::default(), 1.0))
        .by(door!(|conn, (centre, radius)| {
            WorldRepository::list_objects_within(conn, 1, *centre, *radius, &PageRequest::default())
        }))
        .floats("centre", &NO_NUMBERS, |new, n| new.0.z = n)
        .floats("radius", &NO_NUMBERS, |new, n| new.1 = n)
        .floats("radius", &[-1.0, 1.1e150], |new, n| new.1 = n);
    let assets = Writes::of(asset("a", "s3://a"))
        .by(door!(|conn, new| AssetRepository::create(conn, new)))
        .text("name", |new, text| new.name = text)
        .word("kind", |new, text| new.kind = text)
        .text("location", |new, text| new.location = text)
        .numbers("size_bytes", &[-1, i64::MIN], |new, n| new.size_bytes = n)
        .bytes("hash", &[0, 31, 33], |new, bytes| new.hash = bytes)
        .object("metadata", |new, json| new.metadata = json)
        .moment("created_at", |new, at| new.created_at = at);
    let asset_changes = Writes::of(AssetChanges::default())
        .by(door!(|conn, new| AssetRepository::update(
            conn,
            1,
            new,
            at(0)
        )))
        .text("name", |new, text| new.name = Some(text))
        .word("kind", |new, text| new.kind = Some(text))
        .text("location", |new, text| new.location = Some(text))
        .numbers("size_bytes", &[-1, i64::MIN], |new, n| {
            new.size_bytes = Some(n);
        })
        .bytes("hash", &[0, 31, 33], |new, bytes| new.hash = Some(bytes))
        .object("metadata", |new, json| new.metadata = Some(json));
    let all = [
        worlds.doors(),
        changes.doors(),
        objects.doors(),
        object_changes.doors(),
        places.doors(),
        boxes.doors(),
        balls.doors(),
        assets.doors(),
        asset_changes.doors(),
    ];
    all.into_iter().flatten().collect()
}
