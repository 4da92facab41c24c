//! Help, the manual, completions, and what is said to a mistyped word.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::published::commands;
use crate::support::{bare, clean, finish};

pub(crate) fn help(folder: &Path, words: &[String]) -> String {
    let done = finish(bare(folder).args(words).arg("--help"));
    assert_eq!(done.code, 0, "{words:?}: {done:?}");
    done.out
}

/// The examples of a help text, without what explains them.
pub(crate) fn examples(help: &str) -> Vec<String> {
    let (head, block) = help.split_once('\n').unwrap_or_default();
    if !head.starts_with("Example") || !head.ends_with(':') {
        return Vec::new();
    }
    let lines = block
        .lines()
        .take_while(|line| line.starts_with("  "))
        // A setting of PostgreSQL may stand beside the one with the command.
        .filter(|line| line.contains("bitcraps-db "));
    let lines = lines.map(|line| {
        let line = line.trim();
        // What explains an example stands behind two spaces or more; quotes hold none.
        line.split_once("  ")
            .map_or(line, |(command, _)| command)
            .to_owned()
    });
    lines.collect()
}

/// Every command, those with commands of their own, and the program itself.
pub(crate) fn all() -> Vec<Vec<String>> {
    let mut all: BTreeSet<Vec<String>> = BTreeSet::from([Vec::new()]);
    for words in commands() {
        all.extend((1..=words.len()).map(|length| words[..length].to_vec()));
    }
    all.into_iter().collect()
}

#[test]
fn every_help_begins_with_examples_of_that_command() {
    let folder = tempfile::tempdir().unwrap();
    for words in all() {
        let examples = examples(&help(folder.path(), &words));
        assert!(!examples.is_empty(), "{words:?} has no examples");
        for example in &examples {
            // PostgreSQL's settings have a command behind an equals sign.
            let (_, rest) = example.split_once("bitcraps-db ").unwrap();
            let mut said = rest.split_whitespace();
            // Options may stand before the command.
            let of_this = words.iter().all(|word| said.any(|w| w == word));
            assert!(of_this, "{words:?}: {example}");
        }
    }
}

/// The text behind the words, a value, and what has to be said.
const MISTYPED: &[(&[&str], &str)] = &[
    (&["migrat"], "'migrate'"),
    (&["backup", "verfy"], "'verify'"),
    (&["audit", "shwo"], "'show'"),
    (&["migrate", "--dry-rum"], "'--dry-run'"),
    (&["status", "--jsn"], "'--json'"),
    (&["export", "--fromat", "csv"], "'--format'"),
    (&["export", "--format", "cvs"], "csv"),
    (&["import", "x.csv", "--on-conflict", "updat"], "'update'"),
    (&["backup", "create", "--check", "ful"], "'full'"),
    (&["completions", "bahs"], "'bash'"),
    (&["schema", "diagram", "--format", "mermiad"], "'mermaid'"),
    (&["copy", "--to", "x.db", "--on-nan", "nul"], "'null'"),
    (&["health", "--check", "integrty"], "integrity"),
    (&["migrate", "--wait", "60"], "60s"),
];

#[test]
fn what_was_meant_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, meant) in MISTYPED {
        let done = finish(bare(folder.path()).args(*arguments));
        assert_eq!(done.code, 2, "{arguments:?}: {done:?}");
        assert!(done.err.contains(meant), "{arguments:?}: {done:?}");
        let done = finish(bare(folder.path()).args(*arguments).arg("--json"));
        let error = &done.document()["error"];
        assert_eq!(
            error["kind"].as_str(),
            Some("usage"),
            "{arguments:?}: {done:?}"
        );
        assert!(error.to_string().contains(meant), "{arguments:?}: {done:?}");
    }
}

/// A program that reads what we write for it; `cargo xtask test` installs it where it can.
#[track_caller]
fn program(name: &str) -> Command {
    let mut find = Command::new("sh");
    find.args(["-c", "command -v \"$0\"", name])
        .stdout(Stdio::null());
    let advice = "is not installed: `apt-get install zsh fish mandoc groff`";
    assert!(find.status().unwrap().success(), "{name} {advice}");
    Command::new(name)
}

#[test]
fn shells_read_their_completions() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, check) in [
        ("bash", "bash -n bash.completion"),
        ("zsh", "zsh -n zsh.completion"),
        ("fish", "fish --no-execute fish.completion"),
    ] {
        let done = finish(bare(folder.path()).args(["completions", shell]));
        assert_eq!(done.code, 0, "{done:?}");
        for words in commands() {
            let word = words.last().unwrap();
            assert!(done.out.contains(word), "{shell} does not know {word}");
        }
        fs::write(folder.path().join(format!("{shell}.completion")), &done.out).unwrap();
        program(shell);
        let read = clean(Command::new("sh"), folder.path())
            .args(["-c", check])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(read.status.success() && said.is_empty(), "{shell}: {said}");
    }
}

/// What is typed, a word that is offered for it, and one that is not.
const TYPED: [(&str, &str, &str); 5] = [
    ("bitcraps-db mig", "migrate", "rollback"),
    ("bitcraps-db backup ver", "verify", "create"),
    ("bitcraps-db migrate --dry", "--dry-run", "--to"),
    ("bitcraps-db export --format c", "csv", "json"),
    ("bitcraps-db completions z", "zsh", "bash"),
];

