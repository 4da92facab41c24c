//! Money that comes from outside, and holds that are set free.

use db_repo::Error;
use db_repo::money::{Fund, Fundable, FundedAccount, Lock, Unlock};
use serde_json::Value;

use super::{Answer, Model, not_found, value};

impl Model {
    pub(super) fn fund(&mut self, r: &Fund) -> Value {
        self.outside += i128::from(r.amount);
        let balance = match r.account {
            Fundable::House => &mut self.house,
            Fundable::Treasury => &mut self.treasury,
        };
        *balance += r.amount;
        value(FundedAccount {
            account: r.account,
            balance: *balance,
        })
    }

    pub(super) fn unlock(&mut self, r: &Unlock) -> Answer {
        let hold = Lock {
            reference: String::new(),
            user_id: r.user_id.clone(),
            amount: r.amount,
        };
        match self.operations.get(&("lock", r.reference.clone())) {
            None => Err(not_found("hold", &r.reference)),
            Some((content, _)) if *content != serde_json::to_string(&hold).unwrap() => {
                Err(Error::ReferenceConflict {
                    kind: "lock",
                    reference: r.reference.clone(),
                })
            }
            Some(_) => Ok(value(self.change(&r.user_id, [r.amount, -r.amount, 0])?)),
        }
    }
}
