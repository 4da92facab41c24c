//! Money of a player that is held back on purpose.

use db_core::Conn;
use db_schema::rows::TransactionType;
use db_schema::types::UtcTime;
use serde::Serialize;

use super::MOST;
use super::balances::{self, Balances, Change, Line};
use super::operations::{self, Asked, OperationKind, content_hash, once};
use crate::{Error, Result, check};

/// Holds back money of a player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// Chosen by the caller; names the hold.
    #[serde(skip)]
    pub reference: String,
    /// Whose.
    pub user_id: String,
    /// Smallest unit of CRAP.
    pub amount: i64,
}

/// Sets free what was held back: the whole of one hold, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unlock {
    /// The one of the [`Lock`].
    #[serde(skip)]
    pub reference: String,
    /// As in the [`Lock`].
    pub user_id: String,
    /// As in the [`Lock`].
    pub amount: i64,
}

/// Holds back money of a player; what the player has then.
///
/// # Errors
/// `Invalid`, `NotFound` user, `InsufficientFunds`, `ReferenceConflict`, `Database`.
pub fn lock(conn: &mut Conn<'_>, request: &Lock, now: UtcTime) -> Result<Balances> {
    check::key("user_id", &request.user_id)?;
    check::within("amount", request.amount, 1..=MOST)?;
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::Lock,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let change = Change {
            available: -request.amount,
            locked: request.amount,
            staked: 0,
        };
        let line = Line::of(TransactionType::Lock, reference);
        balances::change(conn, &request.user_id, change, line, now)
    })
}

/// Sets free what was held back under this reference; what the player has then. What open bets
/// hold cannot be freed this way.
///
/// # Errors
/// `Invalid`, `NotFound` hold, `ReferenceConflict` for a hold of another player or amount,
/// `Database`.
pub fn unlock(conn: &mut Conn<'_>, request: &Unlock, now: UtcTime) -> Result<Balances> {
    check::key("user_id", &request.user_id)?;
    check::within("amount", request.amount, 1..=MOST)?;
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::Unlock,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let found = operations::find(conn, OperationKind::Lock, reference)?;
        // Without an answer nothing was held.
        let Some((content, _)) = found.filter(|(_, answer)| !answer.is_empty()) else {
            return Err(Error::not_found("hold", reference));
        };
        // Both requests say the same in the same words.
        if content != content_hash(request)? {
            return Err(Error::ReferenceConflict {
                kind: OperationKind::Lock.as_str(),
                reference: reference.to_owned(),
            });
        }
        let change = Change {
            available: request.amount,
            locked: -request.amount,
            staked: 0,
        };
        let line = Line::of(TransactionType::Unlock, reference);
        balances::change(conn, &request.user_id, change, line, now)
    })
}
