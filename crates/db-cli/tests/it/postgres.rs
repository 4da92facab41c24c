//! What only a server can do: be down, refuse a password, forbid.

use std::process::Stdio;
use std::time::{Duration, Instant};

use db_testkit::{TestConn, TestDb};
use diesel::sql_types::{Integer, Text};
use diesel::{OptionalExtension as _, PgConnection, QueryableByName, RunQueryDsl as _, sql_query};

use crate::support::{Place, Running, bare, finish};

#[test]
fn a_server_that_is_down() {
    let root = tempfile::tempdir().unwrap();
    let url = "postgres://u@127.0.0.1:1/d";
    for command in ["status", "migrate", "validate"] {
        let done = finish(bare(root.path()).args(["--database-url", url, command]));
        assert_eq!(done.code, 9, "{done:?}");
        assert!(done.err.contains("is the server running"), "{done:?}");
    }
}

/// libpq would take the database that is called as the user is.
#[test]
fn a_url_that_names_no_database() {
    let db = TestDb::postgres();
    let url = db.url();
    let (address, query) = url
        .split_once('?')
        .unwrap_or((url.as_str(), "application_name=t"));
    let (server, name) = address.rsplit_once('/').unwrap();
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("t.csv"), "a\n1\n").unwrap();
    for nameless in [
        format!("{server}?{query}"),
        format!("{server}/?{query}"),
        format!("{address}?{query}&dbname="),
    ] {
        for command in [
            &["status"][..],
            &["migrate"],
            &["migrate", "--dry-run"],
            &["export"],
            &["import", "t.csv"],
            &["copy", "--to", "new.db"],
            &["copy", "--from", "old.db", "--to", &nameless],
        ] {
            let done = finish(
                bare(root.path())
                    .args(["--database-url", &nameless])
                    .args(command),
            );
            assert_eq!(done.code, 2, "{command:?}: {done:?}");
            assert!(done.err.contains(" names no database"), "{done:?}");
            assert!(done.err.contains("postgres://USER@HOST/NAME"), "{done:?}");
        }
    }
    let nameless = format!("{server}?{query}");
    // A trial restore makes a database of its own on the server.
    for (url, words) in [
        (&url, &["backup"][..]),
        (&nameless, &["backup", "verify"]),
        (&nameless, &["backup", "verify", "--restore"]),
    ] {
        let mut command = bare(root.path());
        let done = finish(command.args(["--database-url", url]).args(words));
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
    }
    // What names it elsewhere is as good.
    let done = finish(bare(root.path()).env("PGDATABASE", name).args([
        "--database-url",
        &nameless,
        "status",
    ]));
    assert_eq!(done.code, 0, "{done:?}");
    assert!(!root.path().join("new.db").exists());
}

#[test]
fn a_password_that_is_refused() {
    let db = TestDb::postgres();
    let role = format!("refused_{}", std::process::id());
    db.connect()
        .execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'right'"));
    let url = db.url();
    let (_, after) = url.rsplit_once('@').unwrap();
    let root = tempfile::tempdir().unwrap();
    let attempt = |password: &str| {
        let url = format!("postgres://{role}:{password}@{after}");
        finish(bare(root.path()).args(["--database-url", &url, "status"]))
    };
    let wrong = attempt("wr0ng-canary");
    let right = attempt("right");
    let missing = {
        let url = format!(
            "postgres://{url_part}",
            url_part = after.replace("localhost", "127.0.0.1")
        );
        finish(
            bare(root.path())
                .env("PGUSER", &role)
                .args(["--database-url", &url, "status"]),
        )
    };
    db.connect().execute(&format!("DROP ROLE {role}"));
    assert_eq!(wrong.code, 12, "{wrong:?}");
    assert!(
        wrong.err.contains("check the user and the password"),
        "{wrong:?}"
    );
    assert!(!wrong.err.contains("canary"), "{wrong:?}");
    assert_eq!(right.code, 0, "{right:?}");
    assert_eq!(missing.code, 12, "{missing:?}");
}

#[test]
fn a_lock_that_is_waited_for_is_one_line_a_try() {
    let place = Place::migrated(TestDb::postgres());
    place.add(
        "20240104000000_more",
        "ALTER TABLE users ADD COLUMN email TEXT;",
        "ALTER TABLE users DROP COLUMN email;",
    );
    let mut reader = place.db.connect();
    reader.execute("SET application_name = 'report'; BEGIN; SELECT * FROM users");
    let done = place.ends(6, &["migrate", "--wait", "3s"]);
    let (tries, last) = done.err.split_once("error: ").unwrap();
    assert!(!tries.is_empty(), "{done:?}");
    for line in tries.lines() {
        assert!(
            line.starts_with(
                "note: canceling statement due to lock timeout: the tables are in use by backend "
            ),
            "{done:?}"
        );
        assert!(
            line.contains("(report, user ") && line.contains("next try in"),
            "{done:?}"
        );
    }
    assert!(last.contains("(report, user "), "{done:?}");
    assert!(
        last.contains("hint: ") && last.contains("--wait"),
        "{done:?}"
    );
    let document = place.json(6, &["migrate", "--wait", "0"]);
    assert_eq!(document["error"]["kind"], "lock_timeout");
}

