//! Bets, from the stake to the payout.

use db_core::with_conn;
use db_repo::money::Balances;
use db_repo::{BetRepository, EventStore, GameRepository};
use db_schema::rows::{BetOutcome, EntryType, GameEvent, TransactionType};
use db_schema::schema::{notifications, outbox};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use super::books::books;
use super::table::{bet_id, place, resolve, table};
use crate::support::{at, read};

fn events(database: &db_core::Database, game: &str) -> Vec<GameEvent> {
    let stored = read(database, |conn| EventStore::read(conn, game, 1, 1_000));
    stored.iter().map(|event| event.event().unwrap()).collect()
}

both_engines! {
    fn a_stake_is_locked_and_the_pot_is_not_touched(db: TestDb) {
        let database = table(&db);
        let before = books(&database);
        let placed = place(&database, 1, "g1", "ada", 100);
        assert_eq!(placed.bet_id, bet_id(1));
        assert_eq!(placed.balances, Balances { available: 900, locked: 100, staked: 0 });
        place(&database, 2, "g1", "ada", 50);
        let books = books(&database);
        assert_eq!(books.of("ada"), (850, 150, 0));
        assert_eq!(books.account("pot:g1"), 0);
        let reference = bet_id(1).to_string();
        assert_eq!(
            books.lines_of("ada", 1)[0],
            (TransactionType::Bet, -100, 100, 0, reference.as_str())
        );
        let found = read(&database, |conn| BetRepository::get(conn, bet_id(1)));
        assert_eq!((found.amount, found.outcome, found.created_at), (100, None, at(10)));
        let player = books.player("ada");
        assert_eq!((player.games_played, player.bet_count, player.total_wagered), (1, 2, 150));
        assert_eq!(player.last_played_at, Some(at(10)));
        let game = &books.game_statistics[0];
        assert_eq!((game.player_count, game.bet_count, game.total_wagered), (1, 2, 150));
        assert_eq!(books.counts["outbox"], before.counts["outbox"] + 2);
        assert_eq!(books.counts["notifications"], before.counts["notifications"]);
        let happened = events(&database, "g1");
        assert_eq!(happened.len(), 3);
        assert!(
            matches!(&happened[1], GameEvent::BetPlaced { player_id, amount: 100, .. } if player_id == "ada"),
            "{happened:?}"
        );
    }

    fn a_lost_stake_goes_into_the_pot(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 100);
        let answer = resolve(&database, 1, BetOutcome::Lost, 0);
        assert_eq!((answer.payout, answer.pot_size), (0, 100));
        assert_eq!(answer.balances, Balances { available: 900, locked: 0, staked: 0 });
        let books = books(&database);
        assert_eq!(books.account("pot:g1"), 100);
        let reference = bet_id(1).to_string();
        assert_eq!(
            books.lines_of("ada", 2),
            [(TransactionType::BetLost, 0, -100, 0, reference.as_str())]
        );
        assert_eq!(books.entries_of("pot:g1", 0), [(EntryType::BetLost, 100, reference.as_str())]);
        assert_eq!(books.player("ada").current_streak, -1);
        let bet = &books.bets[0];
        assert_eq!((bet.outcome, bet.resolved_at), (Some(BetOutcome::Lost), Some(at(20))));
    }

    fn winnings_come_from_the_pot_and_then_from_the_house(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 100);
        place(&database, 2, "g1", "bob", 60);
        place(&database, 3, "g1", "cid", 10);
        resolve(&database, 1, BetOutcome::Lost, 0);
        let won = resolve(&database, 2, BetOutcome::Won, 150);
        assert_eq!((won.payout, won.pot_size), (210, 0));
        assert_eq!(won.balances, Balances { available: 1_150, locked: 0, staked: 0 });
        let books = books(&database);
        assert_eq!((books.account("pot:g1"), books.account("house")), (0, 450));
        let reference = bet_id(2).to_string();
        assert_eq!(
            books.lines_of("bob", 2),
            [(TransactionType::BetWon, 210, -60, 0, reference.as_str())]
        );
        assert_eq!(
            books.entries_of("house", 1),
            [(EntryType::BetWon, -50, reference.as_str())]
        );
        let player = books.player("bob");
        assert_eq!((player.bets_won, player.total_won, player.biggest_win), (1, 210, 210));
        assert_eq!((player.current_streak, player.longest_winning_streak), (1, 1));
        let game = &books.game_statistics[0];
        assert_eq!((game.total_won, game.biggest_win), (210, 210));
        let told = read(&database, |conn| {
            let query = outbox::table.filter(outbox::outbox_type.eq("bet_resolved")).count();
            Ok(with_conn!(conn, |c| query.get_result::<i64>(c))?)
        });
        assert_eq!(told, 2);
        let noted: Vec<(String, String)> = read(&database, |conn| {
            let query = notifications::table
                .filter(notifications::notification_type.eq("win"))
                .select((notifications::user_id, notifications::message));
            Ok(with_conn!(conn, |c| query.load(c))?)
        });
        assert_eq!(noted, [("bob".into(), "Your bet paid 210 CRAP.".into())]);
        // A pot that covers it all leaves the house alone.
        resolve(&database, 3, BetOutcome::Won, 0);
        assert_eq!(super::books::books(&database).account("house"), 450);
    }

    fn a_push_gives_the_stake_back(db: TestDb) {
        let database = table(&db);
        for (number, outcome) in [(1, BetOutcome::Push), (2, BetOutcome::Void)] {
            place(&database, number, "g1", "ada", 100);
            let answer = resolve(&database, number, outcome, 0);
            assert_eq!((answer.payout, answer.pot_size), (100, 0));
            assert_eq!(answer.balances, Balances { available: 1_000, locked: 0, staked: 0 });
        }
        let books = books(&database);
        assert_eq!(books.lines_of("ada", 2)[0].0, TransactionType::BetReturned);
        let player = books.player("ada");
        assert_eq!((player.bets_won, player.total_won, player.current_streak), (0, 0, 0));
    }

    fn events_make_the_same_game_and_bets(db: TestDb) {
        let database = table(&db);
        read(&database, |conn| GameRepository::get(conn, "g1"));
        place(&database, 1, "g1", "ada", 100);
        place(&database, 2, "g1", "bob", 60);
        resolve(&database, 1, BetOutcome::Lost, 0);
        resolve(&database, 2, BetOutcome::Won, 30);
        let happened = events(&database, "g1");
        assert_eq!(
            happened[4],
            GameEvent::BetResolved {
                bet_id: bet_id(2),
                outcome: BetOutcome::Won,
                winnings: 30,
                pot: 70,
            }
        );
        assert_eq!(happened.len(), 5);
        assert_eq!(books(&database).games[0].pot_size, 70);
    }
}
