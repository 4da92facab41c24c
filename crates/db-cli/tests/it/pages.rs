//! The blocks of the documentation, and a scene to run them in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{BINARY, Done, clean, finish};

/// Binds the variables of the blocks that are marked `setup`, and notes each command of ours. What goes
/// on until it is stopped is stopped as soon as it has said something.
const WRAPPER: &str = "#!/bin/sh
case \"$*\" in
'backup schedule' | *' --every 15m'* | *--watch*)
    said=\"$COMMANDS.said\"
    : > \"$said\"
    \"$REAL\" \"$@\" > \"$said\" 2>&1 &
    tries=600
    until [ -s \"$said\" ] || [ $tries -eq 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
    kill -TERM $!
    wait $!
    ended=$?
    # A command that said nothing has done nothing.
    [ -s \"$said\" ] || ended=99
    (exit $ended)
    ;;
*) \"$REAL\" \"$@\" ;;
esac
code=$?
printf '%s %s\\n' $code \"$*\" >> \"$COMMANDS\"
exit $code
";

pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A fenced block of a page.
pub(crate) struct Block {
    pub(crate) line: usize,
    /// The words behind the fence.
    pub(crate) info: Vec<String>,
    pub(crate) text: String,
}

impl Block {
    pub(crate) fn is(&self, info: &[&str]) -> bool {
        self.info == info
    }
}

pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(page.lines()) {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                open = Some(Block {
                    line: number,
                    info: info.split_whitespace().map(ToOwned::to_owned).collect(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// Where a runbook is run: a folder, a home, and a path on which our program is first.
pub(crate) struct Scene {
    pub(crate) root: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["home", "bin", "work", "backups"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let wrapper = root.path().join("bin/bitcraps-db");
        fs::write(&wrapper, WRAPPER).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs the script in one shell with these variables. What was said, and for each command of ours
    /// what it ended with and its arguments.
    pub(crate) fn run(
        &self,
        variables: &[(&str, &str)],
        script: &str,
    ) -> (Done, Vec<(i32, String)>) {
        let commands = self.path("commands");
        fs::write(&commands, "").unwrap();
        let mut shell = clean(Command::new("bash"), &self.root.path().join("work"));
        let path = std::env::var("PATH").unwrap_or_default();
        shell
            .args(["-c", script])
            .env("PATH", format!("{}:{path}", self.path("bin")))
            .env("HOME", self.path("home"))
            .env("REAL", BINARY)
            .env("COMMANDS", &commands)
            .envs(variables.iter().copied());
        let done = finish(&mut shell);
        let log = fs::read_to_string(commands).unwrap();
        let lines = log.lines().map(|line| {
            let (code, arguments) = line.split_once(' ').unwrap();
            (code.parse().unwrap(), arguments.to_owned())
        });
        (done, lines.collect())
    }
}
