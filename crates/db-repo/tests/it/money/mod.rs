//! Money on both engines.

mod bets;
mod books;
mod by_hand;
mod composed;
mod composed_games;
mod concurrency;
mod holds;
mod house_games;
mod lines;
mod moves;
mod once;
mod one_by_one;
mod refusals;
mod settling;
mod staking;
pub(crate) mod table;
mod untouched;
