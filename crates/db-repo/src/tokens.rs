//! What players own.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{StakingPosition, TokenBalance};
use db_schema::schema::{staking_positions, token_balances};
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Text};

use crate::page::Place;
use crate::{Error, Page, PageRequest, Result, check};

type Position = (
    Text,
    Text,
    BigInt,
    Integer,
    Double,
    UtcTimestamp,
    UtcTimestamp,
    BigInt,
    Bool,
);

statement! {
    struct NewestOf<'a> {
        user_id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Position;
    "SELECT id, user_id, amount, lock_period_days, reward_rate, started_at, ends_at, claimed_rewards,
    is_active FROM staking_positions WHERE user_id = " user_id "
    ORDER BY started_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct BeforeOf<'a> {
        user_id: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Position;
    "SELECT id, user_id, amount, lock_period_days, reward_rate, started_at, ends_at, claimed_rewards,
    is_active FROM staking_positions
    WHERE user_id = " user_id " AND (started_at, id) < (" at ", " id ")
    ORDER BY started_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct Ended {
        now: UtcTime as UtcTimestamp,
        rows: i64 as BigInt,
    }
    returns Position;
    "SELECT id, user_id, amount, lock_period_days, reward_rate, started_at, ends_at, claimed_rewards,
    is_active FROM staking_positions WHERE is_active = TRUE AND ends_at <= " now "
    ORDER BY ends_at, id LIMIT " rows " + 0"
}

statement! {
    struct EndedAfter<'a> {
        now: UtcTime as UtcTimestamp,
        at: UtcTime as UtcTimestamp,
        id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Position;
    "SELECT id, user_id, amount, lock_period_days, reward_rate, started_at, ends_at, claimed_rewards,
    is_active FROM staking_positions
    WHERE is_active = TRUE AND ends_at <= " now " AND (ends_at, id) > (" at ", " id ")
    ORDER BY ends_at, id LIMIT " rows " + 0"
}

statement! {
    /// Added up by the caller: of two sums that fit SQLite would make a float if they do not fit
    /// together.
    struct TotalSupply {}
    returns (BigInt, BigInt, BigInt, BigInt);
    "SELECT available, locked, staked, held FROM
    (SELECT CAST(coalesce(sum(balance), 0) AS BIGINT) AS available,
        CAST(coalesce(sum(locked_balance), 0) AS BIGINT) AS locked,
        CAST(coalesce(sum(staked_balance), 0) AS BIGINT) AS staked FROM token_balances) AS players,
    (SELECT CAST(coalesce(sum(balance), 0) AS BIGINT) AS held FROM accounts) AS others"
}

/// Balances and staking positions. They change by operations on money.
#[derive(Debug)]
pub struct TokenRepository;

impl TokenRepository {
    /// The balances of a player who has had any money.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find(conn: &mut Conn<'_>, user_id: &str) -> Result<Option<TokenBalance>> {
        check::sought("user_id", user_id)?;
        let query = token_balances::table.find(user_id);
        Ok(with_conn!(conn, |c| query.get_result(c)).optional()?)
    }

    /// The balances of a player, who has to have had some money.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, user_id: &str) -> Result<TokenBalance> {
        Self::find(conn, user_id)?.ok_or_else(|| Error::not_found("balance of user", user_id))
    }

    /// The staking position of this key.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find_position(conn: &mut Conn<'_>, id: &str) -> Result<Option<StakingPosition>> {
        check::sought("id", id)?;
        let query = staking_positions::table.find(id);
        Ok(with_conn!(conn, |c| query.get_result(c)).optional()?)
    }

    /// A player's staking positions, active or not, newest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_positions(
        conn: &mut Conn<'_>,
        user_id: &str,
        page: &PageRequest,
    ) -> Result<Page<StakingPosition>> {
        check::sought("user_id", user_id)?;
        let page = &page.of("tokens.positions")?;
        let rows = page.rows();
        let found: Vec<StakingPosition> = match page.after_time()? {
            None => with_conn!(conn, |c| page.load(NewestOf { user_id, rows }, c))?,
            Some((at, id)) => {
                let before = BeforeOf {
                    user_id,
                    at,
                    id,
                    rows,
                };
                with_conn!(conn, |c| page.load(before, c))?
            }
        };
        Ok(Page::of(found, page, |last| {
            Place::at(last.started_at, &last.id)
        }))
    }

    /// Active staking positions whose lock has ended, first the one that ended first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_ended(
        conn: &mut Conn<'_>,
        now: UtcTime,
        page: &PageRequest,
    ) -> Result<Page<StakingPosition>> {
        let page = &page.of("tokens.ended")?;
        let rows = page.rows();
        let found: Vec<StakingPosition> = match page.after_time()? {
            None => with_conn!(conn, |c| page.load(Ended { now, rows }, c))?,
            Some((at, id)) => with_conn!(conn, |c| page.load(EndedAfter { now, at, id, rows }, c))?,
        };
        Ok(Page::of(found, page, |last| {
            Place::at(last.ends_at, &last.id)
        }))
    }

    /// All the money there is: what players have, available, locked and staked, and what the house,
    /// the treasury and the pots have. Reads every balance.
    ///
    /// # Errors
    /// `Overflow`, `Database`; one sum beyond 64 bits is among these.
    pub fn total_supply(conn: &mut Conn<'_>) -> Result<i64> {
        let (available, locked, staked, held): (i64, i64, i64, i64) =
            with_conn!(conn, |c| TotalSupply {}.get_result(c))?;
        let total: i128 = [available, locked, staked, held]
            .map(i128::from)
            .iter()
            .sum();
        i64::try_from(total).map_err(|_| Error::Overflow {
            owner: "all together".to_owned(),
        })
    }
}
