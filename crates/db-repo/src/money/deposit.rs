//! Money that comes in from outside, to a player.

use db_core::Conn;
use db_schema::rows::{NewNotification, NotificationType, OutboxType, TransactionType};
use db_schema::types::UtcTime;
use serde::Serialize;
use serde_json::json;

use super::balances::{self, Balances, Change, Line};
use super::operations::{Asked, OperationKind, once};
use super::{MOST, tell};
use crate::{NotificationRepository, Result, check};

/// Money that comes in from outside, to a player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deposit {
    /// Chosen by the caller, once per deposit.
    #[serde(skip)]
    pub reference: String,
    /// To whom.
    pub user_id: String,
    /// Smallest unit of CRAP.
    pub amount: i64,
}

/// Brings money in from outside; what the player has then.
///
/// # Errors
/// `Invalid`, `NotFound` user, `Overflow`, `ReferenceConflict`, `Database`.
pub fn deposit(conn: &mut Conn<'_>, request: &Deposit, now: UtcTime) -> Result<Balances> {
    check::key("user_id", &request.user_id)?;
    check::within("amount", request.amount, 1..=MOST)?;
    let (user, amount) = (request.user_id.as_str(), request.amount);
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::Deposit,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let line = Line::of(TransactionType::Deposit, reference);
        let after = balances::change(conn, user, Change::available(amount), line, now)?;
        let payload = json!({
            "reference": reference, "user_id": user, "amount": amount,
            "balance": after.available,
        });
        tell(conn, Some(user), OutboxType::Deposit, payload, now)?;
        let note = NewNotification {
            user_id: user.to_owned(),
            notification_type: NotificationType::Deposit,
            title: "Deposit".to_owned(),
            message: format!("{amount} CRAP came in."),
            metadata: Some(json!({"reference": reference, "amount": amount}).into()),
            created_at: now,
        };
        NotificationRepository::create(conn, &note)?;
        Ok(after)
    })
}
