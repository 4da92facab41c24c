//! Every command of the documentation and of the help is run, on a database that has what it names.
//!
//! `docs/operations.md` is a story of its own: see `runbook`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use db_core::{Access, Conn, Connection, DatabaseUrl};
use db_testkit::TestDb;
use diesel::connection::SimpleConnection as _;
use serde_json::Value;

use crate::backup::{IDENTITY, RECIPIENT};
use crate::help;
use crate::pages::{Block, Scene, blocks, read, repository};
use crate::published;
use crate::support::{Done, bare, finish};

/// The name that backups have in the documentation, and the version of a migration.
const BACKUP: &str = "backup_20261122_143005";

/// What cannot be run as it stands there, by a part of it, and why. All else is.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "s3://",
        "needs a bucket that is not there: the tests of buckets run these commands",
    ),
    (
        "_command = '",
        "is a line of PostgreSQL's configuration: the runbook for PostgreSQL runs both",
    ),
    (
        "--method base",
        "copies a whole server, as the runbook for PostgreSQL does",
    ),
    ("cargo xtask", "builds, measures and tests this repository"),
];

/// What commands end with that do not end with 0 here, by what their arguments begin with.
const CODES: &[(&str, &[i32])] = &[
    // Nobody is there to be asked; `--force` and `--dry-run` ask nobody.
    ("rollback", &[7]),
    ("reset", &[7]),
    ("restore", &[7]),
    ("backup remove backup_", &[7]),
    // Nothing was adopted: there is a history.
    ("baseline", &[7]),
    // Nothing was edited.
    ("repair --accept", &[7]),
    // Stopped by SIGTERM, as soon as it has begun.
    ("health --watch", &[143]),
    // How well it is depends on the machine too: how full its disk is, and how fast it answers.
    ("health", &[0, 3, 8]),
];

/// What asks nobody.
const UNASKED: [&str; 3] = ["--force", "--dry-run", "--target"];

/// Commands that belong together.
#[derive(Debug)]
struct Story {
    place: String,
    script: String,
}

impl Story {
    fn new(place: String, script: &str) -> Self {
        let script = script
            .replace("cargo run --release -p db-cli --", "bitcraps-db")
            .replace("cargo build --release -p db-cli --features sqlcipher", ":")
            .replace("postgres://bitcraps@localhost/bitcraps", "$SERVER")
            .replace("postgres://bitcraps@db/bitcraps", "$SERVER")
            .replace("/mnt/", "$ROOT/mnt/")
            .replace("/etc/", "$ROOT/etc/")
            .replace("/usr/local/", "$ROOT/usr/local/")
            .replace("age1...", RECIPIENT);
        Self { place, script }
    }

