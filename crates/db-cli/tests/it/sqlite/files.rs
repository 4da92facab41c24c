//! Files that are no databases, are not there, or are in use.

use db_testkit::TestDb;

use crate::support::Place;

#[test]
fn a_file_that_is_no_database() {
    let place = Place::new(TestDb::sqlite());
    let path = place.db.path().unwrap();
    // As text, and as an encrypted database looks: random from the first byte.
    for (content, code, said) in [
        (
            "this is a letter\n".repeat(500).into_bytes(),
            8,
            "the file is not a SQLite database",
        ),
        (noise(), 12, "it looks encrypted, and no key is set"),
    ] {
        std::fs::write(path, &content).unwrap();
        for command in ["status", "migrate", "validate"] {
            let done = place.ends(code, &[command]);
            assert!(done.err.contains(said), "{done:?}");
        }
        assert_eq!(std::fs::read(path).unwrap(), content);
    }
}

#[test]
fn a_database_that_is_missing_is_only_made_by_migrate() {
    let place = Place::new(TestDb::sqlite());
    for command in [
        &["rollback", "--force"][..],
        &["validate"],
        &["repair"],
        &["baseline", "1"],
    ] {
        let done = place.ends(9, command);
        assert!(done.err.contains("`migrate` creates it"), "{done:?}");
    }
    place.ends(2, &["migrate", "--to", "nothing"]);
    assert!(place.ok(&["status"]).out.contains("does not exist yet"));
    place.ends(3, &["status", "--check"]);
    assert!(!place.db.path().unwrap().exists());
    place.ok(&["migrate"]);
}

#[test]
fn a_database_that_must_be_there_is_not_made() {
    let place = Place::new(TestDb::sqlite());
    place.write("bitcraps-db.toml", "create_if_missing = false");
    let done = place.ends(9, &["migrate"]);
    assert!(done.err.contains("there is no database file"), "{done:?}");
    assert!(done.err.contains("create_if_missing"), "{done:?}");
    assert!(!place.db.path().unwrap().exists());
    place.write("bitcraps-db.toml", "");
    place.ok(&["migrate"]);
    place.write("bitcraps-db.toml", "create_if_missing = false");
    place.ok(&["migrate"]);
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_named() {
    let place = Place::new(TestDb::sqlite());
    std::os::unix::fs::symlink("gone.db", place.db.path().unwrap()).unwrap();
    for command in ["status", "validate", "migrate"] {
        let done = place.ends(9, &[command]);
        assert!(done.err.contains("is a link to gone.db, and"), "{done:?}");
    }
}

#[test]
fn a_database_that_another_program_has_locked() {
    let place = Place::migrated(TestDb::sqlite());
    place.add(
        "20240104000000_dice",
        "CREATE TABLE dice (id BIGINT PRIMARY KEY);",
        "DROP TABLE dice;",
    );
    let mut other = place.db.connect();
    other.execute("BEGIN IMMEDIATE; INSERT INTO users (id, name) VALUES (2, 'two');");
    let refused = place.json(6, &["migrate", "--wait", "0"]);
    assert_eq!(refused["error"]["kind"], "busy");
    assert!(
        refused["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("wait longer with --wait")
    );
    let refused = place.ends(6, &["rollback", "--force", "--wait", "0"]);
    assert!(refused.err.contains("database is locked"), "{refused:?}");
    other.execute("COMMIT;");
    assert_eq!(place.applied().len(), 3);
    place.ok(&["migrate"]);
}

#[test]
fn a_baseline_waits_no_longer_than_it_is_told() {
    let place = Place::migrated(TestDb::sqlite());
    let mut other = place.db.connect();
    other.execute("DROP TABLE __diesel_schema_migrations; DROP TABLE __db_migrate_ledger;");
    other.execute("BEGIN IMMEDIATE; INSERT INTO users (id, name) VALUES (2, 'two');");
    let refused = place.ends(6, &["baseline", "3", "--wait", "0"]);
    assert!(refused.err.contains("--wait"), "{refused:?}");
    other.execute("COMMIT;");
    place.ok(&["baseline", "3"]);
}

#[test]
fn violated_foreign_keys_stop_a_verified_run() {
    let place = Place::new(TestDb::sqlite());
    place.ok(&["migrate", "--to", "2"]);
    let mut conn = place.db.connect();
    conn.execute("PRAGMA foreign_keys = OFF; INSERT INTO games (id, winner) VALUES (1, 99);");
    drop(conn);
    let done = place.ends(8, &["migrate", "--verify"]);
    assert!(
        done.err.contains("hint: repair the data first")
            && done.err.contains("1 row of games has no parent in users"),
        "{done:?}"
    );
    assert_eq!(place.applied().len(), 2);
    place.ok(&["migrate"]);
}

/// Bytes that look like nothing, the same in every run.
fn noise() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    (0..8_192)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}
