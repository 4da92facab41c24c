//! Events of games.

use db_core::{Conn, Database, with_conn};
use db_repo::{Error, EventStore, Expected, GameView, Until};
use db_schema::rows::{
    Bet, BetOutcome, BetType, Game, GameEvent, GamePhase, GameState, NewGameEvent,
};
use db_schema::schema::{bets, game_events, game_snapshots, games};
use db_schema::types::{BetId, UtcTime};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;
use uuid::Uuid;

use crate::support::{at, open, read, refusal, users, write};

pub(crate) fn game(database: &Database, id: &str) {
    write(database, |conn| {
        let row = (
            games::id.eq(id),
            games::state.eq(GameState::Open.as_str()),
            games::phase.eq(GamePhase::ComeOut.as_str()),
            games::created_at.eq(at(0)),
        );
        with_conn!(conn, |c| diesel::insert_into(games::table)
            .values(row)
            .execute(c))?;
        Ok(())
    });
}

pub(crate) fn created() -> GameEvent {
    GameEvent::GameCreated {
        state: GameState::Open,
        phase: GamePhase::ComeOut,
        pot: 0,
    }
}

/// A game and its first event.
pub(crate) fn begun(database: &Database, id: &str) {
    game(database, id);
    let first = [NewGameEvent::from(&created())];
    let version = write(database, |conn| {
        EventStore::append(conn, id, Expected::Version(0), &first, at(0))
    });
    assert_eq!(version, 1);
}

/// Appends without a look at what was there, as another program may.
fn force(database: &Database, id: &str, events: &[NewGameEvent]) {
    write(database, |conn| {
        for (event, version) in events.iter().zip(1_i64..) {
            let row = (
                game_events::game_id.eq(id),
                game_events::version.eq(version),
                game_events::event_type.eq(&event.event_type),
                game_events::payload.eq(&event.payload),
                game_events::created_at.eq(at(1)),
            );
            with_conn!(conn, |c| diesel::insert_into(game_events::table)
                .values(row)
                .execute(c))?;
        }
        Ok(())
    });
}

pub(crate) fn changed(state: GameState) -> NewGameEvent {
    (&GameEvent::PhaseChanged {
        state,
        phase: GamePhase::Point,
    })
        .into()
}