/// Asks zsh as a person asks by the tabulator: in a terminal, where it says what it would add.
const ZSH: &str = r#"
zmodload zsh/zpty || exit 1
zpty z zsh -f -i
send() { zpty -w z "$1" }
send 'unsetopt prompt_cr prompt_sp; PROMPT=; fpath=($PWD/zsh $fpath); autoload -Uz compinit; compinit -u -D'
send "bindkey '^I' complete-word; zstyle ':completion:*' insert-tab false"
send 'before() { print -r -- "<<<" }; after() { print -r -- ">>>"; exit }; compprefuncs=(before); comppostfuncs=(after)'
send 'compadd() { if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
      local -a offer; builtin compadd -A offer "$@"; print -rl -- $offer }'
send "print -r -- ready''!"
while zpty -r z line && [[ $line != *ready!* ]]; do :; done
zpty -w -n z "$1"$'\t'
while zpty -r z line; do print -r -- "${line%%[[:space:]]#}"; done | sed -n '/<<<$/,/>>>/p'
"#;

/// What the shells offer; bash is always there.
#[test]
fn shells_complete_commands_flags_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let script = |shell: &str| finish(bare(folder.path()).args(["completions", shell])).out;
    fs::write(folder.path().join("bash"), script("bash")).unwrap();
    fs::write(folder.path().join("fish"), script("fish")).unwrap();
    // zsh finds it by its name, as it finds what is installed.
    fs::create_dir(folder.path().join("zsh")).unwrap();
    fs::write(folder.path().join("zsh/_bitcraps-db"), script("zsh")).unwrap();
    for (typed, offered, not) in TYPED {
        let bash = format!(
            "source ./bash; COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             f=$(complete -p bitcraps-db | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $f bitcraps-db \"${{COMP_WORDS[$COMP_CWORD]}}\" \"${{COMP_WORDS[$((COMP_CWORD - 1))]}}\" 2> errors; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let fish = format!("source fish; complete --do-complete '{typed}'");
        for (shell, arguments) in [
            ("bash", &["--norc", "-c", &bash][..]),
            ("fish", &["--no-config", "-c", &fish]),
            (
                "zsh",
                &["-f", "-o", "extended_glob", "-c", ZSH, "zsh", typed],
            ),
        ] {
            program(shell);
            // The generator tells fish no values of arguments that stand for themselves.
            if shell == "fish" && typed.starts_with("bitcraps-db completions") {
                continue;
            }
            // A shell that asks back would wait for ever.
            let mut shell = [&["timeout", "120", shell], arguments].concat().into_iter();
            let mut command = clean(Command::new(shell.next().unwrap()), folder.path());
            let done = finish(command.args(shell));
            // fish tells what a word is for behind it.
            let words: Vec<&str> = done
                .out
                .lines()
                .map(|line| line.split('\t').next().unwrap().trim())
                .collect();
            assert!(
                words.contains(&offered) && !words.contains(&not),
                "{typed}: {done:?}"
            );
        }
    }
}

#[test]
fn every_command_has_a_page_that_man_takes() {
    let folder = tempfile::tempdir().unwrap();
    let done = finish(
        bare(folder.path())
            .args(["man", "--dir", "man1"])
            .env("SOURCE_DATE_EPOCH", "86400"),
    );
    assert_eq!(done.code, 0, "{done:?}");
    let mut pages = BTreeSet::new();
    let mut examples = 0;
    for words in all() {
        let name = [&["bitcraps-db".to_owned()][..], &words].concat().join("-");
        let path = folder.path().join(format!("man1/{name}.1"));
        let page = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let title = format!(
            ".TH {name} 1 1970-01-02 \"bitcraps-db {}\" ",
            env!("CARGO_PKG_VERSION")
        );
        assert!(page.contains(&title), "{name}");
        // The examples are those of the help.
        let help = finish(bare(folder.path()).args(&words).arg("--help")).out;
        if let Some((before, _)) = help
            .split_once("\n\n")
            .filter(|_| help.starts_with("Example"))
        {
            let before = before.lines().map(str::trim);
            let before: Vec<_> = before
                .filter(|line| !["Example:", "Examples:"].contains(line))
                .collect();
            let (_, shown) = page
                .split_once(".SH EXAMPLES\n.nf\n")
                .unwrap_or_else(|| panic!("{name} has no examples"));
            let shown = shown.split_once("\n.fi\n").unwrap().0;
            let shown = shown.replace("\\-", "-").replace("\\(aq", "'");
            assert_eq!(shown.lines().collect::<Vec<_>>(), before, "{name}");
            examples += 1;
        }
        for section in ["NAME", "SYNOPSIS", "OPTIONS"] {
            assert!(
                page.contains(&format!(".SH {section}\n")),
                "{name} has no {section}"
            );
        }
        // What reads the page finds nothing to say.
        for (tool, arguments) in [
            ("groff", &["-man", "-Tutf8", "-ww", "-z"][..]),
            ("mandoc", &["-Tlint", "-Wwarning"]),
        ] {
            let read = program(tool).args(arguments).arg(&path).output().unwrap();
            let said = [read.stdout, read.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(
                read.status.success() && said.is_empty(),
                "{tool}: {name}: {said}"
            );
        }
        pages.insert(path);
    }
    let written = fs::read_dir(folder.path().join("man1")).unwrap();
    let written: BTreeSet<_> = written.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(written, pages);
    assert!(examples > 20, "{examples} pages have examples");
}
