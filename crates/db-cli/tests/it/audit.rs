//! The audit trail from the command line.

use db_core::Engine;
use db_testkit::{TestDb, both_engines};

use crate::support::{Place, bare, finish};

/// A database with our schema and four lines in its trail.
fn filled(db: TestDb) -> Place {
    db.migrate();
    let place = Place::new(db);
    let mut conn = place.db.connect();
    let key = match place.engine() {
        Engine::Sqlite => "x'6b'",
        Engine::Postgres => "'k'",
    };
    conn.execute(&format!(
        "INSERT INTO users (id, username, public_key) VALUES ('u1', 'ada', {key}), ('u2', 'bob', {key});
        UPDATE users SET reputation = 2.5 WHERE id = 'u1';
        DELETE FROM users WHERE id = 'u2'"
    ));
    drop(conn);
    place
}

/// Changes the trail as only the owner of the database can.
fn tamper(place: &Place, sql: &str) {
    let mut conn = place.db.connect();
    match place.engine() {
        Engine::Sqlite => conn.execute(
            "DROP TRIGGER audit_logs_append_only_update; DROP TRIGGER audit_logs_append_only_delete;
            DROP TRIGGER audit_seals_append_only_delete",
        ),
        Engine::Postgres => conn.execute(
            "ALTER TABLE audit_logs DISABLE TRIGGER USER; ALTER TABLE audit_seals DISABLE TRIGGER USER",
        ),
    }
    conn.execute(sql);
}

