//! The health of a database from the command line.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use db_core::Engine;
use db_testkit::{TestDb, both_engines};
use serde_json::{Value, json};

use crate::support::{Done, Place, bare, files, finish};

/// The disk of the machine that runs the tests, and its load, are not what they test.
pub(super) const LENIENT: &str = "[health]\n\
    disk_free = { warn = 0.0, fail = 0.0 }\n\
    response = { warn = '1h', fail = '1h' }\n";

/// What a server that others use as well has for all of its databases is not asked there.
const OWN: [&str; 7] = [
    "--check=tables",
    "--check=indexes",
    "--check=migrations",
    "--check=drift",
    "--check=foreign_keys",
    "--check=outbox",
    "--check=response_time",
];

fn place(db: TestDb) -> Place {
    let place = Place::migrated(db);
    place.write("bitcraps-db.toml", LENIENT);
    place
}

/// On a database with our own schema, and the migrations that are compiled in.
fn ours(place: &Place, arguments: &[&str]) -> Done {
    let mut command = bare(place.root.path());
    command
        .args(["--database-url", &place.db.url(), "--json", "health"])
        .args(arguments);
    finish(&mut command)
}

fn check<'d>(document: &'d Value, name: &str) -> &'d Value {
    let checks = document["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {document:#}"))
}

