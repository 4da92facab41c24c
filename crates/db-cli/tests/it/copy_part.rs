//! A copy of some tables of a database of ours.

use db_core::Engine;
use db_testkit::TestDb;

use crate::copy::{json, run, seeded};

/// Players, games and bets without their money: what cannot add up is not asked, and that is told.
#[test]
fn a_part_of_a_database_of_ours_arrives_with_its_proof_postgres() {
    let home = seeded(Engine::Sqlite);
    let few = ["users", "games", "bets"];
    let money = [
        "account_entries",
        "accounts",
        "bets",
        "games",
        "operations",
        "staking_positions",
        "token_balances",
        "transactions",
        "users",
    ];
    for (tables, is_money) in [(&few[..], false), (&money[..], true)] {
        for away in [TestDb::postgres(), TestDb::sqlite()] {
            let (from, to) = (home.url(), away.url());
            let mut arguments = vec!["copy", "--from", &from, "--to", &to];
            for table in tables {
                arguments.extend(["--table", table]);
            }
            let report = json(0, &arguments);
            let texts = |field: &str| {
                let all = report[field].as_array().unwrap().iter();
                all.map(|text| text.as_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            let (checked, not) = (texts("checked"), texts("not_checked"));
            assert_eq!(
                checked.iter().any(|text| text.starts_with("money")),
                is_money
            );
            assert!(checked.contains(&"foreign keys".to_owned()), "{checked:?}");
            let of_money: Vec<&String> = not.iter().filter(|t| t.starts_with("money")).collect();
            assert_eq!(of_money.is_empty(), is_money, "{not:?}");
            assert!(
                of_money
                    .iter()
                    .all(|text| text.contains("token_balances, transactions as well")
                        && !text.contains("users"))
            );
            assert!(
                not.iter()
                    .any(|text| text.starts_with("the audit trail, which takes audit_logs"))
            );
            assert_eq!(report["tables"].as_array().unwrap().len(), tables.len());
        }
    }
    let target = TestDb::sqlite();
    let dry = run(&[
        "copy",
        "--dry-run",
        "--from",
        &home.url(),
        "--to",
        &target.url(),
        "--table",
        "users",
    ]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(
        dry.out
            .contains("not checked: money, which takes account_entries"),
        "{dry:?}"
    );
}
