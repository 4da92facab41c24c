//! Asking before something is destroyed.

use std::io::{self, BufRead, IsTerminal};

use crate::error::Error;
use crate::output::Output;
use crate::signals;

/// Goes on only if a person says yes, or `--force` said it for them.
///
/// # Errors
/// [`Error::Refused`] without a terminal, or if the answer is no.
pub(crate) fn confirm(output: &Output, force: bool, question: &str) -> Result<(), Error> {
    if force {
        return Ok(());
    }
    refuse_without_terminal(question)?;
    let answer = ask(output, &format!("{question} [yes/no] "))?;
    if is_yes(&answer) {
        Ok(())
    } else {
        Err(not_confirmed("answer yes, or add --force"))
    }
}

/// Asks for the name of what will be replaced, because a yes is typed by habit.
///
/// # Errors
/// As [`confirm`].
pub(crate) fn confirm_by_name(
    output: &Output,
    force: bool,
    question: &str,
    name: &str,
) -> Result<(), Error> {
    if force {
        return Ok(());
    }
    refuse_without_terminal(question)?;
    let answer = ask(output, &format!("{question}.\nType its name, {name}: "))?;
    if answer.trim() == name {
        Ok(())
    } else {
        Err(not_confirmed(
            "type the name as it is shown, or add --force",
        ))
    }
}

fn refuse_without_terminal(question: &str) -> Result<(), Error> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Ok(());
    }
    Err(Error::Refused {
        message: format!("not done without a terminal to ask on: {question}"),
        hint: "add --force if that is what you want".to_owned(),
    })
}

fn ask(output: &Output, question: &str) -> Result<String, Error> {
    // Before the question is seen: whoever answers it by Ctrl-C ends the program.
    let _suspended = signals::suspend();
    output.ask(question);
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Error::Io {
            place: "standard input".to_owned(),
            error,
        })?;
    Ok(answer)
}

fn not_confirmed(hint: &str) -> Error {
    Error::Refused {
        message: "not confirmed; nothing was changed".to_owned(),
        hint: hint.to_owned(),
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("yes\n") && is_yes(" Y "));
        assert!(!is_yes("") && !is_yes("\n") && !is_yes("no\n") && !is_yes("yeah, no"));
    }
}
