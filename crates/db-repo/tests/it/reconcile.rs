//! Whether the money adds up, and that each way in which it may not is found.

mod events;
mod outcomes;
mod play;
mod size;
mod versions;

use db_core::{Conn, Database, with_conn};
use db_repo::money;
use db_repo::{
    Check, Difference, Error, ReconcileReport, Reconciliation, TokenRepository, invariants,
};
use db_schema::rows::{BetOutcome, GameState, TransactionType};
use db_schema::schema::{
    account_entries, bets, games, operations, staking_positions, token_balances,
};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use self::play::{bet, play};
use crate::support::{at, open, read, users, write};
use crate::tokens::{set_account, stake};
use crate::transactions::{LINE, Line, add};

fn played(db: &TestDb) -> Database {
    let database = open(db);
    users(&database, &["u1", "u2", "u3", "u4", "u5"]);
    write(&database, play);
    database
}

/// In batches of two, so that there are several.
fn reconcile(database: &Database) -> ReconcileReport {
    read(database, |conn| {
        Reconciliation::new().with_batch(2).run(conn)
    })
}

fn difference(check: Check, owner: &str, expected: i128, found: i128) -> Difference {
    Difference {
        check,
        owner: owner.into(),
        line: None,
        expected,
        found,
        outcomes: None,
    }
}

