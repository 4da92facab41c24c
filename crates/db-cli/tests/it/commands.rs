//! Every command when all is well, on both engines.

use std::fs;

use db_core::Engine;
use db_testkit::{TestDb, both_engines};

use crate::support::{Place, bare, finish};

both_engines! {
    fn migrate_applies_what_is_pending_and_then_nothing(db: TestDb) {
        let place = Place::new(db);
        let done = place.ok(&["migrate"]);
        assert!(done.out.contains("3 migrations applied in"), "{done:?}");
        assert!(done.out.contains("20240102000000  games"), "{done:?}");
        let again = place.ok(&["migrate"]);
        assert!(again.out.contains("nothing to do"), "{again:?}");
        assert_eq!(place.applied().len(), 3);
    }

    /// Each start of an application runs it, and half of the files are ways back.
    fn a_run_with_nothing_to_do_reads_no_way_back(db: TestDb) {
        let place = Place::migrated(db);
        for folder in fs::read_dir(place.path("migrations")).unwrap() {
            let down = folder.unwrap().path().join("down.sql");
            fs::remove_file(&down).unwrap();
            // Nobody can read it as a file.
            fs::create_dir(&down).unwrap();
        }
        assert_ne!(place.run(&["validate"]).code, 0);
        let done = place.ok(&["migrate"]);
        assert!(done.out.contains("nothing to do"), "{done:?}");
        place.ok(&["status"]);
    }

    fn migrate_to_a_target_and_back_by_steps(db: TestDb) {
        let place = Place::new(db);
        place.ok(&["migrate", "--to", "games"]);
        assert_eq!(place.applied().len(), 2);
        place.ok(&["migrate", "--to", "2024-01-03", "--single-transaction", "--verify", "--wait", "5m"]);
        assert_eq!(place.applied().len(), 3);
        let done = place.ok(&["rollback", "-2", "--force"]);
        assert!(done.out.contains("2 migrations reverted in"), "{done:?}");
        assert_eq!(place.applied(), ["20240101000000"]);
        place.ok(&["rollback", "--force"]);
        assert!(place.applied().is_empty());
        assert!(place.ok(&["rollback", "--force"]).out.contains("nothing to roll back"));
    }

    fn a_dry_run_runs_everything_and_leaves_everything(db: TestDb) {
        let place = Place::new(db);
        place.ok(&["migrate", "--to", "1"]);
        let before = place.schema();
        let done = place.ok(&["migrate", "--dry-run"]);
        assert!(done.out.contains("2 migrations rehearsed in"), "{done:?}");
        assert!(done.out.contains("the database is as it was"), "{done:?}");
        assert_eq!(place.schema(), before);
        assert_eq!(place.applied().len(), 1);
        place.add("20240104000000_wrong", "SELECT 1;\nSELEC 2;\n", "");
        place.ends(10, &["migrate", "--dry-run"]);
        assert_eq!(place.schema(), before);
    }

    fn a_dry_rollback_reverts_everything_and_leaves_everything(db: TestDb) {
        let place = Place::migrated(db);
        let before = place.schema();
        place.db.connect().execute(
            "INSERT INTO users (id, name) VALUES (2, 'a'), (3, 'b'); INSERT INTO games (id, winner) VALUES (1, 2)",
        );
        let done = place.ok(&["rollback", "0", "--dry-run"]);
        assert!(done.out.contains("statements  rows changed  rows lost "), "{done:?}");
        assert!(done.out.contains("; 4 rows of 2 tables would be lost\n"), "{done:?}");
        assert!(done.out.contains("3 migrations rehearsed in"), "{done:?}");
        assert!(done.out.contains("the database is as it was"), "{done:?}");
        assert!(!done.out.contains("up.sql"), "{done:?}");
        let document = place.json(0, &["rollback", "--dry-run"]);
        assert_eq!((&document["direction"], &document["dry_run"]), (&"down".into(), &true.into()));
        assert_eq!(document["migrations"][0]["version"], "20240103000000");
        let document = place.json(0, &["rollback", "1", "--dry-run"]);
        let dropped = serde_json::json!([{"table": "games", "rows": 1}]);
        assert_eq!(document["migrations"][1]["dropped"], dropped);
        place.write("migrations/20240102000000_games/down.sql", "DROP TABLE nope;");
        place.ends(10, &["rollback", "0", "--dry-run"]);
        assert_eq!(place.schema(), before);
        assert_eq!(place.applied().len(), 3);
    }

    fn what_was_not_run_here_has_no_time(db: TestDb) {
        let place = Place::new(db);
        place.db.connect().execute("CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL)");
        place.ok(&["baseline", "users"]);
        let done = place.ok(&["status"]);
        let row = done.out.lines().find(|line| line.contains("baselined")).unwrap();
        assert!(row.contains('—') && !row.contains("0 µs"), "{done:?}");
        assert!(place.json(0, &["status"])["applied"][0]["duration_us"].is_null());
    }

    fn a_first_run_on_strange_tables_names_baseline(db: TestDb) {
        let place = Place::new(db);
        place.db.connect().execute("CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL)");
        let done = place.ends(10, &["migrate"]);
        assert!(done.err.contains("`baseline TARGET`"), "{done:?}");
    }

    fn a_template_that_nobody_filled_in_is_noted(db: TestDb) {
        let place = Place::migrated(db);
        place.ok(&["create", "forgotten"]);
        let done = place.ok(&["migrate"]);
        assert!(done.err.contains("note: ") && done.err.contains("holds no statement"), "{done:?}");
    }

    fn status_is_a_table_with_a_summary_first(db: TestDb) {
        let place = Place::new(db);
        place.ok(&["migrate", "--to", "2"]);
        let done = place.ok(&["status"]);
        let lines: Vec<&str> = done.out.lines().collect();
        assert_eq!(lines[0], "2 applied, 1 pending");
        let engine = match place.engine() {
            Engine::Sqlite => "SQLite, journal mode wal, ",
            Engine::Postgres => "PostgreSQL ",
        };
        assert!(lines[1].starts_with(&format!("database {engine}")), "{done:?}");
        assert_eq!(lines[2], "version  20240102000000");
        assert_eq!(lines[3], "files    migrations");
        assert!(done.out.contains("3  20240103000000  house  pending"), "{done:?}");
        assert!(done.out.trim_end().ends_with("--dry-run rehearses it."), "{done:?}");
        place.ends(3, &["status", "--check"]);
        place.ok(&["migrate"]);
        place.ok(&["status", "--check"]);
    }

    fn validate_says_that_all_agrees(db: TestDb) {
        let place = Place::migrated(db);
        let done = place.ok(&["validate", "--rebuild"]);
        assert!(done.out.contains("files, history and schema agree"), "{done:?}");
        let document = place.json(0, &["validate", "--rebuild"]);
        assert_eq!(document["rebuild"]["state"], "same");
        assert_eq!(document["drift"]["state"], "none");
        place.ok(&["rollback", "--force"]);
        let done = place.ends(3, &["validate"]);
        assert!(done.out.contains("pending: 20240103000000_house"), "{done:?}");
    }

    /// What is lost of the history is said by whoever looks, and the next run mends it.
    fn a_dropped_table_of_the_history_is_missed(db: TestDb) {
        let place = Place::migrated(db);
        for table in ["__diesel_schema_migrations", "__db_migrate_ledger"] {
            place.db.connect().execute(&format!("DROP TABLE {table}"));
            let gone = format!("the table {table} is gone");
            let done = place.ends(3, &["validate"]);
            assert!(done.out.contains(&gone) && !done.out.contains("agree"), "{done:?}");
            assert_eq!(place.json(3, &["validate"])["problems"][0]["problem"], "lost_table");
            let status = place.ok(&["status"]);
            assert!(status.out.contains(&gone), "{status:?}");
            place.ends(3, &["status", "--check"]);
            let health = place.json(3, &["health", "--check", "migrations"]);
            let checks = health["checks"].as_array().unwrap();
            let found = checks.iter().find(|check| check["name"] == "migrations").unwrap();
            assert_eq!(found["state"], "warn", "{found}");
            assert!(found["observed"].as_str().unwrap().contains(&gone), "{found}");
            place.ok(&["migrate"]);
            let done = place.ok(&["validate"]);
            assert!(done.out.contains("files, history and schema agree"), "{done:?}");
        }
    }

    fn reset_takes_everything_back_and_forth(db: TestDb) {
        let place = Place::migrated(db);
        place.db.connect().execute("INSERT INTO users (id, name) VALUES (7, 'seven')");
        let refused = place.ends(7, &["reset"]);
        assert!(refused.err.contains("--force"), "{refused:?}");
        let document = place.json(0, &["reset", "--force"]);
        assert_eq!(document["rolled_back"]["migrations"].as_array().unwrap().len(), 3);
        assert_eq!(document["migrated"]["migrations"].as_array().unwrap().len(), 3);
        place.ok(&["status", "--check"]);
    }

    fn baseline_adopts_what_is_there(db: TestDb) {
        let place = Place::new(db);
        place.db.connect().execute("CREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL)");
        let done = place.ok(&["baseline", "users"]);
        assert!(done.out.contains("declared as present: 20240101000000 users"), "{done:?}");
        place.ok(&["migrate"]);
        assert_eq!(place.applied().len(), 3);
        place.ends(7, &["baseline", "users"]);
    }

    fn without_a_terminal_a_rollback_needs_force(db: TestDb) {
        let place = Place::migrated(db);
        let done = place.ends(7, &["rollback", "0"]);
        assert!(done.err.contains("20240103000000  house"), "the plan is shown: {done:?}");
        assert!(done.err.contains("hint: add --force"), "{done:?}");
        assert_eq!(place.applied().len(), 3);
    }

    fn the_compiled_in_migrations_go_up_and_down(db: TestDb) {
        let place = Place::new(db);
        let url = place.db.url();
        let run = |arguments: &[&str]| {
            let done = finish(bare(place.root.path()).args(["--database-url", &url]).args(arguments));
            assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
            done
        };
        run(&["migrate"]);
        assert!(run(&["status"]).out.contains("files    compiled in"));
        run(&["validate", "--rebuild"]);
        run(&["rollback", "0", "--force"]);
        run(&["migrate"]);
    }

    fn several_folders_are_sets_in_one_order(db: TestDb) {
        let place = Place::new(db);
        place.write("more/20240101120000_extra/up.sql", "CREATE TABLE extra (id BIGINT PRIMARY KEY);");
        place.write("more/20240101120000_extra/down.sql", "DROP TABLE extra;");
        let status = place.json(0, &["--migrations", "plugins=more", "migrate"]);
        let sets: Vec<&str> = status["migrations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["set"].as_str().unwrap())
            .collect();
        assert_eq!(sets, ["migrations", "plugins", "migrations", "migrations"]);
    }
}

/// Every state that the bash script can be in must have its list of words.
#[test]
fn completion_goes_on_behind_a_subcommand() {
    let root = tempfile::tempdir().unwrap();
    let script = finish(bare(root.path()).args(["completions", "bash"])).out;
    let states: Vec<&str> = script
        .lines()
        .filter_map(|line| line.trim().strip_prefix("cmd=\"")?.strip_suffix('"'))
        .filter(|state| !state.is_empty())
        .collect();
    assert!(states.len() > 10, "{states:?}");
    for state in states {
        let label = format!("{state})");
        assert!(script.lines().any(|line| line.trim() == label), "{state}");
    }
}

#[test]
fn completions_and_manual_need_no_database() {
    let root = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| finish(bare(root.path()).args(arguments));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = run(&["completions", shell]);
        assert!(
            done.code == 0 && done.out.contains("rollback"),
            "{shell}: {done:?}"
        );
    }
    let page = run(&["man"]);
    assert!(page.out.contains(".TH bitcraps-db 1"), "{page:?}");
    assert!(page.out.contains(".SH \"EXIT STATUS\""), "{page:?}");
    assert!(!page.out.contains("EXTRA"), "{page:?}");
    let written = run(&["man", "--dir", "man1"]);
    assert!(written.out.contains("bitcraps-db-migrate.1"), "{written:?}");
    assert!(root.path().join("man1/bitcraps-db.1").is_file());
    let document = run(&["completions", "bash", "--json"]).document();
    assert_eq!(document["shell"], "bash");
    assert!(run(&["man", "--json"]).document()["page"].is_string());
}

#[test]
fn help_has_examples_first_and_names_every_command() {
    let root = tempfile::tempdir().unwrap();
    let help = finish(bare(root.path()).arg("--help"));
    assert_eq!(help.code, 0);
    insta::assert_snapshot!(help.out);
    for command in [
        "migrate",
        "rollback",
        "status",
        "validate",
        "repair",
        "baseline",
        "create",
        "audit",
        "reconcile",
    ] {
        let help = finish(bare(root.path()).args([command, "--help"]));
        assert!(help.out.starts_with("Examples:\n"), "{help:?}");
    }
    let usage = finish(&mut bare(root.path()));
    assert_eq!(usage.code, 2);
    let short = finish(bare(root.path()).arg("-h"));
    assert_eq!(usage.err.trim_end(), short.out.trim_end());
    assert!(usage.err.contains("postgres://USER@HOST/NAME"), "{usage:?}");
    let document = finish(bare(root.path()).arg("--json"));
    assert_eq!(
        (document.code, &document.document()["error"]["kind"]),
        (2, &"usage".into())
    );
    let version = finish(bare(root.path()).arg("--version"));
    assert!(version.out.starts_with("bitcraps-db "), "{version:?}");
}
