//! Bets and the events of their games.

use db_core::{Conn, Database, with_conn};
use db_repo::{BetRepository, Check, Error, EventStore, Expected, Reconciliation};
use db_schema::rows::{Bet, BetOutcome, BetType, GameEvent, NewGameEvent, TransactionType};
use db_schema::schema::{bets, game_events, transactions};
use db_schema::types::Json;
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use super::play::bet;
use super::{difference, found, played, reconcile};
use crate::support::{at, read, write};

/// A bet of a player in a game, settled as bets of the past are.
pub(super) fn settled(number: u128, game: &str, player: &str, amount: i64) -> Bet {
    Bet {
        id: bet(number),
        game_id: game.into(),
        player_id: player.into(),
        bet_type: BetType::Pass,
        amount,
        outcome: Some(BetOutcome::Lost),
        created_at: at(0),
        resolved_at: Some(at(1)),
    }
}

/// The event of a bet that nobody placed, appended as an application may.
fn append(conn: &mut Conn<'_>, number: u128, game: &str, amount: i64) -> Result<(), Error> {
    let placed = NewGameEvent::from(&GameEvent::BetPlaced {
        bet_id: bet(number),
        player_id: "u1".into(),
        bet_type: BetType::Pass,
        amount,
    });
    EventStore::append(conn, game, Expected::Any, &[placed], at(20)).map(drop)
}

/// How such a bet is called in a difference.
pub(super) fn named(number: u128, game: &str) -> String {
    format!("{} in game {game}", bet(number))
}

