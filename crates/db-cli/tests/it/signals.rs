//! Ctrl-C once and twice, in every command that takes long.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use db_core::Engine;
use db_testkit::{Proxy, TestDb, both_engines};
use serde_json::Value;

use crate::support::{Done, Place, Running};

/// No wait is as long, unless something hangs.
const LONG: Duration = Duration::from_mins(2);

/// How often a command may be faster than the signal.
const ATTEMPTS: usize = 20;

/// A command that takes long, and the line of progress from which on it is at work.
struct Long {
    name: &'static str,
    arguments: Vec<String>,
    wanted: &'static str,
}

/// All of them, on a place of `with_much`.
fn long_commands(place: &Place) -> Vec<Long> {
    let long = |name, arguments: &[&str], wanted| Long {
        name,
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        wanted,
    };
    let slow = match place.engine() {
        Engine::Sqlite => {
            "(WITH RECURSIVE c(x) AS (SELECT users.id UNION ALL SELECT x + 1 FROM c LIMIT 9000) \
             SELECT count(*) FROM c) > 0"
        }
        Engine::Postgres => "pg_sleep(0.002) IS NOT NULL",
    };
    vec![
        long("migrate", &["migrate"], r#""event":"statement""#),
        long(
            "export",
            &[
                "export", "--table", "users", "--where", slow, "--output", "out.csv",
            ],
            r#""phase":"export""#,
        ),
        long(
            "import",
            &["import", "endless", "--format", "csv", "--table", "users"],
            r#""phase":"import""#,
        ),
        long(
            "copy",
            &["copy", "--from-catalog", "--to", "copied.db"],
            r#""phase":"copy""#,
        ),
        long(
            "backup",
            &["backup", "--check", "full"],
            r#""event":"progress""#,
        ),
        long(
            "backup verify",
            &["backup", "verify", "--restore"],
            r#""event":"progress""#,
        ),
        long("restore", &["restore", "--force"], r#""event":"progress""#),
    ]
}

/// A database with rows, a backup of it, and an endless migration that waits to be applied.
fn with_much(db: TestDb) -> Place {
    let place = Place::migrated(db);
    place.db.connect().execute(match place.engine() {
        Engine::Sqlite => {
            "CREATE TABLE large (id INTEGER PRIMARY KEY, x BLOB);
             INSERT INTO large WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 40000)
             SELECT x, randomblob(1000) FROM c;
             INSERT INTO users WITH RECURSIVE c (x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM c LIMIT 20000)
             SELECT x, 'u' || x FROM c;"
        }
        Engine::Postgres => {
            "CREATE TABLE large (id BIGINT PRIMARY KEY, x TEXT);
             INSERT INTO large SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 40000) i;
             INSERT INTO users SELECT i, 'u' || i FROM generate_series(2, 20001) i;"
        }
    });
    place.ok(&["backup"]);
    // The table that was made by hand is no drift of interest here.
    place.ok(&["migrate", "--force"]);
    place.add_endless("20240104000000_slow");
    place
}

/// Lines that never end, for a command that reads them.
struct Endless {
    writer: Child,
}

impl Endless {
    fn new(path: &Path) -> Self {
        if !path.exists() {
            let made = Command::new("mkfifo").arg(path).status().unwrap();
            assert!(made.success());
        }
        let script = "echo id,name; i=100000; while echo $i,x; do i=$((i + 1)); done";
        let writer = Command::new("sh")
            .args([
                "-c",
                &format!("{{ {script}; }} > \"$0\""),
                path.to_str().unwrap(),
            ])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { writer }
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        drop(self.writer.kill());
        drop(self.writer.wait());
    }
}

fn users(place: &Place) -> String {
    place
        .ok(&[
            "export", "--table", "users", "--format", "csv", "--output", "-",
        ])
        .out
}