fn with_own(more: &[&'static str]) -> Vec<&'static str> {
    let own = OWN.iter().copied();
    ["health"]
        .into_iter()
        .chain(own)
        .chain(more.iter().copied())
        .collect()
}

both_engines! {
    fn a_healthy_database_ends_with_0(db: TestDb) {
        let place = place(db);
        let document = place.json(0, &with_own(&[]));
        assert_eq!(document["engine"], place.engine().name());
        assert_eq!(document["connectivity"], json!({ "ok": true, "error": null }));
        assert_eq!(document["tables"], json!({ "ok": true, "missing": [] }));
        assert_eq!(document["indexes"], json!({ "ok": true, "missing": [] }));
        assert_eq!((&document["overall_healthy"], &document["state"]), (&json!(true), &json!("ok")));
        for check in document["checks"].as_array().unwrap() {
            for part in ["name", "cost", "state", "observed", "limit", "hint", "took_ms", "at"] {
                assert!(check.get(part).is_some(), "{part} in {check}");
            }
        }
        let shown = place.ok(&with_own(&[]));
        assert!(shown.out.starts_with("healthy\n") && shown.err.is_empty(), "{shown:?}");
    }

    fn what_is_missing_is_named_with_exit_8(db: TestDb) {
        let place = place(db);
        place.db.connect().execute("DROP INDEX idx_games_winner");
        let document = place.json(8, &with_own(&[]));
        assert_eq!(document["indexes"], json!({ "ok": false, "missing": ["idx_games_winner"] }));
        assert_eq!(document["tables"], json!({ "ok": true, "missing": [] }));
        assert_eq!((&document["overall_healthy"], &document["state"]), (&json!(false), &json!("fail")));
        place.db.connect().execute("DROP TABLE games");
        let document = place.json(8, &with_own(&[]));
        assert_eq!(document["indexes"], json!({ "ok": true, "missing": [] }));
        assert_eq!(document["tables"], json!({ "ok": false, "missing": ["games"] }));
        let shown = place.ends(8, &with_own(&[]));
        assert!(shown.out.contains("problem: tables: 1 table missing\n  games\nhint: "), "{shown:?}");
    }

    fn what_is_pending_wants_attention_with_exit_3(db: TestDb) {
        let place = place(db);
        place.add("20240104000000_more", "CREATE TABLE more (id BIGINT);", "DROP TABLE more;");
        let document = place.json(3, &with_own(&[]));
        assert_eq!(check(&document, "migrations")["names"], json!(["20240104000000_more"]));
        assert_eq!((&document["overall_healthy"], &document["state"]), (&json!(true), &json!("warn")));
    }

    fn money_that_does_not_add_up_and_a_broken_trail(db: TestDb) {
        db.migrate();
        let place = Place::new(db);
        place.write("bitcraps-db.toml", LENIENT);
        let key = match place.engine() { Engine::Sqlite => "x'6b'", Engine::Postgres => "'k'" };
        place.db.connect().execute(&format!(
            "INSERT INTO users (id, username, public_key) VALUES ('u1', 'ada', {key});
             UPDATE users SET reputation = 2.5 WHERE id = 'u1'"
        ));
        place.ok(&["audit", "seal"]);
        let all = ["--check=money", "--check=audit_chain", "--check=outbox", "--check=tables"];
        let whole = ours(&place, &all);
        assert_eq!(whole.code, 0, "{whole:?}");
        assert_eq!(whole.document()["tables"]["ok"], true);
        // Only as the owner of the database can.
        let mut conn = place.db.connect();
        conn.execute(match place.engine() {
            Engine::Sqlite => "DROP TRIGGER audit_logs_append_only_update",
            Engine::Postgres => "ALTER TABLE audit_logs DISABLE TRIGGER USER",
        });
        conn.execute("UPDATE audit_logs SET user_id = 'somebody else' WHERE id = 1");
        let broken = ours(&place, &all);
        let document = broken.document();
        assert_eq!((broken.code, &check(&document, "audit_chain")["state"]), (8, &json!("fail")));
        assert_eq!(check(&document, "money")["state"], "ok");
        assert_eq!(check(&document, "outbox")["state"], "ok");
        assert!(check(&document, "audit_chain")["observed"].as_str().unwrap().contains("line 1 was changed"));
    }

    fn an_outbox_that_is_stuck(db: TestDb) {
        db.migrate();
        let place = Place::new(db);
        place.write("bitcraps-db.toml", LENIENT);
        let state = |arguments: &[&str]| {
            let done = ours(&place, arguments);
            let state = check(&done.document(), "outbox")["state"].as_str().unwrap().to_owned();
            (done.code, state)
        };
        let all = ["--check=outbox", "--check=tables"];
        assert_eq!(state(&all), (0, "ok".to_owned()));
        let old = match place.engine() {
            Engine::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) - 600000000",
            Engine::Postgres => "now() - interval '10 minutes'",
        };
        place.db.connect().execute(&format!(
            "INSERT INTO outbox (outbox_type, payload, created_at) VALUES ('bet_settled', '{{}}', {old})"
        ));
        assert_eq!(state(&all), (3, "warn".to_owned()));
        place.write("bitcraps-db.toml", &format!("{LENIENT}outbox_age = {{ warn = '1m', fail = '9m' }}\n"));
        assert_eq!(state(&all), (8, "fail".to_owned()));
        place.db.connect().execute("DELETE FROM outbox");
        assert_eq!(state(&all), (0, "ok".to_owned()));
    }

    fn a_check_that_there_is_not_is_wrong_usage(db: TestDb) {
        let place = place(db);
        let refused = place.ends(2, &["health", "--check", "happiness"]);
        assert!(refused.err.contains("the checks are connectivity, response_time"), "{refused:?}");
        place.ends(2, &["health", "--check", "tables", "--full"]);
        place.write("bitcraps-db.toml", "[health]\nwal_size = { warn = '1 mile', fail = 2 }");
        let refused = place.ends(2, &["health"]);
        assert!(refused.err.contains("health.wal_size (bitcraps-db.toml:2): \"1 mile\" is no size"), "{refused:?}");
    }

    /// Written as in the file, which it outdoes, for this look.
    fn a_limit_is_given_for_one_look(db: TestDb) {
        let place = place(db);
        let ends = |code: i32, limits: &[&str]| {
            let limits = limits.iter().flat_map(|limit| ["--limit", *limit]);
            let arguments = ["health", "--check=response_time"].into_iter().chain(limits);
            place.ends(code, &arguments.collect::<Vec<_>>())
        };
        let (attention, broken) = ("response = { warn = '0s', fail = '1h' }", "response={warn='0s',fail='0s'}");
        ends(0, &[]);
        ends(3, &[attention]);
        ends(8, &[broken]);
        // The last one counts, and others beside it.
        ends(3, &[broken, attention, "slow_query_least_calls=9"]);
        place.write("bitcraps-db.toml", &format!("[health]\n{broken}\n"));
        ends(8, &["bloat_least = '1GiB'"]);
        ends(0, &["response = { warn = '1h', fail = '1h' }"]);
        for (limit, words) in [
            ("respones = { warn = '1s', fail = '2s' }", "health.respones (--limit): there is no setting of this name; \
              did you mean response?"),
            ("response = { warn = '2s', fail = '1s' }", "health.response (--limit): response: `warn` must not be above"),
            ("response = { warn = 'soon', fail = '1s' }", "health.response (--limit): "),
            ("response = '1s'", "health.response (--limit): "),
            ("response=1s", "--limit \"response=1s\": "),
            ("", "it names no limit"),
        ] {
            let refused = ends(2, &[limit]);
            assert!(refused.err.contains(words), "{limit}: {refused:?}");
            assert!(refused.err.contains("a limit is written as wal_size = {"), "{limit}: {refused:?}");
        }
    }
}

#[test]
fn nothing_is_written_and_nothing_is_left_sqlite() {
    let place = place(TestDb::sqlite());
    let scratch = tempfile::tempdir().unwrap();
    let folder = place.db.path().unwrap().parent().unwrap().to_owned();
    let before = files(&folder);
    let mut command = place.command(&["health", "--full", "--json"]);
    let done = finish(command.env("TMPDIR", scratch.path()));
    assert_eq!(done.code, 0, "{done:?}");
    let document = done.document();
    for name in ["integrity", "foreign_keys", "sizes"] {
        assert_eq!(check(&document, name)["state"], "ok");
    }
    assert_eq!(files(&folder), before);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_database_that_cannot_be_reached_ends_with_9() {
    let folder = tempfile::tempdir().unwrap();
    for url in ["sqlite://none.db", "postgres://nobody@127.0.0.1:1/nothing"] {
        let mut command = bare(folder.path());
        let done = finish(command.args(["--database-url", url, "--json", "health"]));
        assert_eq!(done.code, 9, "{done:?}");
        let document = done.document();
        assert_eq!(document["connectivity"]["ok"], false);
        assert!(
            document["connectivity"]["error"].is_string(),
            "{document:#}"
        );
        assert_eq!(document["overall_healthy"], false);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "a file was made"
        );
    }
}

#[test]
fn what_is_no_database_is_unhealthy() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("text.db"),
        "no database at all, and long enough".repeat(50),
    )
    .unwrap();
    let mut command = bare(folder.path());
    let done = finish(command.args(["--database-url", "sqlite://text.db", "health", "--json"]));
    // A build with SQLCipher takes it for an encrypted file without its key.
    assert!([8, 12].contains(&done.code), "{done:?}");
}

