//! What can be asked for. Names are small numbers, so that operations meet.

use db_schema::rows::{BetOutcome, BetType};
use proptest::prelude::*;

/// Players of one history; the last is none.
pub(crate) const USERS: u8 = 6;

/// Games of one history.
const GAMES: u8 = 8;

/// Bets, positions and references that a history may name.
const BETS: u8 = 250;
const POSITIONS: u8 = 12;
const REFERENCES: u16 = 800;

/// An operation, as numbers.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Deposit(u16, u8, i64),
    Withdraw(u16, u8, i64),
    Fund(u16, bool, i64),
    Transfer(u16, u8, u8, i64),
    Lock(u16, u8, i64),
    /// Of the hold under this reference, with an amount of its own if it is to be wrong.
    Unlock(u16, Option<i64>),
    CreateGame(u8),
    PlaceBet {
        reference: u16,
        bet: u8,
        game: u8,
        player: u8,
        bet_type: BetType,
        amount: i64,
    },
    ResolveBet {
        reference: u16,
        bet: u8,
        outcome: BetOutcome,
        winnings: i64,
    },
    SettleGame {
        reference: u16,
        game: u8,
        cancel: bool,
        /// Of each open bet in turn.
        outcomes: Vec<(BetOutcome, i64)>,
        /// Leaves one open bet out.
        forget: bool,
        winner: Option<u8>,
    },
    House {
        reference: u16,
        user: u8,
        bet: i64,
        payout: i64,
    },
    Stake {
        reference: u16,
        position: u8,
        user: u8,
        amount: i64,
        days: i32,
        rate: f64,
    },
    Claim(u16, u8),
    Unstake(u16, u8),
    /// The request of an earlier success once more, word for word.
    Again(u16),
}

fn reference() -> impl Strategy<Value = u16> {
    0..REFERENCES
}

/// Mostly what a player may have; sometimes nothing, less, or far too much.
fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        30 => 1..300_i64,
        20 => 1..3_000_i64,
        1 => Just(0),
        1 => Just(-5),
        1 => Just(i64::MAX),
        1 => Just(9_000_000_000_000_000),
    ]
}

fn outcome() -> impl Strategy<Value = (BetOutcome, i64)> {
    prop_oneof![
        5 => Just((BetOutcome::Lost, 0)),
        4 => (1..3_000_i64).prop_map(|winnings| (BetOutcome::Won, winnings)),
        1 => Just((BetOutcome::Won, 0)),
        1 => Just((BetOutcome::Push, 0)),
        1 => Just((BetOutcome::Void, 0)),
        1 => Just((BetOutcome::Lost, 3)),
        1 => Just((BetOutcome::Won, -3)),
    ]
}

/// Any of them.
pub(crate) fn any() -> impl Strategy<Value = Operation> {
    let user = || 0..USERS;
    let game = || 0..GAMES;
    let bet_type = proptest::sample::select(BetType::ALL);
    let rate = prop_oneof![Just(0.0), Just(0.05), Just(2.5), Just(1e6), Just(-1.0)];
    prop_oneof![
        6 => (reference(), user(), amount()).prop_map(|(r, u, a)| Operation::Deposit(r, u, a)),
        8 => (reference(), user(), 1_000..20_000_i64)
            .prop_map(|(r, u, a)| Operation::Deposit(r, u, a)),
        5 => (reference(), user(), amount()).prop_map(|(r, u, a)| Operation::Withdraw(r, u, a)),
        4 => (reference(), any_bool(), amount()).prop_map(|(r, h, a)| Operation::Fund(r, h, a)),
        8 => (reference(), user(), user(), amount())
            .prop_map(|(r, from, to, a)| Operation::Transfer(r, from, to, a)),
        4 => (reference(), user(), amount()).prop_map(|(r, u, a)| Operation::Lock(r, u, a)),
        4 => (reference(), prop::option::weighted(0.2, amount()))
            .prop_map(|(r, a)| Operation::Unlock(r, a)),
        4 => game().prop_map(Operation::CreateGame),
        24 => (reference(), 0..BETS, game(), user(), bet_type, amount()).prop_map(
            |(reference, bet, game, player, bet_type, amount)| Operation::PlaceBet {
                reference, bet, game, player, bet_type, amount,
            }
        ),
        16 => (reference(), 0..BETS, outcome()).prop_map(
            |(reference, bet, (outcome, winnings))| Operation::ResolveBet {
                reference, bet, outcome, winnings,
            }
        ),
        4 => (
            reference(), game(), prop::bool::weighted(0.2), prop::collection::vec(outcome(), 1..6),
            prop::bool::weighted(0.15), prop::option::of(user()),
        ).prop_map(|(reference, game, cancel, outcomes, forget, winner)| Operation::SettleGame {
            reference, game, cancel, outcomes, forget, winner,
        }),
        8 => (reference(), user(), amount(), prop_oneof![Just(0), 0..4_000_i64, Just(-1)])
            .prop_map(|(reference, user, bet, payout)| Operation::House {
                reference, user, bet, payout,
            }),
        6 => (reference(), 0..POSITIONS, user(), amount(), -1..4_i32, rate).prop_map(
            |(reference, position, user, amount, days, rate)| Operation::Stake {
                reference, position, user, amount, days, rate,
            }
        ),
        5 => (reference(), 0..POSITIONS).prop_map(|(r, p)| Operation::Claim(r, p)),
        4 => (reference(), 0..POSITIONS).prop_map(|(r, p)| Operation::Unstake(r, p)),
        8 => reference().prop_map(Operation::Again),
    ]
}

fn any_bool() -> impl Strategy<Value = bool> {
    proptest::bool::ANY
}
