//! A row of each kind that others can be like.

use db_core::Database;
use db_repo::money::{self, Fundable};
use db_repo::{
    AssetRepository, ConsensusRepository, ProfileRepository, SessionRepository, WorldRepository,
};
use db_schema::rows::{
    Bet, BetOutcome, BetType, ConsensusVote, NewAsset, NewConsensusRound, NewProfile, NewSession,
    NewWorld, NewWorldObject, Position,
};
use db_schema::types::Json;
use db_testkit::TestDb;
use serde_json::json;

use crate::money::table::{bet_id, fund, place, stake, table};
use crate::support::{at, write};

/// A database that holds all of them: Ada has 1,000, of which 10 are bet and 100 staked.
#[track_caller]
pub(super) fn filled(db: &TestDb) -> Database {
    let database = table(db);
    place(&database, 1, "g1", "ada", 10);
    write(&database, |conn| {
        money::fund(conn, &fund("t", Fundable::Treasury, 1_000), at(1))?;
        money::stake(conn, &stake("s", "p1", "ada", 100), at(1))?;
        AssetRepository::create(conn, &asset())?;
        ConsensusRepository::start_round(conn, &round(1))?;
        ConsensusRepository::vote(conn, &vote())?;
        ProfileRepository::create(conn, &profile("ada"))?;
        SessionRepository::start(conn, &session())?;
        WorldRepository::create(conn, &world("w"))
    });
    database
}

pub(super) fn asset() -> NewAsset {
    NewAsset {
        name: "a".into(),
        kind: "image".into(),
        location: "s3://a".into(),
        size_bytes: 1,
        hash: vec![1; 32],
        metadata: Json(json!({})),
        created_at: at(0),
    }
}

pub(super) fn round(number: i64) -> NewConsensusRound {
    NewConsensusRound {
        round_number: number,
        game_id: None,
        proposer_id: "p1".into(),
        proposal_hash: vec![1; 32],
        created_at: at(0),
    }
}

pub(super) fn vote() -> ConsensusVote {
    ConsensusVote {
        id: "v1".into(),
        round_number: 1,
        voter_id: "p1".into(),
        vote_hash: vec![1; 32],
        signature: vec![1; 64],
        created_at: at(0),
    }
}

pub(super) fn profile(user: &str) -> NewProfile {
    NewProfile {
        user_id: user.to_owned(),
        telegram_id: 7,
        username: None,
        first_name: None,
        last_name: None,
        language_code: None,
        is_bot: false,
        is_premium: false,
        metadata: None,
        created_at: at(0),
    }
}

pub(super) fn session() -> NewSession {
    NewSession {
        session_id: "s1".into(),
        started_at: at(0),
        metadata: None,
    }
}

pub(super) fn world(name: &str) -> NewWorld {
    NewWorld {
        name: name.to_owned(),
        description: None,
        created_at: at(0),
    }
}

/// In a world that is not there.
pub(super) fn object() -> NewWorldObject {
    NewWorldObject {
        world_id: 999,
        object_type: "tree".into(),
        name: "t".into(),
        position: Position::default(),
        properties: Json(json!({})),
        created_at: at(0),
    }
}

/// A bet of the past that is not there yet.
pub(super) fn past() -> Bet {
    Bet {
        id: bet_id(77),
        game_id: "g1".into(),
        player_id: "ada".into(),
        bet_type: BetType::Pass,
        amount: 1,
        outcome: Some(BetOutcome::Lost),
        created_at: at(0),
        resolved_at: Some(at(1)),
    }
}
