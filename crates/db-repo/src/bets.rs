//! Bets in games. They are placed and settled by [`money`](crate::money), and read here.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::Bet;
use db_schema::schema::bets;
use db_schema::types::{BetId, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::dialect::bulk_bets;
use crate::page::{Listing, Place};
use crate::refusal::{Parent, Row, Told, each_once, refused};
use crate::{Error, Page, PageRequest, Result, check};

const ENTITY: &str = "bet";

type Columns = (
    Binary,
    Text,
    Text,
    Text,
    BigInt,
    Nullable<Text>,
    UtcTimestamp,
    Nullable<UtcTimestamp>,
);

statement! {
    struct OfGameNewest<'a> {
        game: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, game_id, player_id, bet_type, amount, outcome, created_at, resolved_at FROM bets
    WHERE game_id = " game " ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct OfGameBefore<'a> {
        game: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: BetId as Binary,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, game_id, player_id, bet_type, amount, outcome, created_at, resolved_at FROM bets
    WHERE game_id = " game " AND (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct OfPlayerNewest<'a> {
        player: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, game_id, player_id, bet_type, amount, outcome, created_at, resolved_at FROM bets
    WHERE player_id = " player " ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct OfPlayerBefore<'a> {
        player: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: BetId as Binary,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, game_id, player_id, bet_type, amount, outcome, created_at, resolved_at FROM bets
    WHERE player_id = " player " AND (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct OpenOldest<'a> {
        game: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, game_id, player_id, bet_type, amount, outcome, created_at, resolved_at FROM bets
    WHERE game_id = " game " AND outcome IS NULL ORDER BY created_at, id LIMIT " rows " + 0"
}

statement! {
    struct OpenAfter<'a> {
        game: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: BetId as Binary,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, game_id, player_id, bet_type, amount, outcome, created_at, resolved_at FROM bets
    WHERE game_id = " game " AND outcome IS NULL AND (created_at, id) > (" at ", " id ")
    ORDER BY created_at, id LIMIT " rows " + 0"
}

/// Bets in games.
#[derive(Debug)]
pub struct BetRepository;

impl BetRepository {
    /// Adds bets of the past, all or none; how many. They move no money, count in no statistics
    /// and have no events, so each has to be settled already.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists`, `MissingParent`, `Database`.
    pub fn create_many(conn: &mut Conn<'_>, new: &[Bet]) -> Result<usize> {
        new.iter().try_for_each(check_new)?;
        let (error, among) = match conn {
            Conn::Sqlite(c) => match bulk_bets::add_sqlite(c, new) {
                Ok(added) => return Ok(added),
                Err((error, bet)) => (error, std::slice::from_ref(bet)),
            },
            Conn::Postgres(c) => match bulk_bets::add_postgres(c, new) {
                Ok(added) => return Ok(added),
                Err(error) => (error, new),
            },
        };
        let told = Told::by(&error);
        let taken = |name: &str| match (name, among) {
            ("pk_bets", [bet]) => Some(bet),
            ("pk_bets", bets) => told.among(bets, |bet| bulk_bets::key_postgres(bet.id)),
            _ => None,
        };
        let taken = |name: &str| taken(name).map(|bet| Error::already_exists(ENTITY, bet.id));
        let parents = each_once(among.iter().flat_map(parents));
        Err(refused(conn, error, taken, &parents))
    }

    /// The bet of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, id: BetId) -> Result<Option<Bet>> {
        Ok(with_conn!(conn, |c| bets::table
            .find(id)
            .select(Bet::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The bet of this key, which has to be there.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, id: BetId) -> Result<Bet> {
        Self::find(conn, id)?.ok_or_else(|| Error::not_found(ENTITY, id))
    }

    /// Bets of a game, newest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_by_game(conn: &mut Conn<'_>, game: &str, page: &PageRequest) -> Result<Page<Bet>> {
        check::sought("game_id", game)?;
        let page = &page.of("bets.by_game")?;
        let rows = page.rows();
        let found = match after(page)? {
            None => with_conn!(conn, |c| OfGameNewest { game, rows }.load(c))?,
            Some((at, id)) => with_conn!(conn, |c| OfGameBefore { game, at, id, rows }.load(c))?,
        };
        Ok(page_of(found, page))
    }

    /// Bets of a player, newest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_by_player(
        conn: &mut Conn<'_>,
        player: &str,
        page: &PageRequest,
    ) -> Result<Page<Bet>> {
        check::sought("player_id", player)?;
        let page = &page.of("bets.by_player")?;
        let rows = page.rows();
        let found = match after(page)? {
            None => with_conn!(conn, |c| OfPlayerNewest { player, rows }.load(c))?,
            Some((at, id)) => {
                let before = OfPlayerBefore {
                    player,
                    at,
                    id,
                    rows,
                };
                with_conn!(conn, |c| before.load(c))?
            }
        };
        Ok(page_of(found, page))
    }

    /// Bets of a game that are not settled, oldest first: what its end has to settle.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_open_by_game(
        conn: &mut Conn<'_>,
        game: &str,
        page: &PageRequest,
    ) -> Result<Page<Bet>> {
        check::sought("game_id", game)?;
        let page = &page.of("bets.open_by_game")?;
        let rows = page.rows();
        let found = match after(page)? {
            None => with_conn!(conn, |c| page.load(OpenOldest { game, rows }, c))?,
            Some((at, id)) => {
                let after = OpenAfter { game, at, id, rows };
                with_conn!(conn, |c| page.load(after, c))?
            }
        };
        Ok(page_of(found, page))
    }
}

fn check_new(new: &Bet) -> Result<()> {
    check::key("game_id", &new.game_id)?;
    check::key("player_id", &new.player_id)?;
    check::amount("amount", new.amount)?;
    check::moment("created_at", new.created_at)?;
    check::rule("outcome", new.outcome.is_some(), "must be known")?;
    check::rule("resolved_at", new.resolved_at.is_some(), "must be known")?;
    check::rule(
        "resolved_at",
        new.resolved_at >= Some(new.created_at),
        "must not be before created_at",
    )
}

fn parents(bet: &Bet) -> [Parent<'_>; 2] {
    [
        Parent {
            constraint: "fk_bets_game_id",
            field: "game_id",
            row: Row::Game(&bet.game_id),
        },
        Parent {
            constraint: "fk_bets_player_id",
            field: "player_id",
            row: Row::User(&bet.player_id),
        },
    ]
}

fn after(page: &Listing<'_>) -> Result<Option<(UtcTime, BetId)>> {
    let Some((at, key)) = page.after_time()? else {
        return Ok(None);
    };
    let id = key.parse().map_err(|_| check::no_cursor())?;
    Ok(Some((at, id)))
}

fn page_of(found: Vec<Bet>, page: &Listing<'_>) -> Page<Bet> {
    Page::of(found, page, |last| Place::at(last.created_at, last.id))
}