/// Appends one event and makes the change that it tells of.
fn happens(
    database: &Database,
    event: &GameEvent,
    now: UtcTime,
    change: impl FnOnce(&mut Conn<'_>) -> QueryResult<usize> + Send,
) {
    let new = [NewGameEvent::from(event)];
    write(database, |conn| {
        assert_eq!(change(conn)?, 1);
        EventStore::append(conn, "g1", Expected::Any, &new, now)
    });
}

/// A game with three bets: made, played and settled, in the tables and in events alike. What the
/// tables held after each event.
#[expect(
    clippy::too_many_lines,
    reason = "one game from its beginning to its end"
)]
fn play(database: &Database) -> Vec<(Game, Vec<Bet>)> {
    users(database, &["ada", "bob"]);
    let mut seen = Vec::new();
    let mut look = || {
        seen.push(read(database, |conn| {
            let game = with_conn!(conn, |c| games::table
                .find("g1")
                .select(Game::as_select())
                .get_result(c))?;
            let bets = with_conn!(conn, |c| bets::table
                .filter(bets::game_id.eq("g1"))
                .order(bets::id)
                .select(Bet::as_select())
                .load(c))?;
            Ok((game, bets))
        }));
    };
    let (state, phase) = (GameState::Open, GamePhase::ComeOut);
    happens(
        database,
        &GameEvent::GameCreated {
            state,
            phase,
            pot: 0,
        },
        at(0),
        |conn| {
            let row = (
                games::id.eq("g1"),
                games::state.eq(state),
                games::phase.eq(phase),
                games::created_at.eq(at(0)),
            );
            with_conn!(conn, |c| diesel::insert_into(games::table)
                .values(row)
                .execute(c))
        },
    );
    look();
    for (n, (player_id, bet_type, amount)) in [
        ("ada", BetType::Pass, 100),
        ("bob", BetType::DontPass, 250),
        ("ada", BetType::Field, 7),
    ]
    .into_iter()
    .enumerate()
    {
        let now = at(10 + i64::try_from(n).unwrap());
        let bet_id = bet(n);
        let event = GameEvent::BetPlaced {
            bet_id,
            player_id: player_id.into(),
            bet_type,
            amount,
        };
        happens(database, &event, now, |conn| {
            let row = (
                bets::id.eq(bet_id),
                bets::game_id.eq("g1"),
                bets::player_id.eq(player_id),
                bets::bet_type.eq(bet_type),
                bets::amount.eq(amount),
                bets::created_at.eq(now),
            );
            with_conn!(conn, |c| diesel::insert_into(bets::table)
                .values(row)
                .execute(c))
        });
        look();
    }
    let (state, phase) = (GameState::Active, GamePhase::Point);
    happens(
        database,
        &GameEvent::PhaseChanged { state, phase },
        at(20),
        |conn| {
            let set = (games::state.eq(state), games::phase.eq(phase));
            with_conn!(conn, |c| diesel::update(games::table.find("g1"))
                .set(set)
                .execute(c))
        },
    );
    look();
    for (n, outcome, winnings, pot) in [
        (1, BetOutcome::Lost, 0, 250),
        (0, BetOutcome::Won, 100, 150),
        (2, BetOutcome::Push, 0, 150),
    ] {
        let now = at(30 + i64::try_from(n).unwrap());
        let event = GameEvent::BetResolved {
            bet_id: bet(n),
            outcome,
            winnings,
            pot,
        };
        happens(database, &event, now, |conn| {
            let set = (
                bets::outcome.eq(Some(outcome)),
                bets::resolved_at.eq(Some(now)),
            );
            with_conn!(conn, |c| diesel::update(games::table.find("g1"))
                .set(games::pot_size.eq(pot))
                .execute(c))?;
            with_conn!(conn, |c| diesel::update(bets::table.find(bet(n)))
                .set(set)
                .execute(c))
        });
        look();
    }
    let state = GameState::Completed;
    let event = GameEvent::GameSettled {
        state,
        winner_id: Some("ada".into()),
        pot: 0,
    };
    happens(database, &event, at(40), |conn| {
        let set = (
            games::state.eq(state),
            games::phase.eq(GamePhase::Ended),
            games::pot_size.eq(0),
            games::winner_id.eq(Some("ada")),
            games::completed_at.eq(Some(at(40))),
        );
        with_conn!(conn, |c| diesel::update(games::table.find("g1"))
            .set(set)
            .execute(c))
    });
    look();
    seen
}

fn bet(n: usize) -> BetId {
    BetId(Uuid::from_u128(0x77 + u128::try_from(n).unwrap()))
}

fn rows(view: GameView) -> (Game, Vec<Bet>) {
    (
        view.game,
        view.bets.into_values().map(|viewed| viewed.bet).collect(),
    )
}

fn replayed(database: &Database, until: Until) -> (Game, Vec<Bet>) {
    rows(read(database, |conn| EventStore::replay(conn, "g1", until)).unwrap())
}

