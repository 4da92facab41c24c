//! Data for demonstrations, from the command line.

use db_core::Engine;
use db_testkit::{TestDb, both_engines};
use serde_json::Value;

use crate::support::{Place, Running, bare, finish, masked};

/// A database with our schema.
fn ready(db: TestDb) -> Place {
    db.migrate();
    Place::new(db)
}

/// The rows of an export that are a seed's alone, each with its table.
fn seeded(export: &str, engine: Engine) -> Vec<(String, String)> {
    let mut table = String::new();
    let mut rows = Vec::new();
    for line in export.lines() {
        let mut row: Value = serde_json::from_str(line).unwrap();
        if let Some(name) = row["$table"].as_str() {
            name.clone_into(&mut table);
            continue;
        }
        let id = row["id"].as_str().unwrap_or_default().to_owned();
        let fields = row.as_object_mut().unwrap();
        match table.as_str() {
            // A row of the migrations, which have the machine's time.
            "usage_config" => continue,
            "accounts" if ["house", "treasury"].contains(&id.as_str()) => {
                fields.remove("created_at").unwrap();
            }
            // Of the rows that one statement changes, the server numbers the lines as it meets them.
            "audit_logs" if engine == Engine::Postgres => {
                fields.remove("id").unwrap();
            }
            _ => {}
        }
        rows.push((table.clone(), row.to_string()));
    }
    rows.sort();
    rows
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

    /// The audit trail and the times of all changes among them.
    fn the_same_seed_makes_the_same_database(db: TestDb) {
        let engine = db.engine();
        let places = [ready(TestDb::new(engine)), ready(db)];
        let [first, second] = places.map(|place| {
            place.ok(&["seed", "--users", "50", "--games", "20"]);
            let all = ["export", "--format", "ndjson", "--data-only", "--sorted"];
            seeded(&place.ok(&all).out, engine)
        });
        assert!(first.len() > 1000, "{first:?}");
        let other = first.iter().zip(&second).find(|(a, b)| a != b);
        assert_eq!(other, None);
        assert_eq!(first.len(), second.len());
    }

    fn a_demonstration_waits_for_no_relay(db: TestDb) {
        let place = ready(db);
        place.ok(&["seed", "--users", "20", "--games", "6"]);
        // Somebody else's event is left to its relay.
        place.db.connect().execute(
            "INSERT INTO outbox (outbox_type, payload) VALUES ('bet_settled', '{}')",
        );
        place.ok(&["seed", "--users", "20", "--games", "6", "--seed", "2"]);
        let mut command = bare(place.root.path());
        command.args(["--database-url", &place.db.url(), "--json", "health", "--check", "outbox"]);
        let done = finish(&mut command);
        assert_eq!(done.code, 0, "{done:?}");
        let document = done.document();
        let checks = document["checks"].as_array().unwrap();
        let outbox = checks.iter().find(|check| check["name"] == "outbox").unwrap();
        assert!(outbox["observed"].as_str().unwrap().starts_with("1 waiting"), "{outbox}");
    }

    fn ctrl_c_says_so_and_the_next_run_goes_on(db: TestDb) {
        let place = ready(db);
        // Enough games to be in the middle of them.
        let wanted = ["seed", "--users", "300", "--games", "400"];
        let running = Running::until(place.command(&wanted), "\"phase\":\"users\"");
        running.signal("INT");
        let done = running.wait();
        assert_eq!(done.code, 130, "{done:?}");
        let error = &done.document()["error"];
        assert_eq!((&error["kind"], &error["message"]), (&"interrupted".into(), &"interrupted".into()));
        place.ok(&wanted);
        place.ok(&["reconcile"]);
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

/// Dies in the middle, and is run again.
#[test]
fn a_killed_seed_is_gone_on_with() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let place = ready(TestDb::sqlite());
    let arguments = ["seed", "--users", "2000", "--games", "40", "--json"];
    let mut child = place
        .command(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(first["event"], "progress");
    assert_eq!(
        (&first["phase"], &first["total"]),
        (&"users".into(), &2000.into())
    );
    let made = place.json(0, &arguments[..5]);
    assert!(made["users"].as_u64().unwrap() < 2000, "{made}");
    assert_eq!(made["games"], 40);
    let found = place.ok(&["reconcile"]);
    assert!(found.out.contains("everything adds up"), "{found:?}");
}
