//! `docs/operations.md` is run, block by block, and every command of the documentation is one.
//!
//! Here with folders of a test in place of the machine's: `host` runs it word by word.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::pages::{Block, Scene, blocks, read, repository};
use crate::support::{BINARY, bare, finish};

/// What each command may end with: done, and what `health` and `salvage` have to say. Never 2: then
/// it is no command of ours.
const ALLOWED: [i32; 4] = [0, 3, 8, 13];

/// Words that stand for something else in the documentation.
const PLACEHOLDERS: [&str; 2] = ["COMMAND", "…"];

/// Runs the blocks as one shell with these variables; the commands of ours that were run.
fn run(scene: &Scene, variables: &[(&str, &str)], blocks: &[&Block]) -> Vec<(i32, String)> {
    let mut script = String::from("set -eu\n");
    for block in blocks {
        writeln!(script, "echo 'line {}' >&2", block.line).unwrap();
        script.push_str(&block.text);
    }
    let (done, commands) = scene.run(variables, &script);
    assert_eq!(done.code, 0, "{}\n{}", done.out, done.err);
    for (code, arguments) in &commands {
        assert!(ALLOWED.contains(code), "{code} {arguments}\n{}", done.err);
    }
    commands
}

/// The names that a block exports.
fn exported(block: &Block) -> Vec<&str> {
    let words = block.text.split_whitespace();
    let pairs = words.filter_map(|word| word.split_once('='));
    pairs.map(|(name, _)| name).collect()
}

/// How many commands of ours the blocks have.
fn commands_in(blocks: &[&Block]) -> usize {
    let lines = blocks.iter().flat_map(|block| block.text.lines());
    lines
        .filter(|line| line.starts_with("bitcraps-db "))
        .count()
}

#[test]
fn the_runbook_runs_on_sqlite() {
    let page = read("docs/operations.md");
    let all = blocks(&page);
    let setup: Vec<_> = all.iter().filter(|b| b.is(&["sh", "setup"])).collect();
    assert_eq!(setup.len(), 1);
    assert_eq!(exported(setup[0]), ["BITCRAPS_DATABASE_URL", "BACKUPS"]);
    let run: Vec<&Block> = all.iter().filter(|b| b.is(&["sh"])).collect();
    let scene = Scene::new();
    let url = format!("sqlite://{}", scene.path("work/bitcraps.db"));
    let backups = scene.path("backups");
    let variables = [
        ("BITCRAPS_DATABASE_URL", url.as_str()),
        ("BACKUPS", &backups),
    ];
    let seen = self::run(&scene, &variables, &run);
    assert!(
        seen.len() >= 25 && seen.len() == commands_in(&run),
        "{seen:#?}"
    );
    // The configuration says where backups go, to the units too; nothing is left beside the database.
    let kept = fs::read_dir(&backups).unwrap().count();
    assert!(kept >= 2, "{kept} files");
    assert!(!Path::new(&scene.path("work/backups")).exists());
    // What is for tuning is a configuration that holds.
    let tuned: Vec<_> = all.iter().filter(|b| b.is(&["toml"])).collect();
    assert!(tuned.len() >= 3);
    for block in tuned {
        fs::write(scene.path("work/bitcraps-db.toml"), &block.text).unwrap();
        let mut command = bare(&scene.root.path().join("work"));
        let done = finish(command.args(["--database-url", &url, "health", "--check", "wal"]));
        assert_eq!(done.code, 0, "line {}: {done:?}", block.line);
    }
}

#[test]
fn the_runbook_runs_on_postgres() {
    let page = read("docs/operations.md");
    let all = blocks(&page);
    let setup: Vec<_> = all
        .iter()
        .filter(|b| b.is(&["sh", "setup", "postgres"]))
        .collect();
    assert_eq!(setup.len(), 1);
    assert_eq!(
        exported(setup[0]),
        ["BITCRAPS_DATABASE_URL", "BACKUPS", "NEW"]
    );
    let scene = Scene::new();
    // The server's account archives into it, by our program.
    let open = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    };
    open(scene.root.path());
    let points = scene.path("backups/points");
    fs::create_dir(&points).unwrap();
    open(&scene.root.path().join("backups"));
    open(Path::new(&points));
    let program = scene.path("archiver");
    fs::hard_link(BINARY, &program)
        .or_else(|_| std::os::unix::fs::symlink(BINARY, &program))
        .unwrap();
    let archive = format!("{program} backup wal-push --dir {points} %p");
    let cluster = db_testkit::cluster(&[("archive_mode", "on"), ("archive_command", &archive)]);
    let is_root = rustix::process::geteuid().is_root();
    let run: Vec<Block> = all
        .into_iter()
        .filter(|b| b.is(&["sh", "postgres"]))
        .map(|block| Block {
            text: if is_root {
                block.text
            } else {
                block.text.replace("--run-as postgres", "")
            },
            ..block
        })
        .collect();
    let run: Vec<&Block> = run.iter().collect();
    let (url, backups, new) = (cluster.url(), scene.path("backups"), scene.path("new"));
    let variables = [
        ("BITCRAPS_DATABASE_URL", url.as_str()),
        ("BACKUPS", &backups),
        ("NEW", &new),
    ];
    let seen = self::run(&scene, &variables, &run);
    assert!(
        seen.len() >= 10 && seen.len() == commands_in(&run),
        "{seen:#?}"
    );
    assert!(Path::new(&new).join("PG_VERSION").is_file());
}