/// What is found after something was changed behind the program's back.
fn found(
    database: &Database,
    tamper: impl FnOnce(&mut Conn<'_>) -> Result<(), Error> + Send,
) -> Vec<Difference> {
    write(database, tamper);
    let report = reconcile(database);
    assert_eq!(report.difference_count, report.differences.len() as u64);
    assert_eq!(report.is_sound(), report.differences.is_empty());
    report.differences
}

both_engines! {
    fn what_is_wrong_is_said_to_who_makes_backups(db: TestDb) {
        let database = played(&db);
        let money = || read(&database, |conn| Ok::<_, Error>(invariants::money(conn)?));
        assert_eq!(money(), ("everything adds up, to 23930 in all".to_owned(), Vec::new()));
        let trail = || read(&database, |conn| Ok::<_, Error>(invariants::audit_chain(conn)?));
        let (observed, wrong) = trail();
        assert!(observed.ends_with(" are not sealed yet") && wrong.is_empty(), "{observed}: {wrong:?}");
        write(&database, |conn| set_account(conn, "house", 77));
        let (observed, wrong) = money();
        assert_eq!(observed, format!("{} things do not add up", wrong.len()));
        assert!(wrong[0].contains("house") && wrong[0].contains("77"), "{wrong:?}");
    }

    fn books_that_only_operations_wrote_add_up(db: TestDb) {
        let database = played(&db);
        let report = reconcile(&database);
        assert_eq!(report.differences, []);
        assert!(report.is_sound());
        assert_eq!((report.users, report.accounts, report.games), (5, 4, 2));
        assert_eq!((report.open_bets, report.active_positions), (2, 1));
        // 20,000 of house and treasury, 4,000 of players, less 70.
        assert_eq!(report.total_supply, 23_930);
        assert_eq!(report.total_supply, read(&database, TokenRepository::total_supply));
        // Four deposits, two of the transfer, and one each of withdrawal, lock and stake, two of
        // the game against the house, six bets, four endings, one pot.
        assert_eq!(report.transactions, 22);
        let whole = read(&database, |conn| Reconciliation::new().run(conn));
        assert_eq!(whole, report);
    }

    fn an_empty_database_adds_up(db: TestDb) {
        let database = open(&db);
        let expected = ReconcileReport { accounts: 2, ..ReconcileReport::default() };
        assert_eq!(reconcile(&database), expected);
    }

    fn a_balance_that_was_changed_is_found(db: TestDb) {
        let database = played(&db);
        let before = read(&database, |conn| TokenRepository::get(conn, "u4"));
        assert_eq!(before.balance, 980);
        let differences = found(&database, |conn| {
            let row = token_balances::table.find("u4");
            let set = (
                token_balances::balance.eq(token_balances::balance + 1),
                token_balances::locked_balance.eq(5),
                token_balances::staked_balance.eq(7),
            );
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            Ok(())
        });
        assert_eq!(
            differences,
            [
                difference(Check::Available, "u4", 980, 981),
                difference(Check::Locked, "u4", 0, 5),
                difference(Check::Staked, "u4", 0, 7),
                difference(Check::OpenBets, "u4", 0, 5),
                difference(Check::ActivePositions, "u4", 0, 7),
                difference(Check::Supply, "all accounts", 23_930, 23_943),
            ]
        );
        assert_eq!(differences[0].to_string(), "u4: 981 available, lines say 980");
    }

    fn a_balance_that_was_taken_away_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            let row = token_balances::table.find("u3");
            with_conn!(conn, |c| diesel::delete(row).execute(c))?;
            Ok(())
        });
        // A bet was lost, another came back, and 200 are staked.
        assert_eq!(
            differences,
            [
                difference(Check::Available, "u3", 700, 0),
                difference(Check::Staked, "u3", 200, 0),
                difference(Check::ActivePositions, "u3", 200, 0),
                difference(Check::Supply, "all accounts", 23_930, 23_030),
            ]
        );
    }

    fn a_bet_or_a_position_behind_the_lines_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            let row = bets::table.find(bet(1));
            let set = bets::outcome.eq(BetOutcome::Lost);
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            let row = staking_positions::table.find("p1");
            let set = staking_positions::is_active.eq(false);
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            stake(conn, ("p2", "u5"), (0, 1), true)
        });
        assert_eq!(
            differences,
            [
                difference(Check::OpenBets, "u1", 0, 100),
                difference(Check::ActivePositions, "u3", 0, 200),
                difference(Check::ActivePositions, "u5", 10, 0),
                outcomes::differs(
                    Check::OutcomeWithoutEvent,
                    &events::named(1, "g1"),
                    None,
                    Some("lost"),
                ),
            ]
        );
    }

    fn a_line_that_does_not_follow_the_one_before_is_found(db: TestDb) {
        let database = played(&db);
        let mut line = 0;
        let differences = found(&database, |conn| {
            // u4 has 980. The second line moves money from nowhere to nowhere.
            line = add(conn, Line { user: "u4", amount: 5, before: 990, ..LINE })?;
            let kind = TransactionType::Withdrawal;
            add(conn, Line { user: "u4", amount: -5, before: 995, kind, ..LINE })?;
            Ok(())
        });
        let broken = Difference { line: Some(line), ..difference(Check::Chain, "u4", 980, 990) };
        assert_eq!(
            broken.to_string(),
            format!("u4: line {line} begins with 990, the one before left 980")
        );
        assert_eq!(differences, [broken]);
    }

    fn a_first_line_that_does_not_begin_with_nothing_is_found(db: TestDb) {
        let database = played(&db);
        let mut line = 0;
        let differences = found(&database, |conn| {
            line = add(conn, Line { user: "u5", amount: 0, before: 3, ..LINE })?;
            Ok(())
        });
        assert_eq!(
            differences,
            [Difference { line: Some(line), ..difference(Check::Chain, "u5", 0, 3) }]
        );
    }

    fn an_account_that_was_changed_is_found(db: TestDb) {
        let database = played(&db);
        let house = read(&database, |conn| {
            use db_schema::schema::accounts;
            let balance = accounts::table.find("house").select(accounts::balance);
            Ok(with_conn!(conn, |c| balance.get_result::<i64>(c))?)
        });
        let differences = found(&database, |conn| {
            set_account(conn, "house", house - 1)?;
            set_account(conn, "pot:g1", 101)
        });
        assert_eq!(
            differences,
            [
                difference(Check::Account, "house", house.into(), (house - 1).into()),
                difference(Check::Account, "pot:g1", 100, 101),
                difference(Check::Pot, "g1", 101, 100),
            ]
        );
    }

    fn an_entry_that_does_not_follow_the_one_before_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            let values = (
                account_entries::account_id.eq("treasury"),
                account_entries::entry_type.eq("reward"),
                account_entries::amount.eq(0),
                account_entries::balance_before.eq(9_999),
                account_entries::balance_after.eq(9_999),
            );
            with_conn!(conn, |c| diesel::insert_into(account_entries::table)
                .values(values)
                .execute(c))?;
            Ok(())
        });
        assert_eq!(differences.len(), 1);
        let expected = difference(Check::AccountChain, "treasury", 10_000, 9_999);
        assert_eq!(differences[0], Difference { line: differences[0].line, ..expected });
        assert!(differences[0].line.is_some());
    }

    fn a_pot_that_shows_something_else_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            let row = games::table.find("g2");
            let set = games::pot_size.eq(4);
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            Ok(())
        });
        assert_eq!(differences, [difference(Check::Pot, "g2", 0, 4)]);
    }

    fn rewards_that_the_lines_do_not_say_are_found(db: TestDb) {
        let database = played(&db);
        let claim = money::ClaimRewards { reference: "c1".into(), position_id: "p1".into() };
        // 200 at four times as much a day, for a day.
        write(&database, |conn| {
            let row = staking_positions::table.find("p1");
            let set = staking_positions::reward_rate.eq(1_460.0);
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            money::claim_rewards(conn, &claim, at(86_400 + 5))
        });
        let report = reconcile(&database);
        assert_eq!(report.differences, []);
        let differences = found(&database, |conn| {
            stake(conn, ("p2", "u5"), (0, 1), false)?;
            for (id, claimed) in [("p1", 799), ("p2", 3)] {
                let row = staking_positions::table.find(id);
                let set = staking_positions::claimed_rewards.eq(claimed);
                with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            }
            Ok(())
        });
        assert_eq!(
            differences,
            [
                difference(Check::ClaimedRewards, "p1", 800, 799),
                difference(Check::ClaimedRewards, "p2", 0, 3),
            ]
        );
        assert_eq!(
            differences[0].to_string(),
            "staking position p1: 799 claimed, reward lines say 800"
        );
    }

    fn a_game_that_ended_with_something_open_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            // Two open bets of 100, and 100 in the pot.
            let row = games::table.find("g1");
            let set = (
                games::state.eq(GameState::Cancelled),
                games::completed_at.eq(at(20)),
            );
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            Ok(())
        });
        assert_eq!(
            differences,
            [
                difference(Check::EndedPot, "g1", 0, 100),
                difference(Check::EndedBets, "g1", 0, 200),
            ]
        );
        assert_eq!(
            differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "game g1: it has ended, and its pot holds 100",
                "game g1: it has ended, and bets of 200 are open",
            ]
        );
    }

    fn a_game_without_an_account_for_its_pot_is_found(db: TestDb) {
        let database = played(&db);
        crate::stats::games(&database, &["g3", "g4", "g5"]);
        let differences = found(&database, |conn| {
            // As it was before there were such accounts.
            let row = games::table.find("g4");
            let set = (
                games::state.eq(GameState::Completed),
                games::completed_at.eq(at(20)),
            );
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            let row = games::table.find("g5");
            let set = games::pot_size.eq(5);
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            Ok(())
        });
        assert_eq!(
            differences,
            [
                difference(Check::PotAccount, "g3", 1, 0),
                difference(Check::PotAccount, "g5", 1, 0),
                difference(Check::Pot, "g5", 0, 5),
            ]
        );
    }

    fn an_operation_without_an_answer_is_found(db: TestDb) {
        let database = played(&db);
        let differences = found(&database, |conn| {
            let row = operations::table.find(("deposit", "r3"));
            let set = operations::answer.eq("");
            with_conn!(conn, |c| diesel::update(row).set(set).execute(c))?;
            Ok(())
        });
        assert_eq!(differences, [difference(Check::Answer, "deposit r3", 1, 0)]);
        assert_eq!(
            differences[0].to_string(),
            "operation deposit r3: it was begun, and there is no answer to it"
        );
    }

    fn a_report_names_the_first_and_counts_all(db: TestDb) {
        let database = played(&db);
        write(&database, |conn| {
            for before in 0..1_010 {
                add(conn, Line { user: "u5", amount: 0, before: before % 2, ..LINE })?;
            }
            Ok(())
        });
        let few = Reconciliation::new().with_most_differences(3);
        let report = read(&database, |conn| few.run(conn));
        assert_eq!(report.differences.len(), 3);
        assert_eq!(report.difference_count, 1_009);
        assert!(!report.is_sound());
        let none = Reconciliation::new().with_batch(0);
        let refused = database.read(|conn| none.run(conn)).unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "batch", .. }), "{refused}");
    }

    fn books_add_up_beside_rivals_that_move_money(db: TestDb) {
        let database = played(&db);
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in 1..=2 {
                let (database, over) = (&database, &over);
                scope.spawn(move || {
                    for n in 0.. {
                        if over.load(std::sync::atomic::Ordering::Relaxed) {
                            return;
                        }
                        let transfer = money::Transfer {
                            reference: format!("{client}/{n}"),
                            from: format!("u{client}"),
                            to: format!("u{}", 5 - client),
                            amount: 1,
                        };
                        // Sooner or later there is nothing left; waits for locks may end in refusal.
                        drop(database.write(|conn| money::transfer(conn, &transfer, at(20))));
                    }
                });
            }
            for _ in 0..20 {
                let report = reconcile(&database);
                assert_eq!(report.differences, []);
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
