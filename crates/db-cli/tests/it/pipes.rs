//! Standard streams that are closed, or that nobody reads: every command ends as it would otherwise.

use std::fs;
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::published::{self, commands};
use crate::support::{BINARY, Done, bare, clean, files, finish};

/// Every command, in an order in which each finds what it needs, with what it ends with.
const TABLE: &[(&[&str], i32)] = &[
    (&["status"], 0),
    (&["status", "--chek"], 2),
    (&["--version"], 0),
    (&["--help"], 0),
    (&["validate"], 0),
    (&["health", "--check", "migrations"], 0),
    (&["repair"], 0),
    (&["migrate"], 0),
    (&["migrate", "--dry-run"], 0),
    (&["migrate", "--to", "nowhere"], 2),
    (&["baseline", "1"], 7),
    (&["seed", "--users", "10", "--games", "2"], 0),
    (&["reconcile"], 0),
    (&["audit", "show"], 0),
    (&["audit", "seal"], 0),
    (&["audit", "verify"], 0),
    (&["schema", "show"], 0),
    (&["schema", "diagram"], 0),
    (&["schema", "diff", "game.db", "game.db"], 0),
    (&["config", "show"], 0),
    (&["completions", "bash"], 0),
    (&["man"], 0),
    (&["json-schema", "status"], 0),
    (&["backup"], 0),
    (&["backup", "create"], 0),
    (&["backup", "list"], 0),
    (&["backup", "verify", "--restore"], 0),
    (&["backup", "status"], 0),
    (
        &["backup", "prune", "--keep-days", "0", "--keep-last", "1"],
        0,
    ),
    (&["backup", "schedule", "--once"], 0),
    (&["backup", "remove", "nothing"], 2),
    (&["backup", "wal-push", "nowhere"], 2),
    (
        &["backup", "wal-fetch", "000000010000000000000001", "to"],
        3,
    ),
    (&["restore", "--target", "restored.db"], 0),
    (&["restore", "--force"], 0),
    (&["restore"], 7),
    (
        &[
            "export",
            "--format",
            "csv",
            "--table",
            "users",
            "--output",
            "users.csv",
        ],
        0,
    ),
    (&["import", "users.csv", "--on-conflict", "skip"], 0),
    (&["copy", "--to", "copy.db"], 0),
    (&["salvage", "--to", "salvaged.db"], 0),
    (&["maintenance"], 0),
    (&["rollback", "--dry-run"], 0),
    (&["rollback"], 7),
    (&["rollback", "--force"], 0),
    (&["reset", "--force"], 0),
    (&["--migrations", "more", "create", "something"], 0),
];

/// What only has data for standard output.
const STREAMS: &[&[&str]] = &[
    &["export"],
    &["export", "--format", "csv", "--table", "audit_logs"],
    &["schema", "show"],
    &["man"],
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    Open,
    /// Whoever read standard output has gone.
    NobodyReadsOutput,
    NobodyReadsErrors,
    NobodyReads,
    /// The shell closed all three.
    Closed,
}

#[test]
fn every_command_is_in_the_table() {
    for words in commands() {
        let is_there = TABLE.iter().any(|(arguments, _)| {
            let with_folder = arguments.strip_prefix(&["--migrations", "more"][..]);
            let arguments = with_folder.unwrap_or(*arguments);
            arguments.len() >= words.len() && arguments[..words.len()] == words[..]
        });
        let is_stream = STREAMS.iter().any(|arguments| arguments[0] == words[0]);
        assert!(is_there || is_stream, "{words:?}");
    }
}

fn run(folder: &Path, arguments: &[&str], streams: Streams) -> Done {
    let mut command = bare(folder);
    if streams == Streams::Closed {
        command = clean(Command::new("sh"), folder);
        command.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh", BINARY]);
    }
    command
        .args(["--database-url", "sqlite://game.db"])
        .args(arguments);
    if matches!(streams, Streams::Open | Streams::Closed) {
        return finish(&mut command);
    }
    let gone = || {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let is_gone = |of| streams == of || streams == Streams::NobodyReads;
    command.stdout(if is_gone(Streams::NobodyReadsOutput) {
        gone()
    } else {
        Stdio::piped()
    });
    command.stderr(if is_gone(Streams::NobodyReadsErrors) {
        gone()
    } else {
        Stdio::piped()
    });
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let done = Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    if streams == Streams::NobodyReadsErrors {
        published::check(&command, &done);
    }
    done
}

fn every_command(streams: Streams) {
    for more in [&[][..], &["--json"]] {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("more")).unwrap();
        // The disk of the machine and its load are not what is tested.
        fs::write(root.path().join("bitcraps-db.toml"), crate::health::LENIENT).unwrap();
        run(root.path(), &["migrate"], Streams::Open);
        for (arguments, code) in TABLE {
            let arguments = [*arguments, more].concat();
            let done = run(root.path(), &arguments, streams);
            assert_eq!(done.code, *code, "{streams:?}: {arguments:?}: {done:?}");
            for text in [&done.out, &done.err] {
                assert!(
                    !text.contains("panicked"),
                    "{streams:?}: {arguments:?}: {done:?}"
                );
            }
        }
        // Nothing that was meant for a closed stream went into a file.
        let last = run(root.path(), &["validate"], Streams::Open);
        assert_eq!(last.code, 0, "{streams:?}: {last:?}");
        assert!(files(root.path()).len() > 8);
    }
}

#[test]
fn every_command_ends_as_the_table_says() {
    every_command(Streams::Open);
}

#[test]
fn nobody_reads_standard_output() {
    every_command(Streams::NobodyReadsOutput);
}

#[test]
fn nobody_reads_standard_error() {
    every_command(Streams::NobodyReadsErrors);
}

#[test]
fn nobody_reads_anything() {
    every_command(Streams::NobodyReads);
}

#[test]
fn all_streams_are_closed() {
    every_command(Streams::Closed);
}

/// `| head -n 1` of what is longer than a pipe holds.
#[test]
fn a_reader_who_leaves_early_is_no_error() {
    let root = tempfile::tempdir().unwrap();
    for arguments in [
        &["migrate"][..],
        &["seed", "--users", "200", "--games", "50"],
    ] {
        assert_eq!(run(root.path(), arguments, Streams::Open).code, 0);
    }
    for arguments in STREAMS {
        let mut shell = clean(Command::new("bash"), root.path());
        let script = "\"$@\" | head -n 1 > first; echo \"${PIPESTATUS[0]}\"";
        shell.args(["-c", script, "bash", BINARY]);
        shell
            .args(["--database-url", "sqlite://game.db"])
            .args(*arguments);
        let done = finish(&mut shell);
        assert_eq!(
            (done.out.trim(), done.err.as_str()),
            ("0", ""),
            "{arguments:?}"
        );
        assert!(!fs::read(root.path().join("first")).unwrap().is_empty());
    }
}
