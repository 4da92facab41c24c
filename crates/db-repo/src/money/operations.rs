//! Each operation once: by kind and reference.

use db_core::{Conn, statement, with_conn};
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{Binary, Text};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::refusal::touched_one;
use crate::{Error, Result, check};

/// A kind of operation; references are unique within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperationKind {
    /// [`deposit`](super::deposit).
    Deposit,
    /// [`withdraw`](super::withdraw).
    Withdraw,
    /// [`fund`](super::fund).
    Fund,
    /// [`transfer`](super::transfer).
    Transfer,
    /// [`place_bet`](super::place_bet).
    PlaceBet,
    /// [`resolve_bet`](super::resolve_bet).
    ResolveBet,
    /// [`settle_game`](super::settle_game).
    SettleGame,
    /// [`play_house_game`](super::play_house_game).
    PlayHouseGame,
    /// [`stake`](super::stake).
    Stake,
    /// [`unstake`](super::unstake).
    Unstake,
    /// [`claim_rewards`](super::claim_rewards).
    ClaimRewards,
    /// [`lock`](super::lock).
    Lock,
    /// [`unlock`](super::unlock).
    Unlock,
}

impl OperationKind {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdraw => "withdraw",
            Self::Fund => "fund",
            Self::Transfer => "transfer",
            Self::PlaceBet => "place_bet",
            Self::ResolveBet => "resolve_bet",
            Self::SettleGame => "settle_game",
            Self::PlayHouseGame => "play_house_game",
            Self::Stake => "stake",
            Self::Unstake => "unstake",
            Self::ClaimRewards => "claim_rewards",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
        }
    }
}

impl std::fmt::Display for OperationKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

statement! {
    /// Takes the reference; on PostgreSQL it waits for a rival who has it, until that one ends.
    struct TakeReference<'a> {
        kind: &'a str as Text,
        reference: &'a str as Text,
        hash: &'a [u8] as Binary,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO operations (kind, reference, content_hash, answer, created_at)
    VALUES (" kind ", " reference ", " hash ", '', " now ") ON CONFLICT DO NOTHING"
}

statement! {
    struct KeepAnswer<'a> {
        kind: &'a str as Text,
        reference: &'a str as Text,
        answer: &'a str as Text,
    }
    "UPDATE operations SET answer = " answer
    " WHERE kind = " kind " AND reference = " reference
}

statement! {
    struct FindOperation<'a> {
        kind: &'a str as Text,
        reference: &'a str as Text,
    }
    returns (Binary, Text);
    "SELECT content_hash, answer FROM operations WHERE kind = " kind " AND reference = " reference
}

/// What is asked for. The content is the request's JSON, in which its reference does not appear.
pub(super) struct Asked<'a, R> {
    pub(super) kind: OperationKind,
    pub(super) reference: &'a str,
    pub(super) request: &'a R,
}

/// Runs an operation, unless it was run under this reference before: then its answer.
pub(super) fn once<R, A>(
    conn: &mut Conn<'_>,
    asked: &Asked<'_, R>,
    now: UtcTime,
    run: impl FnOnce(&mut Conn<'_>) -> Result<A>,
) -> Result<A>
where
    R: Serialize,
    A: Serialize + DeserializeOwned,
{
    let Asked {
        kind,
        reference,
        request,
    } = *asked;
    check::key("reference", reference)?;
    let hash = content_hash(request)?;
    let take = TakeReference {
        kind: kind.as_str(),
        reference,
        hash: &hash,
        now,
    };
    if with_conn!(conn, |c| take.execute(c))? == 0 {
        return answered(conn, kind, reference, &hash);
    }
    let finished = finish(conn, kind, reference, run);
    if finished.is_err() {
        // Some of it may be done: whoever swallows this error must not commit that.
        db_core::condemn();
    }
    finished
}

/// Runs an operation whose reference is taken, and keeps its answer.
fn finish<A: Serialize>(
    conn: &mut Conn<'_>,
    kind: OperationKind,
    reference: &str,
    run: impl FnOnce(&mut Conn<'_>) -> Result<A>,
) -> Result<A> {
    let answer = run(conn)?;
    let keep = KeepAnswer {
        kind: kind.as_str(),
        reference,
        answer: &serde_json::to_string(&answer).map_err(|_| unwritable())?,
    };
    let rows = with_conn!(conn, |c| keep.execute(c))?;
    touched_one(rows, kind.as_str(), reference)?;
    Ok(answer)
}

/// What was answered to this reference before.
fn answered<A: DeserializeOwned>(
    conn: &mut Conn<'_>,
    kind: OperationKind,
    reference: &str,
    hash: &[u8],
) -> Result<A> {
    let found = find(conn, kind, reference)?;
    let conflict = || Error::ReferenceConflict {
        kind: kind.as_str(),
        reference: reference.to_owned(),
    };
    match found {
        Some((content, answer)) if content == hash => {
            // Empty or of another shape: what was committed there is no operation of ours.
            serde_json::from_str(&answer).map_err(|_| Error::AnswerLost {
                kind: kind.as_str(),
                reference: reference.to_owned(),
            })
        }
        Some(_) => Err(conflict()),
        None => Err(Error::not_found("operation", reference)),
    }
}

/// Content hash and answer of an operation.
pub(super) fn find(
    conn: &mut Conn<'_>,
    kind: OperationKind,
    reference: &str,
) -> Result<Option<(Vec<u8>, String)>> {
    let find = FindOperation {
        kind: kind.as_str(),
        reference,
    };
    Ok(with_conn!(conn, |c| find.get_result(c)).optional()?)
}

/// SHA-256 of the request's JSON: fields in the order of their declaration, without white space.
pub(super) fn content_hash(request: &impl Serialize) -> Result<[u8; 32]> {
    let content = serde_json::to_vec(request).map_err(|_| unwritable())?;
    Ok(Sha256::digest(content).into())
}

/// Nothing here has keys that are no text, which is all that JSON cannot say.
fn unwritable() -> Error {
    Error::Invalid {
        field: "request",
        rule: "must be one that JSON can say".to_owned(),
    }
}
