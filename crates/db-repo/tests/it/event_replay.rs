//! Games played through the repositories, rebuilt from their events.
#![expect(
    clippy::print_stdout,
    reason = "a seed is printed, to run the same again"
)]

use db_core::{Conn, Database, with_conn};
use db_repo::money::{
    self, BetResult, Deposit, Fund, Fundable, PlaceBet, ResolveBet, SettleGame, Settlement,
};
use db_repo::{Error, EventStore, GameRepository, Until};
use db_schema::rows::{Bet, BetOutcome, BetType, Game, GamePhase, GameState};
use db_schema::schema::{bets, games};
use db_schema::types::BetId;
use db_testkit::{TestDb, both_engines, size};
use diesel::prelude::*;
use fastrand::Rng;
use uuid::Uuid;

use crate::rows::new_game;
use crate::support::{at, open, read, users, write};

const GAME: &str = "played";
const PLAYERS: [&str; 3] = ["ada", "bob", "cyd"];

/// The rows of a game.
type Rows = (Game, Vec<Bet>);

fn tables(conn: &mut Conn<'_>) -> Result<Rows, Error> {
    let game = with_conn!(conn, |c| games::table
        .find(GAME)
        .select(Game::as_select())
        .get_result(c))?;
    let bets = with_conn!(conn, |c| bets::table
        .filter(bets::game_id.eq(GAME))
        .order(bets::id)
        .select(Bet::as_select())
        .load(c))?;
    Ok((game, bets))
}

fn rebuilt(conn: &mut Conn<'_>, until: Until) -> Result<(i64, Rows), Error> {
    let view = EventStore::replay(conn, GAME, until)?.unwrap();
    let bets = view.bets.into_values().map(|viewed| viewed.bet).collect();
    Ok((view.version, (view.game, bets)))
}

/// A random outcome, with what it wins.
fn outcome(rng: &mut Rng) -> (BetOutcome, i64) {
    match rng.u8(..3) {
        0 => (BetOutcome::Won, rng.i64(1..500)),
        1 => (BetOutcome::Lost, 0),
        _ => (BetOutcome::Push, 0),
    }
}

/// One thing that may happen in a game that has not ended.
fn step(conn: &mut Conn<'_>, rng: &mut Rng, n: i64, (game, bets): &Rows) -> Result<(), Error> {
    let now = at(n);
    let open: Vec<BetId> = bets
        .iter()
        .filter(|bet| bet.outcome.is_none())
        .map(|bet| bet.id)
        .collect();
    match rng.u8(..8) {
        0 if game.state == GameState::Open => GameRepository::start(conn, GAME, now).map(drop),
        0 => {
            let phase = rng.choice([GamePhase::ComeOut, GamePhase::Point]).unwrap();
            GameRepository::advance_phase(conn, GAME, phase, now).map(drop)
        }
        1 => EventStore::snapshot(conn, GAME, now).map(drop),
        2..4 if !open.is_empty() => {
            let (outcome, winnings) = outcome(rng);
            let request = ResolveBet {
                reference: format!("resolve {n}"),
                bet_id: open[rng.usize(..open.len())],
                outcome,
                winnings,
            };
            money::resolve_bet(conn, &request, now).map(drop)
        }
        _ => {
            let request = PlaceBet {
                reference: format!("bet {n}"),
                bet_id: BetId(Uuid::from_u128(rng.u128(..))),
                game_id: GAME.into(),
                player_id: rng.choice(PLAYERS).unwrap().into(),
                bet_type: *rng.choice(BetType::ALL).unwrap(),
                amount: rng.i64(1..1_000),
            };
            money::place_bet(conn, &request, now).map(drop)
        }
    }
}

fn settle(conn: &mut Conn<'_>, rng: &mut Rng, n: i64, (_, bets): &Rows) -> Result<(), Error> {
    let open = bets.iter().filter(|bet| bet.outcome.is_none());
    let settlement = match rng.u8(..3) {
        0 => Settlement::Cancelled,
        winner => Settlement::Completed {
            results: open
                .map(|bet| {
                    let (outcome, winnings) = outcome(rng);
                    BetResult {
                        bet_id: bet.id,
                        outcome,
                        winnings,
                    }
                })
                .collect(),
            winner: (winner == 1).then(|| "bob".into()),
        },
    };
    let request = SettleGame {
        reference: "settle".into(),
        game_id: GAME.into(),
        settlement,
    };
    money::settle_game(conn, &request, at(n)).map(drop)
}

fn prepare(database: &Database) {
    users(database, &PLAYERS);
    write(database, |conn| {
        for player in PLAYERS {
            let deposit = Deposit {
                reference: format!("deposit of {player}"),
                user_id: player.into(),
                amount: 1_000_000,
            };
            money::deposit(conn, &deposit, at(0))?;
        }
        let fund = Fund {
            reference: "fund".into(),
            account: Fundable::House,
            amount: 1_000_000,
        };
        money::fund(conn, &fund, at(0))?;
        GameRepository::create(conn, &new_game(GAME, 0))
    });
}

both_engines! {
    fn a_random_game_rebuilt_from_its_events_equals_the_tables(db: TestDb) {
        let seed = size("SEED", fastrand::u64(..));
        println!("BITCRAPS_TEST_SEED={seed}");
        let mut rng = Rng::with_seed(seed);
        let database = open(&db);
        prepare(&database);
        let mut seen = vec![read(&database, |conn| Ok((1, tables(conn)?)))];
        let steps = i64::try_from(size("GAME_STEPS", 120)).unwrap();
        for n in 1..=steps {
            let (_, before) = seen.last().unwrap();
            write(&database, |conn| match n {
                _ if n == steps => settle(conn, &mut rng, n, before),
                _ => step(conn, &mut rng, n, before),
            });
            let (version, rows) = read(&database, |conn| rebuilt(conn, Until::Newest));
            assert_eq!(rows, read(&database, tables), "step {n}");
            assert_eq!(rebuilt_at(&database, Until::Time(at(n))), (version, rows.clone()));
            seen.push((version, rows));
        }
        // From any moment of it, whatever states were kept.
        for (n, (version, rows)) in seen.iter().enumerate() {
            let moment = Until::Time(at(i64::try_from(n).unwrap()));
            for until in [Until::Version(*version), moment] {
                assert_eq!(&rebuilt_at(&database, until), &(*version, rows.clone()), "{until:?}");
            }
        }
        let (game, bets) = &seen.last().unwrap().1;
        assert!(game.completed_at.is_some() && bets.iter().all(|bet| bet.outcome.is_some()));
        assert!(bets.len() > 20);
    }
}

fn rebuilt_at(database: &Database, until: Until) -> (i64, Rows) {
    read(database, |conn| rebuilt(conn, until))
}
