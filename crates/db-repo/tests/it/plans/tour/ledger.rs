//! Lines, balances, positions and games against the house.

use db_repo::{HouseGameRepository, PageRequest, TokenRepository, TransactionRepository};
use db_schema::rows::TransactionType;

use super::{Step, go};
use crate::support::at;

pub(super) fn run(step: Step<'_>) {
    let first = PageRequest::default;
    let next = |cursor: &str| PageRequest::default().after(cursor.parse().unwrap());
    go(step, "transactions: find", |conn| {
        TransactionRepository::find(conn, 1)
    });
    go(step, "transactions: list", |conn| {
        TransactionRepository::list(conn, "u1", &first())?;
        TransactionRepository::list(conn, "u1", &next("2:transactions:1700000000000000.1"))
    });
    go(step, "transactions: list_by_reference", |conn| {
        TransactionRepository::list_by_reference(conn, "b1", &first())
    });
    go(step, "transactions: list_by_type", |conn| {
        let span = || at(0)..at(1);
        TransactionRepository::list_by_type(conn, TransactionType::Bet, span(), &first())?;
        let next = next("2:transactions.by_type:1700000000000000.1");
        TransactionRepository::list_by_type(conn, TransactionType::Bet, span(), &next)
    });
    go(step, "transactions: balances_at", |conn| {
        TransactionRepository::balances_at(conn, "u1", at(0))
    });
    go(step, "tokens: find", |conn| {
        TokenRepository::find(conn, "u1")
    });
    go(step, "tokens: find_position", |conn| {
        TokenRepository::find_position(conn, "p1")
    });
    go(step, "tokens: list_positions", |conn| {
        TokenRepository::list_positions(conn, "u1", &first())?;
        TokenRepository::list_positions(conn, "u1", &next("2:tokens.positions:1700000000000000.p"))
    });
    go(step, "tokens: list_ended", |conn| {
        TokenRepository::list_ended(conn, at(0), &first())?;
        TokenRepository::list_ended(conn, at(0), &next("2:tokens.ended:1700000000000000.p"))
    });
    go(step, "tokens: total_supply", TokenRepository::total_supply);
    go(step, "house games: find", |conn| {
        HouseGameRepository::find(conn, 1)
    });
    go(step, "house games: list", |conn| {
        HouseGameRepository::list(conn, "u1", &first())?;
        HouseGameRepository::list(conn, "u1", &next("2:house_games:1700000000000000.1"))
    });
    go(step, "house games: list_by_session", |conn| {
        HouseGameRepository::list_by_session(conn, "s1", &first())
    });
}
