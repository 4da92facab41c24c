//! A bet by its SQL alone, for the peers: which values each statement gets, and what it answers.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::bet::{ACTOR, Bet, STAKE};
use super::sql::Value;
use super::sql::Value::{Bytes, Int, Json, Text, Time};
use crate::keys::spread;

/// Runs statements of [`PLACE_BET`](super::PLACE_BET) by their number, within a transaction.
pub trait Runner {
    /// Whether it is for PostgreSQL, else for SQLite.
    const POSTGRES: bool;

    /// How many rows it changed.
    ///
    /// # Errors
    /// If the database refuses.
    fn execute(&mut self, step: usize, values: &[Value<'_>]) -> Result<u64>;

    /// The numbers in the one row that it returns.
    ///
    /// # Errors
    /// If the database refuses, or there is no row.
    fn numbers<const N: usize>(&mut self, step: usize, values: &[Value<'_>]) -> Result<[i64; N]>;

    /// The text in the first column of the one row that it returns.
    ///
    /// # Errors
    /// If the database refuses, or there is no row.
    fn text(&mut self, step: usize, values: &[Value<'_>]) -> Result<String>;
}

const KIND: &str = "place_bet";

/// What `place_bet` has its database do. Documents are written by hand and the content's hash is
/// made up: what it costs the repository to make these is its own.
///
/// # Errors
/// If the database refuses, or does not do what the repository expects of it.
pub fn place_bet<R: Runner>(runner: &mut R, bet: &Bet, documents: &mut String) -> Result<()> {
    let (player, game, text) = (bet.player(), bet.game(), bet.text());
    let now = Time(bet.now);
    let context = [
        Text(player),
        Text(ACTOR.0),
        Text(ACTOR.1),
        if R::POSTGRES { Int(bet.now) } else { now },
    ];
    runner.execute(0, &context)?;
    let hash = hash_of(bet.now);
    let operation = [Text(KIND), Text(text), Bytes(&hash), now];
    ensure!(
        runner.execute(1, &operation)? == 1,
        "the reference is taken"
    );
    let state = runner.text(2, &[Text(game)])?;
    ensure!(state == "active", "the game is {state}");

    let movement = [
        Int(-STAKE),
        Int(STAKE),
        Int(0),
        now,
        Text(player),
        Int(STAKE),
        Int(-STAKE),
        Int(0),
        Int(i64::MAX),
    ];
    let [available, locked, staked] = runner.numbers(3, &movement)?;
    let line = [
        Text(player),
        Text("bet"),
        Int(-STAKE),
        Int(available + STAKE),
        Int(available),
        Text(text),
        now,
        Json(None),
        Int(STAKE),
        Int(0),
    ];
    runner.execute(4, &line)?;
    let row = [
        Bytes(bet.id()),
        Text(game),
        Text(player),
        Text("pass"),
        Int(STAKE),
        now,
    ];
    runner.execute(5, &row)?;
    let first = runner.execute(6, &[Text(game), Text(player), now])?;
    let first = Int(first.cast_signed());
    let (stake, of_player) = (Int(STAKE), Text(player));
    runner.execute(7, &[of_player, first, stake, now, now, now])?;
    runner.execute(8, &[Text(game), first, stake, now, now])?;

    // Writing to a String cannot fail.
    documents.clear();
    let _infallible = write!(
        documents,
        r#"{{"amount":{STAKE},"bet_id":"{text}","bet_type":"pass","player_id":"{player}"}}"#
    );
    let (kind, payload) = (Text("bet_placed"), Json(Some(documents)));
    let (of_game, any) = (Text(game), Int(-1));
    let event = [of_game, of_game, kind, payload, now, any, any, of_game];
    let [_version] = runner.numbers(9, &event)?;
    documents.clear();
    let _infallible = write!(
        documents,
        r#"{{"amount":{STAKE},"bet_id":"{text}","bet_type":"pass","game_id":"{game}","player_id":"{player}","reference":"{text}"}}"#
    );
    let entry = [of_player, kind, Json(Some(documents)), now, now, now];
    let [_id] = runner.numbers(10, &entry)?;
    documents.clear();
    let _infallible = write!(
        documents,
        r#"{{"bet_id":"{text}","balances":{{"available":{available},"locked":{locked},"staked":{staked}}}}}"#
    );
    let changed = runner.execute(11, &[Text(documents), Text(KIND), Text(text)])?;
    ensure!(changed == 1, "the answer is not kept");
    if !R::POSTGRES {
        runner.execute(12, &[])?;
    }
    Ok(())
}

/// 32 bytes that no other bet has.
fn hash_of(now: i64) -> [u8; 32] {
    let mut hash = [0; 32];
    for (chunk, number) in hash.chunks_exact_mut(8).zip(now.cast_unsigned()..) {
        chunk.copy_from_slice(&spread(number).to_be_bytes());
    }
    hash
}
