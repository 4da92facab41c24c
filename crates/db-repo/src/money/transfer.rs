//! Money from one player to another.

use db_core::Conn;
use db_schema::rows::{NewNotification, NotificationType, OutboxType, TransactionType};
use db_schema::types::UtcTime;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::balances::{self, Balances, Change, Line};
use super::operations::{Asked, OperationKind, once};
use super::{MOST, tell};
use crate::{NotificationRepository, Result, check};

/// Money from one player to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// Chosen by the caller, once per transfer.
    #[serde(skip)]
    pub reference: String,
    /// Who gives.
    pub from: String,
    /// Who gets.
    pub to: String,
    /// Smallest unit of CRAP.
    pub amount: i64,
}

/// What both have then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferred {
    /// Who gave.
    pub from: Balances,
    /// Who got.
    pub to: Balances,
}

/// Gives a player's money to another.
///
/// # Errors
/// `Invalid`, `NotFound` user, `InsufficientFunds`, `Overflow`, `ReferenceConflict`, `Database`.
/// Where both players are in the way, it is the giver who is named.
pub fn transfer(conn: &mut Conn<'_>, request: &Transfer, now: UtcTime) -> Result<Transferred> {
    check::key("from", &request.from)?;
    check::key("to", &request.to)?;
    check::rule("to", request.from != request.to, "must be another player")?;
    check::within("amount", request.amount, 1..=MOST)?;
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::Transfer,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let answer = exchange(conn, request, now)?;
        let payload = json!({
            "reference": reference, "from": request.from, "to": request.to,
            "amount": request.amount,
        });
        tell(
            conn,
            Some(&request.from),
            OutboxType::Transfer,
            payload,
            now,
        )?;
        let note = NewNotification {
            user_id: request.to.clone(),
            notification_type: NotificationType::Transfer,
            title: "Transfer".to_owned(),
            message: format!("{} sent {} CRAP.", request.from, request.amount),
            metadata: Some(json!({"reference": reference, "amount": request.amount}).into()),
            created_at: now,
        };
        NotificationRepository::create(conn, &note)?;
        Ok(answer)
    })
}

/// The lesser key first, whoever gives: two that give to each other wait, and neither for ever.
fn exchange(conn: &mut Conn<'_>, request: &Transfer, now: UtcTime) -> Result<Transferred> {
    let giving = Change::available(-request.amount);
    let give = |conn: &mut Conn<'_>| {
        let line = Line {
            kind: TransactionType::TransferOut,
            reference: &request.reference,
            metadata: Some(json!({"to": request.to}).into()),
        };
        balances::change(conn, &request.from, giving, line, now)
    };
    let take = |conn: &mut Conn<'_>| {
        let line = Line {
            kind: TransactionType::TransferIn,
            reference: &request.reference,
            metadata: Some(json!({"from": request.from}).into()),
        };
        balances::change(
            conn,
            &request.to,
            Change::available(request.amount),
            line,
            now,
        )
    };
    if request.from < request.to {
        let from = give(conn)?;
        let to = take(conn)?;
        return Ok(Transferred { from, to });
    }
    let to = match take(conn) {
        Err(refusal) if refusal.is_domain() => {
            return Err(balances::why_not(conn, &request.from, giving)?.unwrap_or(refusal));
        }
        other => other?,
    };
    let from = give(conn)?;
    Ok(Transferred { from, to })
}
