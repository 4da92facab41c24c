//! What was checked of a backup and of a restore, what was not, and why.

use std::fs;

use db_backup::{BackupOptions, LocalStore, Source};
use db_core::{DatabaseUrl, Engine};
use db_testkit::{TestDb, both_engines, wait_for};
use serde_json::Value;

use crate::reconcile::{filled, tamper};
use crate::support::{Place, Running, bare, finish};

/// What is said of the money in a database that is none of ours.
const FOREIGN: &str = "no schema that this program knows: there are no tables of BitCraps";

fn proof(place: &Place) -> Value {
    place.json(0, &["backup"])["proof"].clone()
}

/// The proof in the newest manifest.
fn newest(place: &Place) -> Option<Value> {
    let names = fs::read_dir(place.path("backups")).ok()?;
    let names = names.map(|entry| entry.unwrap().path());
    let newest = names
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .max()?;
    let document: Value = serde_json::from_slice(&fs::read(newest).unwrap()).unwrap();
    Some(document["proof"].clone())
}

fn checks_money(proof: &Value) -> bool {
    let all = proof["invariants"].as_array().unwrap();
    all.contains(&"money".into())
}

both_engines! {
    /// What broke the rules was made by a program that did not know them, as one without invariants: its backup is
    /// not called unsound. At three in the morning it may be the only one.
    fn a_backup_that_breaks_a_newer_rule_is_restored_when_that_is_accepted(db: TestDb) {
        let place = filled(db);
        tamper(&place);
        let store = LocalStore::new(place.path("backups"));
        let source = Source { url: DatabaseUrl::parse(&place.db.url()).unwrap(), key: None };
        let made = db_backup::create(&source, &store, &BackupOptions::new(), &mut |_| {}).unwrap();
        assert!(made.is_sound());
        let other = match place.engine() {
            Engine::Sqlite => TestDb::sqlite(),
            Engine::Postgres => TestDb::postgres(),
        };
        // Without the migrations of other tests, to which this schema is a newer one.
        let restore = |more: &[&str]| {
            let mut command = bare(place.root.path());
            command.args(["--database-url", &place.db.url(), "restore", &made.name]);
            finish(command.args(["--target", &other.url(), "--force"]).args(more))
        };
        let refused = restore(&[]);
        assert_eq!(refused.code, 8, "{refused:?}");
        assert!(refused.err.contains("--accept-unsound"), "{refused:?}");
        let taken = restore(&["--accept-unsound", "--json"]).document();
        assert_eq!(taken["sound"], false);
        assert!(taken["unsound"][0].as_str().unwrap().starts_with("money: "), "{taken}");
    }

    fn a_backup_says_what_was_checked_and_what_could_not_be(db: TestDb) {
        let place = Place::new(db);
        place.db.connect().execute("CREATE TABLE theirs (id INTEGER PRIMARY KEY)");
        let foreign = proof(&place);
        assert!(!checks_money(&foreign), "{foreign}");
        assert_eq!(foreign["unchecked"][0]["name"], "money");
        assert_eq!(foreign["unchecked"][0]["why"], FOREIGN);
        let told = place.ok(&["backup"]).out;
        assert!(told.contains(&format!("not checked: money ({FOREIGN})")), "{told}");
        // Not by what somebody else has called so as well; what it holds is not even read.
        place.db.connect().execute(
            "CREATE TABLE accounts (id INTEGER PRIMARY KEY);
             CREATE TABLE users (id INTEGER PRIMARY KEY);
             INSERT INTO users VALUES (200)",
        );
        assert_eq!(proof(&place)["unchecked"][0]["why"], FOREIGN);
        place.db.connect().execute("DROP TABLE accounts; DROP TABLE users");

        place.db.connect().execute("DROP TABLE theirs");
        place.db.migrate();
        let ours = proof(&place);
        assert!(checks_money(&ours), "{ours}");
        assert_eq!(ours["unchecked"], Value::Null);
        let drill = place.json(0, &["backup", "verify", "--restore"]);
        assert_eq!(drill["invariants"], serde_json::json!(["money"]));

        // As an older version of the program left it.
        place.db.connect().execute("ALTER TABLE operations RENAME TO operations_later");
        let older = proof(&place);
        assert!(!checks_money(&older), "{older}");
        let why = older["unchecked"][0]["why"].as_str().unwrap();
        assert!(why.starts_with("no schema that this program knows: "), "{why}");
        assert!(why.contains("operations"), "{why}");
    }

    /// What a backup says of the money, health says as well: as far as the schema goes.
    fn money_is_checked_as_far_as_an_older_schema_goes(db: TestDb) {
        let place = Place::new(db);
        let health = |code, state: &str| {
            let document = place.json(code, &["health", "--check", "money"]);
            let checks = document["checks"].as_array().unwrap();
            let money = checks.iter().find(|check| check["name"] == "money").unwrap();
            assert_eq!(money["state"], state, "{document:#}");
            money["observed"].as_str().unwrap().to_owned()
        };
        place.db.connect().execute("CREATE TABLE theirs (id INTEGER PRIMARY KEY)");
        assert_eq!(health(3, "unknown"), FOREIGN);
        place.db.connect().execute("DROP TABLE theirs");
        place.db.migrate();
        place.ok(&["seed", "--users", "5", "--games", "1"]);
        assert!(health(0, "ok").starts_with("everything adds up"));
        // As before V12.
        place.db.connect().execute("ALTER TABLE game_events RENAME TO game_events_later");
        let older = proof(&place);
        assert!(!checks_money(&older), "{older}");
        let why = older["unchecked"][0]["why"].as_str().unwrap();
        assert!(why.starts_with("everything adds up, to "), "{why}");
        let left_out = "as far as a schema of this version tells: 7 checks left out \
                        (`bitcraps-db reconcile --json` names them)";
        assert!(why.ends_with(left_out), "{why}");
        assert_eq!(health(3, "unknown"), why);
        place.db.connect().execute("ALTER TABLE operations RENAME TO operations_later");
        let lacking = health(3, "unknown");
        assert!(lacking.contains("operations"), "{lacking}");
        place.db.connect().execute("ALTER TABLE operations_later RENAME TO operations");
        place.db.connect().execute("UPDATE accounts SET balance = balance + 7");
        health(8, "fail");
        let refused = place.json(8, &["backup"]);
        assert!(refused["error"]["message"].as_str().unwrap().contains("money"), "{refused}");
    }

    /// A schedule runs for months.
    fn a_schedule_checks_what_a_migration_has_brought_meanwhile(db: TestDb) {
        let place = Place::new(db);
        place.db.connect().execute("CREATE TABLE theirs (id INTEGER PRIMARY KEY)");
        let words = ["backup", "schedule", "--every", "1s", "--jitter", "0s", "--drill-every", "0s"];
        let running = Running::until(place.command(&words), r#""event":"made""#);
        let first = newest(&place).unwrap();
        assert!(!checks_money(&first), "{first}");
        place.db.connect().execute("DROP TABLE theirs");
        place.db.migrate();
        wait_for("a backup whose money is checked", || {
            newest(&place).filter(checks_money)
        });
        running.signal("TERM");
        assert_eq!(running.wait().code, 0);
    }
}