both_engines! {
    fn a_game_rebuilt_from_events_equals_the_tables_at_each_of_them(db: TestDb) {
        let database = open(&db);
        let seen = play(&database);
        assert_eq!(seen.len(), 9);
        // First from events alone, then with a state that was kept after each.
        for kept in [false, true] {
            for (n, tables) in seen.iter().enumerate() {
                let version = i64::try_from(n).unwrap() + 1;
                assert_eq!(&replayed(&database, Until::Version(version)), tables, "{version} {kept}");
            }
            assert_eq!(replayed(&database, Until::Newest), seen[8]);
            assert_eq!(replayed(&database, Until::Version(99)), seen[8]);
            // Between the bet at 11 and the one at 12.
            assert_eq!(replayed(&database, Until::Time(at(11))), seen[2]);
            assert_eq!(replayed(&database, Until::Time(at(39))), seen[7]);
            assert_eq!(replayed(&database, Until::Time(at(40))), seen[8]);
            for until in [Until::Version(0), Until::Time(at(-1))] {
                assert_eq!(read(&database, |conn| EventStore::replay(conn, "g1", until)), None);
            }
            assert_eq!(write(&database, |conn| EventStore::snapshot(conn, "g1", at(50))), Some(9));
            // Twice is once.
            assert_eq!(write(&database, |conn| EventStore::snapshot(conn, "g1", at(51))), Some(9));
        }
        assert_eq!(read(&database, |conn| EventStore::replay(conn, "none", Until::Newest)), None);
        assert_eq!(write(&database, |conn| EventStore::snapshot(conn, "none", at(50))), None);
        let winnings = read(&database, |conn| EventStore::replay(conn, "g1", Until::Newest)).unwrap().bets[&bet(0)].winnings;
        assert_eq!(winnings, 100);
    }

    fn replay_begins_at_the_newest_state_before_its_target(db: TestDb) {
        let database = open(&db);
        game(&database, "g1");
        let (state, phase) = (GameState::Open, GamePhase::ComeOut);
        let created = [NewGameEvent::from(&GameEvent::GameCreated { state, phase, pot: 5 })];
        write(&database, |conn| EventStore::append(conn, "g1", Expected::Any, &created, at(0)));
        write(&database, |conn| EventStore::snapshot(conn, "g1", at(1)));
        let many: Vec<_> = (0..2_500)
            .map(|n| changed(if n % 2 == 0 { GameState::Active } else { GameState::Open }))
            .collect();
        write(&database, |conn| EventStore::append(conn, "g1", Expected::Any, &many, at(2)));
        // More than one batch of events.
        let view = read(&database, |conn| EventStore::replay(conn, "g1", Until::Newest)).unwrap();
        assert_eq!((view.version, view.game.state), (2_501, GameState::Open));
        // A state that shows whether it was used.
        write(&database, |conn| {
            let mark = serde_json::json!({
                "form": 1,
                "view": { "version": 2_000, "bets": {}, "game": {
                    "id": "g1", "state": "open", "pot_size": 77, "phase": "point",
                    "created_at": "2023-11-14T22:13:20Z", "completed_at": null, "winner_id": null,
                } },
            });
            let row = (
                game_snapshots::game_id.eq("g1"),
                game_snapshots::version.eq(2_000),
                game_snapshots::state.eq(db_schema::types::Json(mark)),
                game_snapshots::created_at.eq(at(3)),
            );
            with_conn!(conn, |c| diesel::insert_into(game_snapshots::table).values(row).execute(c))?;
            Ok(())
        });
        let pot = |version| {
            let until = Until::Version(version);
            read(&database, |conn| EventStore::replay(conn, "g1", until)).unwrap().game.pot_size
        };
        assert_eq!([pot(1_999), pot(2_000), pot(2_001), pot(9_999)], [5, 77, 77, 77]);
        // One of another form is passed over.
        write(&database, |conn| {
            let set = game_snapshots::state.eq(db_schema::types::Json(serde_json::json!({ "form": 0 })));
            let all = diesel::update(game_snapshots::table.filter(game_snapshots::version.eq(2_000)));
            with_conn!(conn, |c| all.set(set).execute(c))?;
            Ok(())
        });
        assert_eq!(pot(2_001), 5);
    }

    fn events_that_do_not_follow_name_the_first_that_does_not(db: TestDb) {
        let database = open(&db);
        let created = created();
        let resolved = GameEvent::BetResolved {
            bet_id: bet(0),
            outcome: BetOutcome::Won,
            winnings: 1,
            pot: 0,
        };
        let settled = GameEvent::GameSettled { state: GameState::Completed, winner_id: None, pot: 0 };
        for (id, events, why) in [
            ("a", vec![settled.clone()], "game a, event 1: the game was not created before"),
            ("b", vec![created.clone(), created.clone()], "game b, event 2: the game is created again"),
            (
                "c",
                vec![created.clone(), resolved],
                "game c, event 2: bet 00000000-0000-0000-0000-000000000077 was not placed before",
            ),
            ("d", vec![created.clone(), settled.clone(), settled], "game d, event 3: the game has ended before"),
        ] {
            game(&database, id);
            let events: Vec<_> = events.iter().map(NewGameEvent::from).collect();
            // Not at the door, whether they come at once or one after another: nothing is written.
            let refused = refusal(&database, |conn| EventStore::append(conn, id, Expected::Any, &events, at(1)));
            assert_eq!(refused.to_string(), why);
            let (last, first) = events.split_last().unwrap();
            let refused = refusal(&database, |conn| {
                EventStore::append(conn, id, Expected::Any, first, at(1))?;
                let last = std::slice::from_ref(last);
                EventStore::append(conn, id, Expected::Any, last, at(1))
            });
            assert_eq!(refused.to_string(), why);
            assert_eq!(read(&database, |conn| EventStore::version(conn, id)), 0);
            force(&database, id, &events);
            let broken = database.read(|conn| EventStore::replay(conn, id, Until::Newest)).unwrap_err();
            assert_eq!(broken.to_string(), why);
        }
        // Of another program, or by hand.
        game(&database, "e");
        let mut conn = db.connect();
        conn.execute("INSERT INTO game_events (game_id, version, event_type, payload) VALUES ('e', 1, 'game_lost', '{}')");
        let broken = database.read(|conn| EventStore::replay(conn, "e", Until::Newest)).unwrap_err();
        assert!(broken.to_string().starts_with("game e, event 1: unknown variant"), "{broken}");
    }

    fn a_kept_state_that_is_of_another_is_passed_over_and_replaced(db: TestDb) {
        let database = open(&db);
        game(&database, "g1");
        let (state, phase) = (GameState::Open, GamePhase::ComeOut);
        let created = [NewGameEvent::from(&GameEvent::GameCreated { state, phase, pot: 5 })];
        write(&database, |conn| EventStore::append(conn, "g1", Expected::Any, &created, at(0)));
        write(&database, |conn| EventStore::snapshot(conn, "g1", at(1)));
        let kept = |conn: &mut Conn<'_>| -> Result<serde_json::Value, Error> {
            let state: db_schema::types::Json = with_conn!(conn, |c| game_snapshots::table
                .select(game_snapshots::state)
                .get_result(c))?;
            Ok(state.0)
        };
        let right = read(&database, kept);
        let pot = || read(&database, |conn| EventStore::replay(conn, "g1", Until::Newest)).unwrap().game.pot_size;
        let forged = |version: i64, id: &str| {
            let mut state = right.clone();
            state["view"]["version"] = version.into();
            state["view"]["game"]["id"] = id.into();
            state["view"]["game"]["pot_size"] = 77.into();
            state
        };
        for (state, seen) in [
            (forged(1, "g1"), 77),
            (forged(2, "g1"), 5),
            (forged(1, "g2"), 5),
            (serde_json::json!({ "form": 1, "view": 7 }), 5),
        ] {
            let was = state.clone();
            write(&database, move |conn| {
                let set = game_snapshots::state.eq(db_schema::types::Json(state));
                with_conn!(conn, |c| diesel::update(game_snapshots::table).set(set).execute(c))?;
                Ok(())
            });
            assert_eq!(pot(), seen, "{was}");
        }
        // Kept anew, in the place of the one that cannot be used.
        assert_eq!(write(&database, |conn| EventStore::snapshot(conn, "g1", at(2))), Some(1));
        assert_eq!(read(&database, kept), right);
    }
}