    fn not_run(&self) -> Option<&'static str> {
        let is_encrypted = self.place.starts_with("docs/encryption.md");
        if is_encrypted && !cfg!(feature = "sqlcipher") {
            return Some(
                "needs a program that is built with SQLCipher: its tests run these commands",
            );
        }
        let found = NOT_RUN.iter().find(|(part, _)| self.script.contains(part));
        found.map(|(_, why)| *why)
    }

    fn needs_a_server(&self) -> bool {
        self.script.contains("$SERVER")
    }

    /// A database in which something was changed by hand.
    fn is_of_drift(&self) -> bool {
        self.place.starts_with("README") && self.script.trim() == "bitcraps-db validate"
    }

    /// The codes with which a command may end.
    fn expected(&self, arguments: &str) -> &'static [i32] {
        if self.is_of_drift() {
            return &[5];
        }
        if self.place.starts_with("docs/encryption.md") && arguments == "status" {
            return &[12];
        }
        if UNASKED.iter().any(|flag| arguments.contains(flag)) {
            return &[0];
        }
        let found = CODES
            .iter()
            .find(|(beginning, _)| arguments.starts_with(beginning));
        found.map_or(&[0], |(_, codes)| codes)
    }

    fn is_of_help(&self) -> bool {
        self.place.starts_with("--help")
    }

    fn has(&self, part: &str) -> bool {
        self.script.contains(part)
    }

    /// What is there before it begins.
    fn world(&self) -> Option<&'static str> {
        if self.place.starts_with("docs/encryption.md") || self.has("bitcraps-db migrate") {
            return None;
        }
        let is_filled = self.has("bitcraps-db import") || self.has("bitcraps-db seed");
        Some(if is_filled { "importing" } else { "seeded" })
    }

    /// What only this one needs, or has to be made where it runs.
    fn prepare(&self, scene: &Scene, work: &Path) {
        // A backup knows the path of its database.
        let of_backups = [
            "bitcraps-db restore",
            "bitcraps-db health",
            "bitcraps-db backup",
        ];
        if of_backups.iter().any(|part| self.has(part)) {
            for _ in 0..2 {
                ours(work, &["backup"]);
            }
        }
        if self.has("--recipients-file recipients.txt") {
            // What age-keygen would have made.
            fs::write(work.join("recipients.txt"), format!("{RECIPIENT}\n")).unwrap();
            let key = work.join("backup-key.txt");
            fs::write(&key, format!("{IDENTITY}\n")).unwrap();
            fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
        }
        if self.has("audit verify") && !self.has("audit seal") {
            let anchors = scene.path("mnt/elsewhere/anchors");
            ours(work, &["audit", "seal", "--anchor", &anchors]);
        }
        if self.has("--target ./restored.db") || self.has("--target restored.db") {
            fs::remove_file(work.join("restored.db")).unwrap();
        }
        if self.has("bitcraps-db create") {
            fs::create_dir(work.join("migrations")).unwrap();
            fs::write(work.join("bitcraps-db.toml"), "migrations = 'migrations'\n").unwrap();
        }
    }

    /// Runs it in a scene of its own; what did not end as expected.
    fn run(&self) -> Vec<String> {
        let scene = Scene::new();
        let work = scene.root.path().join("work");
        for folder in [
            "etc/bash_completion.d",
            "mnt/elsewhere",
            "home/.zfunc",
            "usr/local/share/man",
        ] {
            fs::create_dir_all(scene.root.path().join(folder)).unwrap();
        }
        if let Some(world) = self.world() {
            let copied = Command::new("cp")
                .arg("-a")
                .arg(WORLDS.path().join(world).join("."))
                .arg(&work)
                .status();
            assert!(copied.unwrap().success());
        }
        self.prepare(&scene, &work);
        if self.is_of_drift() {
            let url = DatabaseUrl::SqliteFile(work.join("data/bitcraps.db"));
            let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
            let Conn::Sqlite(conn) = connection.conn() else {
                unreachable!()
            };
            conn.batch_execute("ALTER TABLE users ADD nickname text")
                .unwrap();
        }
        let server = self.needs_a_server().then(TestDb::postgres);
        let server = server.as_ref().map(TestDb::url).unwrap_or_default();
        let is_from_server = self.has("copy --from $SERVER") && !self.has("--to $SERVER");
        if is_from_server || self.has("schema diff") && self.needs_a_server() {
            let made = finish(bare(&work).args(["--database-url", &server, "migrate"]));
            assert_eq!(made.code, 0, "{made:?}");
        }
        let script = self.script.replace(BACKUP, &oldest(&work));
        let root = scene.path("");
        let root = root.trim_end_matches('/');
        let (done, commands) = scene.run(&[("SERVER", &server), ("ROOT", root)], &script);
        let ended_otherwise = commands.iter().filter_map(|(code, arguments)| {
            let expected = self.expected(arguments);
            let place = &self.place;
            (!expected.contains(code))
                .then(|| format!("{place}: {arguments}: {code} instead of {expected:?}: {done:#?}"))
        });
        let mut wrong: Vec<String> = ended_otherwise.collect();
        let count = script.matches("bitcraps-db ").count();
        if commands.len() != count {
            wrong.push(format!(
                "{}: {count} commands, of which ran {commands:#?}: {done:#?}",
                self.place
            ));
        }
        wrong
    }
}

