//! The end of a game.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use db_core::with_conn;
use db_repo::money::{self, SettledGame};
use db_repo::{AuditFilter, AuditRepository, GameRepository, Reconciliation};
use db_schema::rows::{BetOutcome, EntryType, GamePhase, GameState, TransactionType};
use db_testkit::{TestDb, both_engines};
use diesel::Connection as _;
use diesel::connection::InstrumentationEvent;

use super::books::books;
use super::table::{bet, bet_id, cancel, deposit, end, place, resolve, result, settle, table};
use crate::support::{all_pages, at, read, users, write};

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

    /// All in one write, whose time `bench repo --part rates` holds against that of a tenth of it.
    fn a_game_of_thousands_of_bets_is_settled_at_once(db: TestDb) {
        const BETS: u64 = 5_000;
        let database = table(&db);
        let players = ["ada", "bob", "cid"];
        for player in players {
            let more = deposit(&format!("more {player}"), player, 10_000);
            write(&database, |conn| money::deposit(conn, &more, at(1)));
        }
        let of = |number: u64| players[usize::try_from(number % 3).unwrap()];
        for first in (0..BETS).step_by(500) {
            let bets: Vec<_> = (first..first + 500)
                .map(|number| bet(number.into(), "g1", of(number), 1))
                .collect();
            write(&database, |conn| {
                bets.iter().try_for_each(|bet| money::place_bet(conn, bet, at(10)).map(drop))
            });
        }
        // Half of them fill the pot, a quarter takes half of it, a quarter goes back.
        let results: Vec<_> = (0..BETS)
            .map(|number| match number % 4 {
                0 | 1 => result(number.into(), BetOutcome::Lost, 0),
                2 => result(number.into(), BetOutcome::Won, 1),
                _ => result(number.into(), BetOutcome::Push, 0),
            })
            .collect();
        let request = end("g1", results, Some("ada"));
        let answer = settle(&database, &request);
        assert_eq!((answer.bets, answer.paid, answer.pot), (BETS, 3_750, 1_250));
        assert_eq!(settle(&database, &request), answer);

        let books = books(&database);
        assert_eq!((books.account("pot:g1"), books.account("house")), (0, 500));
        for (seat, player) in players.iter().enumerate() {
            let own = (0..BETS).filter(|number| number % 3 == seat as u64);
            let change: i64 = own
                .map(|number| match number % 4 {
                    0 | 1 => -1,
                    2 => 1,
                    _ => 0,
                })
                .sum();
            let pot = if *player == "ada" { answer.pot } else { 0 };
            assert_eq!(books.of(player), (11_000 + change + pot, 0, 0), "{player}");
        }
        let counted: i64 = players.iter().map(|player| books.player(player).bets_won).sum();
        assert_eq!(counted.unsigned_abs(), BETS / 4);
        // Created, placed, resolved, settled.
        assert_eq!(books.counts["game_events"], 2 * i64::try_from(BETS).unwrap() + 2);
        let report = read(&database, |conn| Reconciliation::new().run(conn));
        assert!(report.is_sound(), "{report:?}");
    }

    /// However many batches there are: a row that one transaction writes again and again costs more each
    /// time on PostgreSQL.
    fn each_balance_is_written_once(db: TestDb) {
        const BETS: u64 = 2_100;
        let database = table(&db);
        let more = deposit("more", "ada", 10_000);
        write(&database, |conn| money::deposit(conn, &more, at(1)));
        write(&database, |conn| {
            (0..BETS).try_for_each(|number| {
                let player = if number % 100 == 0 { "bob" } else { "ada" };
                money::place_bet(conn, &bet(number.into(), "g1", player, 1), at(10)).map(drop)
            })
        });
        let changes = |table: &str| {
            let filter = AuditFilter { entity_type: Some(table.to_owned()), ..AuditFilter::default() };
            all_pages(&database, 1_000, |conn, page| AuditRepository::list(conn, &filter, page)).len()
        };
        let before = changes("token_balances");
        let results = (0..BETS).map(|number| result(number.into(), BetOutcome::Lost, 0));
        settle(&database, &end("g1", results.collect(), None));
        assert_eq!(changes("token_balances") - before, 2);
        books(&database);
        let report = read(&database, |conn| Reconciliation::new().run(conn));
        assert!(report.is_sound(), "{report:?}");
    }

    /// On SQLite each statement may cost what the write has changed so far, so that their number must not
    /// grow with that of the bets; on PostgreSQL each is a round trip.
    fn a_hundred_bets_are_settled_by_as_many_statements_as_ten(db: TestDb) {
        let database = table(&db);
        super::table::game(&database, "g2");
        let players: Vec<_> = (0..100).map(|number| format!("player {number}")).collect();
        users(&database, &players.iter().map(String::as_str).collect::<Vec<_>>());
        write(&database, |conn| {
            for (number, player) in (0..).zip(&players) {
                money::deposit(conn, &deposit(player, player, 1_000), at(1))?;
                money::place_bet(conn, &bet(number, "g1", player, 10), at(2))?;
            }
            for (number, player) in (100..).zip(&players[..10]) {
                money::place_bet(conn, &bet(number, "g2", player, 10), at(2))?;
            }
            Ok(())
        });
        // Each way to end, for somebody.
        let ends = [
            (BetOutcome::Won, 7),
            (BetOutcome::Lost, 0),
            (BetOutcome::Push, 0),
            (BetOutcome::Void, 0),
        ];
        let statements = |game: &str, bets: std::ops::Range<u128>| {
            let results = bets.zip(ends.into_iter().cycle());
            let results = results.map(|(number, (end, winnings))| result(number, end, winnings));
            let request = end(game, results.collect(), None);
            let counter = Arc::new(AtomicUsize::new(0));
            let counts = Arc::clone(&counter);
            write(&database, |conn| {
                let count = move |event: InstrumentationEvent<'_>| {
                    if let InstrumentationEvent::StartQuery { .. } = event {
                        counts.fetch_add(1, Ordering::Relaxed);
                    }
                };
                with_conn!(conn, |c| c.set_instrumentation(count));
                money::settle_game(conn, &request, at(30))
            });
            counter.load(Ordering::Relaxed)
        };
        let ten = statements("g2", 100..110);
        assert_eq!(statements("g1", 0..100), ten);
        assert!((10..40).contains(&ten), "{ten}");
        let report = read(&database, |conn| Reconciliation::new().run(conn));
        assert!(report.is_sound(), "{report:?}");
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
