//! The model: what every operation has to do, in a few maps.

use std::collections::{BTreeMap, HashMap};

use db_repo::Error;
use db_repo::money::{
    Balances, BetResult, ClaimRewards, ClaimedRewards, Deposit, Fund, Fundable, FundedAccount,
    Lock, MOST, PlaceBet, PlacedBet, PlayHouseGame, ResolveBet, ResolvedBet, SettleGame,
    SettledGame, Settlement, Stake, Staked, Transfer, Transferred, Unlock, Unstake, Unstaked,
    Withdraw, reward,
};
use db_schema::rows::{BetOutcome, GameState, HouseGame, StakingPosition};
use db_schema::types::{BetId, UtcTime};
use serde::Serialize;
use serde_json::Value;

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

    fn fund(&mut self, r: &Fund) -> Value {
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

    fn unlock(&mut self, r: &Unlock) -> Answer {
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

    fn create_game(&mut self, game: &str, now: UtcTime) -> Answer {
        if self.games.contains_key(game) {
            return Err(Error::AlreadyExists {
                entity: "game",
                key: game.to_owned(),
            });
        }
        let new = Game {
            state: GameState::Open,
            pot: 0,
            winner: None,
        };
        self.games.insert(game.to_owned(), new);
        self.statistics.created(game, now);
        Ok(Value::Null)
    }

    /// The game, if bets may still be placed and settled in it.
    fn open_game(&mut self, game: &str) -> Result<&mut Game, Error> {
        match self.games.get_mut(game) {
            None => Err(not_found("game", game)),
            Some(found) if matches!(found.state, GameState::Open | GameState::Active) => Ok(found),
            Some(found) => Err(Error::GameClosed {
                game: game.to_owned(),
                state: found.state,
            }),
        }
    }

    fn place_bet(&mut self, r: &PlaceBet, now: UtcTime) -> Answer {
        self.open_game(&r.game_id)?;
        let balances = self.change(&r.player_id, [-r.amount, r.amount, 0])?;
        if self.bets.contains_key(&r.bet_id) {
            return Err(Error::AlreadyExists {
                entity: "bet",
                key: r.bet_id.to_string(),
            });
        }
        let first = !self
            .bets
            .values()
            .any(|bet| bet.game == r.game_id && bet.player == r.player_id);
        self.statistics
            .placed((&r.game_id, &r.player_id), r.amount, first, now);
        let bet = Bet {
            game: r.game_id.clone(),
            player: r.player_id.clone(),
            amount: r.amount,
            outcome: None,
        };
        self.bets.insert(r.bet_id, bet);
        Ok(value(PlacedBet {
            bet_id: r.bet_id,
            balances,
        }))
    }

    fn resolve_bet(&mut self, r: &ResolveBet, now: UtcTime) -> Answer {
        let Some(bet) = self.bets.get(&r.bet_id).cloned() else {
            return Err(not_found("bet", &r.bet_id));
        };
        if bet.outcome.is_some() {
            return Err(Error::AlreadyResolved(r.bet_id));
        }
        self.open_game(&bet.game)?;
        let (payout, balances) = self.resolve(r.bet_id, (r.outcome, r.winnings), now)?;
        Ok(value(ResolvedBet {
            bet_id: r.bet_id,
            pot_size: self.games[&bet.game].pot,
            game_id: bet.game,
            player_id: bet.player,
            payout,
            balances,
        }))
    }

    /// Settles an open bet; what became available, and what its player has.
    fn resolve(
        &mut self,
        id: BetId,
        (outcome, winnings): (BetOutcome, i64),
        now: UtcTime,
    ) -> Result<(i64, Balances), Error> {
        let bet = self.bets.get_mut(&id).unwrap();
        bet.outcome = Some(outcome);
        let bet = bet.clone();
        let payout = match outcome {
            BetOutcome::Lost => {
                self.games.get_mut(&bet.game).unwrap().pot += bet.amount;
                0
            }
            BetOutcome::Push | BetOutcome::Void => bet.amount,
            BetOutcome::Won => {
                let pot = &mut self.games.get_mut(&bet.game).unwrap().pot;
                let from_pot = winnings.min(*pot);
                *pot -= from_pot;
                let needed = winnings - from_pot;
                if self.house < needed {
                    return Err(Error::HouseShort {
                        needed,
                        available: self.house,
                    });
                }
                self.house -= needed;
                bet.amount + winnings
            }
        };
        self.statistics
            .resolved(&bet.game, &bet.player, (outcome, payout), now);
        let balances = self.change(&bet.player, [payout, -bet.amount, 0])?;
        Ok((payout, balances))
    }

    /// The open bets of a game, in the order of their keys.
    pub(crate) fn open_bets(&self, game: &str) -> Vec<BetId> {
        let open = self
            .bets
            .iter()
            .filter(|(_, bet)| bet.game == game && bet.outcome.is_none());
        open.map(|(id, _)| *id).collect()
    }

    fn settle_game(&mut self, r: &SettleGame, now: UtcTime) -> Answer {
        self.open_game(&r.game_id)?;
        let open = self.open_bets(&r.game_id);
        let (results, winner, state) = match &r.settlement {
            Settlement::Cancelled => {
                let void = |bet_id: &BetId| BetResult {
                    bet_id: *bet_id,
                    outcome: BetOutcome::Void,
                    winnings: 0,
                };
                (open.iter().map(void).collect(), None, GameState::Cancelled)
            }
            Settlement::Completed { results, winner } => {
                (results.clone(), winner.clone(), GameState::Completed)
            }
        };
        if results.len() < open.len() {
            return Err(Error::OpenBets {
                game: r.game_id.clone(),
                count: u64::try_from(open.len() - results.len()).unwrap(),
            });
        }
        let mut paid = 0;
        let (lost, others): (Vec<_>, Vec<_>) = results
            .iter()
            .partition(|result| result.outcome == BetOutcome::Lost);
        for result in lost.into_iter().chain(others) {
            paid += self
                .resolve(result.bet_id, (result.outcome, result.winnings), now)?
                .0;
        }
        let pot = self.games[&r.game_id].pot;
        match &winner {
            Some(winner) if pot > 0 => {
                self.change(winner, [pot, 0, 0])?;
            }
            Some(winner) if !self.users.contains_key(winner) => {
                return Err(not_found("user", winner));
            }
            Some(_) => {}
            None => self.house += pot,
        }
        if let Some(winner) = &winner {
            self.statistics.game_won(winner, now);
        }
        let game = Game {
            state,
            pot: 0,
            winner: winner.clone(),
        };
        self.games.insert(r.game_id.clone(), game);
        Ok(value(SettledGame {
            game_id: r.game_id.clone(),
            state,
            bets: u64::try_from(results.len()).unwrap(),
            paid,
            pot,
            winner_id: winner,
        }))
    }

    fn house_game(&mut self, r: &PlayHouseGame, now: UtcTime) -> Answer {
        self.change(&r.user_id, [-r.bet_amount, 0, 0])?;
        self.house += r.bet_amount;
        if self.house < r.payout_amount {
            return Err(Error::HouseShort {
                needed: r.payout_amount,
                available: self.house,
            });
        }
        self.house -= r.payout_amount;
        self.statistics
            .house_game(&r.user_id, r.bet_amount, r.payout_amount, now);
        self.house_games.push(HouseGame {
            id: 0,
            user_id: r.user_id.clone(),
            algorithm_type: r.algorithm_type.clone(),
            bet_amount: r.bet_amount,
            outcome: Some(r.outcome),
            multiplier: r.multiplier,
            payout_amount: r.payout_amount,
            house_edge: r.house_edge,
            session_id: r.session_id.clone(),
            seed: r.seed.clone(),
            created_at: now,
            metadata: r.metadata.clone(),
        });
        // The key of the row is the engine's own and left out of what is compared.
        Ok(value(self.change(&r.user_id, [r.payout_amount, 0, 0])?))
    }

    fn stake(&mut self, r: &Stake, now: UtcTime) -> Answer {
        let balances = self.change(&r.user_id, [-r.amount, 0, r.amount])?;
        if self.positions.contains_key(&r.position_id) {
            return Err(Error::AlreadyExists {
                entity: "staking position",
                key: r.position_id.clone(),
            });
        }
        let position = position(r, now);
        let ends_at = position.ends_at;
        self.positions.insert(r.position_id.clone(), position);
        Ok(value(Staked {
            position_id: r.position_id.clone(),
            ends_at,
            balances,
        }))
    }

    fn position(&self, id: &str) -> Result<StakingPosition, Error> {
        match self.positions.get(id) {
            None => Err(not_found("staking position", id)),
            Some(position) if !position.is_active => Err(Error::PositionClosed(id.to_owned())),
            Some(position) => Ok(position.clone()),
        }
    }

    /// Pays what is due of a position from the treasury.
    fn pay(&mut self, position: &mut StakingPosition, now: UtcTime) -> Result<i64, Error> {
        let due = reward(position, now).unwrap() - position.claimed_rewards;
        if self.treasury < due {
            return Err(Error::TreasuryShort {
                needed: due,
                available: self.treasury,
            });
        }
        self.treasury -= due;
        position.claimed_rewards += due;
        self.change(&position.user_id, [due, 0, 0])?;
        Ok(due)
    }

    fn claim(&mut self, r: &ClaimRewards, now: UtcTime) -> Answer {
        let mut position = self.position(&r.position_id)?;
        let reward = self.pay(&mut position, now)?;
        let answer = ClaimedRewards {
            reward,
            claimed_rewards: position.claimed_rewards,
            balances: self.users[&position.user_id],
        };
        self.positions.insert(r.position_id.clone(), position);
        Ok(value(answer))
    }

    fn unstake(&mut self, r: &Unstake, now: UtcTime) -> Answer {
        let mut position = self.position(&r.position_id)?;
        let amount = position.amount;
        self.change(&position.user_id, [amount, 0, -amount])?;
        let reward = if now >= position.ends_at {
            self.pay(&mut position, now)?
        } else {
            0
        };
        position.is_active = false;
        let balances = self.users[&position.user_id];
        self.positions.insert(r.position_id.clone(), position);
        Ok(value(Unstaked {
            amount,
            reward,
            balances,
        }))
    }
}

/// What a position will have earned when it ends.
fn reward_until_its_end(r: &Stake, now: UtcTime) -> Option<i64> {
    let position = position(r, now);
    reward(&position, position.ends_at)
}

fn position(r: &Stake, now: UtcTime) -> StakingPosition {
    let days = chrono::Duration::days(i64::from(r.lock_period_days));
    StakingPosition {
        id: r.position_id.clone(),
        user_id: r.user_id.clone(),
        amount: r.amount,
        lock_period_days: r.lock_period_days,
        reward_rate: r.reward_rate,
        started_at: now,
        ends_at: UtcTime::from(*now + days),
        claimed_rewards: 0,
        is_active: true,
    }
}

fn check_outcome(outcome: BetOutcome, winnings: i64) -> Result<(), Error> {
    let right = match outcome {
        BetOutcome::Won => (0..=MOST).contains(&winnings),
        _ => winnings == 0,
    };
    if right {
        Ok(())
    } else {
        Err(invalid("winnings"))
    }
}
