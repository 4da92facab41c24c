//! Bets, as they are read, and those of the past.

use db_core::Database;
use db_repo::{BetRepository, Error, GameRepository, PageRequest, money};
use db_schema::rows::{Bet, BetOutcome, BetType};
use db_schema::types::BetId;
use db_testkit::{TestDb, both_engines};

use crate::money::table::{bet, bet_id, deposit, resolve};
use crate::rows::new_game;
use crate::support::{all_pages, at, open, read, refusal, users, write};

/// Two to a moment, by two players in two games.
fn past(number: u32) -> Bet {
    Bet {
        id: BetId(uuid::Uuid::from_u128(number.into())),
        game_id: ["g1", "g2"][number as usize % 2].to_owned(),
        player_id: ["ada", "bob"][number as usize / 2 % 2].to_owned(),
        bet_type: BetType::ALL[number as usize % BetType::ALL.len()],
        amount: i64::from(number) + 1,
        outcome: Some(BetOutcome::ALL[number as usize % BetOutcome::ALL.len()]),
        created_at: at(i64::from(number / 4)),
        resolved_at: Some(at(i64::from(number))),
    }
}

#[track_caller]
fn with_games(db: &TestDb) -> Database {
    let database = open(db);
    users(&database, &["ada", "bob"]);
    for id in ["g1", "g2"] {
        let new = new_game(id, 0);
        write(&database, |conn| GameRepository::create(conn, &new));
    }
    database
}

