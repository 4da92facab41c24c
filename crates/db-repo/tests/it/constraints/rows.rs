//! A database that others break the constraints of, and rows that do.

use db_core::Database;
use db_repo::money::{self, Fundable};
use db_repo::{
    AssetRepository, ConsensusRepository, ProfileRepository, SessionRepository, WorldRepository,
};
use db_schema::rows::{Bet, BetOutcome, BetType, ConsensusVote};
use db_testkit::TestDb;

use crate::money::table::{bet_id, fund, place, stake, table};
use crate::rows::{asset, new_profile, new_session, new_world, round, vote};
use crate::support::{at, write};

/// A database that holds all of them: Ada has 1,000, of which 10 are bet and 100 staked.
#[track_caller]
pub(super) fn filled(db: &TestDb) -> Database {
    let database = table(db);
    place(&database, 1, "g1", "ada", 10);
    write(&database, |conn| {
        money::fund(conn, &fund("t", Fundable::Treasury, 1_000), at(1))?;
        money::stake(conn, &stake("s", "p1", "ada", 100), at(1))?;
        AssetRepository::create(conn, &asset("a", "s3://a"))?;
        ConsensusRepository::start_round(conn, &round(1))?;
        ConsensusRepository::vote(conn, &first_vote())?;
        ProfileRepository::create(conn, &new_profile("ada", 7, 0))?;
        SessionRepository::start(conn, &new_session("s1", 0))?;
        WorldRepository::create(conn, &new_world("w"))
    });
    database
}

pub(super) fn first_vote() -> ConsensusVote {
    ConsensusVote {
        id: "v1".into(),
        ..vote(1, "p1", 1)
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
