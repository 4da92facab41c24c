//! Rows of each kind, as callers hand them in; others are like them but for a field.

use db_schema::rows::{
    ConsensusVote, NewAsset, NewConsensusRound, NewEvent, NewGame, NewMetric, NewProfile,
    NewSession, NewUsageSnapshot, NewWorld, NewWorldObject, PeerSighting, Position, SnapshotType,
};
use db_schema::types::Json;
use serde_json::json;

use crate::support::at;

pub(crate) fn new_game(id: &str, seconds: i64) -> NewGame {
    NewGame {
        id: id.to_owned(),
        created_at: at(seconds),
    }
}

pub(crate) fn sighting(id: &str, seconds: i64) -> PeerSighting {
    PeerSighting {
        id: id.to_owned(),
        address: format!("203.0.113.{seconds}:4000"),
        seen_at: at(seconds),
    }
}

pub(crate) fn round(number: i64) -> NewConsensusRound {
    NewConsensusRound {
        round_number: number,
        game_id: None,
        proposer_id: "p0".to_owned(),
        proposal_hash: vec![1; 32],
        created_at: at(number),
    }
}

pub(crate) fn vote(round: i64, voter: &str, hash: u8) -> ConsensusVote {
    ConsensusVote {
        id: format!("{round}/{voter}/{hash}"),
        round_number: round,
        voter_id: voter.to_owned(),
        vote_hash: vec![hash; 32],
        signature: vec![9; 64],
        created_at: at(100),
    }
}

pub(crate) fn new_profile(user: &str, telegram_id: i64, seconds: i64) -> NewProfile {
    NewProfile {
        user_id: user.to_owned(),
        telegram_id,
        username: Some(format!("tg_{user}")),
        first_name: Some("Ada".to_owned()),
        last_name: None,
        language_code: Some("en".to_owned()),
        is_bot: false,
        is_premium: true,
        metadata: Some(Json(json!({"from": "test"}))),
        created_at: at(seconds),
    }
}

pub(crate) fn new_session(id: &str, seconds: i64) -> NewSession {
    NewSession {
        session_id: id.to_owned(),
        started_at: at(seconds),
        metadata: Some(Json(json!({"model": "x"}))),
    }
}

pub(crate) fn event(session: &str, event_type: &str, seconds: i64) -> NewEvent {
    NewEvent {
        session_id: session.to_owned(),
        event_type: event_type.to_owned(),
        payload: Json(json!({"n": seconds})),
        timestamp: at(seconds),
    }
}

pub(crate) fn snapshot(session: &str, seconds: i64) -> NewUsageSnapshot {
    NewUsageSnapshot {
        session_id: session.to_owned(),
        snapshot_data: Json(json!({"tokens": seconds})),
        snapshot_type: SnapshotType::Stats,
        timestamp: at(seconds),
    }
}

pub(crate) fn sample(name: &str, value: f64, seconds: i64) -> NewMetric {
    NewMetric {
        name: name.to_owned(),
        value,
        unit: Some("ms".to_owned()),
        labels: Json(json!({"host": "a"})),
        recorded_at: at(seconds),
    }
}

pub(crate) fn new_world(name: &str) -> NewWorld {
    NewWorld {
        name: name.to_owned(),
        description: Some("two\nlines".to_owned()),
        created_at: at(1),
    }
}

pub(crate) fn object(world: i64, name: &str, position: Position) -> NewWorldObject {
    NewWorldObject {
        world_id: world,
        object_type: "tree".to_owned(),
        name: name.to_owned(),
        position,
        properties: Json(json!({"height": 3.5})),
        created_at: at(1),
    }
}

pub(crate) fn asset(name: &str, location: &str) -> NewAsset {
    NewAsset {
        name: name.to_owned(),
        kind: "texture".to_owned(),
        location: location.to_owned(),
        size_bytes: 5_000_000_000,
        hash: vec![0xAB; 32],
        metadata: Json(json!({"mips": 4})),
        created_at: at(1),
    }
}
