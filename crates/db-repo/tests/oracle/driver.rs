//! Runs histories on a database and in the model, and compares.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration};
use db_core::{Conn, Database, RetryPolicy};
use db_repo::money::{self, BetResult, Fundable, Settlement};
use db_repo::{Error, GameRepository, UserRepository};
use db_schema::rows::{GameState, HouseOutcome, NewGame, NewUser, PlayerStatistics};
use db_schema::types::{BetId, UtcTime};
use db_testkit::TestDb;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::books;
use crate::model::{Model, Request};
use crate::operation::{Operation, USERS};
use crate::statistics::compare_leaderboards;

/// A database and what all histories before have left in it.
pub(crate) struct Driver {
    database: Database,
    histories: u64,
    /// How often each operation went well, and was refused for each reason.
    counts: BTreeMap<String, u64>,
    /// Totals of the players of all histories that agreed.
    players: Vec<PlayerStatistics>,
}

/// One history in the making.
struct History {
    number: u64,
    model: Model,
    done: Vec<Request>,
}

impl Driver {
    pub(crate) fn open(db: &TestDb) -> Self {
        db.migrate();
        Self {
            database: db.database(),
            histories: 0,
            counts: BTreeMap::new(),
            players: Vec::new(),
        }
    }

    /// How often each thing happened.
    pub(crate) fn summary(&self) -> String {
        let lines = self
            .counts
            .iter()
            .map(|(what, count)| format!("{count:>8} {what}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Runs one history from players who have nothing.
    pub(crate) fn history(&mut self, operations: &[Operation]) -> Result<(), String> {
        self.histories += 1;
        let mut history = History {
            number: self.histories,
            model: Model::default(),
            done: Vec::new(),
        };
        // What earlier histories have left.
        let accounts = self.database.read(books::accounts).unwrap();
        history.model.house = accounts["house"];
        history.model.treasury = accounts["treasury"];
        let start = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let users: Vec<_> = (0..USERS - 1).map(|user| history.user(user)).collect();
        for user in &users {
            history
                .model
                .users
                .insert(user.clone(), money::Balances::default());
        }
        let new: Vec<_> = users
            .into_iter()
            .map(|id| new_user(id, start.into()))
            .collect();
        self.write(|conn| UserRepository::create_many(conn, &new))
            .unwrap();

        for (step, operation) in operations.iter().enumerate() {
            // Days go by, so that stakes come to their end.
            let hours = i64::try_from(step).unwrap();
            let now = UtcTime::from(start + Duration::hours(hours));
            if let Some(request) = history.request(operation) {
                self.compare(&mut history, &request, now)
                    .map_err(|error| format!("step {step}: {error}"))?;
            }
        }
        books::compare(&self.database, &history.model, &history.prefix())?;
        let players = history.model.statistics.players;
        self.players.extend(players.into_values());
        Ok(())
    }

    /// All leaderboards over the players of all histories; how many players there are.
    pub(crate) fn leaderboards(&self) -> Result<usize, String> {
        compare_leaderboards(&self.database, &self.players)
    }

    fn compare(
        &mut self,
        history: &mut History,
        request: &Request,
        now: UtcTime,
    ) -> Result<(), String> {
        let answered = self.write(|conn| run(conn, request, now));
        let expected = history.model.run(request, now);
        let agree = match (&answered, &expected) {
            (Ok(answered), Ok(expected)) => comparable(answered) == *expected,
            (Err(answered), Err(expected)) => told(answered) == told(expected),
            _ => false,
        };
        if !agree {
            let shown = |outcome: &Result<Value, Error>| match outcome {
                Ok(value) => value.to_string(),
                Err(error) => told(error),
            };
            return Err(format!(
                "{request:?}\n  database: {}\n  model:    {}",
                shown(&answered),
                shown(&expected)
            ));
        }
        let name = format!("{request:?}");
        let name = name.split('(').next().unwrap_or_default();
        let ended = match &answered {
            Ok(_) => "done".to_owned(),
            Err(error) => word(error),
        };
        *self.counts.entry(format!("{name}: {ended}")).or_default() += 1;
        if answered.is_ok() {
            history.done.push(request.clone());
        }
        Ok(())
    }

    fn write<T: Send>(
        &self,
        f: impl FnMut(&mut Conn<'_>) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        self.database.write_with_retry(&RetryPolicy::default(), f)
    }
}

/// The variant of an error.
fn word(error: &Error) -> String {
    let shown = format!("{error:?}");
    let end = shown
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(shown.len());
    shown[..end].to_owned()
}

/// An error as both sides tell it; the words of a rule are not compared.
fn told(error: &Error) -> String {
    match error {
        Error::Invalid { field, .. } => format!("Invalid {field}"),
        error => format!("{error:?}"),
    }
}

/// Without the keys that the engine chose.
fn comparable(answer: &Value) -> Value {
    match answer.get("house_game_id") {
        Some(_) => answer["balances"].clone(),
        None => answer.clone(),
    }
}

fn new_user(id: String, created_at: UtcTime) -> NewUser {
    NewUser {
        username: id.clone(),
        id,
        public_key: vec![1],
        created_at,
    }
}

fn run(conn: &mut Conn<'_>, request: &Request, now: UtcTime) -> Result<Value, Error> {
    fn value<A: Serialize>(answer: Result<A, Error>) -> Result<Value, Error> {
        answer.map(|answer| serde_json::to_value(answer).unwrap())
    }
    match request {
        Request::Deposit(r) => value(money::deposit(conn, r, now)),
        Request::Withdraw(r) => value(money::withdraw(conn, r, now)),
        Request::Fund(r) => value(money::fund(conn, r, now)),
        Request::Transfer(r) => value(money::transfer(conn, r, now)),
        Request::Lock(r) => value(money::lock(conn, r, now)),
        Request::Unlock(r) => value(money::unlock(conn, r, now)),
        Request::CreateGame(id) => {
            let new = NewGame {
                id: id.clone(),
                created_at: now,
            };
            GameRepository::create(conn, &new).map(|_| Value::Null)
        }
        Request::PlaceBet(r) => value(money::place_bet(conn, r, now)),
        Request::ResolveBet(r) => value(money::resolve_bet(conn, r, now)),
        Request::SettleGame(r) => value(money::settle_game(conn, r, now)),
        Request::House(r) => value(money::play_house_game(conn, r, now)),
        Request::Stake(r) => value(money::stake(conn, r, now)),
        Request::Claim(r) => value(money::claim_rewards(conn, r, now)),
        Request::Unstake(r) => value(money::unstake(conn, r, now)),
    }
}

/// One that is there, mostly, so that operations go well; none if it is to be left to chance.
fn aim<T: Clone>(reference: u16, which: u8, there: &[T]) -> Option<T> {
    if reference.is_multiple_of(6) {
        return None;
    }
    let at = usize::from(which).checked_rem(there.len())?;
    Some(there[at].clone())
}

impl History {
    /// What all keys of this history begin with.
    fn prefix(&self) -> String {
        format!("h{}-", self.number)
    }

    fn user(&self, user: u8) -> String {
        format!("{}u{user}", self.prefix())
    }

    fn game(&self, game: u8) -> String {
        format!("{}g{game}", self.prefix())
    }

    fn position(&self, position: u8) -> String {
        format!("{}p{position}", self.prefix())
    }

    fn reference(&self, reference: u16) -> String {
        format!("{}r{reference}", self.prefix())
    }

    fn bet(&self, bet: u8) -> BetId {
        BetId(Uuid::from_u64_pair(self.number, u64::from(bet)))
    }

    /// The operation with names instead of numbers; none if there is nothing to repeat.
    fn request(&self, operation: &Operation) -> Option<Request> {
        Some(match operation {
            Operation::Deposit(reference, user, amount) => Request::Deposit(money::Deposit {
                reference: self.reference(*reference),
                user_id: self.user(*user),
                amount: *amount,
            }),
            Operation::Withdraw(reference, user, amount) => Request::Withdraw(money::Withdraw {
                reference: self.reference(*reference),
                user_id: self.user(*user),
                amount: *amount,
            }),
            Operation::Fund(reference, house, amount) => Request::Fund(money::Fund {
                reference: self.reference(*reference),
                account: if *house {
                    Fundable::House
                } else {
                    Fundable::Treasury
                },
                // Far from what a 64-bit number holds, over all histories.
                amount: (*amount).min(1_000_000),
            }),
            Operation::Transfer(reference, from, to, amount) => {
                Request::Transfer(money::Transfer {
                    reference: self.reference(*reference),
                    from: self.user(*from),
                    to: self.user(*to),
                    amount: *amount,
                })
            }
            Operation::Lock(reference, user, amount) => Request::Lock(money::Lock {
                reference: self.reference(*reference),
                user_id: self.user(*user),
                amount: *amount,
            }),
            Operation::Unlock(reference, amount) => {
                Request::Unlock(self.unlock(*reference, *amount))
            }
            Operation::CreateGame(game) => Request::CreateGame(self.game(*game)),
            Operation::PlaceBet {
                reference,
                bet,
                game,
                player,
                bet_type,
                amount,
            } => Request::PlaceBet(money::PlaceBet {
                reference: self.reference(*reference),
                bet_id: self.bet(*bet),
                game_id: aim(*reference, *game, &self.open_games()).unwrap_or(self.game(*game)),
                player_id: self.user(*player),
                bet_type: *bet_type,
                amount: *amount,
            }),
            Operation::ResolveBet {
                reference,
                bet,
                outcome,
                winnings,
            } => Request::ResolveBet(money::ResolveBet {
                reference: self.reference(*reference),
                bet_id: aim(*reference, *bet, &self.open_bets()).unwrap_or(self.bet(*bet)),
                outcome: *outcome,
                winnings: *winnings,
            }),
            Operation::SettleGame { .. } => Request::SettleGame(self.settlement(operation)?),
            Operation::House {
                reference,
                user,
                bet,
                payout,
            } => Request::House(self.house_game(*reference, *user, *bet, *payout)),
            Operation::Stake {
                reference,
                position,
                user,
                amount,
                days,
                rate,
            } => Request::Stake(money::Stake {
                reference: self.reference(*reference),
                position_id: self.position(*position),
                user_id: self.user(*user),
                amount: *amount,
                lock_period_days: *days,
                reward_rate: *rate,
            }),
            Operation::Claim(reference, position) => Request::Claim(money::ClaimRewards {
                reference: self.reference(*reference),
                position_id: self.held(*reference, *position),
            }),
            Operation::Unstake(reference, position) => Request::Unstake(money::Unstake {
                reference: self.reference(*reference),
                position_id: self.held(*reference, *position),
            }),
            Operation::Again(which) => {
                let at = usize::from(*which).checked_rem(self.done.len())?;
                self.done[at].clone()
            }
        })
    }

    fn open_games(&self) -> Vec<String> {
        let games = self.model.games.iter();
        let open = games.filter(|(_, game)| game.state == GameState::Open);
        open.map(|(id, _)| id.clone()).collect()
    }

    fn open_bets(&self) -> Vec<BetId> {
        let bets = self.model.bets.iter();
        let open = bets.filter(|(_, bet)| bet.outcome.is_none());
        open.map(|(id, _)| *id).collect()
    }

    fn held(&self, reference: u16, position: u8) -> String {
        let positions = self.model.positions.values();
        let held: Vec<_> = positions
            .filter(|position| position.is_active)
            .map(|position| position.id.clone())
            .collect();
        aim(reference, position, &held).unwrap_or_else(|| self.position(position))
    }

    /// Of a hold that there is, so that some go well.
    fn unlock(&self, reference: u16, amount: Option<i64>) -> money::Unlock {
        let holds: Vec<_> = self
            .done
            .iter()
            .filter_map(|request| match request {
                Request::Lock(lock) => Some(lock),
                _ => None,
            })
            .collect();
        match usize::from(reference).checked_rem(holds.len()) {
            Some(at) => money::Unlock {
                reference: holds[at].reference.clone(),
                user_id: holds[at].user_id.clone(),
                amount: amount.unwrap_or(holds[at].amount),
            },
            None => money::Unlock {
                reference: self.reference(reference),
                user_id: self.user(0),
                amount: amount.unwrap_or(1),
            },
        }
    }

    /// Names the open bets of the game as they are now.
    fn settlement(&self, operation: &Operation) -> Option<money::SettleGame> {
        let Operation::SettleGame {
            reference,
            game,
            cancel,
            outcomes,
            forget,
            winner,
        } = operation
        else {
            return None;
        };
        let game_id = self.game(*game);
        let mut open = self.model.open_bets(&game_id);
        if *forget {
            open.pop();
        }
        let results = open.into_iter().zip(outcomes.iter().cycle());
        let results = results.map(|(bet_id, (outcome, winnings))| BetResult {
            bet_id,
            outcome: *outcome,
            winnings: *winnings,
        });
        Some(money::SettleGame {
            reference: self.reference(*reference),
            settlement: if *cancel {
                Settlement::Cancelled
            } else {
                Settlement::Completed {
                    results: results.collect(),
                    winner: winner.map(|winner| self.user(winner)),
                }
            },
            game_id,
        })
    }

    fn house_game(&self, reference: u16, user: u8, bet: i64, payout: i64) -> money::PlayHouseGame {
        money::PlayHouseGame {
            reference: self.reference(reference),
            user_id: self.user(user),
            algorithm_type: "dice".to_owned(),
            bet_amount: bet,
            outcome: match payout.cmp(&bet) {
                std::cmp::Ordering::Greater => HouseOutcome::Won,
                std::cmp::Ordering::Equal => HouseOutcome::Push,
                std::cmp::Ordering::Less => HouseOutcome::Lost,
            },
            multiplier: f64::from(reference) / 4.0,
            payout_amount: payout,
            house_edge: 0.014,
            session_id: reference.is_multiple_of(2).then(|| format!("s{reference}")),
            seed: reference
                .is_multiple_of(3)
                .then(|| self.reference(reference)),
            metadata: reference
                .is_multiple_of(5)
                .then(|| serde_json::json!({ "roll": [reference, 6] }).into()),
        }
    }
}
