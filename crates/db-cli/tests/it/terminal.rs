//! What a terminal changes: colours, a bar, and questions.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

use db_testkit::TestDb;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::backup::filled;
use crate::import::{Endless, user};
use crate::support::{BINARY, Place, Running, clean, finish};

const ESCAPE: char = '\u{1b}';

/// What ends a line of input that has no more to say.
const CTRL_D: &str = "\u{4}";

/// What the binary said on a terminal, and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    text: String,
}

/// Runs it on a terminal of its own, and types the answer when the question is seen.
fn on_a_terminal(command: Command, question: &str, answer: &str) -> Said {
    on(command, question, |master, _| {
        master.write_all(answer.as_bytes()).unwrap();
    })
}

fn on(mut command: Command, wanted: &str, then: impl FnOnce(&mut File, u32)) -> Said {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = File::options()
        .read(true)
        .write(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap())
        .open(name.to_str().unwrap())
        .unwrap();
    let mut child = command
        .stdin(terminal.try_clone().unwrap())
        .stdout(terminal.try_clone().unwrap())
        .stderr(terminal)
        .spawn()
        .unwrap();
    // The parent's ends of the terminal are closed, so that reading ends with the child.
    drop(command);
    let mut master = File::from(master);
    let mut bytes = Vec::new();
    let mut then = Some(then);
    let mut buffer = [0; 4096];
    loop {
        let is_seen = String::from_utf8_lossy(&bytes).contains(wanted);
        if !wanted.is_empty()
            && is_seen
            && let Some(then) = then.take()
        {
            then(&mut master, child.id());
        }
        match master.read(&mut buffer) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            // The last who had the terminal open has closed it.
            Ok(0) | Err(_) => break,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
    let code = child.wait().unwrap().code().unwrap_or(-1);
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        wanted.is_empty() || then.is_none(),
        "{wanted:?} was not seen: {text}"
    );
    Said { code, text }
}

fn shown(place: &Place, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = place.command(arguments);
    command
        .env("TERM", "xterm-256color")
        .envs(variables.iter().copied());
    let said = on_a_terminal(command, "", "");
    assert_eq!(said.code, 0, "{said:?}");
    said.text
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let place = Place::migrated(TestDb::sqlite());
    let status = &["status"][..];
    for (arguments, variables, painted) in [
        (status, &[][..], true),
        (&["--help"], &[], true),
        (status, &[("NO_COLOR", "1")], false),
        (&["--help"], &[("NO_COLOR", "1")], false),
        // As https://no-color.org has it: what is empty is not set.
        (status, &[("NO_COLOR", "")], true),
        (status, &[("TERM", "dumb")], false),
        (&["--help"], &[("TERM", "dumb")], false),
        (status, &[("CLICOLOR", "0")], false),
        (status, &[("CLICOLOR", "1")], true),
        (&["status", "--no-color"], &[], false),
        (&["status", "--json"], &[], false),
    ] {
        let text = shown(&place, arguments, variables);
        assert_eq!(
            text.contains(ESCAPE),
            painted,
            "{arguments:?} {variables:?}: {text}"
        );
    }
    // Nobody looks at a pipe.
    for arguments in [status, &["--help"]] {
        let done = place.ok(arguments);
        assert!(
            !done.out.contains(ESCAPE) && !done.err.contains(ESCAPE),
            "{done:?}"
        );
    }
}

