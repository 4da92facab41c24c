//! Bad input: each with its code, a message that says what to do, and nothing lost.

use db_testkit::{TestDb, both_engines};

use crate::support::{Place, bare, files, finish};

both_engines! {
    fn a_syntax_error_in_the_middle(db: TestDb) {
        let place = Place::migrated(db);
        let before = place.schema();
        place.add(
            "20240104000000_wrong",
            "CREATE TABLE a (id BIGINT);\nCREATE TABLE b (\n  id BIGINT,,\n  x TEXT\n);\nCREATE TABLE c (id BIGINT);\n",
            "",
        );
        let done = place.ends(10, &["migrate"]);
        assert!(done.err.contains("20240104000000_wrong/up.sql:3 (statement 2)"), "{done:?}");
        assert!(done.err.contains("hint: "), "{done:?}");
        assert_eq!(place.schema(), before);
        assert_eq!(place.applied().len(), 3);
        place.write("migrations/20240104000000_wrong/up.sql", "CREATE TABLE a (id BIGINT);\n");
        place.ok(&["migrate"]);
    }

    fn a_target_that_does_not_exist(db: TestDb) {
        let place = Place::migrated(db);
        for arguments in [
            &["migrate", "--to", "gamez"][..],
            &["rollback", "gamez", "--force"],
            &["rollback", "9", "--force"],
            &["rollback", "-9", "--force"],
            &["rollback", "2024", "--force"],
            &["repair", "--accept", "nothing"],
        ] {
            let done = place.ends(2, arguments);
            assert!(done.err.starts_with("error: "), "{done:?}");
        }
        assert!(place.ends(2, &["migrate", "--to", "gamez"]).err.contains("games"));
        place.add("20240101120000_late", "CREATE TABLE late (id BIGINT PRIMARY KEY);", "");
        let ambiguous = place.ends(2, &["rollback", "20240101", "--force"]);
        assert!(
            ambiguous.err.contains("20240101000000_users or 20240101120000_late"),
            "{ambiguous:?}"
        );
        assert_eq!(place.applied().len(), 3);
    }

    fn a_folder_that_is_not_there(db: TestDb) {
        let place = Place::new(db);
        std::fs::remove_dir_all(place.path("migrations")).unwrap();
        for command in ["migrate", "status", "validate"] {
            let done = place.ends(2, &[command]);
            assert!(done.err.contains("cannot read migrations"), "{done:?}");
            assert!(done.err.contains("hint: name an existing folder"), "{done:?}");
        }
    }
}

#[test]
fn a_mistyped_url_makes_no_file() {
    let root = tempfile::tempdir().unwrap();
    for (url, hint) in [
        ("postgre://u@h/d", "did you mean postgres://u@h/d?"),
        ("sqllite://x.db", "did you mean sqlite://x.db?"),
        ("mysql://u@h/d", "\"mysql\" is not supported"),
        ("no_such_thing", "write sqlite://no_such_thing"),
        ("", "it is empty"),
    ] {
        let done = finish(bare(root.path()).args(["--database-url", url, "migrate"]));
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains(hint), "{done:?}");
        let mut command = bare(root.path());
        let done = finish(command.env("BITCRAPS_DATABASE_URL", url).arg("migrate"));
        assert_eq!(done.code, 2, "{done:?}");
        assert!(
            done.err.contains("variable BITCRAPS_DATABASE_URL): "),
            "{done:?}"
        );
    }
    assert!(files(root.path()).is_empty());
}

#[test]
fn a_configuration_with_a_typo_is_refused() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("bitcraps-db.toml"), "migration = 'm'").unwrap();
    let done = finish(bare(root.path()).arg("migrate"));
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("bitcraps-db.toml:1"), "{done:?}");
    assert!(done.err.contains("did you mean migrations?"), "{done:?}");
    let root = tempfile::tempdir().unwrap();
    let mut command = bare(root.path());
    let done = finish(command.env("BITCRAPS_DATABSE_URL", "x.db").arg("migrate"));
    assert_eq!(done.code, 2, "{done:?}");
    assert!(
        done.err.contains("did you mean BITCRAPS_DATABASE_URL?"),
        "{done:?}"
    );
    assert!(files(root.path()).is_empty());
    let done = finish(bare(root.path()).args(["--config", "none.toml", "migrate"]));
    assert_eq!(done.code, 2, "{done:?}");
}
