//! Commands that only look leave every file as it was, on SQLite.

use db_testkit::TestDb;

use crate::support::{Place, files};

#[test]
fn looking_changes_no_file() {
    let place = Place::new(TestDb::sqlite());
    let folder = place.db.path().unwrap().parent().unwrap().to_owned();
    for prepare in [&["status"][..], &["migrate", "--to", "2"], &["migrate"]] {
        place.ok(prepare);
        let before = files(&folder);
        place.ok(&["status"]);
        place.ok(&["status", "--json"]);
        place.ok(&["migrate", "--dry-run"]);
        if place.db.path().unwrap().exists() {
            place.run(&["validate"]);
            place.run(&["validate", "--json"]);
            place.ends(
                if place.applied().len() == 3 { 0 } else { 3 },
                &["status", "--check"],
            );
        }
        assert_eq!(files(&folder), before, "after {prepare:?}");
    }
}

#[test]
fn looking_works_while_another_program_writes() {
    let place = Place::migrated(TestDb::sqlite());
    let mut writer = place.db.connect();
    writer.execute("BEGIN IMMEDIATE; INSERT INTO users (id, name) VALUES (2, 'two');");
    place.ok(&["status"]);
    place.ok(&["validate"]);
    place.ok(&["migrate", "--dry-run"]);
    writer.execute("COMMIT;");
    place.ok(&["status", "--check"]);
}
