//! What is typed by somebody who knows another command or program better, and what is meant here.

use std::ffi::OsString;

use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What was typed in the wrong place.
enum Typed {
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// What can only be a file or a folder.
    Path,
    /// Anything but an option.
    Any,
}

use Typed::{Any, OneOf, Path};

/// The command, what was typed there, and what to say; `{}` is the word. The first that fits counts.
const SLIPS: &[(&[&str], Typed, &str)] = &[
    (&[], OneOf(&["version"]), "write 'bitcraps-db --version'"),
    (
        &["backup", "schedule"],
        OneOf(&["--cron", "--interval"]),
        "'--every 15m' says how often; '--once' is for a timer",
    ),
    (
        &["backup", "verify"],
        OneOf(&["--all"]),
        "it takes one NAME; 'backup list' names all",
    ),
    (
        &["backup"],
        OneOf(&["delete", "rm", "--delete"]),
        "write 'backup remove NAME', or 'backup prune' for the old ones",
    ),
    // Nobody who wants to restore is to be pointed at `backup remove`.
    (
        &["backup"],
        OneOf(&["restore"]),
        "a backup is restored with 'bitcraps-db restore'",
    ),
    (
        &["backup"],
        OneOf(&["-o", "--output", "--to", "--target"]),
        "'--dir DIR' says where backups are",
    ),
    (&["backup"], Path, "write '--dir {}'"),
    (
        &["config"],
        OneOf(&["list", "get", "print"]),
        "write 'config show'",
    ),
    (&["copy"], Any, "write '--to {}'"),
    (&["export"], Path, "write '--output {}'"),
    (&["export"], Any, "for one table write '--table {}'"),
    (&["import"], OneOf(&["--file", "-f"]), "write 'import FILE'"),
    (
        &["import"],
        OneOf(&["--upsert", "--update", "--overwrite", "--replace"]),
        "write '--on-conflict update'",
    ),
    (
        &["import"],
        OneOf(&["--skip", "--ignore"]),
        "write '--on-conflict skip'",
    ),
    (&["import"], Any, "for the table write '--table {}'"),
    (
        &["json-schema"],
        OneOf(&["audit", "backup", "config", "schema", "create", "show"]),
        "join the words of a command, as in 'backup-create'",
    ),
    (
        &["man"],
        Any,
        "'bitcraps-db {} --help' shows one command, and 'man --dir DIR' writes the pages of all",
    ),
    (
        &["migrate"],
        OneOf(&["up"]),
        "'migrate' alone applies what is pending",
    ),
    (&["migrate"], OneOf(&["down"]), "write 'rollback'"),
    (&["migrate"], Any, "write 'migrate --to {}'"),
    (
        &["restore"],
        OneOf(&["--to", "-o", "--output"]),
        "write '--target URL'",
    ),
    (&["restore"], OneOf(&["--list"]), "write 'backup list'"),
    (
        &["rollback"],
        OneOf(&["--to"]),
        "the target stands alone: 'rollback 3'",
    ),
    (
        &["rollback"],
        OneOf(&["--all"]),
        "write 'rollback 0', which reverts everything",
    ),
    (
        &["rollback"],
        OneOf(&["-n", "--steps", "--step"]),
        "write 'rollback -2' for two steps",
    ),
    (
        &["schema"],
        OneOf(&["--table"]),
        "tables stand alone: 'schema show users'",
    ),
];

/// Gives the error the tip that fits, and takes away those that do not.
pub(super) fn explain(error: &mut clap::Error, program: &Command, raw: &[OsString]) {
    let Some(word) = word(error) else { return };
    if let Some(tip) = tip(&path(program, raw), &word) {
        for kind in [
            ContextKind::SuggestedArg,
            ContextKind::SuggestedSubcommand,
            // It would be the usage of what clap takes it for.
            ContextKind::Usage,
        ] {
            error.remove(kind);
        }
        let tip = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
        error.insert(ContextKind::Suggested, tip);
        return;
    }
    for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
        if keep_near(error, kind, &word) == 0 && kind == ContextKind::SuggestedArg {
            error.remove(ContextKind::Usage);
        }
    }
    // "To pass '--all' as a value, use '-- --all'": nobody means that.
    if word.starts_with("--") {
        error.remove(ContextKind::Suggested);
    }
}

/// What clap did not take.
fn word(error: &clap::Error) -> Option<String> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidValue => ContextKind::InvalidValue,
        _ => return None,
    };
    match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    }
}

/// The words from the command on, without options.
fn path<'r>(program: &Command, raw: &'r [OsString]) -> Vec<&'r str> {
    let words = raw.iter().skip(1).filter_map(|word| word.to_str());
    words
        .filter(|word| !word.starts_with('-'))
        .skip_while(|word| program.find_subcommand(word).is_none())
        .collect()
}

fn tip(path: &[&str], word: &str) -> Option<String> {
    let is_of = |command: &[&str]| match command {
        [] => path.is_empty(),
        command => path.starts_with(command),
    };
    let is_option = word.starts_with('-');
    let fits = |typed: &Typed| match typed {
        OneOf(words) => words.contains(&word),
        Path => !is_option && (word.contains('/') || word.contains('.')),
        Any => !is_option,
    };
    let found = SLIPS
        .iter()
        .find(|(command, typed, _)| is_of(command) && fits(typed));
    found.map(|(_, _, meant)| meant.replace("{}", word))
}

/// Keeps the suggestions of which the word may be a slip; how many are left of one or more.
fn keep_near(error: &mut clap::Error, kind: ContextKind, word: &str) -> usize {
    let all = match error.remove(kind) {
        Some(ContextValue::String(one)) => vec![one],
        Some(ContextValue::Strings(all)) => all,
        _ => return 1,
    };
    let is_near =
        |known: &String| strsim::damerau_levenshtein(word, known) <= 1 + known.chars().count() / 5;
    let near: Vec<String> = all.into_iter().filter(is_near).collect();
    let left = near.len();
    match <[String; 1]>::try_from(near) {
        Ok([one]) => error.insert(kind, ContextValue::String(one)),
        Err(near) if near.is_empty() => None,
        Err(near) => error.insert(kind, ContextValue::Strings(near)),
    };
    left
}
