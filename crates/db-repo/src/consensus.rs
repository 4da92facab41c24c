//! Rounds of consensus: votes, quorum, finality.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{ConsensusRound, ConsensusVote, NewConsensusRound};
use db_schema::schema::{consensus_rounds, consensus_votes};
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

use crate::page::Place;
use crate::refusal::{Parent, Row, refused};
use crate::{Error, Page, PageRequest, Result, check};

const ENTITY: &str = "consensus round";

/// Bytes of a hash: from 128 to 512 bits.
const HASH: std::ops::RangeInclusive<usize> = 16..=64;

/// Bytes of a signature: what today's schemes need.
const SIGNATURE: std::ops::RangeInclusive<usize> = 1..=8_192;

/// Columns in the order of [`ConsensusRound`].
type Row8 = (
    BigInt,
    Nullable<Text>,
    Text,
    Binary,
    BigInt,
    Bool,
    UtcTimestamp,
    Nullable<UtcTimestamp>,
);

statement! {
    /// Rounds of a game, latest first.
    struct OfGame<'a> {
        game: &'a str as Text,
        before: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row8;
    "SELECT round_number, game_id, proposer_id, proposal_hash, vote_count, finalized, created_at,
    finalized_at FROM consensus_rounds WHERE game_id = " game " AND round_number < " before "
    ORDER BY round_number DESC LIMIT " rows " + 0"
}

statement! {
    /// Rounds that are not decided, oldest first.
    struct Open {
        at: UtcTime as UtcTimestamp,
        round: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row8;
    "SELECT round_number, game_id, proposer_id, proposal_hash, vote_count, finalized, created_at,
    finalized_at FROM consensus_rounds
    WHERE finalized_at IS NULL AND (created_at, round_number) > (" at ", " round ")
    ORDER BY created_at, round_number LIMIT " rows " + 0"
}

statement! {
    /// Counts a vote, and so takes the round: until the end of the transaction nobody else votes in
    /// it or decides it.
    struct Count<'a> {
        round: i64 as BigInt,
        voter: &'a str as Text,
    }
    returns BigInt;
    "UPDATE consensus_rounds SET vote_count = vote_count + 1 WHERE round_number = " round "
    AND finalized_at IS NULL AND NOT EXISTS (SELECT 1 FROM consensus_votes
        WHERE round_number = " round " AND voter_id = " voter ")
    RETURNING vote_count"
}

statement! {
    /// Writes a vote, unless the voter has voted; the target keeps a vote that breaks the primary
    /// key too from being named for that.
    struct Vote<'a> {
        id: &'a str as Text,
        round: i64 as BigInt,
        voter: &'a str as Text,
        hash: &'a [u8] as Binary,
        signature: &'a [u8] as Binary,
        at: UtcTime as UtcTimestamp,
    }
    "INSERT INTO consensus_votes (id, round_number, voter_id, vote_hash, signature, created_at)
    VALUES (" id ", " round ", " voter ", " hash ", " signature ", " at ")
    ON CONFLICT (round_number, voter_id) DO NOTHING"
}

statement! {
    struct Votes<'a> {
        round: i64 as BigInt,
        after: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns (Text, BigInt, Text, Binary, Binary, UtcTimestamp);
    "SELECT id, round_number, voter_id, vote_hash, signature, created_at FROM consensus_votes
    WHERE round_number = " round " AND voter_id > " after "
    ORDER BY voter_id LIMIT " rows " + 0"
}

statement! {
    /// The hash with most votes; of several the first.
    struct Leading {
        round: i64 as BigInt,
    }
    returns (Binary, BigInt);
    "SELECT vote_hash, count(*) FROM consensus_votes WHERE round_number = " round "
    GROUP BY vote_hash ORDER BY count(*) DESC, vote_hash LIMIT 1"
}

