//! All that a history has left, in the database and in the model.

use std::collections::BTreeMap;

use db_core::{Conn, Database, with_conn};
use db_repo::Error;
use db_repo::money::Balances;
use db_schema::rows::{BetOutcome, GameState, HouseGame, StakingPosition};
use db_schema::schema::{accounts, bets, games, house_games, staking_positions, token_balances};
use db_schema::types::BetId;
use diesel::prelude::*;

use crate::model::{Bet, Game, Model};
use crate::statistics::Statistics;

/// Compares the rows of a history, which all begin with its prefix.
pub(crate) fn compare(database: &Database, model: &Model, prefix: &str) -> Result<(), String> {
    let stored = database
        .read(|conn| stored(conn, prefix))
        .map_err(|error| error.to_string())?;
    // A player without a row has nothing.
    let mut users = stored.users.clone();
    for user in model.users.keys() {
        users.entry(user.clone()).or_default();
    }
    same("balances", &users, &model.users)?;
    same("games", &stored.games, &model.games)?;
    same("bets", &stored.bets, &model.bets)?;
    same("positions", &stored.positions, &model.positions)?;
    same("house games", &stored.house_games, &model.house_games)?;
    let statistics = database
        .read(|conn| Statistics::stored(conn, prefix))
        .map_err(|error| error.to_string())?;
    let expected = model.statistics.clone().comparable();
    same("statistics", &statistics.comparable(), &expected)?;
    let pots = model
        .games
        .iter()
        .map(|(id, game)| (format!("pot:{id}"), game.pot));
    let mut expected: BTreeMap<_, _> = pots.collect();
    expected.insert("house".to_owned(), model.house);
    expected.insert("treasury".to_owned(), model.treasury);
    same("accounts", &stored.accounts, &expected)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, stored: &T, model: &T) -> Result<(), String> {
    if stored == model {
        return Ok(());
    }
    Err(format!(
        "{what}:\n  database: {stored:?}\n  model:    {model:?}"
    ))
}

/// The house and the treasury.
pub(crate) fn accounts(conn: &mut Conn<'_>) -> Result<BTreeMap<String, i64>, Error> {
    let query = accounts::table
        .filter(accounts::game_id.is_null())
        .select((accounts::id, accounts::balance));
    let rows: Vec<(String, i64)> = with_conn!(conn, |c| query.load(c))?;
    Ok(rows.into_iter().collect())
}

struct Stored {
    users: BTreeMap<String, Balances>,
    games: BTreeMap<String, Game>,
    bets: BTreeMap<BetId, Bet>,
    positions: BTreeMap<String, StakingPosition>,
    house_games: Vec<HouseGame>,
    accounts: BTreeMap<String, i64>,
}

type GameRow = (String, GameState, i64, Option<String>);
type BetRow = (BetId, String, String, i64, Option<BetOutcome>);

fn stored(conn: &mut Conn<'_>, prefix: &str) -> Result<Stored, Error> {
    let like = format!("{prefix}%");
    let users: Vec<(String, i64, i64, i64)> = {
        let query = token_balances::table
            .filter(token_balances::user_id.like(&like))
            .select((
                token_balances::user_id,
                token_balances::balance,
                token_balances::locked_balance,
                token_balances::staked_balance,
            ));
        with_conn!(conn, |c| query.load(c))?
    };
    let games: Vec<GameRow> = {
        let query = games::table.filter(games::id.like(&like)).select((
            games::id,
            games::state,
            games::pot_size,
            games::winner_id,
        ));
        with_conn!(conn, |c| query.load(c))?
    };
    let bets: Vec<BetRow> = {
        let query = bets::table.filter(bets::game_id.like(&like)).select((
            bets::id,
            bets::game_id,
            bets::player_id,
            bets::amount,
            bets::outcome,
        ));
        with_conn!(conn, |c| query.load(c))?
    };
    let positions: Vec<StakingPosition> = with_conn!(conn, |c| staking_positions::table
        .filter(staking_positions::id.like(&like))
        .load(c))?;
    let mut house_games: Vec<HouseGame> = with_conn!(conn, |c| house_games::table
        .filter(house_games::user_id.like(&like))
        .order(house_games::id)
        .load(c))?;
    for game in &mut house_games {
        game.id = 0;
    }
    let accounts: Vec<(String, i64)> = {
        let query = accounts::table
            .filter(
                accounts::game_id
                    .is_null()
                    .or(accounts::game_id.like(&like)),
            )
            .select((accounts::id, accounts::balance));
        with_conn!(conn, |c| query.load(c))?
    };
    Ok(Stored {
        users: users
            .into_iter()
            .map(|(user, available, locked, staked)| {
                let balances = Balances {
                    available,
                    locked,
                    staked,
                };
                (user, balances)
            })
            .collect(),
        games: games
            .into_iter()
            .map(|(id, state, pot, winner)| (id, Game { state, pot, winner }))
            .collect(),
        bets: bets
            .into_iter()
            .map(|(id, game, player, amount, outcome)| {
                let bet = Bet {
                    game,
                    player,
                    amount,
                    outcome,
                };
                (id, bet)
            })
            .collect(),
        positions: positions
            .into_iter()
            .map(|position| (position.id.clone(), position))
            .collect(),
        house_games,
        accounts: accounts.into_iter().collect(),
    })
}
