//! Rounds of consensus and the votes in them.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::{consensus_rounds, consensus_votes};
use crate::types::UtcTime;

/// A round of consensus over one proposal.
#[derive(
    Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Serialize, Deserialize,
)]
#[diesel(table_name = consensus_rounds, primary_key(round_number), check_for_backend(Sqlite, Pg))]
pub struct ConsensusRound {
    /// Key, given by the protocol.
    pub round_number: i64,
    /// The game that it is about.
    pub game_id: Option<String>,
    /// Who proposed.
    pub proposer_id: String,
    /// Hash of the proposal.
    pub proposal_hash: Vec<u8>,
    /// Votes in it, whatever for.
    pub vote_count: i64,
    /// Whether it has been decided.
    pub finalized: bool,
    /// When it was started.
    pub created_at: UtcTime,
    /// When it was decided.
    pub finalized_at: Option<UtcTime>,
}

/// A round to be.
#[derive(Debug, Clone, PartialEq, Eq, Insertable)]
#[diesel(table_name = consensus_rounds, treat_none_as_default_value = false)]
pub struct NewConsensusRound {
    /// Key, given by the protocol; not negative.
    pub round_number: i64,
    /// The game that it is about.
    pub game_id: Option<String>,
    /// Who proposes.
    pub proposer_id: String,
    /// Hash of the proposal.
    pub proposal_hash: Vec<u8>,
    /// Now.
    pub created_at: UtcTime,
}

/// The vote of one peer in one round.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Queryable,
    Selectable,
    Identifiable,
    Insertable,
    Serialize,
    Deserialize,
)]
#[diesel(table_name = consensus_votes, check_for_backend(Sqlite, Pg))]
pub struct ConsensusVote {
    /// Key.
    pub id: String,
    /// The round.
    pub round_number: i64,
    /// Who votes.
    pub voter_id: String,
    /// What for.
    pub vote_hash: Vec<u8>,
    /// The voter's signature.
    pub signature: Vec<u8>,
    /// When.
    pub created_at: UtcTime,
}