/// What has to be as it was, whatever was stopped.
fn state(place: &Place) -> (Value, String, Vec<String>) {
    let mut status = place.json(0, &["status"]);
    status["size_bytes"] = Value::Null;
    let kept = place.json(0, &["backup", "list"]);
    let kept = kept["backups"].as_array().unwrap().iter();
    let complete = kept.filter(|backup| backup["complete"] == true);
    let names = complete.map(|backup| backup["name"].to_string());
    (status, users(place), names.collect())
}

/// Starts it, and ends it by `stop`; again if it was done before.
fn stopped(place: &Place, long: &Long, stop: impl Fn(Running) -> Done) -> Done {
    for _ in 0..ATTEMPTS {
        let endless = long.arguments.contains(&"endless".to_owned());
        let writer = endless.then(|| Endless::new(&place.path("endless")));
        let running = Running::until(place.command(&long.arguments), long.wanted);
        let done = stop(running);
        drop(writer);
        if done.code != 0 {
            return done;
        }
        // What was made is not there the next time.
        for file in ["copied.db", "out.csv"] {
            drop(fs::remove_file(place.path(file)));
        }
    }
    panic!("{} was faster than the signal, {ATTEMPTS} times", long.name);
}

both_engines! {
    fn ctrl_c_stops_every_long_command_cleanly(db: TestDb) {
        let place = with_much(db);
        let before = state(&place);
        for long in long_commands(&place) {
            let done = stopped(&place, &long, |running| {
                running.signal("INT");
                running.wait()
            });
            assert_eq!(done.code, 130, "{}: {done:?}", long.name);
            let error = &done.document()["error"];
            assert_eq!(error["kind"], "interrupted", "{}", long.name);
            if long.name == "copy" {
                let told = error["message"].as_str().unwrap();
                assert!(told.contains("the target is as it was"), "{told}");
            }
            let after = state(&place);
            assert_eq!(after.0, before.0, "{}", long.name);
            assert!(after.1 == before.1, "{}: other users", long.name);
            // One that was faster than the signal has made a whole backup.
            assert!(after.2.starts_with(&before.2), "{}: {:?} {:?}", long.name, after.2, before.2);
            for file in ["copied.db", "out.csv"] {
                assert!(!place.path(file).exists(), "{}: {file} is left", long.name);
            }
        }
    }

    /// As GNU `timeout` sends it, to the process and to its group.
    fn a_signal_and_its_echo_are_one_wish(db: TestDb) {
        let place = with_much(db);
        for long in long_commands(&place) {
            let done = stopped(&place, &long, |running| {
                running.signals("INT", 5);
                running.wait()
            });
            assert_eq!(done.code, 130, "{}: {done:?}", long.name);
            // Only who stops the work and undoes it has a document to write.
            assert_eq!(done.document()["error"]["kind"], "interrupted", "{}", long.name);
            for file in [".copied.db.copying", "copied.db", "out.csv"] {
                assert!(!place.path(file).exists(), "{}: {file} is left", long.name);
            }
        }
    }

    fn ctrl_c_twice_ends_every_long_command_at_once(db: TestDb) {
        let place = with_much(db);
        let schema = place.schema();
        let before = state(&place);
        for long in long_commands(&place) {
            let done = stopped(&place, &long, |running| {
                running.signal("INT");
                // Another signal, since two of the same may be taken for one.
                running.signal("TERM");
                running.wait_at_once()
            });
            assert!([130, 143].contains(&done.code), "{}: {done:?}", long.name);
            end_sessions(&place);
            let after = state(&place);
            assert_eq!(after.0["applied"], before.0["applied"], "{}", long.name);
            assert!(after.1 == before.1, "{}: other users", long.name);
            assert!(after.2.starts_with(&before.2), "{}", long.name);
            // A copy that is not proven has no name.
            for file in ["copied.db", "out.csv"] {
                assert!(!place.path(file).exists(), "{}: {file} is left", long.name);
            }
        }
        assert_eq!(place.schema(), schema);
    }
}