both_engines! {
    fn many_come_as_they_were(db: TestDb) {
        let database = with_games(&db);
        // More than a few statements' worth, and not a whole number of them.
        let bets: Vec<_> = (0..2_077).map(past).collect();
        assert_eq!(write(&database, |conn| BetRepository::create_many(conn, &bets)), 2_077);
        assert_eq!(write(&database, |conn| BetRepository::create_many(conn, &[])), 0);
        for bet in bets.iter().step_by(97) {
            let found = read(&database, |conn| BetRepository::get(conn, bet.id));
            assert_eq!(found, *bet);
        }
        let unknown = BetId(uuid::Uuid::from_u128(9_999));
        assert_eq!(read(&database, |conn| BetRepository::find(conn, unknown)), None);
        let missing = database.read(|conn| BetRepository::get(conn, unknown)).unwrap_err();
        assert_eq!(missing.to_string(), format!("there is no bet {unknown}"));
    }

    fn many_are_all_or_none(db: TestDb) {
        let database = with_games(&db);
        let mut bets: Vec<_> = (0..100).map(past).collect();
        bets[70].id = bets[3].id;
        let refused = refusal(&database, |conn| BetRepository::create_many(conn, &bets));
        assert_eq!(refused.to_string(), format!("there is a bet {} already", bets[3].id));
        for (field, entity, key, wrong) in [
            ("game_id", "game", "g9", Bet { game_id: "g9".into(), ..past(70) }),
            ("player_id", "user", "eve", Bet { player_id: "eve".into(), ..past(70) }),
        ] {
            bets[70] = wrong;
            let refused = refusal(&database, |conn| BetRepository::create_many(conn, &bets));
            assert_eq!(refused.to_string(), format!("{field}: there is no {entity} {key}"));
        }
        for (field, wrong) in [
            ("amount", Bet { amount: 0, ..past(70) }),
            ("outcome", Bet { outcome: None, ..past(70) }),
            ("resolved_at", Bet { resolved_at: None, ..past(70) }),
            ("resolved_at", Bet { resolved_at: Some(at(0)), created_at: at(1), ..past(70) }),
            ("game_id", Bet { game_id: String::new(), ..past(70) }),
        ] {
            bets[70] = wrong;
            let refused = refusal(&database, |conn| BetRepository::create_many(conn, &bets));
            assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused:?}");
        }
        assert_eq!(read(&database, |conn| BetRepository::find(conn, past(0).id)), None);
    }

    fn lists_hold_each_bet_once_newest_first(db: TestDb) {
        let database = with_games(&db);
        let bets: Vec<_> = (0..101).map(past).collect();
        write(&database, |conn| BetRepository::create_many(conn, &bets));
        let all = |list: &dyn Fn(&PageRequest) -> db_repo::Page<Bet>| {
            let mut found = Vec::new();
            let mut request = PageRequest::first(7);
            loop {
                let page = list(&request);
                assert!(page.items.len() <= 7);
                found.extend(page.items);
                match page.next {
                    Some(next) => request = PageRequest::first(7).after(next.to_string().parse().unwrap()),
                    None => return found,
                }
            }
        };
        let newest = |keep: &dyn Fn(&Bet) -> bool| -> Vec<Bet> {
            let mut kept: Vec<_> = bets.iter().filter(|bet| keep(bet)).cloned().collect();
            kept.sort_by_key(|bet| std::cmp::Reverse((bet.created_at, bet.id)));
            kept
        };
        for game in ["g1", "g2"] {
            let found = all(&|page| {
                read(&database, |conn| BetRepository::list_by_game(conn, game, page))
            });
            assert_eq!(found, newest(&|bet| bet.game_id == game));
        }
        for player in ["ada", "bob"] {
            let found = all(&|page| {
                read(&database, |conn| BetRepository::list_by_player(conn, player, page))
            });
            assert_eq!(found, newest(&|bet| bet.player_id == player));
        }
        let foreign = PageRequest::first(7).after("2:bets.by_game:5.no key of a bet".parse().unwrap());
        let refused = database
            .read(|conn| BetRepository::list_by_game(conn, "g1", &foreign))
            .unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "after", .. }));
    }

    fn open_bets_come_once_each_oldest_first(db: TestDb) {
        let database = with_games(&db);
        let list = |page: &PageRequest| {
            read(&database, |conn| BetRepository::list_open_by_game(conn, "g1", page))
        };
        assert_eq!(list(&PageRequest::default()).items, []);
        for player in ["ada", "bob"] {
            let request = deposit(player, player, 1_000);
            write(&database, |conn| money::deposit(conn, &request, at(0)));
        }
        // Three to a moment, in the order of none of their columns, and every fifth in another game.
        let placed: Vec<_> =
            (0_u8..40).map(|n| (u128::from(n) * 27 % 40, i64::from(n / 3))).collect();
        for (number, seconds) in &placed {
            let game = if number % 5 == 0 { "g2" } else { "g1" };
            let player = if number % 2 == 0 { "ada" } else { "bob" };
            let bet = bet(*number, game, player, 1);
            write(&database, |conn| money::place_bet(conn, &bet, at(*seconds)));
        }
        for number in [7, 8, 31] {
            resolve(&database, number, BetOutcome::Lost, 0);
        }
        let mut wanted: Vec<_> = placed
            .into_iter()
            .filter(|(number, _)| number % 5 != 0 && ![7, 8, 31].contains(number))
            .map(|(number, seconds)| (at(seconds), bet_id(number)))
            .collect();
        wanted.sort_unstable();
        let found = all_pages(&database, 4, |conn, page| {
            BetRepository::list_open_by_game(conn, "g1", page)
        });
        assert!(found.iter().all(|bet| bet.game_id == "g1" && bet.outcome.is_none()));
        let found: Vec<_> = found.into_iter().map(|bet| (bet.created_at, bet.id)).collect();
        assert_eq!(found, wanted);
        // The cursor of bets the other way round is none of this list.
        let other = read(&database, |conn| {
            BetRepository::list_by_game(conn, "g1", &PageRequest::first(1))
        });
        let foreign = PageRequest::first(1).after(other.next.unwrap());
        let refused = database
            .read(|conn| BetRepository::list_open_by_game(conn, "g1", &foreign))
            .unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "after", .. }), "{refused:?}");
    }
}
