//! The model: what every operation has to do, in a few maps.

mod games;
mod moves;
mod staking;

use std::collections::{BTreeMap, HashMap};

use db_repo::Error;
use db_repo::money::{
    Balances, ClaimRewards, Deposit, Fund, Lock, MOST, PlaceBet, PlayHouseGame, ResolveBet,
    SettleGame, Settlement, Stake, Transfer, Transferred, Unlock, Unstake, Withdraw,
};
use db_schema::rows::{BetOutcome, GameState, HouseGame, StakingPosition};
use db_schema::types::{BetId, UtcTime};
use serde::Serialize;
use serde_json::Value;

use self::games::check_outcome;
use self::staking::reward_until_its_end;
use crate::statistics::Statistics;

/// One of the requests.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Deposit(Deposit),
    Withdraw(Withdraw),
    Fund(Fund),
    Transfer(Transfer),
    Lock(Lock),
    Unlock(Unlock),
    CreateGame(String),
    PlaceBet(PlaceBet),
    ResolveBet(ResolveBet),
    SettleGame(SettleGame),
    House(PlayHouseGame),
    Stake(Stake),
    Claim(ClaimRewards),
    Unstake(Unstake),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Game {
    pub(crate) state: GameState,
    pub(crate) pot: i64,
    pub(crate) winner: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bet {
    pub(crate) game: String,
    pub(crate) player: String,
    pub(crate) amount: i64,
    pub(crate) outcome: Option<BetOutcome>,
}

/// Everything that has money in it. What a failed operation changed is thrown away with the copy that
/// it worked on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) users: BTreeMap<String, Balances>,
    pub(crate) house: i64,
    pub(crate) treasury: i64,
    pub(crate) games: BTreeMap<String, Game>,
    pub(crate) bets: BTreeMap<BetId, Bet>,
    pub(crate) positions: BTreeMap<String, StakingPosition>,
    /// Content and answer.
    operations: HashMap<(&'static str, String), (String, Value)>,
    /// What came in from outside, less what went out.
    pub(crate) outside: i128,
    /// In the order of their playing; their keys are the database's to choose.
    pub(crate) house_games: Vec<HouseGame>,
    /// Totals of players and games.
    pub(crate) statistics: Statistics,
}

type Answer = Result<Value, Error>;

fn value(answer: impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap()
}

fn not_found(entity: &'static str, key: &(impl ToString + ?Sized)) -> Error {
    Error::NotFound {
        entity,
        key: key.to_string(),
    }
}

/// Where nothing is asked but that it is refused by this field.
fn invalid(field: &'static str) -> Error {
    Error::Invalid {
        field,
        rule: String::new(),
    }
}

fn bounded(field: &'static str, amount: i64, least: i64) -> Result<(), Error> {
    if (least..=MOST).contains(&amount) {
        Ok(())
    } else {
        Err(invalid(field))
    }
}

impl Model {
    /// Does it, or says why not.
    pub(crate) fn run(&mut self, request: &Request, now: UtcTime) -> Answer {
        let mut copy = self.clone();
        let answer = copy.dispatch(request, now)?;
        *self = copy;
        Ok(answer)
    }

    fn dispatch(&mut self, request: &Request, now: UtcTime) -> Answer {
        match request {
            Request::Deposit(r) => {
                bounded("amount", r.amount, 1)?;
                self.once("deposit", &r.reference, r, |m| {
                    m.outside += i128::from(r.amount);
                    Ok(value(m.change(&r.user_id, [r.amount, 0, 0])?))
                })
            }
            Request::Withdraw(r) => {
                bounded("amount", r.amount, 1)?;
                self.once("withdraw", &r.reference, r, |m| {
                    m.outside -= i128::from(r.amount);
                    Ok(value(m.change(&r.user_id, [-r.amount, 0, 0])?))
                })
            }
            Request::Fund(r) => {
                bounded("amount", r.amount, 1)?;
                self.once("fund", &r.reference, r, |m| Ok(m.fund(r)))
            }
            Request::Transfer(r) => {
                if r.from == r.to {
                    return Err(invalid("to"));
                }
                bounded("amount", r.amount, 1)?;
                self.once("transfer", &r.reference, r, |m| {
                    let from = m.change(&r.from, [-r.amount, 0, 0])?;
                    let to = m.change(&r.to, [r.amount, 0, 0])?;
                    Ok(value(Transferred { from, to }))
                })
            }
            Request::Lock(r) => {
                bounded("amount", r.amount, 1)?;
                self.once("lock", &r.reference, r, |m| {
                    Ok(value(m.change(&r.user_id, [-r.amount, r.amount, 0])?))
                })
            }
            Request::Unlock(r) => {
                bounded("amount", r.amount, 1)?;
                self.once("unlock", &r.reference, r, |m| m.unlock(r))
            }
            Request::CreateGame(game) => self.create_game(game, now),
            Request::PlaceBet(r) => {
                bounded("amount", r.amount, 1)?;
                self.once("place_bet", &r.reference, r, |m| m.place_bet(r, now))
            }
            Request::ResolveBet(r) => {
                check_outcome(r.outcome, r.winnings)?;
                self.once("resolve_bet", &r.reference, r, |m| m.resolve_bet(r, now))
            }
            Request::SettleGame(r) => {
                if let Settlement::Completed { results, .. } = &r.settlement {
                    for result in results {
                        check_outcome(result.outcome, result.winnings)?;
                    }
                }
                self.once("settle_game", &r.reference, r, |m| m.settle_game(r, now))
            }
            Request::House(r) => {
                bounded("bet_amount", r.bet_amount, 1)?;
                bounded("payout_amount", r.payout_amount, 0)?;
                self.once("play_house_game", &r.reference, r, |m| m.house_game(r, now))
            }
            Request::Stake(r) => {
                bounded("amount", r.amount, 1)?;
                if r.lock_period_days < 0 {
                    return Err(invalid("lock_period_days"));
                }
                let in_the_end = reward_until_its_end(r, now);
                if r.reward_rate < 0.0 || in_the_end.is_none_or(|reward| reward > MOST) {
                    return Err(invalid("reward_rate"));
                }
                self.once("stake", &r.reference, r, |m| m.stake(r, now))
            }
            Request::Claim(r) => self.once("claim_rewards", &r.reference, r, |m| m.claim(r, now)),
            Request::Unstake(r) => self.once("unstake", &r.reference, r, |m| m.unstake(r, now)),
        }
    }

    fn once<R: Serialize>(
        &mut self,
        kind: &'static str,
        reference: &str,
        request: &R,
        run: impl FnOnce(&mut Self) -> Answer,
    ) -> Answer {
        let content = serde_json::to_string(request).unwrap();
        let key = (kind, reference.to_owned());
        if let Some((known, answer)) = self.operations.get(&key) {
            return if *known == content {
                Ok(answer.clone())
            } else {
                Err(Error::ReferenceConflict {
                    kind,
                    reference: reference.to_owned(),
                })
            };
        }
        let answer = run(self)?;
        self.operations.insert(key, (content, answer.clone()));
        Ok(answer)
    }

    fn change(
        &mut self,
        user: &str,
        [available, locked, staked]: [i64; 3],
    ) -> Result<Balances, Error> {
        let Some(balances) = self.users.get_mut(user) else {
            return Err(not_found("user", user));
        };
        if balances.available < -available {
            return Err(Error::InsufficientFunds {
                user: user.to_owned(),
                needed: -available,
                available: balances.available,
            });
        }
        balances.available += available;
        balances.locked += locked;
        balances.staked += staked;
        assert!(
            balances.locked >= 0 && balances.staked >= 0,
            "the model is wrong"
        );
        Ok(*balances)
    }
}
