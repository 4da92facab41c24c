//! Games of one player against the house.

use db_core::with_conn;
use db_repo::money::{self, Balances, PlayHouseGame};
use db_schema::rows::{EntryType, HouseGame, HouseOutcome, TransactionType};
use db_schema::schema::house_games;
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;
use serde_json::json;

use super::books::books;
use super::table::{house_game, refused, table};
use crate::support::{at, read, write};

fn play(reference: &str, bet: i64, payout: i64) -> PlayHouseGame {
    PlayHouseGame {
        session_id: Some("s1".into()),
        metadata: Some(json!({"target": 50}).into()),
        ..house_game(reference, "ada", (bet, payout))
    }
}

both_engines! {
    fn the_bet_comes_to_the_house_and_the_payout_from_it(db: TestDb) {
        let database = table(&db);
        let before = books(&database);
        let lost = write(&database, |conn| money::play_house_game(conn, &play("p1", 100, 0), at(1)));
        assert_eq!(lost.balances, Balances { available: 900, locked: 0, staked: 0 });
        let won = write(&database, |conn| money::play_house_game(conn, &play("p2", 100, 198), at(2)));
        assert_eq!(won.balances, Balances { available: 998, locked: 0, staked: 0 });
        write(&database, |conn| money::play_house_game(conn, &play("p3", 10, 10), at(3)));
        let books = books(&database);
        assert_eq!(books.account("house"), 502);
        assert_eq!(
            books.lines_of("ada", 1)[..3],
            [
                (TransactionType::HouseBet, -100, 0, 0, "p1"),
                (TransactionType::HouseBet, -100, 0, 0, "p2"),
                (TransactionType::HouseWin, 198, 0, 0, "p2"),
            ]
        );
        assert_eq!(
            books.entries_of("house", 1)[..3],
            [
                (EntryType::HouseBet, 100, "p1"),
                (EntryType::HouseBet, 100, "p2"),
                (EntryType::HouseWin, -198, "p2"),
            ]
        );
        let player = books.player("ada");
        assert_eq!((player.games_played, player.bet_count, player.bets_won), (3, 3, 1));
        assert_eq!((player.total_wagered, player.total_won, player.biggest_win), (210, 198, 198));
        assert_eq!((player.longest_losing_streak, player.longest_winning_streak), (1, 1));
        assert_eq!(books.counts["outbox"], before.counts["outbox"] + 3);
        assert_eq!(books.counts["notifications"], before.counts["notifications"] + 1);
        let row: HouseGame = read(&database, |conn| {
            let query = house_games::table.find(won.house_game_id);
            Ok(with_conn!(conn, |c| query.get_result(c))?)
        });
        assert_eq!((row.bet_amount, row.payout_amount), (100, 198));
        assert_eq!((row.outcome, row.created_at), (Some(HouseOutcome::Won), at(2)));
        assert_eq!(row.metadata.unwrap().0, json!({"target": 50}));
    }

    fn the_house_pays_no_more_than_it_has(db: TestDb) {
        let database = table(&db);
        // With the bet it has 600.
        let error = refused(&database, |conn, now| {
            money::play_house_game(conn, &play("p1", 100, 601), now)
        });
        assert_eq!(error.to_string(), "the house has 600, which is less than 601");
        write(&database, |conn| money::play_house_game(conn, &play("p1", 100, 600), at(1)));
        assert_eq!(books(&database).account("house"), 0);
        let error = refused(&database, |conn, now| {
            money::play_house_game(conn, &play("p2", 1_501, 0), now)
        });
        assert_eq!(error.to_string(), "user ada has 1500, which is less than 1501");
    }

    fn an_outcome_that_its_payout_denies_is_refused(db: TestDb) {
        let database = table(&db);
        let right = play("p1", 100, 200);
        for wrong in [
            PlayHouseGame { outcome: HouseOutcome::Lost, ..right.clone() },
            PlayHouseGame { multiplier: f64::NAN, ..right.clone() },
            PlayHouseGame { house_edge: 1.5, ..right.clone() },
            PlayHouseGame { payout_amount: -1, ..right.clone() },
            PlayHouseGame { bet_amount: 0, ..right.clone() },
            PlayHouseGame { algorithm_type: String::new(), ..right },
        ] {
            let error = refused(&database, |conn, now| money::play_house_game(conn, &wrong, now));
            assert!(matches!(error, db_repo::Error::Invalid { .. }), "{error:?}");
        }
    }
}
