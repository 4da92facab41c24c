//! A database that is lost while its backups are there, and an empty one in its place.

use std::fs;

use db_testkit::TestDb;

use crate::backup::filled;
use crate::support::Place;

/// As many rows as a shrunken backup has to have lost.
const MANY: &str = "INSERT INTO users (id, name) WITH RECURSIVE c (x) AS \
    (SELECT 10 UNION ALL SELECT x + 1 FROM c WHERE x < 2000) SELECT x, 'ada' FROM c";

fn with_many_rows() -> Place {
    let place = filled();
    place.db.connect().execute(MANY);
    place
}

#[test]
fn whoever_lost_a_database_is_sent_to_its_backups_first() {
    let place = with_many_rows();
    let name = place.json(0, &["backup"])["name"]
        .as_str()
        .unwrap()
        .to_owned();
    fs::remove_file(place.db.path().unwrap()).unwrap();
    for arguments in [
        &["backup"][..],
        &["backup", "schedule", "--once"],
        &["reconcile"],
    ] {
        let refused = place.json(9, arguments);
        let hint = refused["error"]["hint"].as_str().unwrap();
        assert!(hint.starts_with("`bitcraps-db restore`"), "{refused}");
        assert!(hint.contains(&name), "{refused}");
    }
    let health = place.json(9, &["health"]);
    let hint = health["checks"][0]["hint"].as_str().unwrap();
    assert!(hint.starts_with("`bitcraps-db restore`"), "{health}");
    let status = place.json(0, &["status"]);
    let notice = status["notices"][0].as_str().unwrap();
    assert!(notice.starts_with("`bitcraps-db restore`"), "{status}");
    // Start scripts migrate, and that makes an empty one.
    let told = |made: &serde_json::Value| {
        let notices = made["notices"].as_array().unwrap().iter();
        notices
            .filter(|notice| notice.as_str().unwrap().contains(&name))
            .count()
    };
    assert_eq!(told(&place.json(0, &["migrate"])), 1);
    assert_eq!(told(&place.json(0, &["migrate"])), 0);
    fs::remove_file(place.db.path().unwrap()).unwrap();
    // Where there is no backup, nothing is to be restored.
    fs::remove_dir_all(place.path("backups")).unwrap();
    let refused = place.json(9, &["backup"]);
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(!hint.contains("restore"), "{refused}");
}

#[test]
fn a_backup_that_has_shrunk_is_told_everywhere_until_the_larger_ones_are_gone() {
    let place = with_many_rows();
    let large = place.json(0, &["backup"])["name"]
        .as_str()
        .unwrap()
        .to_owned();
    fs::remove_file(place.db.path().unwrap()).unwrap();
    place.ok(&["migrate"]);
    let made = place.json(0, &["backup"]);
    assert_eq!(made["shrunk"]["before"], large.as_str(), "{made}");
    // A second small one is no way out.
    let small = place.json(0, &["backup"]);
    assert_eq!(small["shrunk"]["before"], large.as_str(), "{small}");
    let small = small["name"].as_str().unwrap();
    let status = place.json(3, &["backup", "status"]);
    assert_eq!(status["series"][0]["shrunk"]["name"], small, "{status}");
    let health = place.json(3, &["health", "--check", "backup"]);
    let observed = health["checks"][1]["observed"].as_str().unwrap();
    assert!(observed.contains("less than half of the rows"), "{health}");
    let round = place.json(8, &["backup", "schedule", "--once", "--every", "1h"]);
    let alarms = round["alarms"].as_array().unwrap();
    assert!(alarms.contains(&"shrunk".into()), "{round}");
    let refused = place.json(7, &["restore"]);
    let question = refused["error"]["message"].as_str().unwrap();
    assert!(question.contains(&large), "{question}");
    // It stays, whatever the rules say, while a small one does.
    let rules = ["backup", "prune", "--keep-days", "0", "--keep-last", "1"];
    let pruned = place.json(0, &rules);
    let kept = pruned["kept"].as_array().unwrap();
    let kept: Vec<_> = kept
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(kept, [small, large.as_str()], "{pruned}");
    place.ok(&["backup", "remove", &large, "--force"]);
    place.ok(&["backup", "status"]);
}

#[test]
fn a_small_database_may_lose_half_of_its_rows() {
    let place = Place::migrated(TestDb::sqlite());
    place.ok(&["backup"]);
    place.db.connect().execute("DELETE FROM users");
    let made = place.json(0, &["backup"]);
    assert!(made.get("shrunk").is_none(), "{made}");
    place.ok(&["backup", "status"]);
}
