//! Names that would do something to the terminal of whoever reads them.

use db_core::Engine;
use db_testkit::{TestDb, both_engines};
use serde_json::Value;

use crate::support::{Done, Place};

/// Sets the title of a window, clears the screen in two ways, and turns letters around.
const HOSTILE: &str = "e\u{1b}]0;t\u{7}\u{1b}[2J\u{9b}2J\r\u{202e}x\u{7f}";

#[track_caller]
fn is_harmless(done: &Done) {
    let odd = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
    for text in [&done.out, &done.err] {
        assert!(!text.contains(odd), "{done:?}");
    }
}

both_engines! {
    fn names_do_nothing_to_a_terminal(db: TestDb) {
        let place = Place::migrated(db);
        let table = match place.engine() {
            Engine::Sqlite => format!("CREATE TABLE \"{HOSTILE}\" (\"{HOSTILE}\" TEXT CHECK (\"{HOSTILE}\" <> ''), v AS (1));"),
            Engine::Postgres => format!("CREATE TABLE \"{HOSTILE}\" (\"{HOSTILE}\" TEXT CHECK (\"{HOSTILE}\" <> ''));"),
        };
        place.db.connect().conn().batch_execute(&table).unwrap();
        place.write("users.csv", &format!("id,{HOSTILE}\n1,a\n"));
        let elsewhere = format!("sqlite://{}", place.path("copy.db").display());
        for (arguments, is_named) in [
            (&["export", "--table", "nope", "--output", "x.csv"][..], true),
            (&["export", "--table", HOSTILE, "--output", "x.json"], false),
            (&["export", "--table", HOSTILE, "--where", "no no", "--output", "x.json"], true),
            (&["import", "users.csv"], true),
            (&["import", "users.csv", "--table", HOSTILE], true),
            (&["schema", "show"], true),
            (&["schema", "show", HOSTILE], true),
            (&["schema", "show", "nope"], false),
            (&["schema", "diagram"], true),
            (&["schema", "diagram", "--format", "dot"], true),
            (&["schema", "diagram", "--format", "svg"], true),
            (&["schema", "diff", &place.db.url(), &elsewhere], false),
            (&["copy", "--to", &elsewhere, "--from-catalog", "--dry-run"], false),
            (&["copy", "--to", &elsewhere, "--from-catalog"], false),
            (&["validate"], false),
        ] {
            let done = place.run(arguments);
            is_harmless(&done);
            if is_named {
                let said = format!("{}{}", done.out, done.err);
                assert!(said.contains(r"e\u{1b}]0;t\u{7}"), "{arguments:?}: {done:?}");
            }
            let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
            let done = place.run(&arguments);
            is_harmless(&done);
            serde_json::from_str::<Value>(&done.out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {done:?}"));
        }
        // JSON has the names themselves, and pictures what can be drawn.
        let shown = place.json(0, &["schema", "show", HOSTILE]);
        assert_eq!(shown["tables"][0]["columns"][0]["name"], HOSTILE);
        let svg = place.json(0, &["schema", "diagram", "--format", "svg"]);
        assert!(!svg["diagram"].as_str().unwrap().contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
    }
}