statement! {
    struct Finalize {
        round: i64 as BigInt,
        at: UtcTime as UtcTimestamp,
    }
    returns Row8;
    "UPDATE consensus_rounds SET finalized = TRUE, finalized_at = " at "
    WHERE round_number = " round " AND finalized_at IS NULL
    RETURNING round_number, game_id, proposer_id, proposal_hash, vote_count, finalized, created_at,
    finalized_at"
}

/// How far a round is from being decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// The hash with most votes; none before the first vote.
    pub vote_hash: Option<Vec<u8>>,
    /// Votes for it.
    pub votes: i64,
    /// Votes for one hash that decide: strictly more than two thirds of the voters.
    pub needed: i64,
}

impl Quorum {
    /// Whether there are enough votes for one hash.
    #[must_use]
    pub const fn is_reached(&self) -> bool {
        self.votes >= self.needed
    }
}

/// Rounds of byzantine consensus: one vote per voter and round, decided by more than two thirds.
#[derive(Debug)]
pub struct ConsensusRepository;

impl ConsensusRepository {
    /// Starts a round.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists`, `MissingParent` for a game that is not there, `Database`.
    pub fn start_round(conn: &mut Conn<'_>, new: &NewConsensusRound) -> Result<ConsensusRound> {
        check::within("round_number", new.round_number, 0..=i64::MAX - 1)?;
        check::key("proposer_id", &new.proposer_id)?;
        check::bytes("proposal_hash", &new.proposal_hash, HASH)?;
        if let Some(game) = &new.game_id {
            check::key("game_id", game)?;
        }
        check::moment("created_at", new.created_at)?;
        let taken = |constraint: &str| {
            (constraint == "pk_consensus_rounds")
                .then(|| Error::already_exists(ENTITY, new.round_number))
        };
        let game = new.game_id.as_deref().map(|game| Parent {
            constraint: "fk_consensus_rounds_game_id",
            field: "game_id",
            row: Row::Game(game),
        });
        with_conn!(conn, |c| diesel::insert_into(consensus_rounds::table)
            .values(new)
            .returning(ConsensusRound::as_returning())
            .get_result(c))
        .map_err(|error| refused(conn, error, taken, game.as_slice()))
    }

