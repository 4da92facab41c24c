//! Money that comes in from outside, to the house or the treasury.

use db_core::Conn;
use db_schema::rows::{EntryType, OutboxType};
use db_schema::types::UtcTime;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::accounts::{self, Account, Entry};
use super::operations::{Asked, OperationKind, once};
use super::{MOST, tell};
use crate::{Result, check};

/// An account that takes money from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fundable {
    /// It pays what the pots lack.
    House,
    /// It pays rewards.
    Treasury,
}

/// Money that comes in from outside, to the house or the treasury.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fund {
    /// Chosen by the caller, once per payment.
    #[serde(skip)]
    pub reference: String,
    /// To which.
    pub account: Fundable,
    /// Smallest unit of CRAP.
    pub amount: i64,
}

/// What the account has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundedAccount {
    /// Which.
    pub account: Fundable,
    /// Smallest unit of CRAP.
    pub balance: i64,
}

/// Brings money in from outside, to the house or the treasury.
///
/// # Errors
/// `Invalid`, `Overflow`, `ReferenceConflict`, `Database`.
pub fn fund(conn: &mut Conn<'_>, request: &Fund, now: UtcTime) -> Result<FundedAccount> {
    check::within("amount", request.amount, 1..=MOST)?;
    let (reference, amount) = (request.reference.as_str(), request.amount);
    let account = match request.account {
        Fundable::House => Account::House,
        Fundable::Treasury => Account::Treasury,
    };
    let asked = Asked {
        kind: OperationKind::Fund,
        reference,
        request,
    };
    once(conn, &asked, now, |conn| {
        let entry = Entry {
            kind: EntryType::Fund,
            reference,
        };
        let balance = accounts::change(conn, account, amount, entry, now)?;
        let payload = json!({
            "reference": reference, "account": request.account, "amount": amount,
            "balance": balance,
        });
        tell(conn, None, OutboxType::Fund, payload, now)?;
        Ok(FundedAccount {
            account: request.account,
            balance,
        })
    })
}
