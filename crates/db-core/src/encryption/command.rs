//! A key that a command prints.

use std::fmt;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::{EncryptionKey, HOW_TO_MAKE_ONE, read_key};
use crate::error::{Error, ErrorKind};

/// What a shell would do something about. Here it would be passed on as it is, to the surprise of
/// whoever wrote it.
const MEANT_FOR_A_SHELL: &[char] = &[
    '\'', '"', '\\', '$', '`', '|', '&', ';', '<', '>', '(', ')', '*', '?', '~', '#', '\n',
];

/// Between two looks at whether a command has ended that has closed its output.
const NAP: Duration = Duration::from_millis(2);

/// A program and its arguments. No shell runs it.
///
/// The program is looked for in `PATH`, gets the environment and the working folder of this one,
/// an empty standard input, and this one's standard error.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyCommand {
    program: String,
    arguments: Vec<String>,
}

impl KeyCommand {
    /// A program and its arguments, which may be any text.
    #[must_use]
    pub fn new(program: impl Into<String>, arguments: Vec<String>) -> Self {
        Self {
            program: program.into(),
            arguments,
        }
    }

    /// Splits a text at white space.
    ///
    /// # Errors
    /// `Configuration` for an empty text, and for one with quotes, variables, pipes and other things
    /// that a shell would understand: put those into a script.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Err(Error::new(ErrorKind::Configuration, reason));
        if let Some(character) = text.trim().chars().find(|c| MEANT_FOR_A_SHELL.contains(c)) {
            return wrong(format!(
                "no shell runs the key command, so it cannot hold {character:?}; put it into a \
                 script"
            ));
        }
        let mut words = text.split_whitespace().map(ToOwned::to_owned);
        match words.next() {
            Some(program) => Ok(Self::new(program, words.collect())),
            None => wrong("the key command is empty".to_owned()),
        }
    }

    /// The program, and whether it has arguments: a password or a token may be among those.
    pub(crate) fn shown(&self) -> String {
        shown(&self.program, !self.arguments.is_empty())
    }
}

/// Shows no argument, and no key where the program belongs.
impl fmt::Debug for KeyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCommand({})", self.shown())
    }
}

/// What may be shown of a text that is no command.
pub(crate) fn shown_text(text: &str) -> String {
    let mut words = text.split_whitespace();
    shown(words.next().unwrap_or_default(), words.next().is_some())
}

fn shown(program: &str, has_arguments: bool) -> String {
    // What is assigned here, a shell would put into the environment.
    let (program, value) = match program.split_once('=') {
        Some((name, _)) => (name, "=…"),
        None => (program, ""),
    };
    let program = crate::redact(program);
    let more = if has_arguments { " …" } else { "" };
    format!("{}{value}{more}", super::mask(&program))
}

/// Runs the command, and takes what it prints if it ends well in time.
pub(super) fn read(command: &KeyCommand, patience: Duration) -> Result<EncryptionKey, Error> {
    let wrong = |kind, reason: String| {
        Error::new(
            kind,
            format!("the key command `{}` {reason}", command.shown()),
        )
    };
    let too_slow = || {
        wrong(
            ErrorKind::KeyMissing,
            format!("did not end within {patience:?}"),
        )
    };
    let io = |error: io::Error| wrong(ErrorKind::Io, format!("could not be listened to: {error}"));
    let deadline = Instant::now() + patience;
    let mut child = Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| wrong(ErrorKind::Configuration, format!("cannot be run: {e}")))?;
    let printed = listen(&mut child, deadline);
    let may_go_on = matches!(&printed, Ok(Ok(_)))
        || matches!(&printed, Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData);
    let status = if may_go_on {
        end(&mut child, deadline).map_err(io)?
    } else {
        // Whatever else it would do or print, nobody waits for.
        stop(&mut child).map_err(io)?;
        None
    };
    match (printed, status) {
        (Ok(_), Some(status)) if !status.success() => {
            Err(wrong(ErrorKind::KeyMissing, format!("failed ({status})"))
                .with_hint("run it by hand to see why"))
        }
        (Ok(Ok(key)), Some(_)) => Ok(key),
        (Ok(Err(error)), _) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => {
                let reason = format!("printed no key: {error}");
                Err(wrong(ErrorKind::Configuration, reason).with_hint(HOW_TO_MAKE_ONE))
            }
            _ => Err(io(error)),
        },
        (Ok(Ok(_)) | Err(_), _) => Err(too_slow()),
    }
}

/// What the command prints.
///
/// A thread reads it: a pipe has no deadline. Where a descendant of the command holds on to the
/// pipe, that thread stays until it lets go.
fn listen(
    child: &mut Child,
    deadline: Instant,
) -> Result<io::Result<EncryptionKey>, RecvTimeoutError> {
    let Some(mut output) = child.stdout.take() else {
        return Err(RecvTimeoutError::Disconnected);
    };
    let (tell, told) = mpsc::sync_channel(1);
    let spawned = thread::Builder::new()
        .name("key-command".to_owned())
        .spawn(move || tell.send(read_key(&mut output)));
    match spawned {
        Ok(_) => told.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        Err(error) => Ok(Err(error)),
    }
}

/// How the command ended, if it did in time.
fn end(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            stop(child)?;
            return Ok(None);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the end of a child has no wait with a deadline"
        )]
        thread::sleep(NAP);
    }
}

/// Ends the command, unless it has ended.
fn stop(child: &mut Child) -> io::Result<ExitStatus> {
    child.kill()?;
    child.wait()
}
