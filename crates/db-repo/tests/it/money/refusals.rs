//! What is refused, and that nothing of it is left.

use db_core::Engine;
use db_repo::money::{self, MOST, Transfer, Withdraw};
use db_repo::{Error, GameRepository};
use db_schema::rows::{BetOutcome, GameState};
use db_testkit::{TestDb, both_engines};

use super::books::books;
use super::table::{
    bet, bet_id, cancel, deposit, end, fund, game, place, refused, resolve, result, settle, table,
    verdict,
};
use crate::support::{at, read, refusal, users, write};

fn transfer(from: &str, to: &str, amount: i64) -> Transfer {
    Transfer {
        reference: "t".into(),
        from: from.into(),
        to: to.into(),
        amount,
    }
}

fn withdraw(user: &str, amount: i64) -> Withdraw {
    Withdraw {
        reference: "w".into(),
        user_id: user.into(),
        amount,
    }
}

both_engines! {
    fn more_than_there_is(db: TestDb) {
        let database = table(&db);
        users(&database, &["dot"]);
        for error in [
            refused(&database, |conn, now| money::withdraw(conn, &withdraw("ada", 1_001), now).map(drop)),
            refused(&database, |conn, now| money::transfer(conn, &transfer("ada", "bob", 1_001), now).map(drop)),
            refused(&database, |conn, now| money::place_bet(conn, &bet(1, "g1", "ada", 1_001), now).map(drop)),
        ] {
            assert_eq!(error.to_string(), "user ada has 1000, which is less than 1001");
        }
        // Who comes later in the order of keys, and who never had any.
        for (from, available) in [("bob", 1_000), ("dot", 0)] {
            let error = refused(&database, |conn, now| {
                money::transfer(conn, &transfer(from, "ada", 1_001), now)
            });
            assert!(
                matches!(&error, Error::InsufficientFunds { user, needed: 1_001, available: has }
                    if user == from && *has == available),
                "{error:?}"
            );
        }
        // What a bet holds is not available.
        place(&database, 2, "g1", "ada", 600);
        let error = refused(&database, |conn, now| money::withdraw(conn, &withdraw("ada", 401), now));
        assert_eq!(error.to_string(), "user ada has 400, which is less than 401");
    }

    fn who_and_what_is_not_there(db: TestDb) {
        let database = table(&db);
        for error in [
            refused(&database, |conn, now| money::deposit(conn, &deposit("d", "eve", 1), now).map(drop)),
            refused(&database, |conn, now| money::withdraw(conn, &withdraw("eve", 1), now).map(drop)),
            refused(&database, |conn, now| money::transfer(conn, &transfer("ada", "eve", 1), now).map(drop)),
            refused(&database, |conn, now| money::transfer(conn, &transfer("eve", "ada", 1), now).map(drop)),
            refused(&database, |conn, now| money::transfer(conn, &transfer("eve", "fay", 1), now).map(drop)),
            refused(&database, |conn, now| money::place_bet(conn, &bet(1, "g1", "eve", 1), now).map(drop)),
            refused(&database, |conn, now| {
                money::settle_game(conn, &end("g1", Vec::new(), Some("eve")), now).map(drop)
            }),
        ] {
            assert_eq!(error.to_string(), "there is no user eve");
        }
        for error in [
            refused(&database, |conn, now| money::place_bet(conn, &bet(1, "g9", "ada", 1), now).map(drop)),
            refused(&database, |conn, now| money::settle_game(conn, &cancel("g9"), now).map(drop)),
        ] {
            assert_eq!(error.to_string(), "there is no game g9");
        }
        let error = refused(&database, |conn, now| {
            money::resolve_bet(conn, &verdict(7, BetOutcome::Lost, 0), now)
        });
        assert_eq!(error.to_string(), format!("there is no bet {}", bet_id(7)));
    }

    fn amounts_that_cannot_be(db: TestDb) {
        let database = table(&db);
        for amount in [0, -1, i64::MIN, MOST + 1, i64::MAX] {
            for error in [
                refused(&database, |conn, now| money::deposit(conn, &deposit("d", "ada", amount), now).map(drop)),
                refused(&database, |conn, now| money::withdraw(conn, &withdraw("ada", amount), now).map(drop)),
                refused(&database, |conn, now| money::transfer(conn, &transfer("ada", "bob", amount), now).map(drop)),
                refused(&database, |conn, now| money::place_bet(conn, &bet(1, "g1", "ada", amount), now).map(drop)),
                refused(&database, |conn, now| {
                    money::fund(conn, &fund("f", money::Fundable::House, amount), now).map(drop)
                }),
            ] {
                assert!(matches!(error, Error::Invalid { field: "amount", .. }), "{error:?}");
            }
        }
        place(&database, 1, "g1", "ada", 1);
        for (outcome, winnings) in [(BetOutcome::Won, -1), (BetOutcome::Lost, 1), (BetOutcome::Push, 1)] {
            let error = refused(&database, |conn, now| {
                money::resolve_bet(conn, &verdict(1, outcome, winnings), now)
            });
            assert!(matches!(error, Error::Invalid { field: "winnings", .. }), "{error:?}");
        }
        let error = refused(&database, |conn, now| money::transfer(conn, &transfer("ada", "ada", 1), now));
        assert_eq!(error.to_string(), "to: must be another player");
        let error = refused(&database, |conn, now| money::deposit(conn, &deposit("", "ada", 1), now));
        assert!(matches!(error, Error::Invalid { field: "reference", .. }), "{error:?}");
    }

    fn a_game_of_more_bets_than_one_write_settles(db: TestDb) {
        let database = table(&db);
        // Without the lines of the audit trail, which take most of the time.
        db.connect().execute(match db.engine() {
            Engine::Sqlite => {
                "DROP TRIGGER audit_bets_insert;
                 INSERT INTO bets (id, game_id, player_id, bet_type, amount)
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100001)
                 SELECT randomblob(16), 'g1', 'ada', 'pass', 1 FROM n"
            }
            Engine::Postgres => {
                "SET session_replication_role = replica;
                 INSERT INTO bets (id, game_id, player_id, bet_type, amount)
                 SELECT decode(md5(i::text), 'hex'), 'g1', 'ada', 'pass', 1 FROM generate_series(1, 100001) i"
            }
        });
        for request in [cancel("g1"), end("g1", Vec::new(), None)] {
            let error = refusal(&database, |conn| money::settle_game(conn, &request, at(30)));
            assert_eq!(
                error.to_string(),
                "game_id: must be a game with at most 100,000 open bets; resolve_bet settles the others before"
            );
        }
        let game = read(&database, |conn| GameRepository::get(conn, "g1"));
        assert_eq!(game.state, GameState::Open);
    }

    fn more_than_can_be_counted(db: TestDb) {
        let database = table(&db);
        // The largest deposits that a 64-bit number holds, and one more.
        let full = i64::MAX / MOST;
        write(&database, |conn| {
            for n in 0..full {
                money::deposit(conn, &deposit(&format!("d{n}"), "ada", MOST), at(1))?;
            }
            Ok(())
        });
        // Part of it is locked: all three balances count.
        place(&database, 1, "g1", "ada", MOST);
        let room = i64::MAX - 1_000 - full * MOST;
        assert!(room < MOST);
        let request = deposit("more", "ada", room + 1);
        let error = refused(&database, |conn, now| money::deposit(conn, &request, now));
        assert_eq!(error.to_string(), "ada would have more than can be counted");
        let request = deposit("more", "ada", room);
        let answer = write(&database, |conn| money::deposit(conn, &request, at(2)));
        assert_eq!(answer.available, i64::MAX - MOST);
        users(&database, &["Zoe"]);
        write(&database, |conn| money::deposit(conn, &deposit("z", "Zoe", 1), at(2)));
        // Whichever of the two is looked at first.
        for from in ["bob", "Zoe"] {
            let request = transfer(from, "ada", 1);
            let error = refused(&database, |conn, now| money::transfer(conn, &request, now));
            assert!(matches!(&error, Error::Overflow { owner } if owner == "ada"), "{error:?}");
        }
    }

    fn bets_that_are_settled_stay_so(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 100);
        resolve(&database, 1, BetOutcome::Push, 0);
        let mut again = verdict(1, BetOutcome::Won, 100);
        again.reference = "once more".into();
        let error = refused(&database, |conn, now| money::resolve_bet(conn, &again, now));
        assert!(matches!(error, Error::AlreadyResolved(id) if id == bet_id(1)), "{error:?}");
        let named = end("g1", vec![result(1, BetOutcome::Won, 1)], None);
        let error = refused(&database, |conn, now| money::settle_game(conn, &named, now));
        assert!(matches!(error, Error::AlreadyResolved(_)), "{error:?}");
        let mut same_key = bet(1, "g1", "bob", 1);
        same_key.reference = "another".into();
        let error = refused(&database, |conn, now| money::place_bet(conn, &same_key, now));
        assert!(matches!(error, Error::AlreadyExists { entity: "bet", .. }), "{error:?}");
    }

    fn games_that_have_ended_stay_so(db: TestDb) {
        let database = table(&db);
        game(&database, "g2");
        settle(&database, &end("g1", Vec::new(), None));
        settle(&database, &cancel("g2"));
        for (id, ended) in [("g1", GameState::Completed), ("g2", GameState::Cancelled)] {
            let mut again = cancel(id);
            again.reference = "again".into();
            for error in [
                refused(&database, |conn, now| money::place_bet(conn, &bet(1, id, "ada", 1), now).map(drop)),
                refused(&database, |conn, now| money::settle_game(conn, &again, now).map(drop)),
            ] {
                assert!(
                    matches!(&error, Error::GameClosed { game, state } if game == id && *state == ended),
                    "{error:?}"
                );
            }
        }
    }

    fn an_end_that_leaves_bets_open(db: TestDb) {
        let database = table(&db);
        game(&database, "g2");
        place(&database, 1, "g1", "ada", 1);
        place(&database, 2, "g1", "bob", 2);
        place(&database, 3, "g1", "cid", 3);
        place(&database, 4, "g2", "cid", 4);
        let lost = |number| result(number, BetOutcome::Lost, 0);
        let error = refused(&database, |conn, now| {
            money::settle_game(conn, &end("g1", vec![lost(2)], None), now)
        });
        assert!(matches!(error, Error::OpenBets { count: 2, .. }), "{error:?}");
        for wrong in [vec![lost(1), lost(2), lost(3), lost(4)], vec![lost(1), lost(1)]] {
            let error = refused(&database, |conn, now| {
                money::settle_game(conn, &end("g1", wrong, None), now)
            });
            assert!(matches!(error, Error::Invalid { field: "results", .. }), "{error:?}");
        }
        let error = refused(&database, |conn, now| {
            money::settle_game(conn, &end("g1", vec![lost(9)], None), now)
        });
        assert!(matches!(error, Error::NotFound { entity: "bet", .. }), "{error:?}");
    }

    fn a_house_that_cannot_pay(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 100);
        place(&database, 2, "g1", "bob", 100);
        let error = refused(&database, |conn, now| {
            money::resolve_bet(conn, &verdict(1, BetOutcome::Won, 501), now)
        });
        assert!(matches!(error, Error::HouseShort { needed: 501, available: 500 }), "{error:?}");
        // The lost stake is there to pay with, but one is missing still.
        let results = vec![result(1, BetOutcome::Won, 601), result(2, BetOutcome::Lost, 0)];
        let error = refused(&database, |conn, now| {
            money::settle_game(conn, &end("g1", results, None), now)
        });
        assert!(matches!(error, Error::HouseShort { needed: 501, available: 500 }), "{error:?}");
        let results = vec![result(1, BetOutcome::Won, 600), result(2, BetOutcome::Lost, 0)];
        settle(&database, &end("g1", results, None));
        assert_eq!(books(&database).account("house"), 0);
    }
}