#[test]
fn backups_are_looked_for_where_they_are_kept_sqlite() {
    let place = place(TestDb::sqlite());
    let look = |code| {
        let document = place.json(code, &["health", "--check=backup", "--check=restore_drill"]);
        [
            check(&document, "backup"),
            check(&document, "restore_drill"),
        ]
        .map(|c| c["state"].clone())
    };
    // Who asks for these two and is told nothing must not take it for well.
    assert_eq!(look(3), ["unknown", "unknown"]);
    place.write(
        "bitcraps-db.toml",
        &format!("{LENIENT}[backup]\ndir = 'kept'\n"),
    );
    assert_eq!(look(8), ["fail", "fail"]);
    place.ok(&["backup"]);
    assert_eq!(look(8), ["ok", "fail"]);
    place.ok(&["backup", "verify", "--restore"]);
    assert_eq!(look(0), ["ok", "ok"]);
}

#[test]
fn watching_prints_a_document_on_each_line_sqlite() {
    let place = place(TestDb::sqlite());
    let mut command = place.command(&["health", "--watch", "1", "--json"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["overall_healthy"], true);
    place.db.connect().execute("DROP TABLE games");
    while next()["tables"]["ok"] == true {}
    assert_eq!(next()["tables"]["missing"], json!(["games"]));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(143));
    // What it has to say of its end is a line of JSON too.
    let said: Value = serde_json::from_slice(&ended.stderr).unwrap();
    assert_eq!(said, json!({"event": "notice", "message": "interrupted"}));
}

#[test]
fn a_table_that_was_empty_when_it_was_counted_has_no_share_of_new_rows_sqlite() {
    let place = place(TestDb::sqlite());
    place.db.connect().execute(
        "ANALYZE;
         WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n LIMIT 20000)
         INSERT INTO games (id) SELECT i FROM n",
    );
    let report = place.json(3, &["health", "--check", "statistics"]);
    let check = check(&report, "statistics");
    assert_eq!(
        check["names"],
        json!(["games: nearly all of its rows are new"])
    );
}

#[test]
fn what_was_not_checked_is_told_in_whole_words_postgres() {
    let place = place(TestDb::postgres());
    let report = place.run(&["health", "--check", "integrity", "--json"]);
    let report = report.document();
    let observed = check(&report, "integrity")["observed"].as_str().unwrap();
    assert!(!observed.starts_with(';'), "{observed}");
}