/// Who waits for another run waits longer than it takes until a bar is shown.
#[test]
fn a_bar_is_for_terminals() {
    let place = Place::migrated(TestDb::sqlite());
    place.add_endless("20240104000000_slow");
    let holder = Running::until(place.command(&["migrate"]), r#""event":"statement""#);
    let waiting = |wait: &str, variables: &[(&str, &str)]| {
        let mut command = place.command(&["migrate", "--wait", wait]);
        command.env("NO_COLOR", "1").envs(variables.iter().copied());
        command
    };
    // The bar counts the migrations. No test waits as long.
    let shown = on(waiting("10m", &[("TERM", "xterm")]), "0/0", |_, child| {
        interrupt(child);
    });
    assert_eq!(shown.code, 130, "{shown:?}");
    assert!(shown.text.contains(ESCAPE), "{shown:?}");
    // The same without a bar ends by itself.
    let dumb = on_a_terminal(waiting("3s", &[("TERM", "dumb")]), "", "");
    assert_eq!(dumb.code, 6, "{dumb:?}");
    assert!(dumb.text.contains("waiting for the lock of "), "{dumb:?}");
    let piped = finish(&mut waiting("3s", &[("TERM", "xterm")]));
    assert_eq!(piped.code, 6, "{piped:?}");
    let mut json = waiting("3s", &[("TERM", "xterm")]);
    json.arg("--json");
    let json = on_a_terminal(json, "", "");
    assert_eq!(json.code, 6, "{json:?}");
    for text in [dumb.text, piped.err, json.text] {
        assert!(!text.contains("0/0") && !text.contains(ESCAPE), "{text}");
    }
    holder.signal("INT");
    assert_eq!(holder.wait().code, 130);
}

/// A line that goes on in the next one stays on the screen whenever it is drawn anew.
#[test]
fn a_bar_keeps_to_its_line_however_narrow() {
    const COLUMNS: usize = 40;
    let place = Place::migrated(TestDb::sqlite());
    let endless = Endless::new(&place, user, u64::MAX);
    let mut command = clean(Command::new("bash"), place.root.path());
    let script = format!("stty rows 24 cols {COLUMNS}; exec \"$@\"");
    command.args(["-c", &script, "bash", BINARY]);
    let arguments = endless.arguments(&["--format", "csv", "--table", "users"]);
    command.args(place.command(&arguments).get_args());
    command.env("TERM", "xterm");
    let said = on(command, "rows/s", |_, child| interrupt(child));
    drop(endless);
    assert_eq!(said.code, 130, "{said:?}");
    let drawn = said.text.split(['\r', '\n']).map(|line| {
        // All sequences of a bar are ESC, [, a number and a letter.
        let parts = line.split(ESCAPE).enumerate();
        let after = |part: &str| {
            part.trim_start_matches(['[', '0', '1', '2'])
                .chars()
                .skip(1)
                .collect()
        };
        parts
            .map(|(at, part)| {
                if at == 0 {
                    part.to_owned()
                } else {
                    after(part)
                }
            })
            .collect::<String>()
    });
    let drawn: Vec<String> = drawn.filter(|line| line.contains("rows/s")).collect();
    assert!(!drawn.is_empty(), "{said:?}");
    for line in &drawn {
        assert!(
            line.starts_with("import ") && line.chars().count() <= COLUMNS,
            "{line:?}: {said:?}"
        );
    }
}

fn interrupt(child: u32) {
    let sent = Command::new("kill")
        .args(["-INT", &child.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// What asks before it destroys something, and what it asks.
const QUESTIONS: [(&[&str], &str); 4] = [
    (&["rollback"], "[yes/no]"),
    (&["reset"], "[yes/no]"),
    (&["restore", "latest"], "Type its name"),
    (&["backup", "remove", "OLDEST"], "[yes/no]"),
];

/// A database with two backups, and the arguments with the name of the older one in its place.
fn with_backups() -> (Place, String) {
    let place = filled();
    let first = place.json(0, &["backup"])["name"]
        .as_str()
        .unwrap()
        .to_owned();
    place.ok(&["backup"]);
    (place, first)
}

fn named<'a>(arguments: &[&'a str], oldest: &'a str) -> Vec<&'a str> {
    let name = |word: &&'a str| if *word == "OLDEST" { oldest } else { *word };
    arguments.iter().map(name).collect()
}

/// As `migrate` refuses it: afterwards nothing would find it any more.
#[test]
fn a_change_by_hand_is_told_before_a_rollback_asks() {
    let place = Place::migrated(TestDb::sqlite());
    place.db.connect().execute("DROP INDEX idx_games_winner");
    let said = on_a_terminal(place.command(&["rollback"]), "", "");
    assert_eq!(said.code, 5, "{said:?}");
    assert!(
        said.text.contains("idx_games_winner") && !said.text.contains("[yes/no]"),
        "{said:?}"
    );
    assert_eq!(place.applied().len(), 3);
}

#[test]
fn a_question_is_answered_on_a_terminal() {
    for (arguments, question) in QUESTIONS {
        let (place, oldest) = with_backups();
        let arguments = named(arguments, &oldest);
        let before = place.json(0, &["status"]);
        let ask = |answer: &str| on_a_terminal(place.command(&arguments), question, answer);
        for answer in ["no\n", "\n", "whatever\n", CTRL_D] {
            let said = ask(answer);
            assert_eq!(said.code, 7, "{arguments:?} {answer:?}: {said:?}");
            assert!(
                said.text.contains("not confirmed; nothing was changed"),
                "{said:?}"
            );
            assert_eq!(place.json(0, &["status"])["applied"], before["applied"]);
        }
        let file = place
            .db
            .path()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap();
        let yes = if question.contains("name") {
            format!("{file}\n")
        } else {
            "yes\n".to_owned()
        };
        let said = ask(&yes);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
    }
}

/// Ctrl-C at a question ends the program: nothing has begun.
#[test]
fn ctrl_c_at_a_question_ends_it() {
    for (arguments, question) in QUESTIONS {
        let (place, oldest) = with_backups();
        let said = on(
            place.command(&named(arguments, &oldest)),
            question,
            |_, child| {
                interrupt(child);
            },
        );
        // By the signal itself, or by 130 where it is listened for already.
        assert!([-1, 130].contains(&said.code), "{arguments:?}: {said:?}");
        place.ok(&["status", "--check"]);
    }
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let (place, oldest) = with_backups();
    let before = crate::support::files(place.root.path());
    for (arguments, _) in QUESTIONS {
        let arguments = named(arguments, &oldest);
        for closed in ["", "<&-", "<&- 2>&1 | cat", "< /dev/zero"] {
            let mut shell = clean(Command::new("bash"), place.root.path());
            let script = format!("set -o pipefail; \"$@\" {closed}");
            shell.args(["-c", &script, "bash", BINARY]);
            shell.args(place.command(&arguments).get_args());
            let output = shell.output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8(text).unwrap();
            assert_eq!(
                output.status.code(),
                Some(7),
                "{arguments:?} {closed}: {text}"
            );
            assert!(
                text.contains("not done without a terminal to ask on"),
                "{text}"
            );
            assert!(text.contains("--force"), "{text}");
        }
        let refused = place.json(7, &arguments);
        assert!(
            refused["error"]["hint"]
                .as_str()
                .unwrap()
                .contains("--force"),
            "{refused}"
        );
    }
    assert!(before == crate::support::files(place.root.path()));
}