    /// The round of this number.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, round: i64) -> Result<Option<ConsensusRound>> {
        Ok(with_conn!(conn, |c| consensus_rounds::table
            .find(round)
            .select(ConsensusRound::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The round of this number, which has to be there.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, round: i64) -> Result<ConsensusRound> {
        Self::find(conn, round)?.ok_or_else(|| Error::not_found(ENTITY, round))
    }

    /// Rounds of a game, latest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_by_game(
        conn: &mut Conn<'_>,
        game: &str,
        page: &PageRequest,
    ) -> Result<Page<ConsensusRound>> {
        check::sought("game_id", game)?;
        let page = &page.of("consensus.of_game")?;
        let rows = page.rows();
        let before = page.before_id();
        let list = OfGame { game, before, rows };
        let found: Vec<ConsensusRound> = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, |last| {
            Place::of_id(last.round_number)
        }))
    }

    /// Rounds that are not decided, oldest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_open(conn: &mut Conn<'_>, page: &PageRequest) -> Result<Page<ConsensusRound>> {
        let page = &page.of("consensus.open")?;
        let rows = page.rows();
        let (at, round) = page.after_time_id(UtcTime::FIRST)?;
        let list = Open { at, round, rows };
        let found: Vec<ConsensusRound> = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, |last| {
            Place::at(last.created_at, last.round_number)
        }))
    }

    /// Votes in a round; the votes in it from now on. Voters of one round take turns.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `RoundFinalized`, `VotedTwice` for whatever hash, `AlreadyExists` for a
    /// key of another voter's, `Database`.
    pub fn vote(conn: &mut Conn<'_>, vote: &ConsensusVote) -> Result<i64> {
        check::key("id", &vote.id)?;
        check::key("voter_id", &vote.voter_id)?;
        check::bytes("vote_hash", &vote.vote_hash, HASH)?;
        check::bytes("signature", &vote.signature, SIGNATURE)?;
        check::moment("created_at", vote.created_at)?;
        let round = vote.round_number;
        let voted_twice = || Error::VotedTwice {
            round,
            voter: vote.voter_id.clone(),
        };
        let count = Count {
            round,
            voter: &vote.voter_id,
        };
        let count: Option<i64> = with_conn!(conn, |c| count.get_result(c).optional())?;
        let Some(count) = count else {
            return Err(if Self::get(conn, round)?.finalized {
                Error::RoundFinalized(round)
            } else {
                voted_twice()
            });
        };
        let insert = Vote {
            id: &vote.id,
            round,
            voter: &vote.voter_id,
            hash: &vote.vote_hash,
            signature: &vote.signature,
            at: vote.created_at,
        };
        let taken = |constraint: &str| {
            (constraint == "pk_consensus_votes").then(|| Error::already_exists("vote", &vote.id))
        };
        let rows = with_conn!(conn, |c| insert.execute(c))
            .map_err(|error| refused(conn, error, taken, &[]))?;
        // Two at once: the other one's vote was not to be seen when the round was taken.
        if rows == 1 {
            Ok(count)
        } else {
            Err(voted_twice())
        }
    }

    /// Votes in a round, by voter.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_votes(
        conn: &mut Conn<'_>,
        round: i64,
        page: &PageRequest,
    ) -> Result<Page<ConsensusVote>> {
        let page = &page.of("consensus.votes")?;
        let rows = page.rows();
        let after = page.after_key();
        let list = Votes { round, after, rows };
        let found: Vec<ConsensusVote> = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, |last| Place::of_key(&last.voter_id)))
    }

    /// The vote of a voter in a round.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find_vote(
        conn: &mut Conn<'_>,
        round: i64,
        voter: &str,
    ) -> Result<Option<ConsensusVote>> {
        check::sought("voter_id", voter)?;
        Ok(with_conn!(conn, |c| consensus_votes::table
            .filter(consensus_votes::round_number.eq(round))
            .filter(consensus_votes::voter_id.eq(voter))
            .select(ConsensusVote::as_select())
            .get_result(c))
        .optional()?)
    }

    /// How far a round is from being decided by so many voters.
    ///
    /// # Errors
    /// `Invalid` without voters, `NotFound`, `Database`.
    pub fn quorum(conn: &mut Conn<'_>, round: i64, voters: u32) -> Result<Quorum> {
        check::within("voters", voters, 1..=u32::MAX)?;
        let leading: Option<(Vec<u8>, i64)> =
            with_conn!(conn, |c| Leading { round }.get_result(c).optional())?;
        if leading.is_none() {
            Self::get(conn, round)?;
        }
        let (vote_hash, votes) = leading.unzip();
        Ok(Quorum {
            vote_hash,
            votes: votes.unwrap_or(0),
            needed: i64::from(voters) * 2 / 3 + 1,
        })
    }

    /// Decides a round for the hash that strictly more than two thirds of so many voters are for,
    /// whatever it is. Votes are never taken back, so what is a quorum once stays one.
    ///
    /// # Errors
    /// `Invalid` without voters, `NotFound`, `NoQuorum`, `RoundFinalized`, `Database`.
    pub fn finalize(
        conn: &mut Conn<'_>,
        round: i64,
        voters: u32,
        now: UtcTime,
    ) -> Result<(ConsensusRound, Quorum)> {
        let quorum = Self::quorum(conn, round, voters)?;
        if !quorum.is_reached() {
            return Err(if Self::get(conn, round)?.finalized {
                Error::RoundFinalized(round)
            } else {
                Error::NoQuorum {
                    round,
                    votes: quorum.votes,
                    needed: quorum.needed,
                }
            });
        }
        let finalize = Finalize { round, at: now };
        match with_conn!(conn, |c| finalize.get_result(c).optional())? {
            Some(decided) => Ok((decided, quorum)),
            None => Err(Error::RoundFinalized(round)),
        }
    }
}
