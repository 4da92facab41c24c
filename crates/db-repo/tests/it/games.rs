//! Games, from their opening on.

use db_core::Database;
use db_repo::{Error, EventStore, GameRepository, PageRequest, Until, money};
use db_schema::rows::{GameEvent, GamePhase, GameState};
use db_testkit::{TestDb, both_engines};

use crate::rows::new_game;
use crate::support::{at, open, read, refusal, write};

#[track_caller]
fn end(database: &Database, id: &str) {
    let request = money::SettleGame {
        reference: format!("end of {id}"),
        game_id: id.to_owned(),
        settlement: money::Settlement::Cancelled,
    };
    write(database, |conn| money::settle_game(conn, &request, at(500)));
}

both_engines! {
    fn a_game_opens_with_an_empty_pot(db: TestDb) {
        let database = open(&db);
        let made = write(&database, |conn| GameRepository::create(conn, &new_game("g1", 3)));
        assert_eq!((made.state, made.phase), (GameState::Open, GamePhase::ComeOut));
        assert_eq!((made.pot_size, made.created_at, made.completed_at), (0, at(3), None));
        let found = read(&database, |conn| GameRepository::find(conn, "g1"));
        assert_eq!(found, Some(made));
        assert_eq!(read(&database, |conn| GameRepository::find(conn, "g2")), None);
        let missing = database.read(|conn| GameRepository::get(conn, "g2")).unwrap_err();
        assert_eq!(missing.to_string(), "there is no game g2");
        let again = refusal(&database, |conn| GameRepository::create(conn, &new_game("g1", 4)));
        assert!(matches!(again, Error::AlreadyExists { entity: "game", ref key } if key == "g1"));
        let nameless = refusal(&database, |conn| GameRepository::create(conn, &new_game("", 4)));
        assert!(matches!(nameless, Error::Invalid { field: "id", .. }));
    }

    fn it_goes_from_phase_to_phase_until_its_end(db: TestDb) {
        let database = open(&db);
        write(&database, |conn| GameRepository::create(conn, &new_game("g1", 0)));
        let early = refusal(&database, |conn| {
            GameRepository::advance_phase(conn, "g1", GamePhase::Point, at(1))
        });
        assert_eq!(early.to_string(), "game g1 is open, not active");
        let started = write(&database, |conn| GameRepository::start(conn, "g1", at(2)));
        assert_eq!((started.state, started.phase), (GameState::Active, GamePhase::ComeOut));
        let twice = refusal(&database, |conn| GameRepository::start(conn, "g1", at(3)));
        assert_eq!(twice.to_string(), "game g1 is active, not open");
        let point = write(&database, |conn| {
            GameRepository::advance_phase(conn, "g1", GamePhase::Point, at(4))
        });
        assert_eq!(point.phase, GamePhase::Point);
        let ended = refusal(&database, |conn| {
            GameRepository::advance_phase(conn, "g1", GamePhase::Ended, at(5))
        });
        assert!(matches!(ended, Error::Invalid { field: "phase", .. }));
        end(&database, "g1");
        let closed = refusal(&database, |conn| {
            GameRepository::advance_phase(conn, "g1", GamePhase::ComeOut, at(6))
        });
        assert_eq!(closed.to_string(), "game g1 is cancelled");
        let nowhere = refusal(&database, |conn| GameRepository::start(conn, "g9", at(7)));
        assert_eq!(nowhere.to_string(), "there is no game g9");
        let stored = read(&database, |conn| EventStore::read(conn, "g1", 1, 100));
        let events: Vec<_> = stored.iter().map(|event| event.event().unwrap()).collect();
        let (state, open) = (GameState::Active, GameState::Open);
        assert_eq!(
            events,
            [
                GameEvent::GameCreated { state: open, phase: GamePhase::ComeOut, pot: 0 },
                GameEvent::PhaseChanged { state, phase: GamePhase::ComeOut },
                GameEvent::PhaseChanged { state, phase: GamePhase::Point },
                GameEvent::GameSettled { state: GameState::Cancelled, winner_id: None, pot: 0 },
            ]
        );
        let row = read(&database, |conn| GameRepository::get(conn, "g1"));
        let view = read(&database, |conn| EventStore::replay(conn, "g1", Until::Newest));
        assert_eq!(view.unwrap().game, row);
    }

    fn lists_hold_each_game_once_newest_first(db: TestDb) {
        let database = open(&db);
        write(&database, |conn| {
            for n in 0..20 {
                GameRepository::create(conn, &new_game(&format!("g{n:02}"), n / 3))?;
            }
            Ok(())
        });
        for n in [4, 5, 11] {
            end(&database, &format!("g{n:02}"));
        }
        write(&database, |conn| GameRepository::start(conn, "g07", at(9)));
        let all = |list: &dyn Fn(&PageRequest) -> db_repo::Page<db_schema::rows::Game>| {
            let mut ids = Vec::new();
            let mut request = PageRequest::first(4);
            loop {
                let page = list(&request);
                assert!(page.items.len() <= 4);
                ids.extend(page.items.into_iter().map(|game| game.id));
                match page.next {
                    Some(next) => request = PageRequest::first(4).after(next),
                    None => return ids,
                }
            }
        };
        let ids = |left_out: &[i64]| -> Vec<String> {
            let kept = (0..20).rev().filter(|n| !left_out.contains(n));
            kept.map(|n| format!("g{n:02}")).collect()
        };
        let of_state = |state| {
            all(&|page| read(&database, |conn| GameRepository::list_by_state(conn, state, page)))
        };
        assert_eq!(of_state(GameState::Open), ids(&[4, 5, 7, 11]));
        assert_eq!(of_state(GameState::Active), ["g07"]);
        assert_eq!(of_state(GameState::Cancelled), ["g11", "g05", "g04"]);
        assert_eq!(of_state(GameState::Completed), Vec::<String>::new());
        let active = all(&|page| read(&database, |conn| GameRepository::list_active(conn, page)));
        assert_eq!(active, ids(&[4, 5, 11]));
    }
}
