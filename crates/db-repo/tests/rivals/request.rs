//! What clients ask for: it follows from the client's number and the request's.

use db_core::{Conn, Database};
use db_repo::money::{self, Fundable, Settlement};
use db_repo::{Error, GameRepository, UserRepository};
use db_schema::rows::{BetOutcome, BetType, HouseOutcome, NewGame, NewUser};
use db_schema::types::{BetId, UtcTime};
use serde::Serialize;
use uuid::Uuid;

/// Players and games that all clients share.
const USERS: u64 = 12;
const GAMES: u64 = 6;

/// Requests from the opening of a pair's own game to its end.
const GAME_LENGTH: u64 = 40;

/// What each player and the house begin with.
const FUNDS: i64 = 100_000;

#[derive(Debug)]
pub(crate) enum Request {
    Deposit(money::Deposit),
    Withdraw(money::Withdraw),
    Transfer(money::Transfer),
    Lock(money::Lock),
    Unlock(money::Unlock),
    PlaceBet(money::PlaceBet),
    ResolveBet(money::ResolveBet),
    House(money::PlayHouseGame),
    Stake(money::Stake),
    Claim(money::ClaimRewards),
    Unstake(money::Unstake),
    /// A game of the pair's own.
    OpenGame(String),
    /// And its end, which voids whatever bets are open by then.
    CancelGame(money::SettleGame),
}

