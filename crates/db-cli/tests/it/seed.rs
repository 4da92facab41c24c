//! Data for demonstrations, from the command line.

use db_testkit::{TestDb, both_engines};

use crate::support::{Place, bare, finish, masked};

/// A database with our schema.
fn ready(db: TestDb) -> Place {
    db.migrate();
    Place::new(db)
}

both_engines! {
    fn what_was_made_adds_up_and_can_be_sealed(db: TestDb) {
        let place = ready(db);
        let made = place.json(0, &["seed", "--users", "30", "--games", "12", "--seed", "7"]);
        insta::assert_json_snapshot!(format!("seed_{}", place.engine().name()), masked(made));
        let found = place.ok(&["reconcile"]);
        assert!(found.out.contains("everything adds up"), "{found:?}");
        place.ok(&["audit", "seal"]);
        place.ok(&["audit", "verify"]);
    }

    fn the_same_data_is_not_made_twice(db: TestDb) {
        let place = ready(db);
        place.ok(&["seed", "--users", "5", "--games", "2"]);
        let refused = place.ends(7, &["seed", "--users", "5", "--games", "2"]);
        assert!(refused.err.contains("the data of seed 1 is there already"), "{refused:?}");
        assert!(refused.err.contains("hint: take another --seed"), "{refused:?}");
        place.ok(&["seed", "--users", "5", "--games", "2", "--seed", "2"]);
        place.ok(&["reconcile"]);
    }
}

#[test]
fn a_database_that_is_not_there_is_not_made() {
    let place = Place::new(TestDb::sqlite());
    place.ends(9, &["seed"]);
    assert!(!place.db.path().unwrap().exists());
}

#[test]
fn the_command_says_what_it_takes() {
    let root = tempfile::tempdir().unwrap();
    let help = finish(bare(root.path()).args(["seed", "--help"]));
    let own = help.out.split("Options of every command").next().unwrap();
    insta::assert_snapshot!("seed_help", own);
}
