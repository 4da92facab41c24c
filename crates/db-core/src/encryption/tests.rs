//! What is taken as a key, what is refused, and what is said about it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const KEY: &str = "00112233445566778899aAbBcCdDeEfF00112233445566778899aabbccddeeff";

/// A file of this mode in a folder of its own.
fn file(text: &str, mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

fn literal(source: &KeySource) -> Vec<u8> {
    source.read().unwrap().literal().to_vec()
}

fn command(program: &str, arguments: &[&str]) -> KeyCommand {
    KeyCommand::new(program, arguments.iter().map(ToString::to_string).collect())
}

#[test]
fn a_key_comes_from_a_file_or_from_a_command() {
    let expected = format!("x'{KEY}'").into_bytes();
    for text in [
        KEY.to_owned(),
        format!("{KEY}\n"),
        format!(" \t{KEY}\r\n\n"),
    ] {
        let (_folder, path) = file(&text, 0o600);
        assert_eq!(literal(&KeySource::file(&path)), expected);
        let path = path.to_str().unwrap();
        let cat = KeyCommand::parse(&format!("  cat   {path} ")).unwrap();
        assert_eq!(literal(&KeySource::command(cat)), expected);
    }
    let (_folder, path) = file(KEY, 0o400);
    let source = KeySource::file(&path);
    assert_eq!(literal(&source), expected);
    // It is read once.
    fs::remove_file(&path).unwrap();
    assert_eq!(literal(&source.clone()), expected);
}

#[test]
fn what_is_no_key_is_refused_without_showing_it() {
    let short = &KEY[1..];
    for text in [
        String::new(),
        short.to_owned(),
        format!("{KEY}0"),
        format!("{short}g"),
        format!("x'{KEY}'"),
        format!("{} {}", &KEY[..32], &KEY[32..]),
        format!("{KEY}\n{KEY}\n"),
        KEY.repeat(5),
    ] {
        let (_folder, path) = file(&text, 0o600);
        let cat = command("cat", &[path.to_str().unwrap()]);
        for source in [KeySource::file(&path), KeySource::command(cat)] {
            let error = source.read().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&KEY[2..20]), "{shown}");
            assert!(shown.contains("openssl rand -hex 32"), "{shown}");
        }
    }
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    for mode in [0o640, 0o604, 0o660, 0o620, 0o601, 0o777] {
        let (_folder, path) = file(KEY, mode);
        let error = KeySource::file(&path).read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let said = error.to_string();
        assert!(said.contains(&format!("its mode is {mode:04o}")), "{said}");
        assert!(said.contains("chmod 600"), "{said}");
    }
}

#[test]
fn a_file_that_is_none_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for (path, said) in [
        (folder.path().join("missing"), "No such file"),
        (folder.path().to_owned(), "no regular file"),
        (pipe, "no regular file"),
    ] {
        let error = KeySource::file(&path).read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_command_that_fails_or_takes_too_long_gives_no_key() {
    let (_folder, path) = file(KEY, 0o600);
    let script = format!("cat {}; exit 3", path.display());
    for (command, kind, said) in [
        (
            command("false", &[]),
            ErrorKind::KeyMissing,
            "exit status: 1",
        ),
        (
            command("sh", &["-c", &script]),
            ErrorKind::KeyMissing,
            "exit status: 3",
        ),
        (
            command("/nowhere/pass", &["show"]),
            ErrorKind::Configuration,
            "cannot be run",
        ),
        // Neither its output nor its time is without bounds.
        (
            command("yes", &[]),
            ErrorKind::Configuration,
            "more than 256",
        ),
    ] {
        let error = KeySource::command(command).read().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let prints = format!("cat {}; exec sleep 600 >&-", path.display());
    // The last one leaves a descendant behind that holds on to the pipe, and is not waited for.
    for script in ["exec sleep 600", &prints, "sleep 2; true"] {
        let slow = command("sh", &["-c", script]);
        let error = command::read(&slow, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyMissing);
        assert!(error.to_string().contains("did not end"), "{error}");
    }
}

#[test]
fn nothing_is_left_to_a_shell_that_is_not_there() {
    for text in [
        "pass show 'a key'",
        "cat $HOME/key",
        "cat ~/key",
        "gpg -d key.gpg | head -1",
        "cat key; true",
        "cat key &",
        "cat < key",
        "echo `id`",
        "cat k?y",
        "cat key # mine",
        "cat\\ key",
        "",
        "  ",
    ] {
        let error = KeyCommand::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
    }
    // As a list of words it may be anything, because nobody splits it.
    let (_folder, path) = file(KEY, 0o600);
    let odd = path.with_file_name("a 'key' $HOME");
    fs::rename(&path, &odd).unwrap();
    let cat = command("cat", &[odd.to_str().unwrap()]);
    KeySource::command(cat).read().unwrap();
}

#[test]
fn no_key_is_shown() {
    let (_folder, path) = file(KEY, 0o600);
    let source = KeySource::file(&path);
    let key = source.read().unwrap();
    let mut shown = format!("{key:?} {source:?}");
    // A key where the name of a file or a command belongs.
    let misplaced = [
        KeySource::file(KEY),
        KeySource::file(format!("/etc/{KEY}.key")),
        KeySource::command(KeyCommand::parse(KEY).unwrap()),
        KeySource::command(command("false", &[KEY])),
        KeySource::command(command("false", &[&format!("--key=x'{KEY}'")])),
    ];
    for source in misplaced {
        let error = source.read().unwrap_err();
        shown.push_str(&format!("{source:?} {error} {error:?}"));
    }
    let config = crate::DatabaseConfig::default()
        .encryption_key_file(KEY.into())
        .encryption_key_command(KeyCommand::parse(KEY).unwrap());
    shown.push_str(&format!("{config:?} {}", config.options().unwrap_err()));
    let text = format!("echo {KEY} | head");
    let variables = [("BITCRAPS_DB_ENCRYPTION_KEY_COMMAND", text)];
    let error = config.with_variables(variables).unwrap_err();
    shown.push_str(&format!("{error} {error:?}"));
    assert!(!shown.contains(&KEY[..32]), "{shown}");
}