#[test]
fn the_units_fit_the_program_and_the_runbook() {
    let page = read("docs/operations.md");
    let setup = blocks(&page).into_iter().find(|b| b.is(&["sh", "setup"]));
    let setup = setup.unwrap().text;
    let backups = setup
        .lines()
        .find_map(|line| line.strip_prefix("export BACKUPS="));
    let backups = backups.unwrap();
    let mut units = 0;
    for entry in fs::read_dir(repository().join("packaging/systemd")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        for line in text
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart="))
        {
            let command = line.strip_prefix("/usr/local/bin/").unwrap();
            parses("packaging/systemd", command);
        }
        if name.ends_with(".service") {
            let written = text
                .lines()
                .find_map(|line| line.strip_prefix("ReadWritePaths="));
            let mut written = written.unwrap().split(' ');
            assert!(
                written.any(|path| path.trim_start_matches('-') == backups),
                "{name}: {backups} cannot be written"
            );
            // There the runbook writes the configuration that says so.
            assert!(text.contains("\nWorkingDirectory=/var/lib/bitcraps\n"));
        }
        units += 1;
    }
    assert_eq!(units, 3);
}

/// Whether our program knows the command and its flags: what stands behind `--help` is not looked at,
/// and what stands before is.
fn parses(place: &str, command: &str) {
    let words = words(command);
    let Some(arguments) = words.strip_prefix(&["bitcraps-db".to_owned()]) else {
        panic!("{place}: {command}");
    };
    if arguments
        .iter()
        .any(|word| PLACEHOLDERS.contains(&word.as_str()))
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // What stands for a number.
    let arguments = arguments
        .iter()
        .map(|word| if word == "N" { "1" } else { word });
    let mut program = bare(folder.path());
    let done = finish(program.args(arguments).arg("--help"));
    assert_eq!(done.code, 0, "{place}: {command}: {}", done.err);
}

/// The words of a shell's command, up to what is the shell's own. Options in brackets are options.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    for c in command.chars().chain([' ']) {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('[' | ']', None) => {}
            (' ', None) => {
                if matches!(word.as_str(), "|" | "||" | "&&" | ">" | "<" | ";")
                    || word.starts_with('#')
                {
                    return words;
                }
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    words
}

#[test]
fn every_command_of_the_documentation_is_one() {
    let mut pages = vec!["README.md".to_owned()];
    for entry in fs::read_dir(repository().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name)
            .extension()
            .is_some_and(|ending| ending == "md")
        {
            pages.push(format!("docs/{name}"));
        }
    }
    let mut checked = 0;
    for page in pages {
        let text = read(&page);
        let in_blocks = blocks(&text)
            .into_iter()
            // Those of the runbook for PostgreSQL are run above, with its shell's variables.
            .filter(|block| !block.is(&["sh", "postgres"]))
            .filter(|block| {
                let kind = block.info.first().map_or("", String::as_str);
                ["sh", "console", "text"].contains(&kind)
            })
            .flat_map(|block| {
                let lines = block.text.lines();
                lines.map(ToOwned::to_owned).collect::<Vec<_>>()
            })
            .filter_map(|line| {
                let line = line.trim().trim_start_matches("$ ");
                line.starts_with("bitcraps-db ").then(|| line.to_owned())
            });
        let spans = text
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|span| span.replace('\n', " "));
        let spans = spans.filter(|span| span.starts_with("bitcraps-db "));
        for command in in_blocks.chain(spans) {
            parses(&page, &command);
            checked += 1;
        }
    }
    assert!(checked >= 50, "{checked} commands were found");
}