/// The name of the oldest backup that is there.
fn oldest(work: &Path) -> String {
    let Ok(entries) = fs::read_dir(work.join("backups")) else {
        return BACKUP.to_owned();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let manifests = names.filter_map(|name| name.strip_suffix(".json").map(ToOwned::to_owned));
    manifests.min().unwrap_or_else(|| BACKUP.to_owned())
}

/// `seeded`: data, and other files with the same. `importing`: no data, and files with some.
static WORLDS: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let root = tempfile::tempdir().unwrap();
    let [seeded, importing] = ["seeded", "importing"].map(|name| root.path().join(name));
    for folder in [&seeded, &importing] {
        fs::create_dir(folder).unwrap();
    }
    ours(&seeded, &["migrate"]);
    ours(&seeded, &["seed", "--users", "50", "--games", "10"]);
    for name in ["restored.db", "damaged.db"] {
        fs::write(
            seeded.join(name),
            fs::read(seeded.join("data/bitcraps.db")).unwrap(),
        )
        .unwrap();
    }
    ours(&importing, &["migrate"]);
    // Other people in each file.
    for (seed, export) in [
        (
            "1",
            &[
                "--format",
                "csv",
                "--table",
                "users",
                "--output",
                "users.csv",
            ][..],
        ),
        ("2", &["--table", "users", "--output", "export.json.gz"]),
        (
            "3",
            &["--data-only", "--table", "users", "--output", "dump.sql"],
        ),
        (
            "4",
            &["--data-only", "--table", "users", "--output", "dump.sql.gz"],
        ),
        (
            "5",
            &[
                "--format",
                "csv",
                "--table",
                "users",
                "--table",
                "token_balances",
                "--output",
                "export",
            ],
        ),
        ("6", &["--output", "all.json"]),
    ] {
        let database = format!("{seed}.db");
        let at = |arguments: &[&str]| {
            ours(
                &importing,
                &[&["--database-url", database.as_str()][..], arguments].concat(),
            );
        };
        at(&["migrate"]);
        at(&["seed", "--users", "20", "--games", "0", "--seed", seed]);
        at(&[&["export"][..], export].concat());
    }
    let users = fs::read_to_string(importing.join("users.csv")).unwrap();
    fs::write(
        importing.join("players.csv"),
        users.replacen("username", "nickname", 1),
    )
    .unwrap();
    root
});

#[track_caller]
fn ours(folder: &Path, arguments: &[&str]) -> Done {
    let done = finish(bare(folder).args(arguments));
    assert_eq!(done.code, 0, "{arguments:?}: {done:?}");
    done
}

fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    for entry in fs::read_dir(repository().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.strip_suffix(".md").is_some() {
            pages.push(format!("docs/{name}"));
        }
    }
    pages
}

