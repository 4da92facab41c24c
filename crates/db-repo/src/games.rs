//! Games of dice. How one ends is a matter of money: [`money::settle_game`](crate::money::settle_game).

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{Game, GameEvent, GamePhase, GameState, NewGame};
use db_schema::schema::games;
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::dialect::locking::Hold;
use crate::money::{hold_game, open_game, open_pot, record};
use crate::page::{Listing, Place};
use crate::refusal::refused;
use crate::{Error, Page, PageRequest, Result, check};

const ENTITY: &str = "game";

type Columns = (
    Text,
    Text,
    BigInt,
    Text,
    UtcTimestamp,
    Nullable<UtcTimestamp>,
    Nullable<Text>,
);

statement! {
    struct AddGame<'a> {
        id: &'a str as Text,
        state: GameState as Text,
        phase: GamePhase as Text,
        now: UtcTime as UtcTimestamp,
    }
    returns Columns;
    "INSERT INTO games (id, state, pot_size, phase, created_at) VALUES (" id ", " state ", 0, "
    phase ", " now ") RETURNING id, state, pot_size, phase, created_at, completed_at, winner_id"
}

statement! {
    struct AddStatistics<'a> {
        id: &'a str as Text,
        now: UtcTime as UtcTimestamp,
    }
    "INSERT INTO game_statistics (game_id, created_at, updated_at) VALUES (" id ", " now ", " now ")"
}

statement! {
    struct Advance<'a> {
        id: &'a str as Text,
        state: GameState as Text,
        phase: GamePhase as Text,
    }
    returns Columns;
    "UPDATE games SET state = " state ", phase = " phase " WHERE id = " id
    " RETURNING id, state, pot_size, phase, created_at, completed_at, winner_id"
}

statement! {
    struct GamesNewest<'a> {
        state: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, state, pot_size, phase, created_at, completed_at, winner_id FROM games
    WHERE state = " state " ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct GamesBefore<'a> {
        state: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, state, pot_size, phase, created_at, completed_at, winner_id FROM games
    WHERE state = " state " AND (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct ActiveNewest {
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, state, pot_size, phase, created_at, completed_at, winner_id FROM games
    WHERE completed_at IS NULL ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct ActiveBefore<'a> {
        at: UtcTime as UtcTimestamp,
        id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, state, pot_size, phase, created_at, completed_at, winner_id FROM games
    WHERE completed_at IS NULL AND (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

/// Games of dice.
#[derive(Debug)]
pub struct GameRepository;

impl GameRepository {
    /// Opens a game: bets are taken, its pot is an empty account, and its first event says so.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists`, `Database`.
    pub fn create(conn: &mut Conn<'_>, new: &NewGame) -> Result<Game> {
        check::key("id", &new.id)?;
        check::moment("created_at", new.created_at)?;
        let (id, now) = (new.id.as_str(), new.created_at);
        let add = AddGame {
            id,
            state: GameState::Open,
            phase: GamePhase::ComeOut,
            now,
        };
        let added: QueryResult<Game> = with_conn!(conn, |c| add.get_result(c));
        let game = added.map_err(|error| {
            let taken =
                |name: &str| (name == "pk_games").then(|| Error::already_exists(ENTITY, id));
            refused(conn, error, taken, &[])
        })?;
        open_pot(conn, id, now)?;
        with_conn!(conn, |c| AddStatistics { id, now }.execute(c))?;
        let created = GameEvent::GameCreated {
            state: game.state,
            phase: game.phase,
            pot: game.pot_size,
        };
        record(conn, id, &[created], now)?;
        Ok(game)
    }

    /// The game of this key.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find(conn: &mut Conn<'_>, id: &str) -> Result<Option<Game>> {
        check::sought("id", id)?;
        Ok(with_conn!(conn, |c| games::table
            .find(id)
            .select(Game::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The game of this key, which has to be there.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, id: &str) -> Result<Game> {
        Self::find(conn, id)?.ok_or_else(|| Error::not_found(ENTITY, id))
    }

    /// Games in one state, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_by_state(
        conn: &mut Conn<'_>,
        state: GameState,
        page: &PageRequest,
    ) -> Result<Page<Game>> {
        let page = &page.of("games.by_state")?;
        let (rows, state) = (page.rows(), state.as_str());
        let found = match page.after_time()? {
            None => with_conn!(conn, |c| GamesNewest { state, rows }.load(c))?,
            Some((at, id)) => {
                let before = GamesBefore {
                    state,
                    at,
                    id,
                    rows,
                };
                with_conn!(conn, |c| before.load(c))?
            }
        };
        Ok(page_of(found, page))
    }

    /// Games that have not ended, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_active(conn: &mut Conn<'_>, page: &PageRequest) -> Result<Page<Game>> {
        let page = &page.of("games.active")?;
        let rows = page.rows();
        let found = match page.after_time()? {
            None => with_conn!(conn, |c| ActiveNewest { rows }.load(c))?,
            Some((at, id)) => with_conn!(conn, |c| ActiveBefore { at, id, rows }.load(c))?,
        };
        Ok(page_of(found, page))
    }

    /// The first throw: an open game is active. Bets are taken still.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `GameClosed`, `WrongState` if it is active already, `Database`.
    pub fn start(conn: &mut Conn<'_>, id: &str, now: UtcTime) -> Result<Game> {
        check::sought("id", id)?;
        wants(conn, id, GameState::Open)?;
        advance(conn, id, GamePhase::ComeOut, now)
    }

    /// What the next throw of an active game decides.
    ///
    /// # Errors
    /// `Invalid` for the end or a key that cannot be, `NotFound`, `GameClosed`, `WrongState` if it is not started,
    /// `Database`.
    pub fn advance_phase(
        conn: &mut Conn<'_>,
        id: &str,
        phase: GamePhase,
        now: UtcTime,
    ) -> Result<Game> {
        check::sought("id", id)?;
        let goes_on = phase != GamePhase::Ended;
        check::rule("phase", goes_on, "must not be the end: settle the game")?;
        wants(conn, id, GameState::Active)?;
        advance(conn, id, phase, now)
    }
}

/// Holds a game that has to be in this state.
fn wants(conn: &mut Conn<'_>, id: &str, wanted: GameState) -> Result<()> {
    let (state, _) = hold_game(conn, id, Hold::State)?;
    open_game(id, state)?;
    if state == wanted {
        return Ok(());
    }
    Err(Error::WrongState {
        game: id.to_owned(),
        state,
        wanted,
    })
}

/// The phase of an active game that the caller holds.
fn advance(conn: &mut Conn<'_>, id: &str, phase: GamePhase, now: UtcTime) -> Result<Game> {
    let state = GameState::Active;
    let game: Game = with_conn!(conn, |c| Advance { id, state, phase }.get_result(c))?;
    record(conn, id, &[GameEvent::PhaseChanged { state, phase }], now)?;
    Ok(game)
}

fn page_of(found: Vec<Game>, page: &Listing<'_>) -> Page<Game> {
    Page::of(found, page, |last| Place::at(last.created_at, &last.id))
}
