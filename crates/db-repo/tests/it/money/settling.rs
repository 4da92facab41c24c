//! The end of a game.

use db_repo::GameRepository;
use db_repo::money::SettledGame;
use db_schema::rows::{BetOutcome, EntryType, GamePhase, GameState, TransactionType};
use db_testkit::{TestDb, both_engines};

use super::books::books;
use super::table::{bet_id, cancel, end, place, resolve, result, settle, table};
use crate::support::{at, read, users};

both_engines! {
    fn lost_stakes_pay_the_winners_and_the_rest_is_the_winners_pot(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 100);
        place(&database, 2, "g1", "bob", 60);
        place(&database, 3, "g1", "cid", 40);
        place(&database, 4, "g1", "cid", 5);
        resolve(&database, 4, BetOutcome::Lost, 0);
        // The one that won is named before the one that lost, which pays for it.
        let request = end(
            "g1",
            vec![
                result(1, BetOutcome::Won, 50),
                result(2, BetOutcome::Lost, 0),
                result(3, BetOutcome::Push, 0),
            ],
            Some("ada"),
        );
        let answer = settle(&database, &request);
        assert_eq!(
            answer,
            SettledGame {
                game_id: "g1".into(),
                state: GameState::Completed,
                bets: 3,
                paid: 190,
                pot: 15,
                winner_id: Some("ada".into()),
            }
        );
        let books = books(&database);
        assert_eq!(books.of("ada"), (1_065, 0, 0));
        assert_eq!(books.of("bob"), (940, 0, 0));
        assert_eq!(books.of("cid"), (995, 0, 0));
        assert_eq!((books.account("pot:g1"), books.account("house")), (0, 500));
        let game = &books.games[0];
        assert_eq!((game.state, game.phase), (GameState::Completed, GamePhase::Ended));
        assert_eq!((game.completed_at, game.winner_id.as_deref()), (Some(at(30)), Some("ada")));
        assert_eq!(
            books.lines_of("ada", 3),
            [(TransactionType::PotWon, 15, 0, 0, "g1")]
        );
        assert_eq!(books.entries_of("pot:g1", 3), [(EntryType::PotWon, -15, "g1")]);
        assert_eq!((books.player("ada").games_won, books.player("bob").games_won), (1, 0));
        // Created, four placed, one resolved, three resolved, settled.
        assert_eq!(books.counts["game_events"], 10);
    }

    fn the_house_pays_what_the_pot_lacks_and_gets_what_nobody_won(db: TestDb) {
        let database = table(&db);
        super::table::game(&database, "g2");
        place(&database, 1, "g1", "ada", 100);
        place(&database, 2, "g2", "bob", 70);
        let answer = settle(&database, &end("g1", vec![result(1, BetOutcome::Won, 500)], None));
        assert_eq!((answer.paid, answer.pot, answer.winner_id), (600, 0, None));
        assert_eq!(books(&database).account("house"), 0);
        let answer = settle(&database, &end("g2", vec![result(2, BetOutcome::Lost, 0)], None));
        assert_eq!((answer.paid, answer.pot), (0, 70));
        let books = books(&database);
        assert_eq!(books.account("house"), 70);
        assert_eq!(books.entries_of("house", 2), [(EntryType::PotToHouse, 70, "g2")]);
    }

    fn a_cancelled_game_gives_open_stakes_back(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 100);
        place(&database, 2, "g1", "bob", 60);
        place(&database, 3, "g1", "bob", 7);
        resolve(&database, 3, BetOutcome::Lost, 0);
        let answer = settle(&database, &cancel("g1"));
        assert_eq!((answer.state, answer.bets), (GameState::Cancelled, 2));
        assert_eq!((answer.paid, answer.pot), (160, 7));
        let books = books(&database);
        assert_eq!(books.of("ada"), (1_000, 0, 0));
        assert_eq!(books.of("bob"), (993, 0, 0));
        assert_eq!(books.account("house"), 507);
        let bet = books.bets.iter().find(|bet| bet.id == bet_id(1)).unwrap();
        assert_eq!((bet.outcome, bet.resolved_at), (Some(BetOutcome::Void), Some(at(30))));
    }

    fn a_game_without_bets_ends(db: TestDb) {
        let database = table(&db);
        users(&database, &["dot"]);
        let answer = settle(&database, &end("g1", Vec::new(), Some("dot")));
        assert_eq!((answer.bets, answer.paid, answer.pot), (0, 0, 0));
        let game = read(&database, |conn| GameRepository::get(conn, "g1"));
        assert_eq!(game.winner_id.as_deref(), Some("dot"));
        books(&database);
    }

    fn a_winner_who_never_had_money_gets_the_pot(db: TestDb) {
        let database = table(&db);
        users(&database, &["dot"]);
        place(&database, 1, "g1", "ada", 100);
        settle(&database, &end("g1", vec![result(1, BetOutcome::Lost, 0)], Some("dot")));
        assert_eq!(books(&database).of("dot"), (100, 0, 0));
    }
}
