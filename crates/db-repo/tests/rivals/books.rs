//! What must hold after all lives.

use std::collections::{BTreeMap, HashMap};

use db_core::{Conn, Database, with_conn};
use db_repo::{Error, Reconciliation};
use db_schema::schema::{
    account_entries, accounts, bets, operations, token_balances, transactions,
};
use diesel::prelude::*;

use crate::Told;

/// Operations by kind and reference, with their answers.
type Operations = HashMap<(String, String), String>;

/// A line: player, type, amount, before, after, locked, staked, reference.
type Line = (String, String, i64, i64, i64, i64, i64, Option<String>);

pub(crate) fn check(database: &Database, told: &Told) {
    let (operations, lines) = database
        .read(|conn| Ok::<_, Error>((stored(conn)?, lines(conn)?)))
        .unwrap();
    answers(told, &operations);
    once(&operations, &lines);
    chains(&lines);
    let settled: i64 = database.read(settled_bets).unwrap();
    let of = lines
        .iter()
        .filter(|line| SETTLED.contains(&line.1.as_str()));
    assert_eq!(
        of.count(),
        usize::try_from(settled).unwrap(),
        "bets are settled once"
    );
    let report = database
        .read(|conn| Reconciliation::new().run(conn))
        .unwrap();
    assert!(report.is_sound(), "{report:?}");
    database.read(|conn| sums(conn, &lines)).unwrap();
}

/// Lines that end a bet.
const SETTLED: [&str; 3] = ["bet_won", "bet_lost", "bet_returned"];

fn settled_bets(conn: &mut Conn<'_>) -> Result<i64, Error> {
    let query = bets::table.filter(bets::outcome.is_not_null()).count();
    Ok(with_conn!(conn, |c| query.get_result(c))?)
}

fn stored(conn: &mut Conn<'_>) -> Result<Operations, Error> {
    let query =
        operations::table.select((operations::kind, operations::reference, operations::answer));
    let rows: Vec<(String, String, String)> = with_conn!(conn, |c| query.load(c))?;
    let keyed = rows
        .into_iter()
        .map(|(kind, reference, answer)| ((kind, reference), answer));
    Ok(keyed.collect())
}

fn lines(conn: &mut Conn<'_>) -> Result<Vec<Line>, Error> {
    let query = transactions::table.order(transactions::id).select((
        transactions::user_id,
        transactions::transaction_type,
        transactions::amount,
        transactions::balance_before,
        transactions::balance_after,
        transactions::locked_change,
        transactions::staked_change,
        transactions::reference_id,
    ));
    Ok(with_conn!(conn, |c| query.load(c))?)
}

/// What was answered is there, byte for byte; the two clients of a pair got the same.
fn answers(told: &Told, operations: &Operations) {
    for (client, answers) in &told.done {
        for (number, (kind, reference, answer)) in answers {
            let stored = operations.get(&(kind.clone(), reference.clone()));
            assert_eq!(
                stored,
                Some(answer),
                "client {client}, request {number}: {kind} {reference} was acknowledged"
            );
        }
    }
}

/// Each operation has just the lines that it makes.
fn once(operations: &Operations, lines: &[Line]) {
    let mut found: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    // A position is claimed more than once, and its rewards bear its key.
    for line in lines.iter().filter(|line| line.1 != "reward") {
        let reference = line.7.as_deref().unwrap_or_default();
        *found.entry((line.1.as_str(), reference)).or_default() += 1;
    }
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count != 1).collect();
    assert!(
        twice.is_empty(),
        "lines that are there more than once: {twice:?}"
    );
    let count = |kind: &str| operations.keys().filter(|(k, _)| k == kind).count();
    let lines_of = |kinds: &[&str]| {
        let of = lines.iter().filter(|line| kinds.contains(&line.1.as_str()));
        of.count()
    };
    for (operation, kinds, each) in [
        ("deposit", &["deposit"][..], 1),
        ("withdraw", &["withdrawal"], 1),
        ("transfer", &["transfer_in", "transfer_out"], 2),
        ("lock", &["lock"], 1),
        ("unlock", &["unlock"], 1),
        ("place_bet", &["bet"], 1),
        ("stake", &["stake"], 1),
        ("unstake", &["unstake"], 1),
    ] {
        assert_eq!(
            lines_of(kinds),
            each * count(operation),
            "lines of {operation}"
        );
    }
}

/// The lines of a player follow from each other.
fn chains(lines: &[Line]) {
    let mut last: HashMap<&str, i64> = HashMap::new();
    for (user, kind, amount, before, after, ..) in lines {
        let expected = last.insert(user, *after).unwrap_or(0);
        assert_eq!(*before, expected, "{user}: a {kind} does not follow");
        assert_eq!(before + amount, *after);
    }
}

/// All balances are what the lines say, and all together is what came in from outside.
fn sums(conn: &mut Conn<'_>, lines: &[Line]) -> Result<(), Error> {
    let mut by_line: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    let mut outside = 0;
    for (user, kind, amount, _, _, locked, staked, _) in lines {
        let sum = by_line.entry(user.clone()).or_default();
        *sum = (sum.0 + amount, sum.1 + locked, sum.2 + staked);
        if kind == "deposit" || kind == "withdrawal" {
            outside += amount;
        }
    }
    let query = token_balances::table.select((
        token_balances::user_id,
        token_balances::balance,
        token_balances::locked_balance,
        token_balances::staked_balance,
    ));
    let rows: Vec<(String, i64, i64, i64)> = with_conn!(conn, |c| query.load(c))?;
    let balances: BTreeMap<_, _> = rows
        .into_iter()
        .map(|(user, available, locked, staked)| (user, (available, locked, staked)))
        .collect();
    assert_eq!(balances, by_line);
    assert!(
        balances
            .values()
            .all(|(a, l, s)| *a >= 0 && *l >= 0 && *s >= 0)
    );

    let query = account_entries::table.select((
        account_entries::account_id,
        account_entries::entry_type,
        account_entries::amount,
    ));
    let entries: Vec<(String, String, i64)> = with_conn!(conn, |c| query.load(c))?;
    let query = accounts::table.select((accounts::id, accounts::balance));
    let rows: Vec<(String, i64)> = with_conn!(conn, |c| query.load(c))?;
    for (account, balance) in &rows {
        let of = entries.iter().filter(|(id, ..)| id == account);
        assert_eq!(
            of.map(|(.., amount)| amount).sum::<i64>(),
            *balance,
            "{account}"
        );
    }
    let funded = entries.iter().filter(|(_, kind, _)| kind == "fund");
    outside += funded.map(|(.., amount)| amount).sum::<i64>();
    let players: i64 = balances.values().map(|(a, l, s)| a + l + s).sum();
    let others: i64 = rows.iter().map(|(_, balance)| balance).sum();
    assert_eq!(players + others, outside, "money came or went");
    Ok(())
}
