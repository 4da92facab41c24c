//! Whether the money adds up, from the command line.

use db_core::{Conn, Database, DatabaseConfig};
use db_migrate::{Migrator, Source, Target};
use db_repo::money::{self, Fundable};
use db_repo::{Error, UserRepository};
use db_schema::migrations::{POSTGRES, SQLITE};
use db_schema::rows::NewUser;
use db_schema::types::UtcTime;
use db_testkit::{TestDb, both_engines};

use crate::support::{Place, bare, finish, masked};

fn play(conn: &mut Conn<'_>) -> Result<(), Error> {
    let now: UtcTime = chrono::DateTime::UNIX_EPOCH.into();
    for id in ["u1", "u2"] {
        let user = NewUser {
            id: id.into(),
            username: id.into(),
            public_key: vec![1],
            created_at: now,
        };
        UserRepository::create(conn, &user)?;
        let deposit = money::Deposit {
            reference: id.into(),
            user_id: id.into(),
            amount: 1_000,
        };
        money::deposit(conn, &deposit, now)?;
    }
    let fund = money::Fund {
        reference: "f1".into(),
        account: Fundable::House,
        amount: 500,
    };
    money::fund(conn, &fund, now)?;
    let lock = money::Lock {
        reference: "l1".into(),
        user_id: "u1".into(),
        amount: 300,
    };
    money::lock(conn, &lock, now)?;
    Ok(())
}

/// A database with our schema, in which money was moved.
pub(crate) fn filled(db: TestDb) -> Place {
    db.migrate();
    let database = Database::open(&DatabaseConfig::new(db.url())).unwrap();
    database.write(play).unwrap();
    database.close(std::time::Duration::from_mins(1)).unwrap();
    Place::new(db)
}

pub(crate) fn tamper(place: &Place) {
    place.db.connect().execute(
        "UPDATE token_balances SET balance = balance + 1 WHERE user_id = 'u2';
        UPDATE token_balances SET locked_balance = 0 WHERE user_id = 'u1'",
    );
}

both_engines! {
    fn books_that_add_up_are_said_to(db: TestDb) {
        let place = filled(db);
        let found = place.ok(&["reconcile"]);
        assert_eq!(
            found.out,
            "2 players with 3 lines, 0 open bets and 0 active positions; \
             2 accounts with 1 line; 0 games\n\
             everything adds up, to 2500 in all\n"
        );
        let document = place.json(0, &["reconcile"]);
        insta::assert_json_snapshot!(format!("reconcile_{}", place.engine().name()), masked(document));
    }

    fn what_does_not_add_up_is_named_with_exit_8(db: TestDb) {
        let place = filled(db);
        tamper(&place);
        let found = place.ends(8, &["reconcile"]);
        assert_eq!(
            found.out,
            "problem: u1: 0 locked, lines say 300\n\
             problem: u1: 0 locked, open bets and holds say 300\n\
             problem: u2: 1001 available, lines say 1000\n\
             problem: all accounts hold 2201, deposits and funds less withdrawals say 2500\n\
             2 players with 3 lines, 0 open bets and 0 active positions; \
             2 accounts with 1 line; 0 games\n\
             4 differences; there are 2201 in all\n"
        );
        let document = place.json(8, &["reconcile"]);
        assert_eq!((&document["sound"], &document["exit_code"]), (&false.into(), &8.into()));
        assert_eq!(document["difference_count"], 4);
        assert_eq!(
            document["differences"][2],
            serde_json::json!({ "check": "available", "owner": "u2", "expected": 1_000, "found": 1_001 })
        );
        assert_eq!(document["messages"][2], "u2: 1001 available, lines say 1000");
        let one = place.ends(8, &["reconcile", "--limit", "1"]);
        assert!(one.out.contains("and 3 more; --limit names more"), "{one:?}");
        assert_eq!(one.out.matches("problem:").count(), 1);
    }

    fn an_earlier_version_is_reconciled_as_far_as_it_goes(db: TestDb) {
        let place = filled(db);
        let migrator = Migrator::new(Source::embedded(SQLITE, POSTGRES));
        let back = Target::Ordinal(11);
        migrator.rollback_to(place.db.connect().conn(), &back).unwrap();
        let found = place.ok(&["reconcile"]);
        assert!(
            found.out.contains(
                "7 checks left out, for what a schema of this version does not have; --json names them\n"
            ),
            "{found:?}"
        );
        assert!(found.out.ends_with("everything adds up, to 2500 in all\n"), "{found:?}");
        let document = place.json(0, &["reconcile"]);
        assert_eq!(document["not_checked"][0], "bet_without_event");
    }

    fn a_database_without_our_tables_gets_a_hint(db: TestDb) {
        let place = Place::migrated(db);
        let refused = place.ends(1, &["reconcile"]);
        assert!(refused.err.contains("hint: the tables of BitCraps have to be there"), "{refused:?}");
    }
}

#[test]
fn a_database_that_is_not_there_is_not_made() {
    let place = Place::new(TestDb::sqlite());
    place.ends(9, &["reconcile"]);
    assert!(!place.db.path().unwrap().exists());
}

#[test]
fn the_command_says_what_it_takes() {
    let root = tempfile::tempdir().unwrap();
    let help = finish(bare(root.path()).args(["reconcile", "--help"]));
    let own = help.out.split("Options of every command").next().unwrap();
    insta::assert_snapshot!("reconcile_help", own);
}
