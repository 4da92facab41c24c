//! Money that leaves for the outside, from a player.

use db_core::Conn;
use db_schema::rows::{NewNotification, NotificationType, OutboxType, TransactionType};
use db_schema::types::UtcTime;
use serde::Serialize;
use serde_json::json;

use super::balances::{self, Balances, Change, Line};
use super::operations::{Asked, OperationKind, once};
use super::{MOST, tell};
use crate::{NotificationRepository, Result, check};

/// Money that leaves for the outside, from a player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Withdraw {
    /// Chosen by the caller, once per withdrawal.
    #[serde(skip)]
    pub reference: String,
    /// From whom.
    pub user_id: String,
    /// Smallest unit of CRAP.
    pub amount: i64,
}

/// Takes money out; what the player has then.
///
/// # Errors
/// `Invalid`, `NotFound` user, `InsufficientFunds`, `ReferenceConflict`, `Database`.
pub fn withdraw(conn: &mut Conn<'_>, request: &Withdraw, now: UtcTime) -> Result<Balances> {
    check::key("user_id", &request.user_id)?;
    check::within("amount", request.amount, 1..=MOST)?;
    let (user, amount) = (request.user_id.as_str(), request.amount);
    let reference = request.reference.as_str();
    let asked = Asked {
        kind: OperationKind::Withdraw,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let line = Line::of(TransactionType::Withdrawal, reference);
        let after = balances::change(conn, user, Change::available(-amount), line, now)?;
        let payload = json!({
            "reference": reference, "user_id": user, "amount": amount,
            "balance": after.available,
        });
        tell(conn, Some(user), OutboxType::Withdrawal, payload, now)?;
        let note = NewNotification {
            user_id: user.to_owned(),
            notification_type: NotificationType::Withdrawal,
            title: "Withdrawal".to_owned(),
            message: format!("{amount} CRAP went out."),
            metadata: Some(json!({"reference": reference, "amount": amount}).into()),
            created_at: now,
        };
        NotificationRepository::create(conn, &note)?;
        Ok(after)
    })
}
