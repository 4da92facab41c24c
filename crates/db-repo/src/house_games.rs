//! Games of one player against the house.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::HouseGame;
use db_schema::schema::house_games;
use db_schema::types::{JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, Text};

use crate::page::Place;
use crate::{Page, PageRequest, Result, check};

type Columns = (
    BigInt,
    Text,
    Text,
    BigInt,
    Nullable<Text>,
    Double,
    BigInt,
    Double,
    Nullable<Text>,
    Nullable<Text>,
    UtcTimestamp,
    Nullable<JsonDoc>,
);

statement! {
    struct Newest<'a> {
        user_id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, algorithm_type, bet_amount, outcome, multiplier, payout_amount, house_edge,
    session_id, seed, created_at, metadata FROM house_games WHERE user_id = " user_id "
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct Before<'a> {
        user_id: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, algorithm_type, bet_amount, outcome, multiplier, payout_amount, house_edge,
    session_id, seed, created_at, metadata FROM house_games
    WHERE user_id = " user_id " AND (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    /// The plus keeps PostgreSQL from going along the primary key until it has met enough of them.
    struct OfSession<'a> {
        session_id: &'a str as Text,
        after: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, algorithm_type, bet_amount, outcome, multiplier, payout_amount, house_edge,
    session_id, seed, created_at, metadata FROM house_games
    WHERE session_id = " session_id " AND id + 0 > " after " ORDER BY id + 0 LIMIT " rows " + 0"
}

/// Games against the house. They are played by an operation on money.
#[derive(Debug)]
pub struct HouseGameRepository;

impl HouseGameRepository {
    /// The game of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, id: i64) -> Result<Option<HouseGame>> {
        let query = house_games::table.find(id);
        Ok(with_conn!(conn, |c| query.get_result(c)).optional()?)
    }

    /// A player's games, newest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list(conn: &mut Conn<'_>, user_id: &str, page: &PageRequest) -> Result<Page<HouseGame>> {
        check::sought("user_id", user_id)?;
        let page = &page.of("house_games")?;
        let rows = page.rows();
        let found: Vec<HouseGame> = match page.time_id()? {
            None => with_conn!(conn, |c| page.load(Newest { user_id, rows }, c))?,
            Some((at, id)) => {
                let before = Before {
                    user_id,
                    at,
                    id,
                    rows,
                };
                with_conn!(conn, |c| page.load(before, c))?
            }
        };
        Ok(Page::of(found, page, |last| {
            Place::at(last.created_at, last.id)
        }))
    }

    /// The games of one session of play, in the order in which they were written.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_by_session(
        conn: &mut Conn<'_>,
        session_id: &str,
        page: &PageRequest,
    ) -> Result<Page<HouseGame>> {
        check::sought("session_id", session_id)?;
        let page = &page.of("house_games.by_session")?;
        let query = OfSession {
            session_id,
            after: page.after_id(),
            rows: page.rows(),
        };
        let found: Vec<HouseGame> = with_conn!(conn, |c| page.load(query, c))?;
        Ok(Page::of(found, page, |last| Place::of_id(last.id)))
    }
}