/// What the settings demand of a connection is demanded here, too; where the database is, is said as
/// it was written.
#[test]
fn settings_of_connecting_hold() {
    let place = Place::new(TestDb::postgres());
    let url = place.db.url();
    let run = |settings: &str| {
        place.write("bitcraps-db.toml", settings);
        place.run(&["status", "--json"])
    };
    let done = run("application_name = 'dice'");
    assert_eq!(done.code, 0, "{done:?}");
    let location = done.document()["location"].as_str().unwrap().to_owned();
    assert_eq!(location, db_core::redact(&url));
    let done = run("tls_mode = 'verify-full'\ntls_root_certificate = 'none.pem'");
    assert_eq!(done.code, 9, "{done:?}");
    let done = run("tls_root_certificate = 'none.pem'");
    assert_eq!(done.code, 2, "{done:?}");
}

#[test]
fn a_database_that_is_missing_or_forbidden() {
    let place = Place::new(TestDb::postgres());
    let url = place.db.url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let root = tempfile::tempdir().unwrap();
    let none = format!("{server}/no_such_database");
    let done = finish(bare(root.path()).args(["--database-url", &none, "migrate"]));
    assert_eq!(done.code, 9, "{done:?}");
    assert!(done.err.contains("createdb"), "{done:?}");

    let role = format!("forbidden_{}", std::process::id());
    place
        .db
        .connect()
        .execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'right'"));
    let (_, after) = url.rsplit_once('@').unwrap();
    let theirs = format!("postgres://{role}:right@{after}");
    let run = |arguments: &[&str]| {
        let mut command = bare(place.root.path());
        finish(
            command
                .args(["--database-url", &theirs, "--migrations", "migrations"])
                .args(arguments),
        )
    };
    let migrate = run(&["migrate"]);
    let rebuild = run(&["validate", "--rebuild"]);
    place.db.connect().execute(&format!("DROP ROLE {role}"));
    assert_eq!(migrate.code, 14, "{migrate:?}");
    assert_eq!(rebuild.code, 14, "{rebuild:?}");
    assert!(rebuild.err.contains("CREATEDB"), "{rebuild:?}");
}

#[test]
fn a_schema_that_a_role_may_not_read() {
    let place = Place::migrated(TestDb::postgres());
    let role = format!("reads_nothing_{}", std::process::id());
    let mut owner = place.db.connect();
    owner.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'right'"));
    let url = place.db.url();
    let (_, after) = url.rsplit_once('@').unwrap();
    let theirs = format!("postgres://{role}:right@{after}");
    let export = |what: &[&str]| {
        let mut command = bare(place.root.path());
        let arguments = ["--database-url", &theirs, "export", "--output", "x.sql"];
        finish(command.args(arguments).args(what))
    };
    let refused = [
        export(&[]),
        export(&["--schema-only"]),
        export(&["--data-only"]),
    ];
    owner.execute(&format!("DROP ROLE {role}"));
    for done in refused {
        assert_eq!(done.code, 14, "{done:?}");
        assert!(done.err.contains("permission denied for table"), "{done:?}");
        assert!(
            done.err.contains("hint: GRANT the role what it needs"),
            "{done:?}"
        );
    }
    assert!(!place.path("x.sql").exists());
}