#[test]
fn watching_ends_with_its_reader_sqlite() {
    let place = place(TestDb::sqlite());
    // As text it writes when something changes.
    for format in ["--json", "--no-color"] {
        let mut command = place.command(&["health", "--watch", "1", format]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        drop(lines);
        if format == "--no-color" {
            place.db.connect().execute("DROP TABLE games");
        }
        let pid = child.id().to_string();
        let (sender, ends) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || sender.send(child.wait().unwrap()));
        let ended = ends.recv_timeout(std::time::Duration::from_mins(1)).ok();
        if ended.is_none() {
            Command::new("kill")
                .args(["-s", "KILL", &pid])
                .status()
                .unwrap();
        }
        waiter.join().unwrap().unwrap();
        assert!(
            ended.is_some_and(|status| status.success()),
            "{format:?}: {ended:?}"
        );
    }
}

#[test]
fn a_role_that_may_not_read_is_told_so_with_exit_14_postgres() {
    let place = place(TestDb::postgres());
    let role = format!("forbidden_{}", std::process::id());
    let mut owner = place.db.connect();
    owner.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'"));
    let url = place.db.url();
    let (_, after) = url.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:x@{after}");
    let run = |arguments: &[&str]| {
        let mut command = bare(place.root.path());
        command.args(["--database-url", &url, "--migrations", "migrations"]);
        finish(command.args(arguments))
    };
    let whole = run(&["health", "--json"]);
    let shown = run(&["health", "--check", "tables"]);
    let refused = run(&["reconcile"]);
    owner.execute(&format!("DROP ROLE {role}"));
    assert_eq!(whole.code, 14, "{whole:?}");
    let document = whole.document();
    assert_eq!(document["overall_healthy"], false, "{document:#}");
    assert_eq!(check(&document, "tables")["state"], "unknown");
    assert_eq!(shown.code, 14, "{shown:?}");
    assert!(!shown.out.starts_with("healthy"), "{shown:?}");
    assert!(shown.out.contains("hint: GRANT"), "{shown:?}");
    assert!([8, 14].contains(&refused.code), "{refused:?}");
    assert!(
        !refused.err.contains("owner and the mode of the file"),
        "{refused:?}"
    );
}

#[test]
fn a_server_that_is_down_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = bare(folder.path());
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let done = finish(command.args(["--database-url", url, "health"]));
    assert_eq!(done.code, 9, "{done:?}");
    assert_eq!(
        done.out.matches("Connection refused").count(),
        2,
        "{done:?}"
    );
    assert!(done.out.lines().count() < 15, "{done:?}");
    assert!(!done.out.contains("keepalives"), "{done:?}");
}

#[test]
fn a_truncated_file_is_sent_to_its_backups_and_to_salvage() {
    let place = place(TestDb::sqlite());
    let database = place.db.path().unwrap();
    let bytes = std::fs::read(database).unwrap();
    std::fs::write(database, &bytes[..bytes.len() / 2 / 4096 * 4096 + 100]).unwrap();
    let done = place.ends(8, &["health"]);
    assert!(done.out.contains("salvage"), "{done:?}");
    assert!(!done.out.contains("check the URL"), "{done:?}");
}

#[test]
fn a_folder_that_a_refused_backup_made_is_no_store_sqlite() {
    let place = place(TestDb::sqlite());
    std::fs::create_dir(place.path("backups")).unwrap();
    place.write("backups/.lock", "");
    let document = place.json(3, &["health", "--check=backup"]);
    assert_eq!(check(&document, "backup")["state"], "unknown");
}

#[test]
fn a_place_of_backups_that_is_none_leaves_the_database_to_be_looked_at_sqlite() {
    let place = place(TestDb::sqlite());
    place.write("kept", "no folder");
    // A bucket without a name is none either.
    for (dir, words) in [
        ("kept", "kept is a file, and no folder"),
        ("s3://", "names no bucket"),
    ] {
        place.write(
            "bitcraps-db.toml",
            &format!("{LENIENT}[backup]\ndir = '{dir}'\n"),
        );
        let document = place.json(3, &["health"]);
        assert_eq!(check(&document, "connectivity")["state"], "ok");
        for name in ["backup", "restore_drill"] {
            let check = check(&document, name);
            assert_eq!(check["state"], "warn", "{check}");
            let observed = check["observed"].as_str().unwrap();
            assert!(observed.contains(words), "{check}");
            let hint = check["hint"].as_str().unwrap();
            assert!(hint.contains("dir in [backup]"), "{check}");
        }
        place.json(2, &["backup", "list"]);
    }
}
