//! A folder of migrations, a database, and the binary run on both.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use db_core::Engine;
use db_migrate::catalog::{Catalog, Scope};
use db_testkit::TestDb;
use serde_json::Value;

use crate::published;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_bitcraps-db");

/// What of the environment could change what the binary does.
const VARIABLES: [&str; 8] = [
    "BITCRAPS_DATABASE_URL",
    "BITCRAPS_DB_ENCRYPTION_KEY_COMMAND",
    "BITCRAPS_DB_ENCRYPTION_KEY_FILE",
    "DATABASE_URL",
    "BITCRAPS_LOG",
    "CLICOLOR",
    "NO_COLOR",
    "TERM",
];

/// libpq reads some thirty variables, all with this beginning.
const OF_LIBPQ: &str = "PG";

/// A working directory with `migrations/`, and a database.
pub(crate) struct Place {
    pub(crate) db: TestDb,
    pub(crate) root: tempfile::TempDir,
}

/// What a run of the binary gave.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// With the three migrations that most tests use.
    pub(crate) fn new(db: TestDb) -> Self {
        let place = Self {
            db,
            root: tempfile::tempdir().unwrap(),
        };
        place.add(
            "20240101000000_users",
            "-- people\nCREATE TABLE users (id BIGINT PRIMARY KEY, name TEXT NOT NULL);\n",
            "DROP TABLE users;",
        );
        place.add(
            "20240102000000_games",
            "CREATE TABLE games (id BIGINT PRIMARY KEY, winner BIGINT REFERENCES users (id));\n\
             CREATE INDEX idx_games_winner ON games (winner);\n",
            "DROP TABLE games;",
        );
        place.add(
            "20240103000000_house",
            "INSERT INTO users (id, name) VALUES (1, 'House;');\n",
            "DELETE FROM users WHERE id = 1;",
        );
        place
    }

    /// The same, with everything applied.
    pub(crate) fn migrated(db: TestDb) -> Self {
        let place = Self::new(db);
        place.ok(&["migrate"]);
        place
    }

    pub(crate) fn engine(&self) -> Engine {
        self.db.engine()
    }

    pub(crate) fn add(&self, name: &str, up: &str, down: &str) {
        self.write(&format!("migrations/{name}/up.sql"), up);
        self.write(&format!("migrations/{name}/down.sql"), down);
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.root.path().join(file)
    }

    /// The binary on this database and folder.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = bare(self.root.path());
        command
            .args([
                "--database-url",
                &self.db.url(),
                "--migrations",
                "migrations",
            ])
            .args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        finish(&mut self.command(arguments))
    }

    /// Runs it, and expects that all is well.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> Done {
        self.ends(0, arguments)
    }

    /// Runs it, and expects this exit code.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> Done {
        let done = self.run(arguments);
        assert_eq!(done.code, code, "{arguments:?}: {done:#?}");
        done
    }

    /// Runs it with `--json`, and expects this exit code and exactly one document.
    #[track_caller]
    pub(crate) fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        self.ends(code, &arguments).document()
    }

    /// The schema as it is.
    pub(crate) fn schema(&self) -> Catalog {
        let mut conn = self.db.connect();
        Catalog::read(&mut conn.conn(), &Scope::default()).unwrap()
    }

    /// Versions in Diesel's own table, which must agree with ours.
    pub(crate) fn applied(&self) -> Vec<String> {
        let status = self.json(0, &["status"]);
        let applied = status["applied"].as_array().unwrap();
        applied
            .iter()
            .map(|m| m["version"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Adds a migration whose second statement takes longer than any test waits.
    pub(crate) fn add_endless(&self, name: &str) {
        let endless = match self.engine() {
            Engine::Sqlite => {
                "INSERT INTO slow WITH RECURSIVE c (x) AS \
                 (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c;"
            }
            Engine::Postgres => "INSERT INTO slow SELECT 1 FROM pg_sleep(600);",
        };
        let up = format!("CREATE TABLE slow (id BIGINT);\n{endless}\n");
        self.add(name, &up, "DROP TABLE slow;");
    }
}

impl Done {
    #[track_caller]
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// The binary in a folder, with nothing of the environment that matters to it.
pub(crate) fn bare(folder: &Path) -> Command {
    clean(Command::new(BINARY), folder)
}

/// The same for another program that runs the binary.
pub(crate) fn clean(mut command: Command, folder: &Path) -> Command {
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with(OF_LIBPQ) {
            command.env_remove(variable);
        }
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    let done = Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    published::check(command, &done);
    done
}

/// A run that is under way; killed when dropped.
pub(crate) struct Running {
    command: Command,
    child: Option<Child>,
    err: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts the run, and returns once `wanted` was seen among its lines of progress.
    pub(crate) fn until(mut command: Command, wanted: &str) -> Self {
        command
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let mut running = Self {
            command,
            child: Some(child),
            err: None,
        };
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                let (command, done) = running.end();
                panic!("{wanted} was not seen in: {seen}: {command:?}: {done:?}");
            }
            seen.push_str(&line);
            if line.contains(wanted) {
                break;
            }
        }
        // Whoever reads must go on reading, so that the program is not told of a closed pipe.
        running.err = Some(std::thread::spawn(move || {
            lines.read_to_string(&mut seen).unwrap();
            seen
        }));
        running
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// The same signal several times at once; it may have ended meanwhile.
    pub(crate) fn signals(&self, name: &str, times: usize) {
        let send = format!("kill -s {name} {}\n", self.pid()).repeat(times);
        let mut shell = Command::new("sh");
        shell.args(["-c", &send]).stderr(Stdio::null());
        shell.status().unwrap();
    }

    pub(crate) fn wait(self) -> Done {
        let (command, done) = self.end();
        published::check(&command, &done);
        done
    }

    /// The same of a program that was told to end at once: it says nothing, or what it had to say.
    pub(crate) fn wait_at_once(self) -> Done {
        let (command, done) = self.end();
        if !done.out.is_empty() {
            published::check(&command, &done);
        }
        done
    }

    fn end(mut self) -> (Command, Done) {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        let done = Done {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: self
                .err
                .take()
                .map(|err| err.join().unwrap())
                .unwrap_or_default(),
        };
        let command = std::mem::replace(&mut self.command, Command::new(BINARY));
        (command, done)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Every file below a folder with its content.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    all
}

/// Replaces what differs from run to run and from machine to machine.
pub(crate) fn masked(mut value: Value) -> Value {
    mask(&mut value);
    value
}

const CHANGING: [&str; 8] = [
    "duration_us",
    "applied_at",
    "applied_by",
    "location",
    "size_bytes",
    "server_version",
    "holder",
    "waited_seconds",
];

fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if CHANGING.contains(&key.as_str()) && !value.is_null() {
                    *value = Value::String(format!("[{key}]"));
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mask),
        _ => {}
    }
}