/// A session in a scratch database.
#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// Asks until the answer is there.
#[track_caller]
fn until(conn: &mut PgConnection, query: &str) -> Session {
    let since = Instant::now();
    loop {
        let found = sql_query(query).get_result(conn).optional().unwrap();
        if let Some(session) = found {
            return session;
        }
        assert!(since.elapsed() < Duration::from_mins(1), "{query}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn the_scratch_database_of_a_killed_rebuild_goes_with_the_next() {
    let place = Place::new(TestDb::postgres());
    let setting = format!("bitcraps.waits_{}", std::process::id());
    // It waits in a session that says so, and in no other.
    let waits = format!(
        "SELECT CASE WHEN current_setting('{setting}', true) = 'yes' THEN pg_sleep(600) END;"
    );
    place.add("20240104000000_waits", &waits, "SELECT 1;");
    place.ok(&["migrate"]);
    let url = format!("{}?options=-c%20{setting}%3Dyes", place.db.url());
    let mut child = bare(place.root.path())
        .args(["--database-url", &url, "--migrations", "migrations"])
        .args(["validate", "--rebuild"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let TestConn::Postgres(mut conn) = place.db.connect() else {
        unreachable!()
    };
    let waiting = until(
        &mut conn,
        &format!(
            "SELECT datname::text AS name, pid FROM pg_stat_activity
             WHERE query LIKE '%{setting}%pg_sleep%' AND pid <> pg_backend_pid()"
        ),
    );
    assert!(waiting.name.starts_with("bitcraps_scratch_"));
    child.kill().unwrap();
    child.wait().unwrap();
    let left = format!(
        "SELECT datname::text AS name, 0 AS pid FROM pg_database WHERE datname = '{}'",
        waiting.name
    );
    // As long as the server is busy with it, it stays.
    place.ok(&["validate", "--rebuild"]);
    until(&mut conn, &left);
    let ended = format!(
        "SELECT pg_terminate_backend({})::text AS name, 0 AS pid",
        waiting.pid
    );
    until(&mut conn, &ended);
    let gone = format!("SELECT 'gone' AS name, 0 AS pid WHERE NOT EXISTS ({left})");
    let since = Instant::now();
    // The server takes a moment to end the sessions of a dead process.
    while sql_query(&gone)
        .get_result::<Session>(&mut conn)
        .optional()
        .unwrap()
        .is_none()
    {
        assert!(since.elapsed() < Duration::from_mins(1), "{}", waiting.name);
        place.ok(&["validate", "--rebuild"]);
    }
}

/// A role that may read everything, and make no database, and what it is connected as.
fn reader_of(place: &Place) -> (String, String) {
    let role = format!("backs_up_{}", std::process::id());
    place.db.connect().execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'right'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}"
    ));
    let url = place.db.url();
    let (_, after) = url.rsplit_once('@').unwrap();
    (format!("postgres://{role}:right@{after}"), role)
}

/// Who backs up need not be who restores on trial, and learns what is missing before anything is read.
#[test]
fn a_role_that_may_make_no_database_has_its_trial_restores_elsewhere() {
    let place = Place::migrated(TestDb::postgres());
    let (url, role) = reader_of(&place);
    let run = |arguments: &[&str]| {
        let mut command = bare(place.root.path());
        finish(command.args(["--database-url", &url]).args(arguments))
    };
    let schedule = ["backup", "schedule", "--once"];
    let verify = ["backup", "verify", "--restore"];
    let elsewhere = ["--drill-server", &place.db.url()];
    let refused = run(&schedule);
    let listed = run(&["backup", "list", "--json"]);
    let document = listed.document();
    let name = document["backups"][0]["name"].as_str().unwrap_or_default();
    let artifact = place.path(&format!("backups/{name}.dump.zst"));
    let whole = std::fs::read(&artifact).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&artifact, &damaged).unwrap();
    let unread = run(&verify);
    let found = run(&[&verify[..], &elsewhere].concat());
    std::fs::write(&artifact, &whole).unwrap();
    let well = run(&[&schedule[..], &elsewhere].concat());
    let settings = format!("[backup]\ndrill_server = '{}'\n", place.db.url());
    place.write("bitcraps-db.toml", &settings);
    let said = run(&[&verify[..], &["--json"]].concat());
    let shown = run(&["config", "show"]);
    place
        .db
        .connect()
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    for (done, code) in [(&refused, 8), (&unread, 14)] {
        assert_eq!(done.code, code, "{done:?}");
        for part in [
            "denied to create database",
            "CREATEDB",
            "--drill-server URL",
        ] {
            assert!(done.err.contains(part), "{part}: {done:?}");
        }
    }
    assert_eq!((listed.code, found.code), (0, 8), "{listed:?} {found:?}");
    assert_eq!(well.code, 0, "{well:?}");
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.document()["restored"], true, "{said:?}");
    let password = db_core::redact(&place.db.url()) != place.db.url();
    assert!(
        password && !shown.out.contains(&place.db.url()),
        "{shown:?}"
    );
    assert!(shown.out.contains("backup.drill_server"), "{shown:?}");
}

/// `pg_dump` says nothing while it waits, and at 3 a.m. that looks like a program that hangs.
#[test]
fn a_backup_tells_whose_lock_it_waits_for() {
    let place = Place::migrated(TestDb::postgres());
    let mut holder = place.db.connect();
    holder.execute("BEGIN; LOCK TABLE games");
    let backup = place.command(&["backup"]);
    let running = Running::until(backup, "waiting for the lock of backend ");
    holder.execute("COMMIT");
    let done = running.wait();
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn a_backup_of_what_the_role_may_not_read_says_so() {
    let place = Place::migrated(TestDb::postgres());
    let role = format!("reader_{}", std::process::id());
    place.db.connect().execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'right'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
         REVOKE SELECT ON games FROM {role}"
    ));
    let url = place.db.url();
    let (_, after) = url.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:right@{after}");
    let run = |arguments: &[&str]| {
        let mut command = bare(place.root.path());
        finish(command.args(["--database-url", &url]).args(arguments))
    };
    let done = run(&["backup"]);
    let checkpoint = run(&["maintenance", "--checkpoint"]);
    // What the owner has backed up can be restored by who may make a database.
    place.ok(&["backup"]);
    let restored = run(&["restore", "--target", &format!("{url}_new")]);
    place
        .db
        .connect()
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    assert_eq!(done.code, 14, "{done:?}");
    assert!(
        done.err.contains("permission denied for table games"),
        "{done:?}"
    );
    assert_eq!(restored.code, 14, "{restored:?}");
    assert!(restored.err.contains("CREATEDB"), "{restored:?}");
    let told = "checkpoint was left out: ";
    assert!(checkpoint.out.contains(told), "{checkpoint:?}");
}