/// Players with money, a house that can pay, and open games.
pub(crate) fn prepare(database: &Database) {
    let now: UtcTime = chrono::DateTime::from_timestamp(1_600_000_000, 0)
        .unwrap()
        .into();
    database
        .write(|conn| {
            let fund = money::Fund {
                reference: "house".into(),
                account: Fundable::House,
                amount: 10 * FUNDS,
            };
            money::fund(conn, &fund, now)?;
            let fund = money::Fund {
                reference: "treasury".into(),
                account: Fundable::Treasury,
                ..fund
            };
            money::fund(conn, &fund, now)?;
            for user in 0..USERS {
                let id = user_id(user);
                let new = NewUser {
                    username: id.clone(),
                    id: id.clone(),
                    public_key: vec![1],
                    created_at: now,
                };
                UserRepository::create(conn, &new)?;
                let deposit = money::Deposit {
                    reference: id.clone(),
                    user_id: id,
                    amount: FUNDS,
                };
                money::deposit(conn, &deposit, now)?;
            }
            for game in 0..GAMES {
                let new = NewGame {
                    id: game_id(game),
                    created_at: now,
                };
                GameRepository::create(conn, &new)?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
}

fn user_id(user: u64) -> String {
    format!("u{user}")
}

fn game_id(game: u64) -> String {
    format!("g{game}")
}

/// The bet of a pair's request.
fn bet_id(pair: u64, number: u64) -> BetId {
    BetId(Uuid::from_u64_pair(pair, number))
}

/// One that the pair's last requests may have opened.
fn earlier_position(pair: u64, number: u64, random: &mut fastrand::Rng) -> String {
    format!("p{pair}-{}", number.saturating_sub(random.u64(1..20)))
}

fn house_game(reference: String, user_id: String, bet: i64, won: bool) -> money::PlayHouseGame {
    money::PlayHouseGame {
        reference,
        user_id,
        algorithm_type: "dice".into(),
        bet_amount: bet,
        outcome: if won {
            HouseOutcome::Won
        } else {
            HouseOutcome::Lost
        },
        multiplier: if won { 2.0 } else { 0.0 },
        payout_amount: if won { 2 * bet } else { 0 },
        house_edge: 0.014,
        session_id: None,
        seed: None,
        metadata: None,
    }
}

impl Request {
    /// The same for both clients of a pair.
    pub(crate) fn of(client: usize, number: u64) -> Self {
        let pair = client as u64 / 2;
        let mut random = fastrand::Rng::with_seed((pair << 40) ^ number);
        let reference = format!("c{pair}-{number}");
        let user = random.u64(..USERS);
        let other = (user + random.u64(1..USERS)) % USERS;
        let (user_id, amount) = (user_id(user), random.i64(1..500));
        // A request may settle what the one before has begun.
        let before = number.wrapping_sub(1);
        let own_game = format!("p{pair}-{}", number / GAME_LENGTH);
        match number % GAME_LENGTH {
            0 => return Self::OpenGame(own_game),
            last if last == GAME_LENGTH - 1 => {
                return Self::CancelGame(money::SettleGame {
                    reference,
                    game_id: own_game,
                    settlement: Settlement::Cancelled,
                });
            }
            _ => {}
        }
        match random.u32(..15) {
            0 => Self::Deposit(money::Deposit {
                reference,
                user_id,
                amount,
            }),
            1 => Self::Withdraw(money::Withdraw {
                reference,
                user_id,
                amount,
            }),
            2 | 3 => Self::Transfer(money::Transfer {
                reference,
                from: user_id,
                to: self::user_id(other),
                amount,
            }),
            4 => Self::Lock(money::Lock {
                reference,
                user_id,
                amount,
            }),
            5 => match Self::of_number_before(client, before) {
                Some(Self::Lock(lock)) => Self::Unlock(money::Unlock {
                    reference: lock.reference,
                    user_id: lock.user_id,
                    amount: lock.amount,
                }),
                _ => Self::Deposit(money::Deposit {
                    reference,
                    user_id,
                    amount,
                }),
            },
            6 | 7 => Self::PlaceBet(money::PlaceBet {
                reference,
                bet_id: bet_id(pair, number),
                game_id: if random.bool() {
                    own_game
                } else {
                    game_id(random.u64(..GAMES))
                },
                player_id: user_id,
                bet_type: BetType::Pass,
                amount,
            }),
            8 | 9 => {
                let won = random.bool();
                Self::ResolveBet(money::ResolveBet {
                    reference,
                    bet_id: bet_id(pair, number.saturating_sub(random.u64(1..6))),
                    outcome: if won {
                        BetOutcome::Won
                    } else {
                        BetOutcome::Lost
                    },
                    winnings: if won { amount } else { 0 },
                })
            }
            11 | 12 => Self::Stake(money::Stake {
                reference,
                position_id: format!("p{pair}-{number}"),
                user_id,
                amount,
                lock_period_days: 1,
                reward_rate: 100_000.0,
            }),
            13 => Self::Claim(money::ClaimRewards {
                reference,
                position_id: earlier_position(pair, number, &mut random),
            }),
            14 => Self::Unstake(money::Unstake {
                reference,
                position_id: earlier_position(pair, number, &mut random),
            }),
            _ => Self::House(house_game(reference, user_id, amount, random.bool())),
        }
    }

    /// The request before, if there is one.
    fn of_number_before(client: usize, before: u64) -> Option<Self> {
        (before != u64::MAX).then(|| Self::of(client, before))
    }

    /// Kind and reference, as they are stored.
    pub(crate) fn name(&self) -> (&'static str, &str) {
        match self {
            Self::Deposit(r) => ("deposit", &r.reference),
            Self::Withdraw(r) => ("withdraw", &r.reference),
            Self::Transfer(r) => ("transfer", &r.reference),
            Self::Lock(r) => ("lock", &r.reference),
            Self::Unlock(r) => ("unlock", &r.reference),
            Self::PlaceBet(r) => ("place_bet", &r.reference),
            Self::ResolveBet(r) => ("resolve_bet", &r.reference),
            Self::House(r) => ("play_house_game", &r.reference),
            Self::Stake(r) => ("stake", &r.reference),
            Self::Claim(r) => ("claim_rewards", &r.reference),
            Self::Unstake(r) => ("unstake", &r.reference),
            Self::OpenGame(id) => ("", id),
            Self::CancelGame(r) => ("settle_game", &r.reference),
        }
    }

    /// Does it; the answer as it is stored.
    pub(crate) fn run(&self, conn: &mut Conn<'_>, now: UtcTime) -> Result<String, Error> {
        fn text<A: Serialize>(answer: Result<A, Error>) -> Result<String, Error> {
            answer.map(|answer| serde_json::to_string(&answer).unwrap())
        }
        match self {
            Self::Deposit(r) => text(money::deposit(conn, r, now)),
            Self::Withdraw(r) => text(money::withdraw(conn, r, now)),
            Self::Transfer(r) => text(money::transfer(conn, r, now)),
            Self::Lock(r) => text(money::lock(conn, r, now)),
            Self::Unlock(r) => text(money::unlock(conn, r, now)),
            Self::PlaceBet(r) => text(money::place_bet(conn, r, now)),
            Self::ResolveBet(r) => text(money::resolve_bet(conn, r, now)),
            Self::House(r) => text(money::play_house_game(conn, r, now)),
            Self::Stake(r) => text(money::stake(conn, r, now)),
            Self::Claim(r) => text(money::claim_rewards(conn, r, now)),
            Self::Unstake(r) => text(money::unstake(conn, r, now)),
            Self::OpenGame(id) => {
                let new = NewGame {
                    id: id.clone(),
                    created_at: now,
                };
                GameRepository::create(conn, &new).map(|_| String::new())
            }
            Self::CancelGame(r) => text(money::settle_game(conn, r, now)),
        }
    }
}