/// A server may find out late that a program has gone: ends what it still does for it.
fn end_sessions(place: &Place) {
    if place.engine() == Engine::Postgres {
        place.db.connect().execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
}

/// A server that answers nothing more holds up the first Ctrl-C, which asks it to stop; never the
/// second.
#[test]
fn the_second_ctrl_c_waits_for_no_server_postgres() {
    for name in ["migrate", "export", "import", "copy"] {
        let place = with_much(TestDb::postgres());
        let url = place.db.url();
        let (host, port) = address(&url);
        let proxy = Proxy::to(port.parse().unwrap());
        let through = url.replacen(
            &format!("{host}:{port}"),
            &format!("127.0.0.1:{}", proxy.port()),
            1,
        );
        assert_ne!(through, url);
        let long = long_commands(&place)
            .into_iter()
            .find(|long| long.name == name)
            .unwrap();
        let writer = (name == "import").then(|| Endless::new(&place.path("endless")));
        let mut command = crate::support::bare(place.root.path());
        command
            .args(["--database-url", &through, "--migrations", "migrations"])
            .args(&long.arguments);
        let running = Running::until(command, long.wanted);
        proxy.hold();
        running.signal("INT");
        // Another signal, since two of the same may be taken for one.
        running.signal("TERM");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(running.wait_at_once()));
        let done = told
            .recv_timeout(LONG)
            .unwrap_or_else(|_| panic!("{name} goes on"));
        assert!([130, 143].contains(&done.code), "{name}: {done:?}");
        drop(writer);
        drop(proxy);
        let applied = place.applied();
        assert_eq!(applied.len(), 3, "{name}");
    }
}

both_engines! {
    /// `seed` writes in parts, each of which is whole, and the same call goes on behind the last.
    /// Whoever is told of an interruption has something left to be written, and so has whoever is
    /// told of none nothing.
    fn seed_goes_on_where_ctrl_c_ended_it(db: TestDb) {
        db.migrate();
        let place = Place::new(db);
        let mut ended = 0;
        for attempt in 1..=ATTEMPTS {
            let number = attempt.to_string();
            let arguments = ["seed", "--users", "20", "--games", "200", "--seed", &number];
            let running = Running::until(place.command(&arguments), r#""phase":"games""#);
            running.signal("INT");
            let done = running.wait();
            if done.code == 130 {
                assert_eq!(done.document()["error"]["kind"], "interrupted");
                ended += 1;
                place.ok(&["reconcile"]);
                place.ok(&arguments);
            } else {
                // The signal came after the last write.
                assert_eq!(done.code, 0, "{done:?}");
                assert_eq!(done.document()["seed"], attempt);
            }
            let refused = place.ends(7, &arguments);
            assert!(refused.err.contains("is there already"), "{refused:?}");
            if ended == 2 {
                break;
            }
        }
        assert!(ended > 0, "seed was faster than the signal");
        place.ok(&["reconcile"]);
    }

    /// After the last write there is nothing to stop: the document says what is there, and the code is
    /// that of a run without a signal.
    fn ctrl_c_behind_the_last_write_of_seed_changes_nothing(db: TestDb) {
        db.migrate();
        let place = Place::new(db);
        for attempt in 1..=ATTEMPTS {
            let number = attempt.to_string();
            let arguments = ["seed", "--users", "2", "--games", "1", "--seed", &number];
            for (code, part) in [(0, "/games"), (7, "/error")] {
                // Told of the last part only, of which there are no more.
                let running = Running::until(place.command(&arguments), r#""phase":"games""#);
                running.signal("INT");
                let done = running.wait();
                assert_eq!(done.code, code, "{done:?}");
                assert!(done.document().pointer(part).is_some(), "{done:?}");
            }
        }
    }
}

/// Host and port of a URL.
fn address(url: &str) -> (&str, &str) {
    let behind = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    let address = behind.split(['/', '?']).next().unwrap();
    address.rsplit_once(':').unwrap()
}