/// The commands of a block, without what is printed.
fn script_of(block: &Block) -> String {
    let kind = block.info.first().map_or("", String::as_str);
    let lines = block.text.lines().filter_map(|line| match kind {
        "sh" => Some(line),
        "console" => line.strip_prefix("$ "),
        _ => None,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn stories() -> Vec<Story> {
    let mut stories: Vec<Story> = Vec::new();
    for page in pages() {
        // The runbook runs it.
        if page == "docs/operations.md" {
            continue;
        }
        let text = read(&page);
        let scripts = blocks(&text)
            .into_iter()
            .map(|block| (block.line, script_of(&block)));
        let scripts = scripts.filter(|(_, script)| !script.is_empty());
        if page == "docs/encryption.md" {
            // One after the other, on one database.
            let whole: String = scripts.map(|(_, script)| script).collect();
            stories.push(Story::new(page.clone(), &whole));
        } else {
            stories.extend(
                scripts.map(|(line, script)| Story::new(format!("{page}:{line}"), &script)),
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for words in help::all() {
        let place = format!("--help of {}", words.join(" "));
        let examples = help::examples(&help::help(folder.path(), &words));
        stories.extend(
            examples
                .iter()
                .map(|line| Story::new(place.clone(), &format!("{line}\n"))),
        );
    }
    stories
}

fn run_those(chosen: impl Fn(&Story) -> bool) -> usize {
    let all = stories();
    let chosen: Vec<&Story> = all
        .iter()
        .filter(|story| story.not_run().is_none() && chosen(story))
        .collect();
    let wrong: Vec<String> = chosen.iter().flat_map(|story| story.run()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    chosen.len()
}

#[test]
fn every_command_of_the_pages_is_run() {
    let count = run_those(|story| !story.needs_a_server() && !story.is_of_help());
    assert!(count >= 8, "{count} were run");
}

#[test]
fn every_example_of_the_help_is_run() {
    let count = run_those(|story| !story.needs_a_server() && story.is_of_help());
    assert!(count >= 60, "{count} were run");
}

#[test]
fn every_command_that_names_a_server_is_run_postgres() {
    let count = run_those(Story::needs_a_server);
    assert!(count >= 6, "{count} were run");
}

/// An exception that nothing needs any more is none.
#[test]
fn every_exception_is_needed() {
    let all = stories();
    for (part, why) in NOT_RUN {
        assert!(
            all.iter().any(|story| story.script.contains(part)),
            "{part}: {why}"
        );
    }
    for (beginning, _) in CODES {
        let begins = |story: &Story| story.script.contains(&format!("bitcraps-db {beginning}"));
        assert!(all.iter().any(begins), "{beginning}");
    }
}

/// A flag that the documentation names is one of ours, or of a program that it names.
#[test]
fn every_flag_of_the_documentation_is_one() {
    // Of cargo and of its tests.
    const OF_OTHERS: [&str; 5] = ["--", "--features", "--lib", "--nocapture", "--test"];
    let folder = tempfile::tempdir().unwrap();
    let known: String = help::all()
        .iter()
        .map(|words| help::help(folder.path(), words))
        .collect();
    let is_known = |flag: &str| {
        known
            .split(|c: char| c != '-' && !c.is_alphanumeric())
            .any(|w| w == flag)
    };
    let (mut checked, mut wrong) = (0, Vec::new());
    for page in pages() {
        let text = read(&page);
        // What stands in blocks is run.
        for span in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|span| span.starts_with("--"))
        {
            let flag = span.split([' ', '=', '\n', '…']).next().unwrap_or_default();
            let is_beginning = span.starts_with(&format!("{flag}…")) && known.contains(flag);
            if !is_beginning && !is_known(flag) && !OF_OTHERS.contains(&flag) {
                wrong.push(format!("{page}: {span}"));
            }
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked >= 30, "{checked} flags were found");
}

/// A block of JSON says of what it is, and is as the schema of that says.
#[test]
fn json_in_the_documentation_is_as_the_schemas_say() {
    let mut checked = 0;
    for page in pages() {
        for block in blocks(&read(&page)) {
            let kind = block.info.first().map_or("", String::as_str);
            if kind != "json" && kind != "ndjson" {
                continue;
            }
            let name = block
                .info
                .get(1)
                .unwrap_or_else(|| panic!("{page}:{}: of what?", block.line));
            for value in serde_json::Deserializer::from_str(&block.text).into_iter::<Value>() {
                let holds = published::holds(name, &value.unwrap());
                assert_eq!(holds, Ok(()), "{page}:{}", block.line);
            }
            checked += 1;
        }
    }
    assert!(checked >= 2, "{checked} blocks were found");
}