both_engines! {
    fn what_was_sealed_is_verified(db: TestDb) {
        let place = filled(db);
        let sealed = place.ok(&["audit", "seal", "--anchor", "anchors"]);
        assert!(sealed.out.starts_with("sealed 4 lines under 1 seal\nhead 1 "), "{sealed:?}");
        let anchors = std::fs::read_to_string(place.path("anchors")).unwrap();
        assert_eq!(sealed.out.lines().nth(1).unwrap(), format!("head {}", anchors.trim_end()));
        let again = place.ok(&["audit", "seal", "--anchor", "anchors"]);
        assert!(again.out.starts_with("nothing to seal\nhead 1 "), "{again:?}");
        let verified = place.ok(&["audit", "verify", "--anchor", "anchors"]);
        assert!(verified.out.starts_with("1 seal over 4 lines are whole; 1 anchor held\nhead 1 "), "{verified:?}");
        let document = place.json(0, &["audit", "verify"]);
        assert_eq!(document["sound"], true);
        assert_eq!((&document["seals"], &document["lines"], &document["unsealed"]), (&1.into(), &4.into(), &0.into()));
        assert_eq!(document["head"], anchors.trim_end());
        assert!(document["fault"].is_null());
        place.db.connect().execute("UPDATE users SET reputation = 3 WHERE id = 'u1'");
        let verified = place.ok(&["audit", "verify"]);
        assert!(verified.out.contains("1 line not sealed yet"), "{verified:?}");
        assert!(verified.err.contains("without --anchor nobody can tell"), "{verified:?}");
        let sealed = place.json(0, &["audit", "seal"]);
        assert_eq!((&sealed["seals"], &sealed["lines"]), (&1.into(), &1.into()));
    }

    fn a_changed_line_is_named_with_exit_8(db: TestDb) {
        let place = filled(db);
        place.ok(&["audit", "seal"]);
        tamper(&place, "UPDATE audit_logs SET user_id = 'somebody else' WHERE id = 3");
        let found = place.ends(8, &["audit", "verify"]);
        assert!(found.out.starts_with("problem: line 3 was changed\n"), "{found:?}");
        let document = place.json(8, &["audit", "verify"]);
        assert_eq!((&document["sound"], &document["exit_code"]), (&false.into(), &8.into()));
        assert_eq!(document["fault"], serde_json::json!({ "kind": "line_changed", "id": 3 }));
        assert_eq!(document["message"], "line 3 was changed");
    }

    fn a_trail_cut_off_is_told_by_its_anchor(db: TestDb) {
        let place = filled(db);
        place.ok(&["audit", "seal", "--anchor", "anchors"]);
        tamper(&place, "DELETE FROM audit_seals; DELETE FROM audit_logs WHERE id > 2");
        place.ok(&["audit", "verify"]);
        let found = place.ends(8, &["audit", "verify", "--anchor", "anchors"]);
        assert!(found.out.starts_with("problem: seal 1 is missing\n"), "{found:?}");
        let refused = place.ends(8, &["audit", "seal", "--anchor", "anchors"]);
        assert!(refused.err.contains("the audit trail is broken: seal 1 is missing"), "{refused:?}");
        assert!(refused.err.contains("hint: `bitcraps-db audit verify`"), "{refused:?}");
    }

    fn anchors_that_cannot_be_read_are_an_error(db: TestDb) {
        let place = filled(db);
        let missing = place.ends(2, &["audit", "verify", "--anchor", "anchors"]);
        assert!(missing.err.contains("anchors: there is no such file"), "{missing:?}");
        place.ok(&["audit", "seal", "--anchor", "anchors"]);
        let whole = std::fs::read_to_string(place.path("anchors")).unwrap();
        place.write("anchors", &format!("{whole}2 abc"));
        let torn = place.ok(&["audit", "verify", "--anchor", "anchors"]);
        assert!(torn.err.contains("line 2 of the file of anchors was not written to its end"), "{torn:?}");
        let document = place.json(0, &["audit", "verify", "--anchor", "anchors"]);
        assert_eq!(document["torn_anchors"], serde_json::json!([2]));
        // Rubbish, and what was cut short before the end.
        let cut = format!("{}\n{whole}", &whole[..20]);
        for (text, line) in [("rubbish\n", "rubbish"), (&cut, &whole[..20])] {
            place.write("anchors", text);
            for command in ["verify", "seal"] {
                let wrong = place.ends(11, &["audit", command, "--anchor", "anchors"]);
                assert!(wrong.err.contains(&format!("line 1: no anchor: {line:?}")), "{wrong:?}");
            }
        }
        assert_eq!(place.json(11, &["audit", "verify", "--anchor", "anchors"])["error"]["kind"], "bad_input");
    }

    fn an_entity_without_a_table_is_told(db: TestDb) {
        db.migrate();
        let place = Place::new(db);
        for (entity, said) in [
            ("user:u1", "no line of the trail fits; there is no table user; did you mean users?"),
            ("users:u1", "no line of the trail fits\n"),
        ] {
            let found = place.ok(&["audit", "show", "--entity", entity]);
            assert!(found.err.contains(said), "{found:?}");
        }
    }

    fn a_file_without_anchors_proves_nothing(db: TestDb) {
        let place = filled(db);
        // Nothing is sealed yet, and nothing claimed.
        place.write("anchors", "");
        place.ok(&["audit", "verify", "--anchor", "anchors"]);
        let sealed = place.ok(&["audit", "seal"]);
        let head = sealed.out.lines().nth(1).unwrap().strip_prefix("head ").unwrap().to_owned();
        for text in ["", &head[..30], &head] {
            place.write("anchors", text);
            let found = place.ends(8, &["audit", "verify", "--anchor", "anchors"]);
            assert!(found.out.starts_with("problem: ") && found.out.contains("anchors holds no anchor"), "{found:?}");
            let document = place.json(8, &["audit", "verify", "--anchor", "anchors"]);
            assert_eq!((&document["sound"], &document["exit_code"]), (&false.into(), &8.into()));
            assert!(document["fault"].is_null());
            place.ends(7, &["audit", "seal", "--anchor", "anchors"]);
        }
        std::fs::remove_file(place.path("anchors")).unwrap();
        let found = place.ends(8, &["audit", "verify", "--anchor", "anchors"]);
        assert!(found.out.contains("anchors: there is no such file, and the trail has seals"), "{found:?}");
        let refused = place.ends(7, &["audit", "seal", "--anchor", "anchors"]);
        assert!(refused.err.contains("it holds no anchor, and the audit trail has seals"), "{refused:?}");
        assert!(refused.err.contains("--new-anchor-file"), "{refused:?}");
        assert!(!place.path("anchors").exists());
        place.ends(2, &["audit", "seal", "--new-anchor-file"]);
        place.ok(&["audit", "seal", "--anchor", "anchors", "--new-anchor-file"]);
        assert_eq!(std::fs::read_to_string(place.path("anchors")).unwrap(), format!("{head}\n"));
        place.ok(&["audit", "verify", "--anchor", "anchors"]);
    }

    fn without_our_schema_the_hint_is_to_make_it(db: TestDb) {
        let place = Place::migrated(db);
        for command in ["seal", "verify", "show"] {
            let done = place.ends(8, &["audit", command]);
            assert!(done.err.contains("hint: `bitcraps-db migrate` makes the tables"), "{done:?}");
        }
    }

    fn lines_are_shown_newest_first(db: TestDb) {
        let place = filled(db);
        let shown = place.ok(&["audit", "show"]);
        let lines: Vec<&str> = shown.out.lines().collect();
        assert_eq!(lines.len(), 5, "{shown:?}");
        assert!(lines[0].starts_with("id  time"), "{shown:?}");
        assert!(lines[1].contains("delete  users:u2"), "{shown:?}");
        assert!(lines[2].contains("update  users:u1") && lines[2].contains("reputation 0"), "{shown:?}");
        let none = place.ok(&["audit", "show", "--entity", "nosuch:1"]);
        assert_eq!(none.out, "");
        assert!(none.err.contains("no line of the trail fits"), "{none:?}");
        let of_u1 = place.json(0, &["audit", "show", "--entity", "users:u1"]);
        let ids = |document: &serde_json::Value| {
            let lines = document["lines"].as_array().unwrap();
            lines.iter().map(|line| line["id"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&of_u1), [3, 1]);
        assert_eq!(of_u1["lines"][0]["after_state"]["reputation"], 2.5);
        assert!(of_u1["next"].is_null());
        let first = place.json(0, &["audit", "show", "--limit", "3"]);
        assert_eq!(ids(&first), [4, 3, 2]);
        let next = first["next"].as_str().unwrap();
        assert_eq!(ids(&place.json(0, &["audit", "show", "--after", next])), [1]);
        assert!(place.ok(&["audit", "show", "--limit", "3"]).err.contains(&format!("--after {next}")));
        for nothing in [["--user", "admin"], ["--entity", "games"], ["--until", "2024-01-01"], ["--since", "2999-01-01"]] {
            let shown = place.json(0, &[&["audit", "show"], &nothing[..]].concat());
            assert_eq!(ids(&shown), Vec::<i64>::new(), "{nothing:?}");
        }
        let since = ["audit", "show", "--since", "2024-01-01T00:00:00Z", "--until", "2999-01-01"];
        assert_eq!(ids(&place.json(0, &since)), [4, 3, 2, 1]);
        for wrong in [["--since", "yesterday"], ["--limit", "0"], ["--after", "x"]] {
            place.ends(2, &[&["audit", "show"], &wrong[..]].concat());
        }
    }
}

#[test]
fn after_a_restore_to_before_a_seal_another_file_of_anchors_is_begun() {
    let place = filled(TestDb::sqlite());
    place.ok(&["backup"]);
    place.ok(&["audit", "seal", "--anchor", "anchors"]);
    let mut restore = bare(place.root.path());
    let url = place.db.url();
    let restored = finish(restore.args(["--database-url", &url, "restore", "latest", "--force"]));
    assert_eq!(restored.code, 0, "{restored:?}");
    let refused = place.ends(8, &["audit", "seal", "--anchor", "anchors"]);
    assert!(
        refused.err.contains("--anchor OTHER --new-anchor-file"),
        "{refused:?}"
    );
    place.ok(&["audit", "seal", "--anchor", "other", "--new-anchor-file"]);
    place.ok(&["audit", "verify", "--anchor", "other"]);
}

#[test]
fn a_database_that_is_not_there_is_not_made() {
    let place = Place::new(TestDb::sqlite());
    for command in ["seal", "verify", "show"] {
        place.ends(9, &["audit", command]);
    }
    assert!(!place.db.path().unwrap().exists());
}

#[test]
fn each_command_says_what_it_takes() {
    let root = tempfile::tempdir().unwrap();
    for command in ["show", "seal", "verify"] {
        let help = finish(bare(root.path()).args(["audit", command, "--help"]));
        let own = help.out.split("Options of every command").next().unwrap();
        insta::assert_snapshot!(format!("audit_{command}_help"), own);
    }
}
