//! `create`, and where it writes.

use db_testkit::TestDb;

use crate::support::{Place, bare, finish};

#[test]
fn both_engines_get_both_files() {
    let root = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| finish(bare(root.path()).args(arguments));
    let none = run(&["create", "add_bet_limits"]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("--migrations DIR"), "{none:?}");
    std::fs::create_dir(root.path().join("migrations")).unwrap();
    let done = run(&["create", "add_bet_limits"]);
    assert_eq!(done.code, 0, "{done:?}");
    let paths: Vec<&str> = done.out.lines().collect();
    assert_eq!(paths.len(), 4, "{done:?}");
    for path in paths {
        assert!(root.path().join(path).is_file(), "{path}");
    }
    // A second one in the same second comes after the first, whatever it is called.
    let second = run(&["create", "a_later_one", "--json"]).document();
    assert!(
        second["files"][0]
            .as_str()
            .unwrap()
            .contains("_a_later_one/")
    );
    std::fs::write(
        root.path().join("bitcraps-db.toml"),
        "migrations = 'migrations'",
    )
    .unwrap();
    let status = run(&["status", "--json"]).document();
    assert_eq!(status["pending"][0]["name"], "add_bet_limits");
    assert_eq!(status["pending"][1]["name"], "a_later_one");
    assert_eq!(status["pending"][1]["set"], "bitcraps");
    assert_eq!(status["source"], "migrations");
}

#[test]
fn a_plain_diesel_folder_stays_plain() {
    let place = Place::new(TestDb::sqlite());
    let done = place.ok(&["create", "dice"]);
    let paths: Vec<&str> = done.out.lines().collect();
    assert_eq!(paths.len(), 2, "{done:?}");
    assert!(paths[0].ends_with("_dice/up.sql"), "{done:?}");
    assert!(place.ok(&["status"]).out.contains("0 applied, 4 pending"));
}

#[test]
fn a_name_that_is_none_gets_a_better_one() {
    let place = Place::new(TestDb::sqlite());
    let done = place.ends(2, &["create", "Add BetLimits"]);
    assert!(done.err.contains("hint: write add_bet_limits"), "{done:?}");
    place.ends(2, &["create", "../escape"]);
}