pub(super) fn texts(differences: &[db_repo::Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

fn set_stake(conn: &mut Conn<'_>, number: u128, amount: i64) -> Result<(), Error> {
    let row = bets::table.find(bet(number));
    with_conn!(conn, |c| diesel::update(row)
        .set(bets::amount.eq(amount))
        .execute(c))?;
    Ok(())
}

/// A game of so many bets, whose events are there as well.
pub(super) fn large(database: &Database, bets: u128) {
    let past: Vec<_> = (0..bets)
        .map(|n| settled(1_000 + n, "g1", "u1", 5))
        .collect();
    let events: Vec<_> = past
        .iter()
        .flat_map(|bet| {
            let placed = GameEvent::BetPlaced {
                bet_id: bet.id,
                player_id: bet.player_id.clone(),
                bet_type: bet.bet_type,
                amount: bet.amount,
            };
            let resolved = GameEvent::BetResolved {
                bet_id: bet.id,
                outcome: BetOutcome::Lost,
                winnings: 0,
                pot: 100,
            };
            [placed, resolved].map(|event| NewGameEvent::from(&event))
        })
        .collect();
    write(database, |conn| {
        BetRepository::create_many(conn, &past)?;
        EventStore::append(conn, "g1", Expected::Any, &events, at(20))
    });
}

both_engines! {
    fn an_event_without_its_bet_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| append(conn, 99, "g1", 70));
        assert_eq!(differences, [difference(Check::EventWithoutBet, &named(99, "g1"), 70, 0)]);
        assert_eq!(
            texts(&differences),
            ["bet 00000000-0000-0000-0000-000000000063 in game g1: an event says a stake of 70, \
              and there is no such bet"]
        );
    }

    fn an_event_of_another_games_bet_is_found(db: TestDb) {
        let database = played(&db);
        // The bet has its event where it was placed.
        let differences = found(&database, |conn| append(conn, 4, "g1", 100));
        assert_eq!(differences, [difference(Check::EventWithoutBet, &named(4, "g1"), 100, 0)]);
    }

    fn an_open_bet_without_its_event_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            let bet = Bet { outcome: None, resolved_at: None, ..settled(99, "g1", "u5", 7) };
            with_conn!(conn, |c| diesel::insert_into(bets::table).values(&bet).execute(c))?;
            Ok(())
        });
        assert_eq!(
            differences,
            [
                difference(Check::OpenBets, "u5", 7, 0),
                difference(Check::BetWithoutEvent, &named(99, "g1"), 0, 7),
            ]
        );
        assert_eq!(
            texts(&differences[1..]),
            ["bet 00000000-0000-0000-0000-000000000063 in game g1: a stake of 7, and no event says so"]
        );
    }

    fn bets_of_the_past_have_no_events(db: TestDb) {
        let database = played(&db);
        crate::stats::games(&database, &["g0"]);
        let past = [settled(98, "g0", "u5", 7), settled(99, "g2", "u5", 7)];
        write(&database, |conn| BetRepository::create_many(conn, &past));
        // In a game without an account, which lacks more.
        let differences = reconcile(&database).differences;
        assert_eq!(differences, [difference(Check::PotAccount, "g0", 1, 0)]);
    }

    fn a_settled_bet_whose_stake_was_taken_has_an_event(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            let bet = settled(99, "g2", "u5", 7);
            let key = bet.id.to_string();
            BetRepository::create_many(conn, &[bet])?;
            let line = (
                transactions::user_id.eq("u5"),
                transactions::transaction_type.eq(TransactionType::Bet),
                transactions::amount.eq(0),
                transactions::balance_before.eq(0),
                transactions::balance_after.eq(0),
                transactions::reference_id.eq(key),
            );
            with_conn!(conn, |c| diesel::insert_into(transactions::table).values(line).execute(c))?;
            Ok(())
        });
        assert_eq!(differences, [difference(Check::BetWithoutEvent, &named(99, "g2"), 0, 7)]);
    }

    fn a_stake_that_its_event_does_not_say_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| set_stake(conn, 5, 101));
        assert_eq!(differences, [difference(Check::Stake, &named(5, "g2"), 100, 101)]);
        assert_eq!(
            texts(&differences),
            ["bet 00000000-0000-0000-0000-000000000005 in game g2: a stake of 101, its event says 100"]
        );
    }

    fn a_bet_of_another_player_than_its_event_says_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            let row = bets::table.find(bet(1));
            let set = bets::player_id.eq("u5");
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            Ok(())
        });
        assert_eq!(
            differences,
            [
                difference(Check::OpenBets, "u1", 0, 100),
                difference(Check::OpenBets, "u5", 100, 0),
                difference(Check::EventWithoutBet, &named(1, "g1"), 100, 0),
                difference(Check::BetWithoutEvent, &named(1, "g1"), 0, 100),
            ]
        );
    }

    fn an_event_that_nobody_can_read_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            for (version, payload) in [
                (70, serde_json::json!({})),
                (71, serde_json::json!({ "bet_id": "x", "player_id": 5, "amount": "much" })),
                (72, serde_json::json!([])),
            ] {
                let event = (
                    game_events::game_id.eq("g1"),
                    game_events::version.eq(version),
                    game_events::event_type.eq("bet_placed"),
                    game_events::payload.eq(Json(payload)),
                    game_events::created_at.eq(at(20)),
                );
                with_conn!(conn, |c| diesel::insert_into(game_events::table).values(event).execute(c))?;
            }
            Ok(())
        });
        let owners: Vec<_> = differences.iter().map(|found| found.owner.as_str()).collect();
        assert_eq!(owners, [" in game g1", " in game g1", "x in game g1"]);
        assert!(differences.iter().all(|found| found.check == Check::EventWithoutBet));
    }

    fn all_of_many_are_counted(db: TestDb) {
        let database = played(&db);
        large(&database, 1_500);
        assert_eq!(reconcile(&database).differences, []);
        write(&database, |conn| {
            let row = bets::table.filter(bets::amount.eq(5));
            with_conn!(conn, |c| diesel::update(row).set(bets::amount.eq(6)).execute(c))?;
            append(conn, 99, "g1", 70)
        });
        let few = Reconciliation::new().with_most_differences(3);
        let report = read(&database, |conn| few.run(conn));
        assert_eq!((report.differences.len(), report.difference_count), (3, 1_501));
    }
}
