//! Where the database and the migrations are named, and which place counts.

use db_testkit::TestDb;
use serde_json::Value;

use crate::support::{Place, bare, finish};

fn status(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let mut command = bare(place.root.path());
    command.args(arguments).args(["status", "--json"]);
    let done = finish(command.envs(environment.iter().copied()));
    assert_eq!(done.code, 0, "{done:?}");
    done.document()
}

#[test]
fn the_nearest_word_counts() {
    let place = Place::new(TestDb::sqlite());
    assert_eq!(status(&place, &[], &[])["location"], "./data/bitcraps.db");
    place.write(
        "bitcraps-db.toml",
        "url = 'sqlite://file.db'\nmigrations = ['migrations']",
    );
    let from_file = status(&place, &[], &[]);
    assert_eq!(from_file["location"], "file.db");
    assert_eq!(from_file["source"], "migrations");
    assert_eq!(from_file["pending"][0]["set"], "bitcraps");
    let generic = ("DATABASE_URL", "sqlite://generic.db");
    let own = ("BITCRAPS_DATABASE_URL", "own.db");
    assert_eq!(status(&place, &[], &[generic])["location"], "generic.db");
    assert_eq!(status(&place, &[], &[generic, own])["location"], "own.db");
    let arguments = ["--database-url", "sqlite:argument.db"];
    assert_eq!(
        status(&place, &arguments, &[generic, own])["location"],
        "argument.db"
    );
}

#[test]
fn folders_in_a_configuration_are_beside_it() {
    let place = Place::new(TestDb::sqlite());
    std::fs::rename(place.path("migrations"), place.path("there")).unwrap();
    place.write("etc/other.toml", "migrations = ['dice=../there']");
    let status = status(&place, &["--config", "etc/other.toml"], &[]);
    assert_eq!(status["pending"][0]["set"], "dice");
    assert_eq!(status["applied_migrations"], 0);
}

/// The file of an application serves the command line, and its settings hold there.
#[test]
fn an_application_s_settings_are_understood() {
    let place = Place::new(TestDb::sqlite());
    let settings = "url = 'sqlite://file.db'\nmax_connections = 4\nsynchronous = 'full'";
    place.write("app.toml", settings);
    let arguments = ["--config", "app.toml"];
    assert_eq!(status(&place, &arguments, &[])["location"], "file.db");
    for (text, said) in [
        (
            "max_connections = 0",
            "max_connections = 0 (app.toml:1): it must be from 1",
        ),
        (
            "max_conections = 4",
            "(app.toml:1): there is no setting of this name; did you mean max_",
        ),
        ("database_url = 'a.db'", "did you mean url?"),
    ] {
        place.write("app.toml", text);
        let mut command = bare(place.root.path());
        let done = finish(command.args(arguments).arg("status"));
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains(said), "{done:?}");
    }
    let mut command = bare(place.root.path());
    let done = finish(command.env("BITCRAPS_DB_MAX_CONECTIONS", "4").arg("status"));
    assert_eq!(done.code, 2, "{done:?}");
    assert!(
        done.err
            .contains("did you mean BITCRAPS_DB_MAX_CONNECTIONS?"),
        "{done:?}"
    );
}

#[test]
fn quiet_says_only_what_was_asked_for() {
    let place = Place::new(TestDb::sqlite());
    let done = place.ok(&["migrate", "--quiet"]);
    assert!(done.out.is_empty() && done.err.is_empty(), "{done:?}");
    assert!(
        place
            .ok(&["status", "-q"])
            .out
            .contains("3 applied, 0 pending")
    );
    assert!(place.ok(&["migrate", "-v"]).err.is_empty());
    assert!(
        place
            .ok(&["reset", "--force", "-v"])
            .err
            .contains("migration")
    );
    // Nothing is painted where nobody looks.
    assert!(!place.ok(&["status"]).out.contains('\u{1b}'));
}
