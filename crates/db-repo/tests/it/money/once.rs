//! The same reference again.

use db_core::{Conn, Database, with_conn};
use db_repo::Error;
use db_repo::money::{
    self, ClaimRewards, Deposit, Fundable, Lock, Stake, Transfer, Unlock, Unstake, Withdraw,
};
use db_schema::rows::BetOutcome;
use db_schema::schema::operations;
use db_schema::types::UtcTime;
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;
use serde::Serialize;

use super::books::books;
use super::table::{bet, cancel, deposit, fund, house_game, refused, table, verdict};
use crate::support::{at, read, write};

type Run = Box<dyn Fn(&mut Conn<'_>, UtcTime) -> Result<String, Error> + Send + Sync>;

/// An operation, its answer as JSON.
fn run<A: Serialize>(
    f: impl Fn(&mut Conn<'_>, UtcTime) -> Result<A, Error> + Send + Sync + 'static,
) -> Run {
    Box::new(move |conn, now| Ok(serde_json::to_string(&f(conn, now)?).unwrap()))
}

fn stake(reward_rate: f64) -> Stake {
    Stake {
        reference: "r".into(),
        position_id: "p1".into(),
        user_id: "ada".into(),
        amount: 10,
        lock_period_days: 1,
        reward_rate,
    }
}

fn claim(position: &str) -> ClaimRewards {
    ClaimRewards {
        reference: "r".into(),
        position_id: position.into(),
    }
}

fn close(position: &str) -> Unstake {
    Unstake {
        reference: "r".into(),
        position_id: position.into(),
    }
}

/// One of each kind, in an order in which each can be done, and beside it another content under the
/// same reference.
fn each() -> Vec<(&'static str, Run, Run)> {
    let amount = |amount| {
        (
            Withdraw {
                reference: "r".into(),
                user_id: "ada".into(),
                amount,
            },
            Transfer {
                reference: "r".into(),
                from: "ada".into(),
                to: "bob".into(),
                amount,
            },
            Lock {
                reference: "r".into(),
                user_id: "ada".into(),
                amount,
            },
            Unlock {
                reference: "r".into(),
                user_id: "ada".into(),
                amount,
            },
        )
    };
    macro_rules! pair {
        ($name:literal, $function:path, $one:expr, $other:expr) => {{
            let (one, other) = ($one, $other);
            (
                $name,
                run(move |conn, now| $function(conn, &one, now)),
                run(move |conn, now| $function(conn, &other, now)),
            )
        }};
    }
    vec![
        pair!(
            "deposit",
            money::deposit,
            deposit("r", "ada", 5),
            deposit("r", "bob", 5)
        ),
        pair!("withdraw", money::withdraw, amount(5).0, amount(6).0),
        pair!(
            "fund",
            money::fund,
            fund("r", Fundable::Treasury, 5),
            fund("r", Fundable::House, 5)
        ),
        pair!("transfer", money::transfer, amount(5).1, amount(6).1),
        pair!("lock", money::lock, amount(5).2, amount(6).2),
        pair!("unlock", money::unlock, amount(5).3, amount(6).3),
        pair!(
            "place_bet",
            money::place_bet,
            bet(1, "g1", "ada", 5),
            bet(1, "g1", "ada", 6)
        ),
        pair!(
            "resolve_bet",
            money::resolve_bet,
            verdict(1, BetOutcome::Won, 3),
            verdict(1, BetOutcome::Won, 4)
        ),
        pair!("settle_game", money::settle_game, cancel("g1"), {
            let mut other = cancel("g2");
            other.reference = cancel("g1").reference;
            other
        }),
        pair!(
            "play_house_game",
            money::play_house_game,
            house_game("r", "ada", (5, 0)),
            house_game("r", "ada", (6, 0))
        ),
        pair!("stake", money::stake, stake(0.5), stake(0.25)),
        pair!(
            "claim_rewards",
            money::claim_rewards,
            claim("p1"),
            claim("p2")
        ),
        pair!("unstake", money::unstake, close("p1"), close("p2")),
    ]
}

fn stored(database: &Database, kind: &str) -> Vec<String> {
    let query = operations::table
        .filter(operations::kind.eq(kind.to_owned()))
        .filter(operations::reference.not_like("start%"))
        .select(operations::answer);
    read(database, |conn| Ok(with_conn!(conn, |c| query.load(c))?))
}

both_engines! {
    fn every_operation_has_one_effect_and_one_answer(db: TestDb) {
        let database = table(&db);
        for (kind, operation, other) in each() {
            let first = write(&database, |conn| operation(conn, at(100)));
            let once = books(&database);
            assert_eq!(stored(&database, kind), std::slice::from_ref(&first), "{kind}");
            // Later, and after other things have happened.
            let note = deposit(&format!("between {kind}"), "cid", 1);
            write(&database, |conn| money::deposit(conn, &note, at(200)));
            let between = books(&database);
            let again = write(&database, |conn| operation(conn, at(900)));
            assert_eq!(again, first, "{kind}");
            assert_eq!(books(&database), between, "{kind}");
            assert_ne!(once, between);
            let error = refused(&database, |conn, now| other(conn, now));
            assert!(
                matches!(&error, Error::ReferenceConflict { kind: of, .. } if *of == kind),
                "{kind}: {error:?}"
            );
        }
    }

    fn references_count_per_kind(db: TestDb) {
        let database = table(&db);
        write(&database, |conn| money::deposit(conn, &deposit("r", "ada", 5), at(1)));
        let out = Withdraw { reference: "r".into(), user_id: "ada".into(), amount: 5 };
        write(&database, |conn| money::withdraw(conn, &out, at(1)));
        assert_eq!(books(&database).of("ada"), (1_000, 0, 0));
    }

    fn what_was_refused_can_be_asked_for_again(db: TestDb) {
        let database = table(&db);
        let out = Withdraw { reference: "r".into(), user_id: "ada".into(), amount: 1_001 };
        refused(&database, |conn, now| money::withdraw(conn, &out, now));
        write(&database, |conn| money::deposit(conn, &deposit("r", "ada", 1), at(1)));
        let answer = write(&database, |conn| money::withdraw(conn, &out, at(2)));
        assert_eq!(answer.available, 0);
    }

    fn several_compose_in_one_write(db: TestDb) {
        let database = table(&db);
        let request = Deposit { reference: "r".into(), user_id: "ada".into(), amount: 5 };
        let twice = write(&database, |conn| {
            let first = money::deposit(conn, &request, at(1))?;
            Ok((first, money::deposit(conn, &request, at(1))?))
        });
        assert_eq!(twice.0, twice.1);
        assert_eq!(books(&database).of("ada"), (1_005, 0, 0));
    }

    fn a_refusal_that_is_dropped_takes_the_whole_write_along(db: TestDb) {
        let database = table(&db);
        let before = books(&database).of("ada");
        let small = Withdraw { reference: "s".into(), user_id: "ada".into(), amount: 1 };
        let out = Withdraw { reference: "r".into(), user_id: "ada".into(), amount: 2_000 };
        let error = crate::support::refusal(&database, |conn| {
            money::withdraw(conn, &small, at(1))?;
            money::withdraw(conn, &out, at(1)).unwrap_err();
            Ok(())
        });
        let Error::Database(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), db_core::ErrorKind::TransactionAborted);
        assert_eq!(books(&database).of("ada"), before);
        // The next write has nothing to do with it, and the references are free.
        write(&database, |conn| money::withdraw(conn, &small, at(2)));
        let again = crate::support::refusal(&database, |conn| money::withdraw(conn, &out, at(2)));
        assert!(matches!(again, Error::InsufficientFunds { .. }), "{again:?}");
    }

    fn under_a_savepoint_a_refusal_is_undone_alone(db: TestDb) {
        let database = table(&db);
        let small = Withdraw { reference: "s".into(), user_id: "ada".into(), amount: 1 };
        let out = Withdraw { reference: "r".into(), user_id: "ada".into(), amount: 2_000 };
        let before = books(&database).of("ada");
        write(&database, |conn| {
            let refused = conn.savepoint(|conn| money::withdraw(conn, &out, at(1)));
            assert!(matches!(refused, Err(Error::InsufficientFunds { .. })), "{refused:?}");
            money::withdraw(conn, &small, at(1))
        });
        assert_eq!(books(&database).of("ada").0, before.0 - 1);
    }
}
