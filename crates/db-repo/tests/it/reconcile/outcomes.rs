//! How bets ended, and the events that say so.

use db_core::{Conn, with_conn};
use db_repo::{Check, Difference, Error, Outcomes, Reconciliation};
use db_schema::rows::{BetOutcome, TransactionType};
use db_schema::schema::{bets, game_events, transactions};
use db_schema::types::Json;
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;
use serde_json::{Value, json};

use super::events::{large, named, settled, texts};
use super::play::bet;
use super::{difference, found, played, reconcile};
use crate::support::{at, read, write};

/// A bet whose outcome differs.
pub(super) fn differs(
    check: Check,
    owner: &str,
    said: Option<&str>,
    kept: Option<&str>,
) -> Difference {
    let (expected, found) = match check {
        Check::OutcomeWithoutEvent => (0, 1),
        _ => (1, 0),
    };
    Difference {
        outcomes: Some(Outcomes {
            expected: said.map(str::to_owned),
            found: kept.map(str::to_owned),
        }),
        ..difference(check, owner, expected, found)
    }
}

fn set_outcome(conn: &mut Conn<'_>, number: u128, outcome: BetOutcome) -> Result<(), Error> {
    let row = bets::table.find(bet(number));
    let set = (bets::outcome.eq(outcome), bets::resolved_at.eq(at(9)));
    with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
    Ok(())
}

/// An event that no application would write.
fn forge(conn: &mut Conn<'_>, (game, version): (&str, i64), payload: Value) -> Result<(), Error> {
    let event = (
        game_events::game_id.eq(game),
        game_events::version.eq(version),
        game_events::event_type.eq("bet_resolved"),
        game_events::payload.eq(Json(payload)),
        game_events::created_at.eq(at(20)),
    );
    with_conn!(conn, |c| diesel::insert_into(game_events::table)
        .values(event)
        .execute(c))?;
    Ok(())
}

/// A line as if a bet of a player without a balance had paid.
fn pay(conn: &mut Conn<'_>, number: u128, user: &str) -> Result<(), Error> {
    let line = (
        transactions::user_id.eq(user),
        transactions::transaction_type.eq(TransactionType::BetWon),
        transactions::amount.eq(0),
        transactions::balance_before.eq(0),
        transactions::balance_after.eq(0),
        transactions::reference_id.eq(bet(number).to_string()),
    );
    with_conn!(conn, |c| diesel::insert_into(transactions::table)
        .values(line)
        .execute(c))?;
    Ok(())
}

both_engines! {
    fn an_outcome_that_its_event_does_not_say_is_found(db: TestDb) {
        let database = played(&db);
        // It was won, and 90 beside the stake were paid.
        let differences = found(&database, |conn| set_outcome(conn, 4, BetOutcome::Push));
        let owner = named(4, "g2");
        assert_eq!(differences, [differs(Check::Outcome, &owner, Some("won"), Some("push"))]);
        assert_eq!(texts(&differences), [format!("bet {owner}: it is push, its event says won")]);
    }

    fn a_bet_that_is_settled_without_an_event_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| set_outcome(conn, 1, BetOutcome::Lost));
        let owner = named(1, "g1");
        assert_eq!(
            differences,
            [
                difference(Check::OpenBets, "u1", 0, 100),
                differs(Check::OutcomeWithoutEvent, &owner, None, Some("lost")),
            ]
        );
        assert_eq!(
            texts(&differences[1..]),
            [format!("bet {owner}: it is lost, and no event says so")]
        );
    }

    fn an_event_of_a_bet_that_is_open_or_not_there_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            forge(conn, ("g1", 70), json!({ "bet_id": bet(1), "outcome": "lost", "winnings": 0, "pot": 200 }))?;
            forge(conn, ("g1", 71), json!({ "bet_id": bet(4), "outcome": "won", "winnings": 90, "pot": 200 }))?;
            forge(conn, ("g1", 72), json!({ "bet_id": "x" }))?;
            forge(conn, ("g1", 73), json!([]))
        });
        let open = named(1, "g1");
        assert_eq!(
            differences,
            [
                differs(Check::EventWithoutOutcome, " in game g1", Some(""), None),
                differs(Check::EventWithoutOutcome, &open, Some("lost"), None),
                // Of another game.
                differs(Check::EventWithoutOutcome, &named(4, "g1"), Some("won"), None),
                differs(Check::EventWithoutOutcome, "x in game g1", Some(""), None),
            ]
        );
        assert_eq!(
            texts(&differences[1..2]),
            [format!("bet {open}: an event says lost, and there is no such bet that is settled")]
        );
    }

    fn a_second_event_that_says_otherwise_is_found(db: TestDb) {
        let database = played(&db);
        let owner = named(4, "g2");
        let other = |outcome: &str, winnings: i64| {
            let said = json!({ "bet_id": bet(4), "outcome": outcome, "winnings": winnings });
            let mut differences = Vec::new();
            // Events stay, but for those of a write that is undone.
            let undone = database.write(|conn| {
                forge(conn, ("g2", 70), said)?;
                differences = Reconciliation::new().run(conn)?.differences;
                Err::<(), _>(Error::Overflow { owner: "undone".into() })
            });
            assert!(matches!(undone, Err(Error::Overflow { .. })), "{undone:?}");
            differences
        };
        // Before and after the right one in the order of texts.
        for said in ["lost", "x"] {
            assert_eq!(other(said, 0), [differs(Check::Outcome, &owner, Some(said), Some("won"))]);
        }
        for said in [10, 95] {
            assert_eq!(other("won", said), [difference(Check::Winnings, &owner, said.into(), 90)]);
        }
        assert_eq!(reconcile(&database).differences, []);
    }

    fn what_lines_paid_and_an_event_does_not_say_is_found(db: TestDb) {
        let database = played(&db);
        // An event of a bet of the past, whose lines then say something else.
        let differences = found(&database, |conn| {
            let past = settled(99, "g1", "u5", 7);
            db_repo::BetRepository::create_many(conn, &[db_schema::rows::Bet {
                outcome: Some(BetOutcome::Won),
                ..past
            }])?;
            forge(conn, ("g1", 70), json!({ "bet_id": bet(99), "outcome": "won", "winnings": 30, "pot": 200 }))?;
            pay(conn, 99, "u5")
        });
        let owner = named(99, "g1");
        assert_eq!(differences, [difference(Check::Winnings, &owner, 30, -7)]);
        assert_eq!(
            texts(&differences),
            [format!("bet {owner}: its lines pay -7 beyond the stake, its event says 30")]
        );
    }

    fn bets_of_the_past_need_no_event_of_their_end(db: TestDb) {
        let database = played(&db);
        let past = [settled(99, "g2", "u5", 7)];
        write(&database, |conn| db_repo::BetRepository::create_many(conn, &past));
        assert_eq!(reconcile(&database).differences, []);
    }

    fn all_outcomes_of_many_are_counted(db: TestDb) {
        let database = played(&db);
        large(&database, 1_500);
        assert_eq!(reconcile(&database).differences, []);
        write(&database, |conn| {
            let row = bets::table.filter(bets::amount.eq(5));
            with_conn!(conn, |c| diesel::update(row).set(bets::outcome.eq(BetOutcome::Void)).execute(c))?;
            Ok(())
        });
        let few = Reconciliation::new().with_most_differences(3);
        let report = read(&database, |conn| few.run(conn));
        assert_eq!((report.differences.len(), report.difference_count), (3, 1_500));
        assert!(report.differences.iter().all(|found| found.check == Check::Outcome));
    }
}
